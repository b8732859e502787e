"""How far the weights of one open file lie from those of another, read piece by piece."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Tensor
from flipnb.federation.reach import Bound, Slack
from flipnb.federation.weights import numpy_dtype

_PIECE = 1 << 16
"""Elements of both files that are compared at once: with their float64 copies they stay in a core's cache."""


@dataclass(frozen=True)
class WeightsAt:
    """Open global weights: a file descriptor, and each tensor's offset in it (``weights_layout``)."""

    descriptor: int
    places: Mapping[str, int]


@dataclass
class _Difference:
    """Of all float tensors: the earlier weights' sum of squares, the difference's, and its largest element."""

    size: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    where: str = ""


def refuse_far(weights: WeightsAt, before: WeightsAt, bound: Bound) -> None:
    """Hold ``weights`` to how far they may lie from those ``before``, which are of the same tensors.

    Raises FlipError ``too-far``, which says how far they lie and may lie; ``not-finite`` and ``wrong-weights`` (a truth
    value's byte is neither 0 nor 1, which libraries read as they like), which name the tensor.
    """
    pieces = _Pieces()
    found = _Difference()
    for tensor in bound.spec.tensors:
        if tensor.dtype in FLOATS:
            _add(found, tensor, pieces.of(tensor, before, weights), bound.slack(tensor.dtype))
        else:
            most = bound.integer(tensor)
            for old, new in pieces.of(tensor, before, weights):
                if tensor.dtype == "bool" and new.view(np.uint8).max() > 1:
                    said = f"The global weights' tensor {tensor.name!r} holds no truth values."
                    raise FlipError("wrong-weights", said)
                if (apart := _apart(old, new)) > most:
                    raise _far(f"lie {apart} in an element of the integer tensor {tensor.name!r}", f"{most}", bound)
    allowed = bound.step(math.sqrt(found.size))
    norm = math.sqrt(found.squares)
    # Not >: where what came before is not finite, nothing is near it.
    if not norm <= allowed.norm:
        raise _far(f"lie {norm:.6g} (L2)", f"{allowed.norm:.6g}", bound)
    if not found.largest <= allowed.element:
        raise _far(f"lie {found.largest:.6g} in an element of {found.where!r}", f"{allowed.element:.6g}", bound)


class _Pieces:
    """Two files' elements side by side, in buffers that are used again."""

    def __init__(self) -> None:
        self._raw = (bytearray(8 * _PIECE), bytearray(8 * _PIECE))

    def of(
        self, tensor: Tensor, before: WeightsAt, weights: WeightsAt
    ) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Flat pieces of a tensor: before, and now; each is gone with the next."""
        dtype = numpy_dtype(tensor.dtype)
        for start in range(0, tensor.elements, _PIECE):
            size = dtype.itemsize * min(_PIECE, tensor.elements - start)
            for raw, of in zip(self._raw, (before, weights), strict=True):
                _read(of.descriptor, memoryview(raw)[:size], of.places[tensor.name] + dtype.itemsize * start)
            old, new = (np.frombuffer(raw, dtype, size // dtype.itemsize) for raw in self._raw)
            yield old, new


def _read(descriptor: int, into: memoryview, offset: int) -> None:
    while into:
        read = os.preadv(descriptor, [into], offset)
        if read == 0:
            raise FlipError("wrong-weights", "A file of weights ended while it was read.", status=500)
        into, offset = into[read:], offset + read


def _add(
    found: _Difference,
    tensor: Tensor,
    pieces: Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    slack: Slack,
) -> None:
    """Add one float tensor's part, each element's difference without its slack."""
    a, b = np.empty(_PIECE), np.empty(_PIECE)
    with np.errstate(all="ignore"):  # what is not finite is told by name
        for old, new in pieces:
            size, apart = a[: old.size], b[: new.size]
            np.copyto(size, old)
            np.copyto(apart, new)
            apart -= size
            np.abs(apart, out=apart)
            found.size += float(np.einsum("i,i->", size, size))
            np.abs(size, out=size)
            size *= slack.relative
            size += slack.absolute
            apart -= size
            np.maximum(apart, 0.0, out=apart)
            largest = float(apart.max())
            if not math.isfinite(largest) and not np.isfinite(new).all():
                raise FlipError("not-finite", f"The global weights' tensor {tensor.name!r} holds NaN or infinity.")
            found.squares += float(np.einsum("i,i->", apart, apart))
            if not largest <= found.largest:
                found.largest, found.where = largest, tensor.name


def _apart(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> int:
    """The largest difference of integers; as unsigned numbers none overflows."""
    old, new = old.astype(np.int64), new.astype(np.int64)
    return int(np.where(new > old, new - old, old - new).view(np.uint64).max())


def _far(how: str, most: str, bound: Bound) -> FlipError:
    return FlipError("too-far", f"The global weights {how} from those of round {bound.since}; {bound.why(most)}.")
