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
from flipnb.federation.safetensors_file import SafetensorsWriter, library_order

Arrays = dict[str, npt.NDArray[Any]]


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """The NumPy dtype of a tensor's dtype; bfloat16 is that of ml_dtypes."""
    return np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)


def write_weights(path: Path, spec: TensorSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, int]:
    """Write ``arrays`` in the dtypes of ``spec``; SHA-256 and size. The bytes are those of ``safetensors.save``."""
    tensors = {tensor.name: tensor for tensor in spec.tensors}
    entries = library_order([(t.name, t.shape, t.dtype) for t in spec.tensors])
    with SafetensorsWriter(path, entries) as file:
        for name, _, _ in entries:
            array = np.ascontiguousarray(cast(tensors[name], arrays[name]))
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
    """``array`` in the tensor's declared dtype and shape. An integer beyond its dtype's range becomes its edge.

    Raises FlipError ``not-finite`` where NaN or infinity came out, also for a number beyond the declared dtype.
    """
    dtype = numpy_dtype(tensor.dtype)
    if tensor.dtype in FLOATS:
        with np.errstate(over="ignore"):
            array = array.astype(dtype, copy=False)
        if not np.isfinite(array).all():
            raise FlipError("not-finite", f"The aggregate's tensor {tensor.name!r} holds NaN or infinity.")
    elif array.dtype != dtype:
        low, high = (0, 1) if tensor.dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        array = np.clip(array, low, high).astype(dtype)
    return array.reshape(tensor.shape)


def moved(tensor: Tensor, weights: npt.NDArray[Any], change: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``weights`` + ``change``: floats as float32 or wider (``Tensor.update_dtype``), integers as int64, saturating."""
    if tensor.dtype in FLOATS:
        with np.errstate(over="ignore"):
            return np.asarray(weights.astype(np.float64) + change).astype(tensor.update_dtype)
    wide = weights.astype(np.int64)
    total = np.asarray(wide + change, np.int64)
    edge = np.iinfo(np.int64)
    return np.where((change > 0) & (total < wide), edge.max, np.where((change < 0) & (total > wide), edge.min, total))
