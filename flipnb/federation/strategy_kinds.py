"""How each strategy is made and what it reads; the operator's own come from an entry point.

A package of the operator's declares ``[project.entry-points."flipnb.strategies"]`` with a name that has a dot and an
object of type ``Kind``. It is installed beside the hub; nobody can send one.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

import numpy as np
import numpy.typing as npt
from flwr.app import Message
from flwr.serverapp import strategy as flower

from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import FLOWER, Aggregation, Strategy
from flipnb.federation.installed import installed_strategies, require_installed
from flipnb.federation.weights import Arrays

_OURS = frozenset(
    {
        "fraction_train", "fraction_evaluate", "min_train_nodes", "min_evaluate_nodes", "min_available_nodes",
        "weighted_by_key", "arrayrecord_key", "configrecord_key", "train_metrics_aggr_fn", "evaluate_metrics_aggr_fn",
    }
)  # fmt: skip

Reads = Literal["mean", "elements", "tensors", "distances", "model"]


@dataclass(frozen=True)
class Kind:
    """A strategy: ``make`` takes the constructor's arguments of Flower's FedAvg and the strategy's own parameters.

    ``reads`` says what its ``aggregate_train`` is given, and so how much memory it needs:
    ``mean`` one reply, the weighted mean (aggregation ``sum``); and under aggregation ``individual``, one reply per
    Trust with ``elements``: pieces of one tensor (its rule treats every element alike); ``tensors``: one tensor;
    ``distances``: points with the updates' distances instead of the updates (it selects Trusts, whose weighted mean
    is taken); ``model``: all tensors of all Trusts at once. ``state`` names attributes (arrays, or lists or
    dictionaries of arrays) that a checkpoint keeps.
    """

    make: Callable[..., flower.FedAvg]
    reads: Reads = "mean"
    state: tuple[str, ...] = ()

    @property
    def aggregation(self) -> Aggregation:
        """The aggregation that it works on."""
        return "sum" if self.reads == "mean" else "individual"


_READS: dict[str, Reads] = {
    "FedMedian": "elements", "FedTrimmedAvg": "elements", "Krum": "distances", "MultiKrum": "distances",
}  # fmt: skip


def kind_of(chosen: Strategy, aggregation: Aggregation) -> Kind:
    """Raises FlipError ``unknown-strategy``, ``wrong-aggregation``, ``unknown-strategy-parameter``."""
    if chosen.installed:
        kind = _installed(chosen)
    else:
        kind = Kind(getattr(flower, chosen.name), _READS.get(chosen.name, "mean"))
    if kind.aggregation != aggregation:
        raise FlipError(
            "wrong-aggregation", f"Strategy {chosen.name} needs aggregation {kind.aggregation!r}, not {aggregation!r}."
        )
    allowed = set(inspect.signature(kind.make).parameters) - _OURS - {"self"}
    for name in chosen.parameters:
        if name not in allowed:
            has = ", ".join(sorted(allowed)) or "none"
            raise FlipError("unknown-strategy-parameter", f"{chosen.name} has no parameter {name!r}; it has {has}.")
    return kind


def build(kind: Kind, chosen: Strategy, **ours: Any) -> flower.FedAvg:
    """The strategy, asking nobody by itself (a round was exchanged before); whole numbers are given as integers."""
    known = FLOWER[chosen.name].parameters if not chosen.installed else {}
    own = {n: int(v) if n in known and known[n].whole else v for n, v in chosen.parameters.items()}
    try:
        # Without a fraction its configure_train makes no messages, which only a process of Flower's own could.
        nobody = {"fraction_train": 0.0, "fraction_evaluate": 0.0, "min_train_nodes": 1, "min_available_nodes": 1}
        return kind.make(**nobody, **ours, **own)
    except (TypeError, ValueError) as error:
        raise FlipError("wrong-strategy-parameter", f"Strategy {chosen.name}: {error}") from None


def aggregate(strategy: flower.FedAvg, name: str, number: int, replies: Sequence[Message]) -> Arrays:
    """What the strategy makes of a round's replies. Raises FlipError ``strategy-failed``, ``no-aggregate``."""
    try:
        arrays, _ = strategy.aggregate_train(number, replies)
    except Exception as error:  # a package of the operator's may raise anything
        raise FlipError(
            "strategy-failed", f"Strategy {name} failed in round {number} with {type(error).__name__}: {error}"
        ) from error
    if arrays is None:
        raise FlipError("no-aggregate", f"Strategy {name} made no aggregate of round {number}.")
    return {key: array.numpy() for key, array in arrays.items()}


def _installed(chosen: Strategy) -> Kind:
    require_installed(chosen)
    kind = installed_strategies()[chosen.name].load()
    if not isinstance(kind, Kind):
        raise FlipError("unknown-strategy", f"The strategy {chosen.name} that is installed at this hub is no Kind.")
    return kind


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
