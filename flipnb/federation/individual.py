"""Aggregation ``individual``: each Trust's update stays by itself, in its file, and a strategy reads them all.

The files are those of ``sum``; each Trust's clipped change is read as it is, without a weight. A rule that treats
every element alike (median, trimmed mean) is given one piece of one tensor of every Trust at a time, so that memory is
bounded by Trusts x ``PIECE``, whatever the model's size. Krum and MultiKrum only ask how far apart the updates are:
distances are added up piece by piece in float64, and Flower's own class gets points with exactly these distances, and
selects; the weighted mean of the selected Trusts is an integer sum, as under ``sum``. The Trusts are always read in the
order of their names, so that no order of arrival changes a bit.

Integer tensors: the strategy's own rule over the differences (exact in float64 up to 2^53), rounded half to even; of
selected Trusts the weighted mean of differences, rounded half to even. Distances are those of the float tensors alone:
a counter says nothing of how alike two models are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.grid import RoundGrid, reply
from flipnb.federation.individual_updates import IndividualUpdates
from flipnb.federation.strategy_kinds import aggregate, build, kept_state, kind_of, restore_state
from flipnb.federation.sum import mean_difference
from flipnb.federation.weights import Arrays, Weights, moved

_TRUST = "trust"
Int64 = npt.NDArray[np.int64]


class IndividualStrategy:
    """A strategy that reads single updates, driven round by round."""

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        self._kind = kind_of(chosen, "individual")
        self._chosen, self._spec = chosen, spec
        self._selected: list[int] = []
        watch = {"train_metrics_aggr_fn": self._watch} if self._kind.reads == "distances" else {}
        self._strategy = build(self._kind, chosen, **watch)

    def round(self, number: int, weights: Weights, updates: IndividualUpdates) -> Arrays:
        """The new tensors, floats in float32 or wider, integers in int64. ``weights`` are not changed."""
        if self._kind.reads == "distances":
            return self._from_selected(number, weights, updates)
        if self._kind.reads == "model":
            return self._at_once(number, weights, updates)
        made: Arrays = {}
        for tensor in self._spec.tensors:
            start = weights[tensor.name].reshape(-1)
            new = np.empty(tensor.elements, tensor.update_dtype)
            for place, changes in updates.pieces(tensor, whole=self._kind.reads == "tensors"):
                shape = tensor.shape if self._kind.reads == "tensors" else None
                new[place] = self._piece(number, tensor, start[place], changes, shape, updates)
            made[tensor.name] = new.reshape(tensor.shape)
        return made

    def state(self) -> Arrays:
        """What the strategy keeps between rounds, as arrays by name."""
        return kept_state(self._strategy, self._kind.state)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        restore_state(self._strategy, self._kind.state, state)

    def _piece(
        self,
        number: int,
        tensor: Tensor,
        start: npt.NDArray[Any],
        changes: list[Int64],
        shape: tuple[int, ...] | None,
        updates: IndividualUpdates,
    ) -> npt.NDArray[Any]:
        given = [_local(tensor, start, change, updates.unit) for change in changes]
        shaped = [{tensor.name: array if shape is None else array.reshape(shape)} for array in given]
        asked = _local(tensor, start, np.zeros(start.shape, np.int64), updates.unit)
        first = {tensor.name: asked if shape is None else asked.reshape(shape)}
        result = self._aggregate(number, first, shaped, updates.weights)[tensor.name].reshape(-1)
        return result if tensor.dtype in FLOATS else _added(start, result)

    def _at_once(self, number: int, weights: Weights, updates: IndividualUpdates) -> Arrays:
        """Everything of every Trust in memory; whoever installs such a strategy knows how large models are."""
        local: list[Arrays] = [{} for _ in updates.trusts]
        first: Arrays = {}
        for tensor in self._spec.tensors:
            start = weights[tensor.name].reshape(-1)
            asked = _local(tensor, start, np.zeros(start.shape, np.int64), updates.unit)
            first[tensor.name] = asked.reshape(tensor.shape)
            for _, changes in updates.pieces(tensor, whole=True):
                for arrays, change in zip(local, changes, strict=True):
                    arrays[tensor.name] = _local(tensor, start, change, updates.unit).reshape(tensor.shape)
        made = self._aggregate(number, first, local, updates.weights)
        return {
            t.name: made[t.name]
            if t.dtype in FLOATS
            else _added(weights[t.name].reshape(-1), made[t.name].reshape(-1)).reshape(t.shape)
            for t in self._spec.tensors
        }

    def _from_selected(self, number: int, weights: Weights, updates: IndividualUpdates) -> Arrays:
        points = _points(self._distances(updates))
        self._selected = []
        self._aggregate(number, {"point": np.zeros_like(points[0])}, [{"point": p} for p in points], updates.weights)
        chosen = sorted(self._selected)
        if not chosen:
            raise FlipError("no-aggregate", f"Strategy {self._chosen.name} selected no Trust in round {number}.")
        people = [updates.weights[index] for index in chosen]
        made: Arrays = {}
        for tensor in self._spec.tensors:
            start = weights[tensor.name].reshape(-1)
            new = np.empty(tensor.elements, tensor.update_dtype)
            for place, changes in updates.pieces(tensor):
                # At most 64 x 2^20 x 2^36: the bound of the sum under aggregation ``sum``.
                total = sum(changes[index] * weight for index, weight in zip(chosen, people, strict=True))
                change: npt.NDArray[Any] = (
                    np.asarray(total, np.float64) * (updates.unit / sum(people))
                    if tensor.dtype in FLOATS
                    else mean_difference(np.asarray(total, np.int64), sum(people))
                )
                flat = tensor.model_copy(update={"shape": (place.stop - place.start,)})
                new[place] = moved(flat, start[place], change)
            made[tensor.name] = new.reshape(tensor.shape)
        return made

    def _distances(self, updates: IndividualUpdates) -> npt.NDArray[np.float64]:
        """Squared L2 distances between the Trusts' changes, [Trusts, Trusts]."""
        count = len(updates.trusts)
        total = np.zeros((count, count))
        for tensor in self._spec.tensors:
            if tensor.dtype not in FLOATS:
                continue
            for _, changes in updates.pieces(tensor):
                for a in range(count):
                    for b in range(a + 1, count):
                        apart = (changes[a] - changes[b]).astype(np.float64) * updates.unit
                        total[a, b] += float(np.dot(apart, apart))
        return total + total.T

    def _watch(self, contents: list[RecordDict], _: str) -> MetricRecord:
        """Flower hands the selected replies to this function of its constructor."""
        self._selected = [int(next(iter(c.metric_records.values()))[_TRUST]) for c in contents]  # type: ignore[arg-type]
        return MetricRecord()

    def _aggregate(
        self, number: int, first: Arrays, local: Sequence[Mapping[str, npt.NDArray[Any]]], people: Sequence[int]
    ) -> Arrays:
        """One call of the strategy's ``aggregate_train`` with one reply per Trust."""
        record = ArrayRecord({name: Array(array) for name, array in first.items()})
        self._strategy.configure_train(number, record, ConfigRecord(), RoundGrid(len(local)))
        replies = [
            reply(arrays, weight=weight, node=index + 1, **{_TRUST: index})
            for index, (arrays, weight) in enumerate(zip(local, people, strict=True))
        ]
        return aggregate(self._strategy, self._chosen.name, number, replies)


def _local(tensor: Tensor, start: npt.NDArray[Any], change: Int64, unit: float) -> npt.NDArray[Any]:
    """What one Trust's tensor is after training (flat); of an integer tensor the difference, as float64."""
    if tensor.dtype not in FLOATS:
        return change.astype(np.float64)
    flat = tensor.model_copy(update={"shape": change.shape})
    return moved(flat, start, change.astype(np.float64) * unit)


def _added(start: npt.NDArray[Any], difference: npt.NDArray[Any]) -> Int64:
    """An integer tensor (flat) moved by the rule's difference, rounded half to even."""
    return np.asarray(start.astype(np.int64) + np.rint(difference).astype(np.int64), np.int64)


def _points(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """As many points as Trusts, one per row, with these squared distances (classical multidimensional scaling).

    Torgerson, Psychometrika 17 (1952): the rows of V·sqrt(L) of the doubly centred matrix -J·D·J / 2 = V·L·V'.
    """
    count = len(distances)
    largest = float(distances.max())
    if largest == 0.0 or not math.isfinite(largest):
        return np.zeros((count, count))
    centre = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances @ centre)
    return np.ascontiguousarray(vectors * np.sqrt(np.clip(values, 0.0, None)))
