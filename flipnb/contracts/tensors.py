"""Names, shapes and dtypes of a model, and the byte layout in which an update leaves a kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.text import Line

Dtype = Literal["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]

FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})


@dataclass(frozen=True)
class Stored:
    """How a safetensors file has a dtype: its ``code``, and the bytes of one item, little-endian."""

    code: str
    item_bytes: int


STORED: Mapping[Dtype, Stored] = {
    "int64": Stored("I64", 8),
    "float64": Stored("F64", 8),
    "float32": Stored("F32", 4),
    "int32": Stored("I32", 4),
    "bfloat16": Stored("BF16", 2),
    "float16": Stored("F16", 2),
    "int16": Stored("I16", 2),
    "int8": Stored("I8", 1),
    "uint8": Stored("U8", 1),
    "bool": Stored("BOOL", 1),
}
"""By dtype, in the order in which the safetensors library writes tensors."""
DTYPES: Mapping[str, Dtype] = {stored.code: dtype for dtype, stored in STORED.items()}
"""By the format's code."""
_ALIGNMENT = 64


class Tensor(Document):
    """One tensor of a model: its name, its sizes, at most 16 of them, and its dtype."""

    name: Line = Field(min_length=1)
    shape: tuple[int, ...] = Field(max_length=16)
    dtype: Dtype

    @model_validator(mode="after")
    def _sizes(self) -> Tensor:
        if any(size < 0 for size in self.shape):
            raise ValueError(f"tensor {self.name} has a negative size")
        return self

    @property
    def elements(self) -> int:
        """The number of its values; 1 where it is a scalar."""
        return math.prod(self.shape)

    def largest_change(self, clip: int) -> int:
        """How much an element of this integer tensor may change in one round: what its dtype spans, and ``clip``."""
        spans = {"bool": 1, "uint8": 2**8 - 1, "int8": 2**8 - 1, "int16": 2**16 - 1, "int32": 2**32 - 1}
        return min(clip, spans.get(self.dtype, clip))

    @property
    def update_dtype(self) -> Literal["float64", "float32", "int64"]:
        """The dtype in which this tensor's change leaves the kernel: float32 or wider, or int64."""
        if self.dtype == "float64":
            return "float64"
        return "float32" if self.dtype in FLOATS else "int64"

    @property
    def wire_dtype(self) -> Literal["int32", "int64"]:
        """The dtype of this tensor's fixed-point change in an update file."""
        return "int32" if self.update_dtype == "float32" else "int64"


@dataclass(frozen=True)
class Slot:
    """Where one tensor's change lies in an update: ``count`` items of ``dtype`` (little-endian) at ``offset`` bytes."""

    tensor: Tensor
    offset: int
    dtype: Literal["float64", "float32", "int64"]

    @property
    def count(self) -> int:
        """The number of the tensor's values."""
        return self.tensor.elements


class TensorSpec(Document):
    """The tensors of a model in their fixed order."""

    tensors: tuple[Tensor, ...] = Field(min_length=1, max_length=100_000)

    @model_validator(mode="after")
    def _unique(self) -> TensorSpec:
        if len({tensor.name for tensor in self.tensors}) != len(self.tensors):
            raise ValueError("two tensors have the same name")
        return self

    @property
    def elements(self) -> int:
        """The number of values of all tensors."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def integers(self) -> tuple[Tensor, ...]:
        """The tensors that are no floats: counters, indices, masks."""
        return tuple(tensor for tensor in self.tensors if tensor.dtype not in FLOATS)

    def weight_bytes(self) -> int:
        """Bytes of the weights themselves, without a file's header."""
        return sum(tensor.elements * STORED[tensor.dtype].item_bytes for tensor in self.tensors)

    def update_layout(self) -> tuple[tuple[Slot, ...], int]:
        """The slots of an update and its size in bytes; each slot starts at a multiple of 64."""
        slots = []
        offset = 0
        for tensor in self.tensors:
            slots.append(Slot(tensor, offset, tensor.update_dtype))
            size = tensor.elements * (4 if tensor.update_dtype == "float32" else 8)
            offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        return tuple(slots), max(offset, _ALIGNMENT)
