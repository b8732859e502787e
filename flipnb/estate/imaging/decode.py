"""From DICOM files to one image: numbers as they were stored, and their place in space.

A classic series has a slice in each file, an enhanced one many frames in one (PS3.3, C.7.6.16). Stored numbers keep
their whole-number type and their rescale is told beside them (C.11.1); only where it differs from slice to slice, as in
PET, it is applied. MONOCHROME1 is turned round, so that larger is brighter (C.7.6.3.1.2). Windows and VOI tables
(C.11.2) are never applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from flipnb.estate.imaging.geometry import Plane, Unusable, plane_affine, stack, turned

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from pydicom import Dataset

MOST_IMAGE_BYTES = 2 << 30
"""What one image may hold in memory before it is resampled."""
_MOST_SIDE = 65_535
_MOST_FRAMES = 1 << 20


@dataclass(frozen=True)
class Image:
    """``pixels`` are (x, y) or (x, y, z), in C order, of a whole-number type; ``affine`` is (4, 4), RAS+.

    A number means ``slope`` times it plus ``intercept``. ``series`` and ``frame_of_reference`` are the replaced UIDs
    that a segmentation refers to; None of a picture, or where the files have none.
    """

    pixels: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    slope: float
    intercept: float
    photometric: str
    series: str | None = None
    frame_of_reference: str | None = None


@dataclass(frozen=True)
class _Frame:
    """A slice's numbers, where it lies, and what they mean."""

    pixels: npt.NDArray[Any]
    plane: Plane | None
    slope: float
    intercept: float


@contextmanager
def reading() -> Iterator[None]:
    """Whatever a library finds wrong with strangers' bytes is Unusable ``unreadable``; ``too-large`` for memory."""
    try:
        yield
    except Unusable:
        raise
    except MemoryError:
        raise Unusable("too-large") from None
    except Exception:
        raise Unusable("unreadable") from None


@reading()
def read_volume(files: Sequence[bytes | memoryview]) -> Image:
    """One volume out of a series' files, whatever order they come in, its axes turned most nearly to RAS+.

    Raises Unusable.
    """
    import numpy as np
    import pydicom

    frames: list[_Frame] = []
    photometric: set[str] = set()
    references: set[tuple[str | None, str | None]] = set()
    held = 0
    for data in files:
        dataset = pydicom.dcmread(BytesIO(data))
        found = _frames(dataset)
        held += sum(frame.pixels.nbytes for frame in found)
        if held > MOST_IMAGE_BYTES:
            raise Unusable("too-large")
        frames += found
        photometric.add(str(dataset.PhotometricInterpretation))
        references.add((text_of(dataset, "SeriesInstanceUID"), text_of(dataset, "FrameOfReferenceUID")))
    if any(frame.plane is None for frame in frames):
        raise Unusable("no-geometry" if len(frames) > 1 else "single-slice")
    grid = stack([frame.plane for frame in frames if frame.plane is not None])
    if len(references) != 1 or len(photometric) != 1:
        raise Unusable("mixed-orientation")
    ordered = [frames[number] for number in grid.order]
    numbers, slope, intercept = _one_scale(ordered)
    volume, affine = turned(np.stack([one.T for one in numbers], axis=2), grid.affine)
    ((series, reference),) = references
    return Image(np.ascontiguousarray(volume), affine, slope, intercept, photometric.pop(), series, reference)


@reading()
def read_picture(data: bytes | memoryview) -> Image:
    """One picture out of a file of one frame: columns to the right, rows downwards. Raises Unusable."""
    import numpy as np
    import pydicom

    dataset = pydicom.dcmread(BytesIO(data))
    frames = _frames(dataset)
    if len(frames) != 1:
        raise Unusable("several-frames")
    (frame,) = frames
    numbers, slope, intercept = _one_scale(frames)
    affine = np.diag([*_pixel_spacing(dataset), 1.0, 1.0]) if frame.plane is None else plane_affine(frame.plane)
    photometric = str(dataset.PhotometricInterpretation)
    return Image(np.ascontiguousarray(numbers[0].T), affine, slope, intercept, photometric)


def _frames(dataset: Dataset) -> list[_Frame]:
    """Every frame of a file, its numbers (rows, columns) turned round where they are MONOCHROME1."""
    count = _whole(dataset, "NumberOfFrames", 1)
    size = (_whole(dataset, "Columns"), _whole(dataset, "Rows"))
    allocated, stored = _whole(dataset, "BitsAllocated"), _whole(dataset, "BitsStored", 0)
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise Unusable("float-pixels")
    if _whole(dataset, "SamplesPerPixel", 1) != 1 or text_of(dataset, "PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise Unusable("colour")
    if allocated not in (8, 16, 32) or not 1 <= (stored or allocated) <= allocated:
        raise Unusable("unreadable")
    if max(size) > _MOST_SIDE or count > _MOST_FRAMES or math.prod(size) * count * allocated // 8 > MOST_IMAGE_BYTES:
        raise Unusable("too-large")
    pixels = _pixels(dataset, count, size, stored or allocated)
    shared, each = _functional_groups(dataset, count)
    frames = []
    for number in range(count):
        own = [each[number], shared, dataset] if each else [dataset]
        slope, intercept = _rescale(own)
        frames.append(_Frame(pixels[number], _plane(own, size, enhanced=bool(each)), slope, intercept))
    return frames


def _pixels(dataset: Dataset, count: int, size: tuple[int, int], stored: int) -> npt.NDArray[Any]:
    """(frames, rows, columns), of the stored bits alone, larger is brighter."""
    import numpy as np
    from pydicom.pixels.processing import apply_modality_lut

    if "PixelData" not in dataset:
        raise Unusable("unreadable")
    try:
        pixels: npt.NDArray[Any] = dataset.pixel_array
    except NotImplementedError:
        raise Unusable("unsupported-syntax") from None
    pixels = pixels.reshape((count, size[1], size[0])) if pixels.size == count * math.prod(size) else pixels
    if pixels.shape != (count, size[1], size[0]) or pixels.dtype.kind not in "iu":
        raise Unusable("unreadable")
    pixels = _stored_bits(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), stored)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        # Over the whole range of the stored bits, signed or not.
        pixels = np.invert(pixels) if pixels.dtype.kind == "i" else pixels.dtype.type((1 << stored) - 1) - pixels
    if "ModalityLUTSequence" in dataset:
        pixels = apply_modality_lut(pixels, dataset)
        if pixels.dtype.kind not in "iu":
            raise Unusable("unreadable")
    return pixels


def _stored_bits(pixels: npt.NDArray[Any], stored: int) -> npt.NDArray[Any]:
    """Without what older files keep in the bits above: overlays (PS3.5, 8.1.1)."""
    import numpy as np

    unused = pixels.dtype.itemsize * 8 - stored
    if unused == 0:
        return pixels
    if pixels.dtype.kind == "u":
        kept: npt.NDArray[Any] = np.bitwise_and(pixels, pixels.dtype.type((1 << stored) - 1))
    else:
        kept = np.right_shift(np.left_shift(pixels, unused), unused)
    return kept


def _one_scale(frames: Sequence[_Frame]) -> tuple[list[npt.NDArray[Any]], float, float]:
    """Slices of one type with one rescale: that of all of them, or what is left when each one's own was applied."""
    import numpy as np

    scales = {(frame.slope, frame.intercept) for frame in frames}
    kinds = {frame.pixels.dtype for frame in frames}
    if len(scales) == 1:
        kind = np.result_type(*kinds)
        if kind.kind not in "iu":
            raise Unusable("unreadable")
        ((slope, intercept),) = scales
        return [frame.pixels.astype(kind, copy=False) for frame in frames], slope, intercept
    values = [frame.pixels.astype(np.float64) * frame.slope + frame.intercept for frame in frames]
    low, high = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
    whole = all(float(number).is_integer() for scale in scales for number in scale)
    if whole and max(abs(low), abs(high)) < 1 << 31:
        kind = np.dtype(np.int16 if low >= -(1 << 15) and high < 1 << 15 else np.int32)
        return [one.astype(kind) for one in values], 1.0, 0.0
    slope = (high - low) / 65_535 or 1.0
    return [np.rint((one - low) / slope).astype(np.uint16) for one in values], slope, low


def _functional_groups(dataset: Dataset, count: int) -> tuple[Dataset, list[Dataset]]:
    """What an enhanced object's frames share, and what each has of its own; none where it is a classic one."""
    from pydicom import Dataset as Empty

    each = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    if each and len(each) != count:
        raise Unusable("unreadable")
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Empty()]
    return shared[0], each


def _plane(own: Sequence[Dataset], size: tuple[int, int], *, enhanced: bool) -> Plane | None:
    """Where a frame lies; None where the file does not say."""
    if enhanced:
        position = _numbers(_group(own, "PlanePositionSequence"), "ImagePositionPatient", 3)
        directions = _numbers(_group(own, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        spacing = _numbers(_group(own, "PixelMeasuresSequence"), "PixelSpacing", 2)
    else:
        position = _numbers(own[-1], "ImagePositionPatient", 3)
        directions = _numbers(own[-1], "ImageOrientationPatient", 6)
        spacing = _numbers(own[-1], "PixelSpacing", 2)
    if position is None or directions is None or spacing is None or min(spacing) <= 0:
        return None
    (x, y, z), (a, b, c, d, e, f), (between_rows, between_columns) = position, directions, spacing
    return Plane((x, y, z), (a, b, c), (d, e, f), (between_columns, between_rows), size)


def _rescale(own: Sequence[Dataset]) -> tuple[float, float]:
    """Slope and intercept of a frame; 1 and 0 where the file has none."""
    held = _group(own, "PixelValueTransformationSequence") or own[-1]
    slope, intercept = _numbers(held, "RescaleSlope", 1), _numbers(held, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return 1.0, 0.0
    if slope[0] == 0:
        raise Unusable("unreadable")
    return slope[0], intercept[0]


def _pixel_spacing(dataset: Dataset) -> tuple[float, float]:
    """Between columns and between rows of a picture, at the detector where nothing else is said; 1 without any."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = _numbers(dataset, name, 2)
        if found is not None and min(found) > 0:
            return found[1], found[0]
    return 1.0, 1.0


def _group(own: Sequence[Dataset], name: str) -> Dataset | None:
    """The first item of a frame's own functional group, else of the shared one."""
    for groups in own[:2]:
        items = groups.get(name)
        if items:
            item: Dataset = items[0]
            return item
    return None


def _numbers(dataset: Dataset | None, name: str, count: int) -> tuple[float, ...] | None:
    """So many finite numbers; None where they are not there."""
    if dataset is None:
        return None
    try:
        value = dataset.get(name)
        if value is None or value == "":
            return None
        found = tuple(float(one) for one in ([value] if isinstance(value, int | float | str) else value))
    except (ValueError, TypeError, OverflowError):
        return None
    return found if len(found) == count and all(math.isfinite(one) for one in found) else None


def _whole(dataset: Dataset, name: str, otherwise: int | None = None) -> int:
    try:
        value = dataset.get(name)
        found = otherwise if value is None or value == "" else int(value)
    except (ValueError, TypeError, OverflowError):
        found = None
    if found is None or found < 0 or (found == 0 and otherwise != 0):
        raise Unusable("unreadable")
    return found


def text_of(dataset: Dataset, name: str) -> str | None:
    """An element's value as text; None where it is empty or can't be read."""
    try:
        value = dataset.get(name)
    except (ValueError, KeyError, TypeError):
        return None
    return str(value) if value else None
