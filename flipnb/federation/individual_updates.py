"""Trusts' update files of one round, each by itself, as aggregation ``individual`` reads them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import MAX_TRUSTS, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.tally import Tally
from flipnb.federation.update_file import UpdateFile, pieces

PIECE = 1 << 20
"""Elements of one tensor that are read of every Trust at once."""

Int64 = npt.NDArray[np.int64]


class IndividualUpdates:
    """One round's update files, open until ``clear``."""

    def __init__(self, *, spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], training: bool) -> None:
        self._spec, self._plan, self._outputs, self._training = spec, plan, outputs, training
        self._files: dict[str, UpdateFile] = {}

    def clear(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def add(self, path: Path, who: str) -> int:
        """Open one file, or refuse it; its weight. Raises FlipError ``wrong-update``: who, and what is wrong."""
        if len(self._files) == MAX_TRUSTS:
            raise FlipError("wrong-update", f"More than {MAX_TRUSTS} Trusts.")
        self._files[who] = UpdateFile(
            path, who, spec=self._spec, plan=self._plan, outputs=self._outputs, training=self._training
        )
        return self._files[who].tally.people["train"]

    @property
    def trusts(self) -> tuple[str, ...]:
        """Who is there, in the order in which all is read."""
        return tuple(sorted(self._files))

    @property
    def weights(self) -> tuple[int, ...]:
        """The people in train of each Trust."""
        return tuple(self._files[who].tally.people["train"] for who in self.trusts)

    @property
    def weight(self) -> int:
        """The sum of the Trusts' weights."""
        return sum(self.weights)

    @property
    def unit(self) -> float:
        """What one step of the fixed-point numbers is worth."""
        return 2.0**-self._plan.fraction_bits

    def metrics(self) -> dict[str, float]:
        """Each output's average over the people that it is declared over, by name."""
        return self._tally().averages(self._outputs)

    @property
    def ballots(self) -> tuple[int, int]:
        """Votes, and how many Trusts have voted."""
        tally = self._tally()
        return tally.votes, tally.voters

    def _tally(self) -> Tally:
        return functools.reduce(Tally.plus, (file.tally for file in self._files.values()), Tally.nothing(self._outputs))

    def pieces(self, tensor: Tensor, *, whole: bool = False) -> Iterator[tuple[slice, list[Int64]]]:
        """Flat pieces of a tensor's change, one array per Trust, in units of 2^-f; integer tensors in units of 1."""
        files = [self._files[who] for who in self.trusts]
        for start, end in pieces(tensor, max(tensor.elements, 1) if whole else PIECE):
            yield slice(start, end), [file.change(tensor, start, end) for file in files]
