"""Whether a person's name or number is burned into an image's pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flipnb.estate.imaging.burned_in import reading
from flipnb.estate.imaging.burned_in.frames import Grey, Undecodable, decode, scenes, shown, shown_by_darkest
from flipnb.estate.imaging.burned_in.gates import Gate, gate, number
from flipnb.estate.imaging.burned_in.markers import is_marker
from flipnb.estate.imaging.burned_in.verdict import Box, FoundText, Verdict

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_SCENES = 12
MOST_FRAMES = 96
SAMPLED = 32
_READABLE = 0.5
_EDGE = 90
_STROKE = 6
_MANY_STROKES = 24


def examine(file: Path) -> Verdict:
    """Look at a DICOM file's pixels for text; what a header alone can tell is told without decoding.

    A scanner's slice is read where its pixels may hold letters, and of each series the first and every ``SAMPLED``-th
    by InstanceNumber (0020,0013) whatever its pixels look like: a console that writes its text into a series writes it
    into all of it, or into its beginning.
    Never raises for a file's content: what can't be read is ``unread``.
    """
    from pydicom import dcmread

    try:
        header = dcmread(file, stop_before_pixels=True, force=True)
        asked = gate(header)
        frames = number(header, "NumberOfFrames") or 1
        place = number(header, "InstanceNumber")
    except Exception as error:  # pydicom raises what it likes on hostile bytes
        return Verdict("unread", reason=f"its header can't be read ({type(error).__name__})")
    if asked.need == "none":
        return Verdict("unread" if asked.unreadable else "not-needed", reason=asked.reason)
    try:
        chosen = _chosen(file, frames, asked, sampled=place <= 1 or place % SAMPLED == 0)
        texts = tuple(_texts(file, chosen, colour=_has_colours(header)))
    except Undecodable as error:
        return Verdict("unread", reason=str(error))
    except Exception as error:  # OpenCV's and the models' own
        return Verdict("unread", reason=f"its pixels can't be looked at ({type(error).__name__})")
    if texts or asked.declared:
        return Verdict("text", texts, asked.reason if asked.declared else "text was found in its pixels")
    return Verdict("clean", reason=asked.reason)


def _chosen(file: Path, frames: int, asked: Gate, *, sampled: bool) -> Iterator[tuple[int, Grey]]:
    """The frames to read: of a clip one for each scene, of slices those whose pixels might hold letters."""
    step = max(1, -(-frames // MOST_FRAMES))
    numbers = sorted({*range(0, frames, step), frames // 2, frames - 1})
    pictures = ((number, shown(*decode(file, number))) for number in numbers)
    if asked.need == "slices":
        always = {0, frames // 2, frames - 1} if sampled or frames > 1 else set()
        return ((at, picture) for at, picture in pictures if at in always or may_hold_letters(picture))
    return scenes(pictures, MOST_SCENES)


def may_hold_letters(picture: Grey) -> bool:
    """Whether a slice has what a console's text has: thin strokes in its border, or many pixels of the brightest value.

    A stroke goes up and down again, or down and up, within six pixels; skin and bone at a border go one way. A
    reconstructed slice has its brightest value once or twice.
    """
    band = max(8, min(picture.shape) // 7)
    steps = np.diff(picture.astype(np.int16), axis=1)
    up, down = steps > _EDGE, steps < -_EDGE
    strokes = np.zeros(steps.shape, bool)
    for width in range(1, _STROKE + 1):
        strokes[:, width:] |= (up[:, :-width] & down[:, width:]) | (down[:, :-width] & up[:, width:])
    border = int(strokes.sum()) - int(strokes[band:-band, band:-band].sum())
    brightest = int((picture == picture.max()).sum())
    return bool(border > _MANY_STROKES or 40 < brightest < picture.size // 4)


def _has_colours(header: Dataset) -> bool:
    return number(header, "SamplesPerPixel") > 1 or str(header.get("PhotometricInterpretation", "")).startswith("PAL")


def _texts(file: Path, pictures: Iterator[tuple[int, Grey]], *, colour: bool) -> Iterator[FoundText]:
    """Each text once. Colours are read twice: red letters on white paper are as bright as the paper."""
    for frame, picture in pictures:
        found: list[FoundText] = []
        for look in (picture, *([shown_by_darkest(*decode(file, frame))] if colour else [])):
            for box, text, score in reading.read(look):
                if is_marker(text) or not _is_text(text, score) or _is_anatomy(box, picture):
                    continue
                if not any(_overlap(box, one.box) for one in found):
                    found.append(FoundText(frame, box, text, score))
        yield from found


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _is_text(text: str, score: float) -> bool:
    """Whether what was read may be a word or a number: two letters or digits, read with some certainty."""
    return score >= _READABLE and sum(character.isalnum() for character in text) >= 2


def _is_anatomy(box: Box, picture: Grey) -> bool:
    """Whether what was read as letters is most of the picture both ways: two lungs are ``00``."""
    left, top, right, bottom = box
    rows, columns = int(picture.shape[0]), int(picture.shape[1])
    return right - left > columns * 0.4 and bottom - top > rows * 0.4
