"""The weights that a round begins with, read where they lie: in memory that the enclave filled."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.tensors import DTYPES


class Weights(Mapping[str, npt.NDArray[Any]]):
    """A safetensors file in memory, as read-only arrays over it; bfloat16 and float16 as copies, widened to float32.

    Its bytes are those of a digest that the enclave has verified.
    """

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        self._data = data
        size = int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8 : 8 + size]))
        self._first = 8 + size
        self._entries: dict[str, Any] = {name: entry for name, entry in header.items() if name != "__metadata__"}

    @classmethod
    def of(cls, descriptor: int) -> Weights:
        """Those that a descriptor holds, which is closed; the memory is given back with the last array over it."""
        try:
            return cls(mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ))
        finally:
            os.close(descriptor)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        entry = self._entries[name]
        begin, end = entry["data_offsets"]
        kind = DTYPES[entry["dtype"]]
        dtype = np.dtype("uint16" if kind == "bfloat16" else kind).newbyteorder("<")
        count = (end - begin) // dtype.itemsize
        array: npt.NDArray[Any] = np.frombuffer(self._data, dtype, count, self._first + begin)
        if kind == "bfloat16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        elif kind == "float16":
            array = array.astype(np.float32)
        return array.reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
