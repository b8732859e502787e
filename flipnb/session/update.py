"""Writing a round's change of the weights into the memory that the broker lent."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.tensors import TensorSpec


def write_change(
    descriptor: int, spec: TensorSpec, start: Mapping[str, npt.NDArray[Any]], now: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Fill a lease with ``now - start`` in ``spec.update_layout()`` and unmap it; closes ``descriptor``.

    Both mappings have one array per tensor, floats in float32 or wider.
    """
    slots, size = spec.update_layout()
    try:
        with mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as lease:
            for slot in slots:
                name = slot.tensor.name
                view = np.frombuffer(lease, np.dtype(slot.dtype), slot.count, slot.offset)
                if slot.dtype == "int64":
                    view[:] = now[name].astype(np.int64).ravel() - start[name].astype(np.int64).ravel()
                else:
                    np.subtract(now[name].ravel(), start[name].ravel(), out=view, dtype=slot.dtype, casting="same_kind")
                del view
    finally:
        os.close(descriptor)
