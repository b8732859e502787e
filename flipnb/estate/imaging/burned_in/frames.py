"""Frames of a DICOM image as a reader would see them: decoded, windowed, 8 bits, dark background."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

Grey = NDArray[np.uint8]
"""(rows, columns), uint8."""


_WHOLE = 64 << 20


class Undecodable(Exception):
    """A frame that no decoder here can read; its words hold no value of the file."""


def decode(file: Path, frame: int) -> tuple[Any, Dataset]:
    """A frame's stored pixels, (rows, columns) or (rows, columns, samples) in RGB or grey, and their header.

    One frame is read at a time; a file that does not name its transfer syntax, or is deflated, is read whole.
    Raises Undecodable, whatever the decoder raised.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(file, stop_before_pixels=True, force=True)
            return _pixels(file, frame), header
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise Undecodable(f"no decoder reads it ({type(error).__name__})") from None


def _pixels(file: Path, frame: int) -> Any:
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array

    try:
        return pixel_array(file, index=frame)
    except Exception:
        if file.stat().st_size > _WHOLE:
            raise
        whole = dcmread(file, force=True)
        if not whole.file_meta.get("TransferSyntaxUID"):
            whole.file_meta.TransferSyntaxUID = _syntax(whole)
        return pixel_array(whole, index=frame)


def _syntax(whole: Dataset) -> UID:
    """The transfer syntax that a data set without one was read by."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = whole.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def shown(array: Any, header: Dataset) -> Grey:
    """Stored pixels as they look on a screen: window applied, MONOCHROME1 turned round, colours as their brightness."""
    if array.ndim == 3:
        return np.asarray(array[..., :3].max(axis=-1) if array.dtype == np.uint8 else _stretched(array.max(axis=-1)))
    if str(header.get("PhotometricInterpretation", "")).startswith("PALETTE"):
        return _palette(array, header)
    grey = _windowed(array, header)
    return np.asarray(255 - grey) if header.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def shown_by_darkest(array: Any, header: Dataset) -> Grey:
    """As ``shown``, but colours as the darkest of their three: what is as bright as its paper is seen here."""
    if array.ndim == 3:
        return _stretched(array[..., :3].min(axis=-1))
    return _palette(array, header, darkest=True)


def _palette(array: Any, header: Dataset, *, darkest: bool = False) -> Grey:
    from pydicom.pixels.processing import apply_color_lut

    try:
        colours = apply_color_lut(array, header)
    except Exception:
        return _stretched(array)
    return _stretched(colours.min(axis=-1) if darkest else colours.max(axis=-1))


def _windowed(array: Any, header: Dataset) -> Grey:
    """By the header's window where it has one that shows anything; else from the smallest to the largest value."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    if "WindowCenter" in header or "VOILUTSequence" in header:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seen = apply_voi_lut(apply_modality_lut(array, header), header)
            grey = _stretched(seen)
            if grey.std() > 2:
                return grey
        except Exception:  # a window that can't be applied hides nothing: the whole range is shown
            return _stretched(array)
    return _stretched(array)


def _stretched(array: Any) -> Grey:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(high - low) or high <= low:
        return np.zeros(array.shape, np.uint8)
    scaled = (array.astype(np.float32) - low) * np.float32(255 / (high - low))
    return np.asarray(scaled, np.uint8)


def scenes(frames: Iterator[tuple[int, Grey]], most: int) -> Iterator[tuple[int, Grey]]:
    """The first frame of each scene: of a clip, those whose look differs from the last one taken; at most ``most``."""
    taken: Any = None
    count = 0
    for number, frame in frames:
        small = thumbnail(frame)
        if taken is None or np.abs(small - taken).max() > 40:
            yield number, frame
            taken, count = small, count + 1
            if count == most:
                return


def thumbnail(frame: Grey) -> Any:
    """Means over a grid of 16×16, float32, by which scenes are told apart."""
    rows, columns = (np.linspace(0, size, 17, dtype=int) for size in frame.shape)
    sums = np.add.reduceat(np.add.reduceat(frame, rows[:-1], axis=0, dtype=np.int64), columns[:-1], axis=1)
    areas = np.outer(np.maximum(np.diff(rows), 1), np.maximum(np.diff(columns), 1))
    return (sums / areas).astype(np.float32)
