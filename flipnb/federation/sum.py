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

UNADDED = 4
"""So many Trusts' updates are read when the round's mean is made, rather than as they come: a gigabyte of memory costs
more to get than to read."""


class Sum:
    """Adds Trusts' update files, one piece of one tensor at a time; the order of arrival changes no bit.

    A file is checked when it comes. Up to ``UNADDED`` files stay files, and are added when a mean is read; as soon as
    there are more, they are added into memory. Memory: nothing to speak of for few Trusts, and for many 8 bytes per
    element of the model, whatever their number, until each tensor's mean is taken.
    """

    def __init__(self, *, spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], training: bool) -> None:
        self._spec, self._plan, self._outputs, self._training = spec, plan, outputs, training
        self._files: list[UpdateFile] = []
        self._tensors: dict[str, Int64] = {}
        self._tally = Tally.nothing(outputs)
        self.trusts = 0

    def add(self, path: Path, who: str) -> int:
        """Add one file, all of it or nothing; its weight. Raises FlipError ``wrong-update``: who, and what is wrong."""
        if self.trusts == MAX_TRUSTS:
            raise FlipError("wrong-update", f"More than {MAX_TRUSTS} Trusts.")
        file = UpdateFile(path, who, spec=self._spec, plan=self._plan, outputs=self._outputs, training=self._training)
        self._tally = self._tally.plus(file.tally)
        self.trusts += 1
        self._files.append(file)
        if len(self._files) > UNADDED or not self._training:
            self._add_files()
        return file.tally.people["train"]

    def clear(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _add_files(self) -> None:
        for tensor in self._spec.tensors if self._training else ():
            first = tensor.name not in self._tensors
            total = np.empty(tensor.elements, np.int64) if first else self._tensors[tensor.name]
            for start, end in pieces(tensor):
                total[start:end] = self._total(tensor, start, end)
            self._tensors[tensor.name] = total
        self.clear()

    def _total(self, tensor: Tensor, start: int, end: int) -> Int64:
        """Σ weight x change over all that came, of flat elements of a tensor."""
        total: Int64 | None = None
        if tensor.name in self._tensors:
            total = self._tensors[tensor.name][start:end]
        for file in self._files:
            change = file.change(tensor, start, end)
            change *= file.tally.people["train"]
            total = change if total is None else np.add(total, change, out=change)
        assert total is not None
        return total

    @property
    def weight(self) -> int:
        """Σw: the people in train of all Trusts added."""
        return self._tally.people["train"]

    def mean_of(self, tensor: Tensor, start: int, end: int) -> Float64 | Int64:
        """The weighted mean change of flat elements of a tensor: float64, or int64 for an integer tensor."""
        total = self._total(tensor, start, end)
        if tensor.dtype in FLOATS:
            return np.asarray(total / (2.0**self._plan.fraction_bits * self.weight))
        return mean_difference(total, self.weight)

    def mean(self, tensor: Tensor) -> Float64 | Int64:
        """As ``mean_of``, of a whole tensor in its shape."""
        return np.concatenate([self.mean_of(tensor, *piece) for piece in pieces(tensor)]).reshape(tensor.shape)

    def forget(self, tensor: Tensor) -> None:
        """Give back the memory of a tensor's sum, whose mean is not read any more."""
        self._tensors.pop(tensor.name, None)

    def metrics(self) -> dict[str, float]:
        """Each output's average over the people that it is declared over, by name."""
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
