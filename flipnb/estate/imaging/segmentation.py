"""Labels out of DICOM Segmentations, laid over an image by their place in space and not by the order of slices.

A segmentation may hold fewer slices than its image, in another order, turned, cropped or of another spacing: each voxel
of the image gets the label of the voxel of the segmentation whose centre is nearest (PS3.3, C.8.20).
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from flipnb.contracts.images import Segment, as_segment
from flipnb.estate.imaging.decode import Image, text_of
from flipnb.estate.imaging.geometry import Unusable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.uint8]

_EDGE = 1e-3
"""Of voxels exactly between two the higher is taken, whatever was rounded on the way."""


def read_labels(files: Sequence[bytes | memoryview], segments: Sequence[Segment], image: Image) -> LabelMap:
    """The declared segments over the image's grid: (x, y, z) uint8, the place of each in ``segments`` from 1.

    ``files`` are the segmentations of the image's study; those of other series are left alone. Raises Unusable
    ``labels-missing`` where none of them has one of the segments, ``labels-overlap``, ``labels-unreadable``.
    """
    import numpy as np

    wanted = {as_segment(one.label): number for number, one in enumerate(segments, start=1)}
    labels = np.zeros(image.pixels.shape, dtype=np.uint8)
    found: set[int] = set()
    for data in files:
        for number, mask, affine in _segments(data, wanted, image):
            there = _laid_over(mask, affine, image)
            if np.any(labels[there]):
                raise Unusable("labels-overlap")
            labels[there] = number
            found.add(number)
    if not found:
        raise Unusable("labels-missing")
    return LabelMap(labels, tuple(segments[number - 1].name for number in sorted(found)))


class LabelMap:
    """``pixels`` as ``read_labels`` says; ``names`` of the segments that the segmentations had, empty ones too."""

    def __init__(self, pixels: Labels, names: tuple[str, ...]) -> None:
        self.pixels, self.names = pixels, names


def _segments(
    data: bytes | memoryview, wanted: dict[str, int], image: Image
) -> list[tuple[int, npt.NDArray[Any], Floats]]:
    """Of a segmentation of this image: the number of each wanted segment, its voxels, their affine (RAS+)."""
    import highdicom
    import numpy as np

    try:
        segmentation = highdicom.seg.segread(BytesIO(data))
        if not _is_of(segmentation, image):
            return []
        numbers = {
            int(one.segment_number): wanted[as_segment(str(one.segment_label))]
            for one in (segmentation.get_segment_description(n) for n in segmentation.segment_numbers)
            if as_segment(str(one.segment_label)) in wanted
        }
        found = []
        for number, label in numbers.items():
            volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
            to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
            found.append((label, np.asarray(volume.array), to_ras @ np.asarray(volume.affine, dtype=np.float64)))
        return found
    except Exception:  # whatever a library finds wrong with bytes of strangers
        raise Unusable("labels-unreadable") from None


def _is_of(segmentation: Any, image: Image) -> bool:
    """Whether it was drawn on this image: it names the series, or no series and the same frame of reference."""
    named = {text_of(one, "SeriesInstanceUID") for one in segmentation.get("ReferencedSeriesSequence") or ()}
    shared = text_of(segmentation, "FrameOfReferenceUID") == image.frame_of_reference
    return shared and image.frame_of_reference is not None and (not named or image.series in named)


def _laid_over(mask: npt.NDArray[Any], affine: Floats, image: Image) -> npt.NDArray[np.bool_]:
    """Where the image's voxels lie in the segment."""
    import numpy as np

    there = np.zeros(image.pixels.shape, dtype=np.bool_)
    if not mask.any():
        return there
    # What is empty around a segment need not be looked up.
    held = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = np.array([one[0] for one in held])
    box = tuple(slice(int(one[0]), int(one[-1]) + 1) for one in held)
    mask = mask[box] != 0
    moved = affine.copy()
    moved[:3, 3] = (affine @ [*low, 1.0])[:3]
    into = np.linalg.inv(moved) @ image.affine
    region = _region(into, mask.shape, there.shape)
    if region is None:
        return there
    there[region] = _pulled(mask, into, region)
    return there


def _region(into: Floats, mask: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, slice, slice] | None:
    """The box of the image's voxels that may lie within the mask; None where none does."""
    import numpy as np

    corners = np.array(
        [[x, y, z, 1.0] for x in (-0.5, mask[0] - 0.5) for y in (-0.5, mask[1] - 0.5) for z in (-0.5, mask[2] - 0.5)]
    )
    placed = (np.linalg.inv(into) @ corners.T)[:3]
    low = np.maximum(np.floor(placed.min(axis=1)).astype(int), 0)
    high = np.minimum(np.ceil(placed.max(axis=1)).astype(int) + 1, shape)
    if (low >= high).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


def _pulled(mask: npt.NDArray[Any], into: Floats, region: tuple[slice, slice, slice]) -> npt.NDArray[np.bool_]:
    """For each voxel of the region the mask's nearest, False beyond it; by slices, so that little memory is needed."""
    import numpy as np

    x, y, z = (np.arange(one.start, one.stop, dtype=np.float64) for one in region)
    found = np.zeros((len(x), len(y), len(z)), dtype=np.bool_)
    plane = into[:3, 0, None, None] * x[:, None] + into[:3, 1, None, None] * y[None, :] + into[:3, 3, None, None]
    limits = np.array(mask.shape)[:, None, None]
    for number, height in enumerate(z):
        places = np.floor(plane + (into[:3, 2] * height)[:, None, None] + 0.5 + _EDGE).astype(np.int64)
        inside = ((places >= 0) & (places < limits)).all(axis=0)
        i, j, k = places[:, inside]
        found[:, :, number][inside] = mask[i, j, k]
    return found
