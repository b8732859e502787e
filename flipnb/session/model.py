"""A model's tensors by name: a torch module, a dictionary of modules, or a dictionary of NumPy arrays.

Arrays of a module are views of its own memory where that is possible, so that loading and reading copy once at most.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import Dtype, Tensor, TensorSpec

_DTYPES: dict[str, Dtype] = {dtype: dtype for dtype in get_args(Dtype)}


class Model:
    """The tensors that take part in rounds. ``exclude`` is a name, or patterns (regular expressions) of names."""

    def __init__(self, model: Any, exclude: str | Iterable[str] = ()) -> None:
        patterns = [re.compile(p) for p in ([exclude] if isinstance(exclude, str) else exclude)]
        self._tensors: dict[str, Any] = {}
        seen: set[tuple[int, ...]] = set()
        for name, tensor in _named(model):
            if any(pattern.search(name) for pattern in patterns):
                continue
            identity = _identity(tensor)
            if identity in seen:
                continue  # tied: travels once, under its first name
            seen.add(identity)
            self._tensors[name] = tensor
        if not self._tensors:
            raise FlipError("no-tensors", "The model given to flip.rounds has no tensors (or all are excluded).")
        self._torch = any(not isinstance(tensor, np.ndarray) for tensor in self._tensors.values())
        self.spec = TensorSpec(
            tensors=tuple(
                Tensor(name=name, shape=tuple(tensor.shape), dtype=_dtype(name, tensor))
                for name, tensor in self._tensors.items()
            )
        )

    def load(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy weights into the model in place; values wider than a tensor's dtype must be exact in it."""
        for name, tensor in self._tensors.items():
            array = weights[name]
            if isinstance(tensor, np.ndarray):
                tensor[...] = array.reshape(tensor.shape)
                continue
            import torch

            with torch.no_grad(), warnings.catch_warnings():
                # The array may be read-only, and it is only read.
                warnings.simplefilter("ignore", UserWarning)
                tensor.copy_(torch.from_numpy(np.asarray(array)).reshape(tensor.shape))

    def dump(self) -> bytes:
        """The current weights as a safetensors file, in their own dtypes."""
        if self._torch:
            import torch
            from safetensors.torch import save

            return save(
                {
                    name: (torch.from_numpy(tensor) if isinstance(tensor, np.ndarray) else tensor.detach().cpu())
                    .contiguous()
                    .clone()
                    for name, tensor in self._tensors.items()
                }
            )
        from safetensors.numpy import save as save_arrays

        return save_arrays({name: np.ascontiguousarray(tensor) for name, tensor in self._tensors.items()})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The current values as NumPy arrays on the CPU; bfloat16 and float16 widened to float32."""
        return {name: _numpy(tensor) for name, tensor in self._tensors.items()}


def _named(model: Any) -> list[tuple[str, Any]]:
    if isinstance(model, Mapping):
        named: list[tuple[str, Any]] = []
        for key, value in model.items():
            if isinstance(value, np.ndarray):
                named.append((str(key), value))
            else:
                named += [(f"{key}.{name}", tensor) for name, tensor in _named(value)]
        return named
    if hasattr(model, "state_dict") and "torch" in sys.modules:
        state = model.state_dict(keep_vars=True)
        return [(name, value) for name, value in state.items() if hasattr(value, "data_ptr")]
    raise FlipError(
        "not-a-model",
        f"flip.rounds was given a {type(model).__name__}.",
        remedy="Give it a torch module, a dictionary of torch modules, or a dictionary of NumPy arrays.",
    )


def _identity(tensor: Any) -> tuple[int, ...]:
    if isinstance(tensor, np.ndarray):
        return (id(tensor),)
    return (tensor.data_ptr() or id(tensor), tensor.storage_offset(), *tensor.shape)


def _dtype(name: str, tensor: Any) -> Dtype:
    text = str(tensor.dtype).removeprefix("torch.")
    if text not in _DTYPES:
        raise FlipError("unsupported-dtype", f"The tensor {name!r} is of dtype {text}, which does not travel.")
    return _DTYPES[text]


def _numpy(tensor: Any) -> npt.NDArray[Any]:
    if isinstance(tensor, np.ndarray):
        return tensor
    import torch

    flat = tensor.detach().cpu()
    array: npt.NDArray[Any] = (flat.float() if flat.dtype in (torch.bfloat16, torch.float16) else flat).numpy()
    return array
