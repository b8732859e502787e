"""Where slices lie: from DICOM's planes to one grid of voxels with its place in space.

Directions and positions are those of DICOM PS3.3, C.7.6.2.1.1 (equation C.7.6.2.1-1), in the patient's LPS coordinates;
an affine here is RAS+ and takes an index (x along a row, y down a column, z from slice to slice) to millimetres, as
NIfTI-1 has it. A gantry's tilt is a shear of the affine, which no slice is resampled for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flipnb.contracts.images import Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_COSINE = 1e-3
"""How far unit vectors may differ: a twentieth of a degree; headers are written with six decimals."""
_SAME_MM = 0.01
"""Slices nearer to each other lie at one place."""
_GAP = 0.02
_LEAST_GAP_MM = 0.011
"""How far a gap may differ from the others, as its share and in millimetres: positions may be rounded to hundredths."""
_OFF_LINE_MM = 0.05


class Unusable(Exception):
    """An image that is left out; ``reason`` says why, and nothing of a header."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Plane:
    """One slice: ``position`` of its first pixel's centre, directions of a row and of a column (LPS, unit vectors).

    ``spacing`` is in millimetres between columns (along a row) and between rows; ``size`` columns and rows.
    """

    position: tuple[float, float, float]
    along_row: tuple[float, float, float]
    along_column: tuple[float, float, float]
    spacing: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """Slices in order: ``order`` are their places in what was given, ``affine`` is (4, 4), RAS+."""

    order: tuple[int, ...]
    affine: Floats


def stack(planes: Sequence[Plane]) -> Grid:
    """The grid that planes make, whatever order they come in.

    Raises Unusable ``single-slice``, ``mixed-size``, ``mixed-spacing`` (of pixels, or between slices),
    ``mixed-orientation``, ``duplicate-position``, ``missing-slice``, ``not-in-line``, ``no-geometry``.
    """
    import numpy as np

    if len(planes) < 2:
        raise Unusable("single-slice")
    _require_alike(planes)
    first = planes[0]
    row, column = np.array(first.along_row), np.array(first.along_column)
    _require_directions(row, column)
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    along = positions @ np.cross(row, column)
    order = np.argsort(along, kind="stable")
    _require_even(np.diff(along[order]))
    placed = positions[order]
    step = (placed[-1] - placed[0]) / (len(planes) - 1)
    line = placed[0] + np.arange(len(planes))[:, None] * step
    if np.abs(placed - line).max() > max(_OFF_LINE_MM, _GAP * float(np.linalg.norm(step))):
        raise Unusable("not-in-line")
    return Grid(tuple(int(one) for one in order), _affine(first, placed[0], step))


def plane_affine(plane: Plane) -> Floats:
    """The affine of one picture that knows its place; its third axis is its normal, a millimetre long."""
    import numpy as np

    row, column = np.array(plane.along_row), np.array(plane.along_column)
    _require_directions(row, column)
    return _affine(plane, np.array(plane.position), np.cross(row, column))


def closest_axes(affine: Floats) -> tuple[tuple[int, int], ...]:
    """For x, y, z of an array turned most nearly to RAS+: (the axis that it is now, 1 or -1 where it is turned round).

    The rotation is the orthogonal matrix nearest to the affine's directions (polar decomposition), axes are matched the
    strongest first: what nibabel's ``io_orientation`` does.
    """
    import numpy as np

    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    found: dict[int, tuple[int, int]] = {}
    left_over = set(range(3))
    for axis in np.argsort(-np.abs(rotation).max(axis=0), kind="stable"):
        world = max(left_over, key=lambda one: abs(rotation[one, axis]))
        left_over.remove(world)
        found[world] = (int(axis), 1 if rotation[world, axis] >= 0 else -1)
    return tuple(found[world] for world in range(3))


def turned(array: npt.NDArray[np.generic], affine: Floats) -> tuple[npt.NDArray[np.generic], Floats]:
    """A volume (x, y, z) and its affine with axes as ``closest_axes`` says: a view, no voxel is resampled."""
    import numpy as np

    axes = closest_axes(affine)
    moved = np.zeros((4, 4))
    moved[3, 3] = 1
    for world, (axis, sign) in enumerate(axes):
        moved[axis, world] = sign
        if sign < 0:
            moved[axis, 3] = array.shape[axis] - 1
    flips = tuple(slice(None, None, sign) for _, sign in axes)
    return array.transpose([axis for axis, _ in axes])[flips], affine @ moved


def spacing_of(affine: Floats) -> tuple[float, float, float]:
    """Millimetres from a voxel to the next, along x, y and z."""
    import numpy as np

    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def _affine(plane: Plane, origin: Floats, step: Floats) -> Floats:
    import numpy as np

    affine = np.eye(4)
    affine[:3, 0] = np.array(plane.along_row) * plane.spacing[0]
    affine[:3, 1] = np.array(plane.along_column) * plane.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    affine[:2] *= -1  # LPS to RAS
    return affine


def _require_alike(planes: Sequence[Plane]) -> None:
    import numpy as np

    if len({plane.size for plane in planes}) != 1:
        raise Unusable("mixed-size")
    directions = np.array([(*plane.along_row, *plane.along_column) for plane in planes])
    if np.abs(directions - directions[0]).max() > _COSINE:
        raise Unusable("mixed-orientation")
    spacing = np.array([plane.spacing for plane in planes])
    if np.abs(spacing / spacing[0] - 1).max() > _COSINE:
        raise Unusable("mixed-spacing")


def _require_directions(row: Floats, column: Floats) -> None:
    import numpy as np

    off = (np.linalg.norm(row) - 1, np.linalg.norm(column) - 1, row @ column)
    if not all(abs(float(one)) <= 10 * _COSINE for one in off):
        raise Unusable("no-geometry")


def _require_even(gaps: Floats) -> None:
    import numpy as np

    if gaps.min() < _SAME_MM:
        raise Unusable("duplicate-position")
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= max(_GAP * usual, _LEAST_GAP_MM):
        return
    times = gaps / usual
    whole = np.maximum(np.round(times), 1)
    raise Unusable("missing-slice" if np.abs(times - whole).max() <= 0.1 else "mixed-spacing")
