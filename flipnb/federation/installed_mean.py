"""A strategy that the operator installed, under aggregation ``sum``: one reply, the mean of all tensors at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord

from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, TensorSpec
from flipnb.federation.grid import RoundGrid, reply
from flipnb.federation.mean_strategy import Means, MeanStrategy
from flipnb.federation.strategy_kinds import aggregate, build, kept_state, kind_of, restore_state
from flipnb.federation.weights import Arrays, Weights, in_file_order, moved


class InstalledMean(MeanStrategy):
    """A subclass of Flower's FedAvg, which is given each tensor as it is."""

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        self._kind = kind_of(chosen, "sum")
        self._name = chosen.name
        self._order = in_file_order(spec)
        self._floats = [tensor for tensor in self._order if tensor.dtype in FLOATS]
        self._strategy = build(self._kind, chosen)
        self._asked = build(self._kind, chosen)

    def config(self, number: int, members: int) -> dict[str, float]:
        """What it writes into the config that it is given."""
        told = self._configure(self._asked, number, members, {})
        return {
            name.replace("-", "_"): float(value)
            for name, value in told.items()
            if isinstance(value, int | float) and name != "server-round"
        }

    def round(
        self, number: int, members: int, weights: Weights, means: Means
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The next weights tensor by tensor, in their order in a file; all floats are in memory at once."""
        made = self._aggregate(number, members, weights, means) if self._floats else {}
        for tensor in self._order:
            if tensor.dtype in FLOATS:
                yield tensor.name, made.pop(tensor.name).reshape(tensor.shape)
            else:
                change = means.mean_of(tensor, 0, tensor.elements).reshape(tensor.shape)
                yield tensor.name, moved(tensor, weights[tensor.name], change)
                means.forget(tensor)

    def _aggregate(self, number: int, members: int, weights: Weights, means: Means) -> Arrays:
        old: Arrays = {}
        new: Arrays = {}
        for tensor in self._floats:
            before = weights[tensor.name]
            old[tensor.name] = before.astype(tensor.update_dtype, copy=False)
            change = means.mean_of(tensor, 0, tensor.elements).reshape(tensor.shape)
            new[tensor.name] = moved(tensor, before, change)
            means.forget(tensor)
        self._configure(self._strategy, number, members, old)
        return aggregate(self._strategy, self._name, number, [reply(new, weight=means.weight, node=1)])

    @staticmethod
    def _configure(strategy: Any, number: int, members: int, arrays: Arrays) -> ConfigRecord:
        if hasattr(strategy, "current_arrays"):
            # FedAvgM would go on from its own uncast aggregate, and a restarted coordinator could not.
            strategy.current_arrays = None
        config = ConfigRecord()
        record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
        strategy.configure_train(number, record, config, RoundGrid(members))
        return config

    def state(self) -> Arrays:
        """What the strategy keeps between rounds, as arrays by name."""
        # The prefix is from when all strategies had groups: a run goes on over an upgrade of its hub.
        return {f"0:{name}": array for name, array in kept_state(self._strategy, self._kind.state).items()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        own = {name.partition(":")[2]: array for name, array in state.items()}
        restore_state(self._strategy, self._kind.state, own)
