"""What drives a run's strategy: the elementwise ones are worked out here, Flower's classes do the others.

A run of an elementwise strategy never imports flwr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import TensorSpec
from flipnb.federation.elementwise import ElementwiseStrategy
from flipnb.federation.mean_strategy import MeanStrategy

if TYPE_CHECKING:
    from flipnb.federation.individual import IndividualStrategy


def strategy_of(plan: Plan, spec: TensorSpec) -> MeanStrategy | IndividualStrategy:
    """Raises FlipError as ``strategy_kinds.kind_of`` does."""
    if plan.aggregation == "sum":
        return mean_strategy(plan.strategy, spec)
    from flipnb.federation.individual import IndividualStrategy

    return IndividualStrategy(plan.strategy, spec)


def mean_strategy(chosen: Strategy, spec: TensorSpec) -> MeanStrategy:
    """As ``strategy_of``, for aggregation ``sum``."""
    if not chosen.installed:
        return ElementwiseStrategy(chosen, spec)
    from flipnb.federation.installed_mean import InstalledMean

    return InstalledMean(chosen, spec)
