"""Where each tensor lies in an open file of global weights, whose header was checked against the tensor spec."""

from __future__ import annotations

import contextlib
import json
import os

from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import STORED, Tensor, TensorSpec
from flipnb.federation.safetensors_file import head
from flipnb.federation.weights import in_file_order

_MORE_HEADER_BYTES = 1 << 20
"""What the header of weights that a researcher chose may have beyond the one that is written here."""


def written_size(spec: TensorSpec) -> int:
    """Bytes of a weights file as ``weights.write_weights`` writes it."""
    first, sizes = head([(tensor.name, tensor.shape, tensor.dtype) for tensor in in_file_order(spec)])
    return len(first) + sum(sizes)


def written_places(descriptor: int, spec: TensorSpec) -> dict[str, int]:
    """Each tensor's offset in bytes, of a file as ``weights.write_weights`` writes it.

    The header is compared, not parsed. Raises FlipError ``wrong-weights``.
    """
    order = in_file_order(spec)
    first, sizes = head([(tensor.name, tensor.shape, tensor.dtype) for tensor in order])
    if os.fstat(descriptor).st_size != len(first) + sum(sizes) or os.pread(descriptor, len(first), 0) != first:
        raise _wrong("do not have the layout that follows from the tensor spec")
    places: dict[str, int] = {}
    offset = len(first)
    for tensor, size in zip(order, sizes, strict=True):
        places[tensor.name] = offset
        offset += size
    return places


def chosen_places(descriptor: int, spec: TensorSpec) -> dict[str, int]:
    """As ``written_places``, of the weights that a bundle names by digest: whatever program wrote them."""
    size = os.fstat(descriptor).st_size
    length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
    header: object = None
    if length <= min(size - 8, written_size(spec) - spec.weight_bytes() + _MORE_HEADER_BYTES):
        with contextlib.suppress(ValueError, RecursionError):
            header = json.loads(os.pread(descriptor, length, 8))
    if not isinstance(header, dict) or header.keys() - {"__metadata__"} != {tensor.name for tensor in spec.tensors}:
        raise _wrong("are no safetensors file of the model's tensors")
    return {tensor.name: 8 + length + _begin(tensor, header[tensor.name], size - 8 - length) for tensor in spec.tensors}


def _begin(tensor: Tensor, entry: object, room: int) -> int:
    """Where an entry of the header says that a tensor begins, within ``room`` bytes."""
    stored = STORED[tensor.dtype]
    if isinstance(entry, dict) and entry.get("dtype") == stored.code and entry.get("shape") == list(tensor.shape):
        match entry.get("data_offsets"):
            case [int(begin), int(end)] if begin >= 0 and end == begin + stored.item_bytes * tensor.elements <= room:
                return begin
    raise _wrong(f"have another tensor {tensor.name!r}")


def _wrong(how: str) -> FlipError:
    return FlipError("wrong-weights", f"The global weights {how}.")
