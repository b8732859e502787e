"""Flower's strategies under aggregation ``sum``: one reply, the mean; and their state between rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.grid import RoundGrid
from flipnb.federation.strategy_kinds import aggregate, build, kind_of
from flipnb.federation.update_file import pieces
from flipnb.federation.weights import Arrays, Weights, in_file_order, moved

GROUP = 1 << 19
"""Elements of neighbouring tensors, or of a part of a large one, that a strategy is given at once: the copies that
Flower's types make of them stay in a core's cache."""


class Means(Protocol):
    """A round's mean changes, read piece by piece (sum.Sum)."""

    def mean_of(self, tensor: Tensor, start: int, end: int) -> npt.NDArray[Any]: ...
    def forget(self, tensor: Tensor) -> None: ...

    @property
    def weight(self) -> int: ...


@dataclass(frozen=True)
class Part:
    """Flat elements of a float tensor."""

    tensor: Tensor
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.tensor.name


class RoundStrategy:
    """A strategy that reads the mean, driven round by round, so that its state can be kept between rounds.

    Only float tensors go through it, as float32 or wider: momentum on an integer buffer means nothing. Flower's own
    treat every element alike, so that each group of tensors, and each part of a large one, has a strategy of its own
    and memory is bounded by a tensor, not by the model; a group is given as one array, since each array costs Flower
    0.3 ms of CPU whatever its size. A strategy that the operator installed is given all tensors at once, each as it is.
    """

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        kind = kind_of(chosen, "sum")
        self._kept, self._name = kind.state, chosen.name
        self._order = in_file_order(spec)
        self._alone = chosen.installed
        self._groups = _groups([tensor for tensor in self._order if tensor.dtype in FLOATS], alone=self._alone)
        self._begins: dict[str, list[int]] = {}
        for index, group in enumerate(self._groups):
            self._begins.setdefault(group[0].name, []).append(index)
        self._old: npt.NDArray[Any] = np.empty(0)
        self._strategies = [build(kind, chosen) for _ in self._groups]
        self._asked = build(kind, chosen)
        # Of Flower's own, those that move the old weights by a rule keep them; the others only pass them on.
        self._reads_old = self._alone or hasattr(self._asked, "current_arrays")

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
        self, number: int, members: int, weights: Weights, means: Means
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The new tensors in their order in a file: floats in float32 or wider, integers in int64.

        ``weights`` are not changed; ``means`` forget each tensor once it is made.
        """
        made: Arrays = {}
        for tensor in self._order:
            if tensor.dtype not in FLOATS:
                change = means.mean_of(tensor, 0, tensor.elements).reshape(tensor.shape)
                yield tensor.name, moved(tensor, weights[tensor.name], change)
                means.forget(tensor)
                continue
            for group in self._begins.get(tensor.name, ()):
                self._aggregate(group, number, members, weights, means, made)
            yield tensor.name, made.pop(tensor.name).reshape(tensor.shape)

    def _aggregate(self, group: int, number: int, members: int, weights: Weights, means: Means, made: Arrays) -> None:
        """Fill ``made`` with what becomes of one group's parts, flat."""
        strategy, parts = self._strategies[group], self._groups[group]
        old, new = [], []
        for part in parts:
            tensor = part.tensor
            if part.start == 0:
                self._old = weights[tensor.name].reshape(-1)
                made[tensor.name] = np.empty(tensor.elements, tensor.update_dtype)
            before = self._old[part.start : part.end]
            old.append(before.astype(tensor.update_dtype, copy=False))
            new.append(moved(tensor, before, means.mean_of(tensor, part.start, part.end)))
            if part.end == tensor.elements:
                means.forget(tensor)
        asked = self._ask(strategy, number, members, self._given(parts, old) if self._reads_old else {})
        arrays, metrics = ArrayRecord(self._given(parts, new)), MetricRecord({"num-examples": means.weight})
        reply = Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=asked[0])
        answer = aggregate(strategy, self._name, number, [reply])
        start = 0
        for part in parts:
            size = part.end - part.start
            flat = answer[part.name].reshape(-1) if self._alone else answer[parts[0].name][start : start + size]
            made[part.name][part.start : part.end] = flat
            start += size

    def _given(self, parts: list[Part], arrays: list[npt.NDArray[Any]]) -> dict[str, Array]:
        """A group as its strategy gets it: one flat array under the first tensor's name, or each tensor as it is."""
        if self._alone:
            return {p.name: Array(array.reshape(p.tensor.shape)) for p, array in zip(parts, arrays, strict=True)}
        return {parts[0].name: Array(np.concatenate(arrays) if len(arrays) > 1 else arrays[0])}

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


def _groups(tensors: Sequence[Tensor], *, alone: bool) -> list[list[Part]]:
    """Runs of neighbouring tensors of one dtype with at most ``GROUP`` elements together, and parts of larger ones;
    one group of all where ``alone``."""
    if alone:
        return [[Part(tensor, 0, tensor.elements) for tensor in tensors]] if tensors else []
    groups: list[list[Part]] = []
    room = 0
    for tensor in tensors:
        if groups and tensor.elements <= room and groups[-1][0].tensor.update_dtype == tensor.update_dtype:
            groups[-1].append(Part(tensor, 0, tensor.elements))
            room -= tensor.elements
        else:
            groups += [[Part(tensor, *piece)] for piece in pieces(tensor, GROUP)]
            room = GROUP - tensor.elements
    return groups


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
