"""Global weights as content-addressed safetensors files of a tensor spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Dtype, Tensor, TensorSpec
from flipnb.federation.safetensors_file import SafetensorsWriter

Arrays = dict[str, npt.NDArray[Any]]


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """The NumPy dtype of a tensor's dtype; bfloat16 is that of ml_dtypes."""
    return np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)


def write_weights(path: Path, spec: TensorSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, int]:
    """Write ``arrays`` in the order and dtypes of ``spec``; returns SHA-256 and size. Same content, same bytes."""
    with SafetensorsWriter(path, [(t.name, t.shape, t.dtype) for t in spec.tensors]) as file:
        for tensor in spec.tensors:
            array = np.ascontiguousarray(cast(tensor, arrays[tensor.name]))
            file.add(array.reshape(-1).view(np.uint8))
    return file.sha256, file.size


def read_weights(path: Path, spec: TensorSpec, what: str) -> Arrays:
    """All tensors of a weights file. Raises FlipError ``wrong-weights`` where it does not fit ``spec``."""
    arrays: Arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            if set(file.keys()) != {tensor.name for tensor in spec.tensors}:
                raise FlipError("wrong-weights", f"{what} does not have the tensors of the tensor spec.")
            for tensor in spec.tensors:
                array = file.get_tensor(tensor.name)
                if array.shape != tensor.shape or array.dtype != numpy_dtype(tensor.dtype):
                    raise FlipError("wrong-weights", f"{what}: tensor {tensor.name!r} has another shape or dtype.")
                arrays[tensor.name] = array
    except (SafetensorError, OSError, TypeError) as error:
        raise FlipError("wrong-weights", f"{what} is no safetensors file of this model: {error}.") from None
    return arrays


def cast(tensor: Tensor, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``array`` in the tensor's declared dtype and shape; integers are rounded half to even.

    Raises FlipError ``not-finite`` where a strategy made NaN or infinity of it.
    """
    dtype = numpy_dtype(tensor.dtype)
    if array.dtype != dtype:
        array = array.astype(dtype) if tensor.dtype in FLOATS else np.rint(array).astype(dtype)
    if (
        tensor.dtype in FLOATS
        and not np.isfinite(array.astype(np.float32) if array.dtype.itemsize == 2 else array).all()
    ):
        raise FlipError("not-finite", f"The aggregate's tensor {tensor.name!r} holds NaN or infinity.")
    return array.reshape(tensor.shape)
