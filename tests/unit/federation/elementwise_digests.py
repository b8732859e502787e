"""Run by test_arithmetic.py: prints which vector units NumPy has here, and the SHA-256 of what each strategy makes.

What goes in is made of integers alone, so that no library's floating point is in it.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.arithmetic import STRATEGIES
from flipnb.federation.elementwise import ElementwiseStrategy
from flipnb.federation.weights import cast, numpy_dtype

SHAPES = {
    "float32": [(), (3,), (17,), (64, 3), (1021,)],
    "float64": [(0,), (5, 13), (509,)],
    "float16": [(67,)],
    "bfloat16": [(67,)],
    "int32": [(5,)],
}
SPEC = TensorSpec(
    tensors=tuple(
        Tensor(name=f"{dtype}-{number}", shape=shape, dtype=dtype)
        for dtype, shapes in SHAPES.items()
        for number, shape in enumerate(shapes)
    )
)
PARAMETERS = {
    "FedProx": {"proximal_mu": 0.1},
    "FedAvgM": {"server_learning_rate": 0.7, "server_momentum": 0.93},
    "FedAdam": {"eta": 0.013, "beta_1": 0.87, "beta_2": 0.993, "tau": 1e-7},
    "FedYogi": {"eta": 0.013, "beta_1": 0.87, "beta_2": 0.993, "tau": 1e-7},
    "FedAdagrad": {"eta": 0.013, "tau": 1e-7},
}


def numbers(random: np.random.Generator, size: int, lowest: int, highest: int) -> np.ndarray:
    """Doubles with exponents in a range: random signs, mantissas and exponents by their bits."""
    sign = random.integers(0, 2, size, dtype=np.uint64) << np.uint64(63)
    exponent = random.integers(1023 + lowest, 1023 + highest, size, dtype=np.uint64) << np.uint64(52)
    return (sign | exponent | random.integers(0, 1 << 52, size, dtype=np.uint64)).view(np.float64)


class Drawn:
    """Mean changes of a round, some so small that they end as denormals."""

    weight = 331

    def __init__(self, number: int) -> None:
        random = np.random.default_rng(number)
        self._made = {tensor.name: self._change(random, tensor) for tensor in SPEC.tensors}

    def _change(self, random: np.random.Generator, tensor: Tensor) -> np.ndarray:
        if tensor.dtype == "int32":
            return random.integers(-9, 10, tensor.elements)
        wide = numbers(random, tensor.elements, -20, -2) / (2.0**26 * self.weight) * 2.0**30
        tiny = numbers(random, tensor.elements, -160, -120)
        return np.where(random.integers(0, 4, tensor.elements) == 0, tiny, wide)

    def mean_of(self, tensor: Tensor, start: int, end: int) -> np.ndarray:
        return self._made[tensor.name][start:end]

    def forget(self, tensor: Tensor) -> None:
        pass


class Run:
    """One strategy's rounds, and the digest of all weights and of the last state."""

    def __init__(self, name: str) -> None:
        self._strategy = ElementwiseStrategy(Strategy(name=name, parameters=PARAMETERS.get(name, {})), SPEC)
        self._seen = hashlib.sha256()
        self._weights = {}
        random = np.random.default_rng(0)
        for tensor in SPEC.tensors:
            first = numbers(random, tensor.elements, -24, 1) if tensor.dtype != "int32" else np.arange(tensor.elements)
            self._weights[tensor.name] = first.astype(numpy_dtype(tensor.dtype)).reshape(tensor.shape)

    def round(self, number: int, means: Drawn) -> None:
        made = dict(self._strategy.round(number, 3, self._weights, means))
        self._weights = {tensor.name: cast(tensor, made[tensor.name]) for tensor in SPEC.tensors}
        for array in self._weights.values():
            self._seen.update(array.tobytes())

    def digest(self) -> str:
        for name, array in sorted(self._strategy.state().items()):
            self._seen.update(name.encode() + array.tobytes())
        return self._seen.hexdigest()


if __name__ == "__main__":
    units = [feature for feature in __cpu_dispatch__ if __cpu_features__[feature]]
    runs = {name: Run(name) for name in STRATEGIES}
    for number in range(1, int(sys.argv[1]) + 1):
        means = Drawn(number)
        for run in runs.values():
            run.round(number, means)
    print(json.dumps({"units": units, "digests": {name: run.digest() for name, run in runs.items()}}))
