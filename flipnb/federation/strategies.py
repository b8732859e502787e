"""What drives a run's strategy: the elementwise ones are worked out here, Flower's classes do the others.

A run of an elementwise strategy never imports flwr.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.weights import Arrays, Weights

if TYPE_CHECKING:
    from flipnb.federation.individual import IndividualStrategy


class Means(Protocol):
    """A round's mean changes, read piece by piece (sum.Sum)."""

    def mean_of(self, tensor: Tensor, start: int, end: int) -> npt.NDArray[Any]: ...
    def forget(self, tensor: Tensor) -> None: ...

    @property
    def weight(self) -> int: ...


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


def strategy_of(plan: Plan, spec: TensorSpec) -> MeanStrategy | IndividualStrategy:
    """Raises FlipError as ``strategy_kinds.kind_of`` does."""
    if plan.aggregation == "sum":
        return mean_strategy(plan.strategy, spec)
    from flipnb.federation.individual import IndividualStrategy

    return IndividualStrategy(plan.strategy, spec)


def mean_strategy(chosen: Strategy, spec: TensorSpec) -> MeanStrategy:
    """As ``strategy_of``, for aggregation ``sum``."""
    if not chosen.installed:
        from flipnb.federation.elementwise import ElementwiseStrategy

        return ElementwiseStrategy(chosen, spec)
    from flipnb.federation.installed_mean import InstalledMean

    return InstalledMean(chosen, spec)
