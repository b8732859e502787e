"""Global weights as content-addressed safetensors files of a tensor spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, STORED, Dtype, Tensor, TensorSpec
from flipnb.federation.safetensors_file import SafetensorsWriter, library_order

Arrays = dict[str, npt.NDArray[Any]]
Weights = Mapping[str, npt.NDArray[Any]]
_MAPPED = 64 << 20


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """The NumPy dtype of a tensor's dtype; bfloat16 is that of ml_dtypes."""
    return np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)


def in_file_order(spec: TensorSpec) -> list[Tensor]:
    """The tensors in the order in which a weights file has them, which is that of ``safetensors.save``."""
    tensors = {tensor.name: tensor for tensor in spec.tensors}
    return [tensors[name] for name, _, _ in library_order([(t.name, t.shape, t.dtype) for t in spec.tensors])]


def write_weights(path: Path, spec: TensorSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, int]:
    """Write ``arrays`` in the dtypes of ``spec``; SHA-256 and size. The bytes are those of ``safetensors.save``."""
    return stream_weights(path, spec, ((tensor.name, arrays[tensor.name]) for tensor in in_file_order(spec)))


def stream_weights(path: Path, spec: TensorSpec, arrays: Iterable[tuple[str, npt.NDArray[Any]]]) -> tuple[str, int]:
    """As ``write_weights``, one tensor after the other, as they come ``in_file_order``."""
    order = in_file_order(spec)
    with SafetensorsWriter(path, [(t.name, t.shape, t.dtype) for t in order]) as file:
        for tensor, (name, array) in zip(order, arrays, strict=True):
            if name != tensor.name:
                raise ValueError(f"{name} comes where {tensor.name} belongs")
            file.add([np.ascontiguousarray(cast(tensor, array)).reshape(-1).view(np.uint8)])
    return file.sha256, file.size


class WeightsFile(Mapping[str, npt.NDArray[Any]]):
    """The tensors of a weights file, each read when it is asked for and held by nobody else.

    Opening it checks names, shapes and dtypes. Raises FlipError ``wrong-weights`` where it does not fit ``spec``.
    """

    def __init__(self, path: Path, spec: TensorSpec, what: str) -> None:
        self._path, self._what = path, what
        self._tensors = {tensor.name: tensor for tensor in spec.tensors}
        self._file: Any = None
        self._read = 0
        with self._readable():
            self._file = safe_open(path, framework="numpy")
            if set(self._file.keys()) != set(self._tensors):
                raise FlipError("wrong-weights", f"{what} does not have the tensors of the tensor spec.")
            for tensor in spec.tensors:
                entry = self._file.get_slice(tensor.name)
                if tuple(entry.get_shape()) != tensor.shape or entry.get_dtype() != STORED[tensor.dtype].code:
                    raise FlipError("wrong-weights", f"{what}: tensor {tensor.name!r} has another shape or dtype.")

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with self._readable():
            if self._read > _MAPPED:
                # The library maps the file: what was read of it stays this process's memory until it is closed.
                self._file, self._read = safe_open(self._path, framework="numpy"), 0
            array: npt.NDArray[Any] = self._file.get_tensor(name)
        self._read += array.nbytes
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (SafetensorError, OSError, TypeError) as error:
            raise FlipError("wrong-weights", f"{self._what} is no safetensors file of this model: {error}.") from None


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
