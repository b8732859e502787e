"""A strategy under aggregation ``sum``: what it reads, and how a coordinator drives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy.typing as npt

from flipnb.contracts.tensors import Tensor
from flipnb.federation.weights import Arrays, Weights


class Means(Protocol):
    """A round's mean changes, read piece by piece (sum.Sum)."""

    def mean_of(self, tensor: Tensor, start: int, end: int) -> npt.NDArray[Any]:
        """The weighted mean change of flat elements of a tensor: float64, or int64 for an integer tensor."""
        ...

    def forget(self, tensor: Tensor) -> None:
        """Give back the memory of a tensor that is done."""
        ...

    @property
    def weight(self) -> int:
        """The sum of the Trusts' weights."""
        ...


class MeanStrategy(ABC):
    """A strategy that reads the mean (aggregation ``sum``), driven round by round.

    Only float tensors go through it, as float32 or wider: momentum on an integer buffer means nothing. Integer tensors
    move by the mean of differences.
    """

    @abstractmethod
    def config(self, number: int, members: int) -> dict[str, float]:
        """The strategy's numbers for the members of a round (FedProx: ``proximal_mu``)."""

    @abstractmethod
    def round(
        self, number: int, members: int, weights: Weights, means: Means
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The new tensors in their order in a file: floats in float32 or wider, integers in int64.

        ``weights`` are not changed; ``means`` forget each tensor once it is made.
        """

    @abstractmethod
    def state(self) -> Arrays:
        """What the next round needs besides the weights, as arrays by name."""

    @abstractmethod
    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
