"""Flower's strategies by name and parameters, and their state between rounds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import strategy as flower

from flipnb.contracts.plan import SUM_STRATEGIES, Strategy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, TensorSpec
from flipnb.federation.grid import Exchange, RoundGrid
from flipnb.federation.weights import Arrays

_OURS = frozenset(
    {
        "fraction_train", "fraction_evaluate", "min_train_nodes", "min_evaluate_nodes", "min_available_nodes",
        "weighted_by_key", "arrayrecord_key", "configrecord_key", "train_metrics_aggr_fn", "evaluate_metrics_aggr_fn",
    }
)  # fmt: skip
_STATE = ("m_t", "v_t", "momentum_vector")


class RoundStrategy:
    """One of Flower's strategies, driven round by round, so that its state can be kept between rounds.

    Only float tensors go through it, as float32 or wider: momentum on an integer buffer means nothing.
    """

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        if chosen.name not in SUM_STRATEGIES:
            raise FlipError("unknown-strategy", f"Strategy {chosen.name} does not work with aggregation 'sum'.")
        kind = getattr(flower, chosen.name)
        allowed = set(inspect.signature(kind.__init__).parameters) - _OURS - {"self"}
        for name in chosen.parameters:
            if name not in allowed:
                raise FlipError(
                    "unknown-strategy-parameter",
                    f"{chosen.name} has no parameter {name!r}; it has {', '.join(sorted(allowed)) or 'none'}.",
                )
        self._strategy = kind(
            fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, **dict(chosen.parameters)
        )
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
        kept: Arrays = {}
        for attribute in _STATE:
            value: Any = getattr(self._strategy, attribute, None)
            if isinstance(value, Mapping):
                kept |= {f"{attribute}/{key}": array for key, array in value.items()}
            elif value is not None:
                kept |= {f"{attribute}/{index}": array for index, array in enumerate(value)}
        return kept

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        for attribute in _STATE:
            items = {key.split("/", 1)[1]: value for key, value in state.items() if key.startswith(f"{attribute}/")}
            if not items:
                continue
            is_list = attribute == "momentum_vector"
            setattr(self._strategy, attribute, [items[str(i)] for i in range(len(items))] if is_list else items)


def _wide(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    return np.asarray(array, dtype, order="C")  # ascontiguousarray would make a scalar one-dimensional
