"""The integer sum over Trusts' updates under aggregation ``sum``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import MAX_TRUSTS, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.tally import Tally
from flipnb.federation.update_file import UpdateFile, pieces

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Sum:
    """Adds Trusts' update files, one piece of one tensor at a time; the order of arrival changes no bit.

    Memory: 8 bytes per element of the model, whatever the number of Trusts, until each tensor's mean is taken.
    """

    def __init__(self, *, spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], training: bool) -> None:
        self._spec, self._plan, self._outputs, self._training = spec, plan, outputs, training
        self._tensors: dict[str, Int64] = {}
        self._tally = Tally.nothing(outputs)
        self.trusts = 0

    def add(self, path: Path, who: str) -> None:
        """Add one file, all of it or nothing. Raises FlipError ``wrong-update``: who, and what is wrong."""
        if self.trusts == MAX_TRUSTS:
            raise FlipError("wrong-update", f"More than {MAX_TRUSTS} Trusts.")
        parts = {"spec": self._spec, "plan": self._plan, "outputs": self._outputs, "training": self._training}
        with UpdateFile(path, who, **parts) as file:  # type: ignore[arg-type]
            for tensor in self._spec.tensors if self._training else ():
                self._add(tensor, file)
            self._tally = self._tally.plus(file.tally)
        self.trusts += 1

    def _add(self, tensor: Tensor, file: UpdateFile) -> None:
        known = self._tensors.get(tensor.name)
        if known is None:
            known = self._tensors[tensor.name] = np.zeros(tensor.elements, np.int64)
        weight = file.tally.people["train"]
        for start, end in pieces(tensor):
            change = file.change(tensor, start, end)
            change *= weight
            known[start:end] += change

    @property
    def weight(self) -> int:
        """Σw: the people in train of all Trusts added."""
        return self._tally.people["train"]

    def mean(self, tensor: Tensor) -> Float64 | Int64:
        """The weighted mean change of one tensor in its shape: float64, or int64 for an integer tensor."""
        total = self._tensors[tensor.name].reshape(tensor.shape)
        if tensor.dtype in FLOATS:
            return np.asarray(total / (2.0**self._plan.fraction_bits * self.weight))
        return mean_difference(total, self.weight)

    def take_mean(self, tensor: Tensor) -> Float64 | Int64:
        """As ``mean``, once: the memory of the tensor's sum is given back."""
        mean = self.mean(tensor)
        del self._tensors[tensor.name]
        return mean

    def metrics(self) -> dict[str, float]:
        return self._tally.averages(self._outputs)

    @property
    def ballots(self) -> tuple[int, int]:
        """Votes, and how many Trusts have voted."""
        return self._tally.votes, self._tally.voters


def mean_difference(total: Int64, weight: int) -> Int64:
    """``total`` / ``weight``, rounded half to even, in integers."""
    quotient, rest = np.divmod(total, weight)
    up = (2 * rest > weight) | ((2 * rest == weight) & (quotient % 2 == 1))
    return np.asarray(quotient + up, np.int64)
