"""Flower's strategies under aggregation ``sum``: one reply, the mean; and their state between rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.grid import RoundGrid
from flipnb.federation.strategy_kinds import aggregate, build, kind_of
from flipnb.federation.weights import Arrays, Weights, in_file_order, moved

GROUP = 1 << 22
"""Elements of neighbouring tensors that a strategy is given at once (a larger tensor is given alone)."""

Mean = Callable[[Tensor], npt.NDArray[Any]]
"""The weighted mean change of one tensor, asked once."""


class RoundStrategy:
    """A strategy that reads the mean, driven round by round, so that its state can be kept between rounds.

    Only float tensors go through it, as float32 or wider: momentum on an integer buffer means nothing. Flower's own
    treat every element alike, so that each group of tensors has a strategy of its own and memory is bounded by a
    group, not by the model; a group is given as one array, since each array costs Flower 0.3 ms of CPU whatever its
    size. A strategy that the operator installed is given all tensors at once, each as it is.
    """

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        kind = kind_of(chosen, "sum")
        self._kept, self._name = kind.state, chosen.name
        self._alone = chosen.installed
        self._order = in_file_order(spec)
        self._groups = _groups([tensor for tensor in self._order if tensor.dtype in FLOATS], alone=self._alone)
        self._strategies = [build(kind, chosen) for _ in self._groups]
        self._asked = build(kind, chosen)

    def config(self, number: int, members: int) -> dict[str, float]:
        """The strategy's numbers for the members of a round (FedProx: ``proximal_mu``)."""
        messages = self._ask(self._asked, number, members, {})
        numbers: dict[str, float] = {}
        for record in messages[0].content.config_records.values() if messages else ():
            for name, value in record.items():
                if isinstance(value, int | float) and name != "server-round":
                    numbers[name.replace("-", "_")] = float(value)
        return numbers

    def round(
        self, number: int, members: int, weights: Weights, mean: Mean, weight: int
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The new tensors in their order in a file: floats in float32 or wider, integers in int64.

        ``weight`` is the sum of the members' weights. ``weights`` are not changed.
        """
        groups = dict(zip((group[0].name for group in self._groups), range(len(self._groups)), strict=True))
        made: Arrays = {}
        for tensor in self._order:
            if tensor.dtype not in FLOATS:
                yield tensor.name, moved(tensor, weights[tensor.name], mean(tensor))
                continue
            if tensor.name in groups:
                made = self._aggregate(groups[tensor.name], number, members, weights, mean, weight)
            yield tensor.name, made.pop(tensor.name)

    def _aggregate(self, group: int, number: int, members: int, weights: Weights, mean: Mean, weight: int) -> Arrays:
        strategy, tensors = self._strategies[group], self._groups[group]
        old = {tensor.name: weights[tensor.name] for tensor in tensors}
        asked = self._ask(
            strategy, number, members, self._given(tensors, lambda t: np.asarray(old[t.name], t.update_dtype))
        )
        new = self._given(tensors, lambda t: moved(t, old.pop(t.name), mean(t)))
        content = RecordDict({"arrays": ArrayRecord(new), "metrics": MetricRecord({"num-examples": weight})})
        made = aggregate(strategy, self._name, number, [Message(content, reply_to=asked[0])])
        return made if self._alone else _parted(tensors, made[tensors[0].name])

    def _given(self, tensors: list[Tensor], value: Mean) -> dict[str, Array]:
        """A group as its strategy gets it: one flat array under the first tensor's name, or each tensor as it is."""
        if self._alone:
            return {tensor.name: Array(np.asarray(value(tensor))) for tensor in tensors}
        flat = [np.asarray(value(tensor)).reshape(-1) for tensor in tensors]
        return {tensors[0].name: Array(np.concatenate(flat) if len(flat) > 1 else flat[0])}

    @staticmethod
    def _ask(strategy: Any, number: int, members: int, arrays: Mapping[str, Array]) -> list[Message]:
        if hasattr(strategy, "current_arrays"):
            # FedAvgM would go on from its own uncast aggregate, and a restarted coordinator could not.
            strategy.current_arrays = None
        return list(strategy.configure_train(number, ArrayRecord(dict(arrays)), ConfigRecord(), RoundGrid(members)))

    def state(self) -> Arrays:
        """Moments and the like, as flat arrays named ``group:attribute/key``."""
        return {
            f"{group}:{name}": array
            for group, strategy in enumerate(self._strategies)
            for name, array in kept_state(strategy, self._kept).items()
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        for group, strategy in enumerate(self._strategies):
            own = {key.partition(":")[2]: value for key, value in state.items() if key.startswith(f"{group}:")}
            restore_state(strategy, self._kept, own)


def _groups(tensors: list[Tensor], *, alone: bool) -> list[list[Tensor]]:
    """Runs of neighbouring tensors with at most ``GROUP`` elements of one dtype, or one tensor; one where ``alone``."""
    groups: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        full = size + tensor.elements > GROUP or bool(groups[-1] and groups[-1][0].update_dtype != tensor.update_dtype)
        if groups[-1] and full and not alone:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.elements
    return groups if tensors else []


def _parted(tensors: list[Tensor], flat: npt.NDArray[Any]) -> Arrays:
    """The tensors that were joined into ``flat``, in their shapes."""
    parts: Arrays = {}
    start = 0
    for tensor in tensors:
        parts[tensor.name] = flat[start : start + tensor.elements].reshape(tensor.shape)
        start += tensor.elements
    return parts


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
