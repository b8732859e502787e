"""Covering text in an image's pixels: boxes are filled with the darkest value, in every frame."""

from __future__ import annotations

import mmap
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.burned_in.gates import number
from flipnb.estate.imaging.burned_in.verdict import Box
from flipnb.estate.imaging.postscan import elements
from flipnb.files import whole

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UNCOMPRESSED = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_MOST_DECODED = 1 << 30
_MOST_HEADER = 64 << 20


def blank(file: Path, boxes: Sequence[Box], to: Path) -> str | None:
    """Write ``file`` to ``to`` with ``boxes`` (pixels of the image) covered in all frames: a clip's text stays put.

    Uncompressed pixel data are changed in place, all else stays bit for bit. Compressed ones are decoded and written as
    Explicit VR Little Endian: returns the name of the transfer syntax that they had, else None.
    Raises FlipError ``image-not-blanked`` with what stood in the way; ``to`` is then not there.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(file, defer_size=1024, force=True)
            boxes = [_within(box, number(header, "Rows"), number(header, "Columns")) for box in boxes]
            syntax = header.file_meta.get("TransferSyntaxUID")
            in_place = syntax in _UNCOMPRESSED and not str(header.get("PhotometricInterpretation")).endswith("422")
            with whole.writing(to) as partial:
                if in_place:
                    shutil.copyfile(file, partial)
                    _cover(partial, header, boxes)
                    return None
                _recode(file, partial, boxes)
                return str(syntax.name) if syntax else "an unnamed transfer syntax"
    except FlipError:
        raise
    except Exception as error:  # pydicom and its decoders raise what they like on hostile bytes
        raise _not_blanked(f"{type(error).__name__} while it was decoded") from None


def _not_blanked(why: str) -> FlipError:
    return FlipError(
        "image-not-blanked", f"The text in this image can't be covered: {why}.", remedy="Refuse the image.", status=409
    )


def _within(box: Box, rows: int, columns: int) -> Box:
    left, top, right, bottom = box
    clipped = max(0, left), max(0, top), min(columns, right), min(rows, bottom)
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise _not_blanked("a box lies outside it")
    return clipped


def _cover(file: Path, header: Dataset, boxes: Sequence[Box]) -> None:
    """Fills the boxes in a file whose pixel data are uncompressed."""
    rows, columns, samples = (number(header, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    frames, bits, samples = number(header, "NumberOfFrames") or 1, number(header, "BitsAllocated"), samples or 1
    if bits not in (8, 16, 32):
        raise _not_blanked(f"its pixels have {bits} bits")
    planes = samples > 1 and number(header, "PlanarConfiguration") == 1
    shape = (frames, samples, rows, columns) if planes else (frames, rows, columns, samples)
    kind = np.dtype(f"{'<' if header.original_encoding[1] else '>'}u{bits // 8}")
    with file.open("r+b") as handle, mmap.mmap(handle.fileno(), 0) as mapped:
        start = _start(mapped, frames * rows * columns * samples * kind.itemsize)
        pixels = np.ndarray(shape, kind, buffer=mapped, offset=start)
        for left, top, right, bottom in boxes:
            for sample, value in enumerate(_darkest(header, samples)):
                if planes:
                    pixels[:, sample, top:bottom, left:right] = value
                else:
                    pixels[:, top:bottom, left:right, sample] = value
        del pixels
        mapped.flush()


def _start(mapped: mmap.mmap, size: int) -> int:
    """Where the ``size`` bytes of the pixels begin."""
    with memoryview(mapped) as view:
        read = elements.read(view, _MOST_HEADER)
        pixels = read.pixels
        read.data.release()
    if len(pixels) != 1 or pixels[0][1] - pixels[0][0] < size:
        raise _not_blanked("its pixel data are shorter than its header says")
    return pixels[0][0]


def _darkest(header: Dataset, samples: int) -> tuple[int, ...]:
    interpretation, bits = str(header.get("PhotometricInterpretation", "")), number(header, "BitsStored")
    if interpretation == "MONOCHROME1":
        return ((1 << max(0, bits - number(header, "PixelRepresentation"))) - 1,)
    return (0, 128, 128) if interpretation.startswith("YBR") and samples == 3 else (0,) * samples


def _recode(file: Path, to: Path, boxes: Sequence[Box]) -> None:
    """Decodes all frames, fills the boxes and writes the file uncompressed."""
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian

    ds = dcmread(file, force=True)
    rows, columns, samples = (number(ds, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    size = rows * columns * max(1, samples) * (number(ds, "NumberOfFrames") or 1) * number(ds, "BitsAllocated") // 8
    if size > _MOST_DECODED:
        raise _not_blanked(f"it has {size >> 20} MiB when it is decoded")
    pixels: Any = np.array(pixel_array(ds))
    flat = pixels.reshape(-1, rows, columns, max(1, samples))
    if samples == 3:
        ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    for left, top, right, bottom in boxes:
        flat[:, top:bottom, left:right] = _darkest(ds, max(1, samples))
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    ds["PixelData"].is_undefined_length = False
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in ds:
            delattr(ds, keyword)
    ds.save_as(to, implicit_vr=False, little_endian=True, enforce_file_format=True)
