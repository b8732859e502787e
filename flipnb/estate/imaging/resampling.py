"""Other spacings and sizes of an array whose place in space is known, axis by axis.

Numbers are weighed by a triangle as wide as the coarser of both grids, so that what is made smaller is averaged and not
sampled: Pillow's ``BILINEAR`` in one dimension, along each axis. Labels take the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Along one axis: place m of ``length`` lies at ``first`` + m · ``scale`` of the ``before`` places there were."""

    before: int
    length: int
    first: float
    scale: float

    @property
    def same(self) -> bool:
        """Whether nothing changes."""
        return self.before == self.length and self.first == 0 and self.scale == 1

    def places(self) -> Floats:
        """Where each new place lies among those before."""
        import numpy as np

        return self.first + np.arange(self.length, dtype=np.float64) * self.scale


def axes_for(
    shape: Sequence[int],
    spacing: Sequence[float],
    new_size: Sequence[int] | None,
    new_spacing: Sequence[float] | None,
) -> tuple[Axis, ...]:
    """What ``contracts.images.ImageSet`` says of spacing and size, for an array of this shape and spacing.

    The middle of the field of view stays where it is.
    """
    axes = []
    for number, before in enumerate(shape):
        if new_spacing is not None:
            scale = new_spacing[number] / spacing[number]
            length = new_size[number] if new_size is not None else max(1, round(before / scale))
        elif new_size is not None:
            length = new_size[number]
            scale = before / length
        else:
            length, scale = before, 1.0
        axes.append(Axis(before, length, (before - 1) / 2 - (length - 1) / 2 * scale, scale))
    return tuple(axes)


def moved_affine(affine: Floats, axes: Sequence[Axis]) -> Floats:
    """The affine (4, 4) after resampling along the first axes."""
    import numpy as np

    change = np.eye(4)
    for number, axis in enumerate(axes):
        change[number, number], change[number, 3] = axis.scale, axis.first
    return affine @ change


def resample(array: npt.NDArray[Any], axes: Sequence[Axis]) -> npt.NDArray[Any]:
    """Numbers on the new grid, rounded to the array's whole-number type; beyond its edge is its least number."""
    import numpy as np

    if all(axis.same for axis in axes):
        return array
    least = array.min()
    values = array.astype(np.float32 if array.dtype.itemsize <= 2 else np.float64)
    # Those that shrink most come first.
    for number in sorted(range(len(axes)), key=lambda one: axes[one].length / axes[one].before):
        if not axes[number].same:
            values = _along(values, number, axes[number])
    limits = np.iinfo(array.dtype)
    made = np.clip(np.rint(values), limits.min, limits.max).astype(array.dtype)
    return _padded(made, axes, least)


def resample_labels(array: npt.NDArray[Any], axes: Sequence[Axis]) -> npt.NDArray[Any]:
    """The nearest label on the new grid; 0 beyond the edge."""
    import numpy as np

    made = array
    for number, axis in enumerate(axes):
        if not axis.same:
            nearest = np.floor(axis.places() + 0.5).astype(np.int64)
            made = made.take(np.clip(nearest, 0, axis.before - 1), axis=number)
    return _padded(made, axes, 0)


def _along(values: npt.NDArray[Any], number: int, axis: Axis) -> npt.NDArray[Any]:
    import numpy as np

    places = axis.places()
    reach = max(1.0, axis.scale)
    taps = int(np.ceil(2 * reach)) + 1
    lowest = np.floor(places - reach).astype(np.int64) + 1
    sources = lowest[:, None] + np.arange(taps)
    weights = np.maximum(0.0, 1 - np.abs(sources - places[:, None]) / reach)
    weights[(sources < 0) | (sources >= axis.before)] = 0
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    sources = np.clip(sources, 0, axis.before - 1)
    shape = list(values.shape)
    shape[number] = axis.length
    found = np.zeros(shape, dtype=values.dtype)
    across = [1] * values.ndim
    across[number] = axis.length
    for tap in range(taps):
        if weights[:, tap].any():
            weight = weights[:, tap].astype(values.dtype).reshape(across)
            found += weight * values.take(sources[:, tap], axis=number)
    return found


def _padded(array: npt.NDArray[Any], axes: Sequence[Axis], value: Any) -> npt.NDArray[Any]:
    """``array`` with ``value`` wherever the old field of view does not reach."""
    import numpy as np

    for number, axis in enumerate(axes):
        places = axis.places()
        outside = (places < -0.5 - 1e-6) | (places > axis.before - 0.5 + 1e-6)
        if outside.any():
            where: list[Any] = [slice(None)] * array.ndim
            where[number] = np.flatnonzero(outside)
            array = array.copy() if not array.flags.writeable else array
            array[tuple(where)] = value
    return array
