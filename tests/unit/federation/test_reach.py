"""What any strategy makes of changes within the clip is never too far; what a hub adds to it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.distance import WeightsAt, refuse_far
from flipnb.federation.elementwise import ElementwiseStrategy
from flipnb.federation.encoding import coarsest, encode_update
from flipnb.federation.individual import IndividualStrategy
from flipnb.federation.individual_updates import IndividualUpdates
from flipnb.federation.reach import Reach
from flipnb.federation.safetensors_file import head
from flipnb.federation.weights import cast, in_file_order, numpy_dtype
from flipnb.federation.weights_layout import written_places

Arrays = Mapping[str, np.ndarray]
SPEC = TensorSpec(
    tensors=(
        Tensor(name="weight", shape=(9, 3), dtype="float32"),
        Tensor(name="bias", shape=(3,), dtype="float32"),
        Tensor(name="scale", shape=(), dtype="float32"),
    )
)
MIXED = TensorSpec(
    tensors=(
        *SPEC.tensors,
        Tensor(name="half", shape=(7,), dtype="float16"),
        Tensor(name="brain", shape=(5,), dtype="bfloat16"),
        Tensor(name="double", shape=(2,), dtype="float64"),
        Tensor(name="seen", shape=(2,), dtype="int64"),
        Tensor(name="flag", shape=(2,), dtype="uint8"),
        Tensor(name="none", shape=(0, 4), dtype="float32"),
    )
)
ELEMENTWISE = [
    Strategy(),
    Strategy(name="FedProx", parameters={"proximal_mu": 0.1}),
    Strategy(name="FedAvgM", parameters={"server_learning_rate": 0.7, "server_momentum": 0.9}),
    Strategy(name="FedAvgM", parameters={"server_learning_rate": 30.0}),
    Strategy(name="FedAdam"),
    Strategy(name="FedAdam", parameters={"beta_1": 0.99, "beta_2": 0.5, "tau": 0.1}),
    Strategy(name="FedAdam", parameters={"beta_1": 0.0, "beta_2": 0.0, "tau": 1e-6}),
    Strategy(name="FedYogi"),
    Strategy(name="FedYogi", parameters={"beta_1": 0.5, "beta_2": 0.4, "eta": 1.0}),
    Strategy(name="FedAdagrad"),
    Strategy(name="FedAdagrad", parameters={"eta": 3.0, "tau": 1.0}),
]
INDIVIDUAL = [
    Strategy(name="FedMedian"),
    Strategy(name="FedTrimmedAvg", parameters={"beta": 0.4}),
    Strategy(name="FedTrimmedAvg"),
    Strategy(name="Krum", parameters={"num_malicious_nodes": 1}),
    Strategy(name="MultiKrum", parameters={"num_malicious_nodes": 1, "num_nodes_to_select": 3}),
]


@contextmanager
def opened(spec: TensorSpec, arrays: Arrays) -> Iterator[WeightsAt]:
    """The bytes that a coordinator writes, in memory."""
    order = in_file_order(spec)
    content = head([(t.name, t.shape, t.dtype) for t in order])[0]
    content += b"".join(np.ascontiguousarray(arrays[t.name]).tobytes() for t in order)
    descriptor = os.memfd_create("weights")
    try:
        os.pwrite(descriptor, content, 0)
        yield WeightsAt(descriptor, written_places(descriptor, spec))
    finally:
        os.close(descriptor)


def held(plan: Plan, spec: TensorSpec, before: Arrays, after: Arrays, since: int, number: int) -> None:
    with ExitStack() as files:
        old, new = (files.enter_context(opened(spec, arrays)) for arrays in (before, after))
        refuse_far(new, old, Reach(plan, spec, since, number))


def drawn(spec: TensorSpec, random: np.random.Generator, size: float) -> dict[str, np.ndarray]:
    return {
        t.name: (random.normal(size=t.shape) * size).astype(numpy_dtype(t.dtype))
        if t.dtype in FLOATS
        else random.integers(0, 100, t.shape).astype(t.dtype)
        for t in spec.tensors
    }


class Mean:
    """A mean of changes, as large as clip and encoding allow."""

    weight = 100

    def __init__(self, spec: TensorSpec, plan: Plan, direction: Mapping[str, np.ndarray]) -> None:
        floats = [t.name for t in spec.tensors if t.dtype in FLOATS]
        norm = np.sqrt(sum(float(np.sum(np.square(direction[name]))) for name in floats)) or 1.0
        scale, step = plan.clip_norm / norm, coarsest(plan) / 2
        self._means = {
            t.name: direction[t.name].ravel() * scale + step * np.sign(direction[t.name].ravel())
            if t.dtype in FLOATS
            else np.full(t.elements, 3, np.int64)
            for t in spec.tensors
        }

    def mean_of(self, tensor: Tensor, start: int, end: int) -> Any:
        return self._means[tensor.name][start:end]

    def forget(self, tensor: Tensor) -> None:
        pass


Directions = Callable[[np.random.Generator, int, Mapping[str, np.ndarray]], dict[str, np.ndarray]]


def _each(spec: TensorSpec, make: Callable[[Tensor], np.ndarray]) -> dict[str, np.ndarray]:
    return {t.name: make(t) for t in spec.tensors}


WAYS: dict[str, Callable[[TensorSpec, np.random.Generator, int], dict[str, np.ndarray]]] = {
    "on and on": lambda spec, random, number: _each(spec, lambda t: np.ones(t.shape)),
    "at random": lambda spec, random, number: _each(spec, lambda t: random.normal(size=t.shape)),
    "to and fro": lambda spec, random, number: _each(spec, lambda t: np.full(t.shape, (-1.0) ** number)),
    "one alone": lambda spec, random, number: _each(spec, lambda t: np.full(t.shape, float(t.name == "scale"))),
    "in bursts": lambda spec, random, number: _each(
        spec, lambda t: np.where(random.random(t.shape) < 0.1, 1.0, 1e-6) * (number % 7 == 0 or 1e-4)
    ),
}


@settings(max_examples=40, deadline=None)
@given(
    strategy=st.sampled_from(ELEMENTWISE),
    way=st.sampled_from(list(WAYS)),
    clip=st.sampled_from([1e-6, 1e-2, 1.0, 50.0]),
    size=st.sampled_from([0.0, 0.1, 30.0]),
    mixed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_rounds_of_changes_within_the_clip_are_never_too_far(
    strategy: Strategy, way: str, clip: float, size: float, mixed: bool, seed: int
) -> None:
    spec, rounds = (MIXED if mixed else SPEC), 120
    plan = Plan(rounds=rounds, clip_norm=clip, strategy=strategy)
    random = np.random.default_rng(seed)
    weights = drawn(spec, random, size)
    given_before: list[Arrays] = [weights]
    driven = ElementwiseStrategy(strategy, spec)
    for number in range(1, rounds + 1):
        mean = Mean(spec, plan, WAYS[way](spec, random, number))
        made = dict(driven.round(number, 2, weights, mean))
        try:
            weights = {t.name: cast(t, made[t.name]) for t in spec.tensors}
        except FlipError:
            return  # a run whose weights are not finite ends at its coordinator
        for skipped in {1, min(number, int(random.integers(1, 30)))}:
            held(plan, spec, given_before[-skipped], weights, number + 1 - skipped, number + 1)
        given_before.append(weights)


@settings(max_examples=15, deadline=None)
@given(strategy=st.sampled_from(INDIVIDUAL), alike=st.booleans(), seed=st.integers(0, 1000))
def test_rounds_of_single_updates_are_never_too_far(strategy: Strategy, alike: bool, seed: int) -> None:
    plan = Plan(rounds=4, clip_norm=0.5, strategy=strategy, aggregation="individual")
    random = np.random.default_rng(seed)
    weights: Arrays = drawn(MIXED, random, 1.0)
    slots, size = MIXED.update_layout()
    driven = IndividualStrategy(strategy, MIXED)
    with tempfile.TemporaryDirectory() as directory:
        for number in range(1, 5):
            updates = IndividualUpdates(spec=MIXED, plan=plan, outputs=(), training=True)
            for trust in range(5):
                buffer = bytearray(size)
                for slot in slots:
                    # Each leaves out other elements than the rest, which a median does not.
                    values = np.abs(random.normal(size=slot.count)) + 5
                    if not alike and slot.dtype != "int64":
                        values[trust % max(1, slot.count) :: 5] = 0.0
                    raw = values.astype(slot.dtype).tobytes()
                    buffer[slot.offset : slot.offset + len(raw)] = raw
                path = Path(directory) / f"{trust}"
                parts = {"train": 10 + trust, "validation": 0, "test": 0}
                encode_update(
                    path, spec=MIXED, plan=plan, people=parts, report={}, outputs=(), change=memoryview(buffer)
                )
                updates.add(path, f"trust-{trust}")
            made = driven.round(number, weights, updates)
            updates.clear()
            after = {t.name: cast(t, made[t.name]) for t in MIXED.tensors}
            held(plan, MIXED, weights, after, number, number + 1)
            weights = after


def test_a_median_of_changes_within_the_clip_may_lie_beyond_it() -> None:
    """Three Trusts, each without another element: the median has all three, and √1.5 of the norm."""
    changes = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]]) / np.sqrt(2)
    assert np.linalg.norm(np.median(changes, axis=0)) == pytest.approx(np.sqrt(1.5))


@pytest.mark.parametrize("strategy", [*ELEMENTWISE, *INDIVIDUAL], ids=lambda s: s.name)
@pytest.mark.parametrize("number", [2, 60])
def test_a_hundredth_further_is_refused(strategy: Strategy, number: int) -> None:
    plan = Plan(
        rounds=100, clip_norm=2.0, strategy=strategy, aggregation="individual" if strategy in INDIVIDUAL else "sum"
    )
    before = drawn(SPEC, np.random.default_rng(1), 1.0)
    step = Reach(plan, SPEC, number - 1, number).step(6.0)
    ones = sum(t.elements for t in SPEC.tensors) ** -0.5
    moves = {
        "evenly": {t.name: np.full(t.shape, ones * step.norm) for t in SPEC.tensors},
        "one": {t.name: np.full(t.shape, step.element * (t.name == "scale")) for t in SPEC.tensors},
    }
    for move in moves.values():
        for factor, fits in ((0.99, True), (1.01, False)):
            after = {name: (array + factor * move[name]).astype(np.float32) for name, array in before.items()}
            if fits:
                held(plan, SPEC, before, after, number - 1, number)
            else:
                with pytest.raises(FlipError, match="moves them by at most") as caught:
                    held(plan, SPEC, before, after, number - 1, number)
                assert caught.value.code == "too-far"


def test_one_huge_number_frees_no_other() -> None:
    """Some models keep masks as large as float32 goes among their buffers."""
    spec = TensorSpec(tensors=tuple(Tensor(name=name, shape=(2,), dtype="float32") for name in ("mask", "weight")))
    before = {"mask": np.full(2, -3e38, np.float32), "weight": np.zeros(2, np.float32)}
    plan = Plan(rounds=2, clip_norm=1)
    held(plan, spec, before, {**before, "weight": np.full(2, 0.7, np.float32)}, 1, 2)
    with pytest.raises(FlipError, match="at most 2"):
        held(plan, spec, before, {**before, "weight": np.full(2, 1.5, np.float32)}, 1, 2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_by_name(dtype: Any, value: float) -> None:
    spec = TensorSpec(tensors=(Tensor(name="a", shape=(70_000,), dtype=dtype),))
    before = {"a": np.zeros(70_000, numpy_dtype(dtype))}
    after = {"a": before["a"].copy()}
    after["a"][69_999] = value
    with pytest.raises(FlipError, match="'a' holds NaN or infinity") as caught:
        held(Plan(rounds=2, clip_norm=1), spec, before, after, 1, 2)
    assert caught.value.code == "not-finite"


def test_what_lies_infinitely_far_though_finite_is_refused() -> None:
    spec = TensorSpec(tensors=(Tensor(name="a", shape=(2,), dtype="float64"),))
    ends = [{"a": np.full(2, value)} for value in (-1.7e308, 1.7e308)]
    with pytest.raises(FlipError, match="at most"):
        held(Plan(rounds=2, clip_norm=1), spec, ends[0], ends[1], 1, 2)


def test_integers_move_by_what_integers_may() -> None:
    spec = TensorSpec(tensors=(Tensor(name="seen", shape=(2,), dtype="int64"),))
    plan = Plan(rounds=9, clip_norm=1)
    most = Reach(plan, spec, 1, 3).integer(spec.tensors[0])
    ends = np.iinfo(np.int64)
    zero = {"seen": np.zeros(2, np.int64)}
    held(plan, spec, zero, {"seen": np.array([most, -most])}, 1, 3)
    for before, after in ((0, most + 1), (0, -most - 1), (ends.min, ends.max), (ends.max, ends.min), (0, ends.min)):
        with pytest.raises(FlipError, match="integer tensor 'seen'"):
            held(plan, spec, {"seen": np.array([0, before])}, {"seen": np.array([0, after])}, 1, 3)


def test_an_installed_strategy_moves_by_what_its_plan_says() -> None:
    own = Strategy(name="lab.Own")
    assert Reach(Plan(rounds=9, clip_norm=2, strategy=own), SPEC, 1, 2).step(0.0).norm == pytest.approx(2, rel=2e-3)
    wide = Plan(rounds=9, clip_norm=2, strategy=own, reach=5)
    assert Reach(wide, SPEC, 1, 3).step(0.0).norm == pytest.approx(20, rel=2e-3)
    with pytest.raises(ValueError, match="reach is for installed strategies"):
        Plan(rounds=9, clip_norm=2, reach=5)


@pytest.mark.parametrize("byte", [2, 127, 128, 255])
def test_a_truth_value_is_0_or_1(byte: int) -> None:
    """A library that reads a byte of 255 as a truth value does with it what it likes."""
    spec = TensorSpec(tensors=(Tensor(name="mask", shape=(64,), dtype="bool"),))
    plan = Plan(rounds=300, clip_norm=1.0)
    held(plan, spec, {"mask": np.zeros(64, bool)}, {"mask": np.arange(64) % 2 == 0}, 1, 2)
    odd = np.full(64, byte, np.uint8).view(bool)
    for since, number in ((1, 2), (1, 300)):
        with pytest.raises(FlipError, match="'mask' holds no truth values"):
            held(plan, spec, {"mask": np.ones(64, bool)}, {"mask": odd}, since, number)
