"""Flower's strategies under aggregation ``sum``: one reply, the mean; and their state between rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord

from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, TensorSpec
from flipnb.federation.grid import Exchange, RoundGrid
from flipnb.federation.strategy_kinds import build, kind_of
from flipnb.federation.weights import Arrays


class RoundStrategy:
    """A strategy that reads the mean, driven round by round, so that its state can be kept between rounds.

    Only float tensors go through it, as float32 or wider: momentum on an integer buffer means nothing.
    """

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        kind = kind_of(chosen, "sum")
        self._kept = kind.state
        self._strategy = build(kind, chosen)
        self._floats = [tensor for tensor in spec.tensors if tensor.dtype in FLOATS]

    def round(self, number: int, members: int, weights: Arrays, exchange: Exchange) -> Arrays:
        """One training round; returns the new float tensors, float32 or wider. ``weights`` are not changed."""
        grid = RoundGrid(members, exchange)
        if hasattr(self._strategy, "current_arrays"):
            # FedAvgM would go on from its own uncast aggregate, and a restarted coordinator could not.
            self._strategy.current_arrays = None
        record = ArrayRecord({t.name: Array(_wide(weights[t.name], t.update_dtype)) for t in self._floats})
        messages = self._strategy.configure_train(number, record, ConfigRecord(), grid)
        replies = grid.send_and_receive(messages)
        arrays, _ = self._strategy.aggregate_train(number, replies)
        if arrays is None:
            raise FlipError("no-aggregate", f"The strategy made no aggregate of round {number}.")
        return {name: array.numpy() for name, array in arrays.items()}

    def state(self) -> Arrays:
        """Moments and the like, as flat arrays named ``attribute/key``."""
        return kept_state(self._strategy, self._kept)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        restore_state(self._strategy, self._kept, state)


def kept_state(strategy: object, attributes: tuple[str, ...]) -> Arrays:
    """The arrays of ``attributes`` by ``attribute/key`` (dictionary), ``attribute#index`` (list) or ``attribute``."""
    kept: Arrays = {}
    for attribute in attributes:
        value: Any = getattr(strategy, attribute, None)
        if isinstance(value, Mapping):
            kept |= {f"{attribute}/{key}": np.asarray(array) for key, array in value.items()}
        elif isinstance(value, list | tuple):
            kept |= {f"{attribute}#{index}": np.asarray(array) for index, array in enumerate(value)}
        elif value is not None:
            kept[attribute] = np.asarray(value)
    return kept


def restore_state(strategy: object, attributes: tuple[str, ...], state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Take back what ``kept_state`` gave."""
    for attribute in attributes:
        named = {key.split("/", 1)[1]: value for key, value in state.items() if key.startswith(f"{attribute}/")}
        listed = [key for key in state if key.startswith(f"{attribute}#")]
        if named:
            setattr(strategy, attribute, named)
        elif listed:
            setattr(strategy, attribute, [state[f"{attribute}#{index}"] for index in range(len(listed))])
        elif attribute in state:
            setattr(strategy, attribute, state[attribute])


def _wide(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    return np.asarray(array, dtype, order="C")  # ascontiguousarray would make a scalar one-dimensional
