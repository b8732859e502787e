"""Whether a person's name or number is burned into an image's pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flipnb.estate.imaging.burned_in import reading
from flipnb.estate.imaging.burned_in.frames import Grey, Undecodable, decode, scenes, shown
from flipnb.estate.imaging.burned_in.gates import Gate, gate, number
from flipnb.estate.imaging.burned_in.markers import is_marker
from flipnb.estate.imaging.burned_in.verdict import FoundText, Verdict

MOST_SCENES = 12
MOST_FRAMES = 96
_READABLE = 0.5
_EDGE = 90
_MANY_EDGES = 24


def examine(file: Path) -> Verdict:
    """Look at a DICOM file's pixels for text; what a header alone can tell is told without decoding.

    Never raises for a file's content: what can't be read is ``unread``.
    """
    from pydicom import dcmread

    try:
        header = dcmread(file, stop_before_pixels=True, force=True)
        asked = gate(header)
        frames = number(header, "NumberOfFrames") or 1
    except Exception as error:  # pydicom raises what it likes on hostile bytes
        return Verdict("unread", reason=f"its header can't be read ({type(error).__name__})")
    if asked.need == "none":
        return Verdict("unread" if asked.unreadable else "not-needed", reason=asked.reason)
    try:
        texts = tuple(_texts(_chosen(file, frames, asked)))
    except Undecodable as error:
        return Verdict("unread", reason=str(error))
    except Exception as error:  # OpenCV's and the models' own
        return Verdict("unread", reason=f"its pixels can't be looked at ({type(error).__name__})")
    if texts or asked.declared:
        return Verdict("text", texts, asked.reason if asked.declared else "text was found in its pixels")
    return Verdict("clean", reason=asked.reason)


def _chosen(file: Path, frames: int, asked: Gate) -> Iterator[tuple[int, Grey]]:
    """The frames to read: of a clip one for each scene, of slices those whose pixels might hold letters."""
    step = max(1, -(-frames // MOST_FRAMES))
    numbers = sorted({*range(0, frames, step), frames // 2, frames - 1})
    pictures = ((number, shown(*decode(file, number))) for number in numbers)
    if asked.need == "slices":
        return ((number, picture) for number, picture in pictures if may_hold_letters(picture))
    return scenes(pictures, MOST_SCENES)


def may_hold_letters(picture: Grey) -> bool:
    """Whether a slice has what a console's text has: hard edges in its border, or many pixels of the brightest value.

    A reconstructed slice has air at its border, and its brightest value once or twice.
    """
    band = max(8, min(picture.shape) // 7)
    inner = np.zeros(picture.shape, bool)
    inner[band:-band, band:-band] = True
    steps = np.abs(np.diff(picture.astype(np.int16), axis=1))
    edges = int((steps[~inner[:, 1:]] > _EDGE).sum())
    brightest = int((picture == picture.max()).sum())
    return edges > _MANY_EDGES or 40 < brightest < picture.size // 4


def _texts(pictures: Iterator[tuple[int, Grey]]) -> Iterator[FoundText]:
    for frame, picture in pictures:
        for box, text, score in reading.read(picture):
            if not is_marker(text) and _is_text(text, score):
                yield FoundText(frame, box, text, score)


def _is_text(text: str, score: float) -> bool:
    """Whether what was read may be a word or a number: two letters or digits, read with some certainty."""
    return score >= _READABLE and sum(character.isalnum() for character in text) >= 2
