"""The same strategy on the same inputs gives the same weights through our Grid and sum as through stock Flower.

Stock Flower gets one reply per Trust with its weights after local training; ours gets fixed-point files of weighted
changes, added as integers. float32 tensors may differ by a few units in the last place (the change is rounded to
float32 before it is sent, stock keeps FedAdam's weights as float64 between rounds): hence 4e-6, absolute, for weights
of about 1.
"""

import itertools

import numpy as np
import pytest
from flower_grid import StockGrid
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from flipnb.contracts.plan import Plan
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation import elementwise
from flipnb.federation.coordinator.checkpoint import Checkpoints
from flipnb.federation.encoding import encode_update
from flipnb.federation.strategies import mean_strategy
from flipnb.federation.sum import Sum
from flipnb.federation.weights import cast, in_file_order, numpy_dtype, write_weights

TOLERANCE = 4e-6
PEOPLE = (202, 7, 31, 86)
ROUNDS = 6
STRATEGIES = [
    Strategy(name="FedAvg"),
    Strategy(name="FedProx", parameters={"proximal_mu": 0.25}),
    Strategy(name="FedAvgM", parameters={"server_learning_rate": 0.7, "server_momentum": 0.9}),
    Strategy(name="FedAdam", parameters={"eta": 0.05, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}),
    Strategy(name="FedYogi", parameters={"eta": 0.05}),
    Strategy(name="FedAdagrad", parameters={"eta": 0.05}),
]
SPEC = TensorSpec(
    tensors=(
        Tensor(name="weight", shape=(4, 3), dtype="float32"),
        Tensor(name="bias", shape=(3,), dtype="float32"),
        Tensor(name="scale", shape=(), dtype="float32"),
    )
)
MIXED = TensorSpec(
    tensors=(
        *SPEC.tensors,
        Tensor(name="half", shape=(5,), dtype="bfloat16"),
        Tensor(name="double", shape=(2,), dtype="float64"),
        Tensor(name="seen", shape=(), dtype="int64"),
    )
)
PLAN = Plan(rounds=ROUNDS, clip_norm=64.0)


def initial(spec):
    random = np.random.default_rng(0)
    return {t.name: np.asarray(random.normal(size=t.shape)).astype(numpy_dtype(t.dtype)) for t in spec.tensors}


def locally_trained(spec, weights, number, trust):
    """What ``trust`` makes of the global weights in a round: a pull to an optimum of its own, and noise."""
    random = np.random.default_rng([number, trust])
    trained = {}
    for tensor in spec.tensors:
        wide = weights[tensor.name].astype(np.float64)
        wide = wide + 0.3 * (trust - 1 - wide) + random.normal(size=tensor.shape)
        trained[tensor.name] = np.asarray(np.rint(wide) if tensor.update_dtype == "int64" else wide).astype(
            tensor.update_dtype
        )
    return trained


class Ours:
    """The coordinator's path without the hub: encode at each Trust, add, one reply to the strategy, cast back."""

    def __init__(self, strategy, spec, directory):
        self.spec, self.directory = spec, directory
        self.strategy = mean_strategy(strategy, spec)
        self.configs = []
        self.weights = initial(spec)

    def round(self, number):
        self.configs.append(self.strategy.config(number, 2))
        total = Sum(spec=self.spec, plan=PLAN, outputs=(), training=True)
        for trust, people in enumerate(PEOPLE):
            total.add(self.update(number, trust, people), f"trust-{trust}")
        made = dict(self.strategy.round(number, 2, self.weights, total))
        self.weights = {t.name: cast(t, made[t.name]) for t in self.spec.tensors}

    def update(self, number, trust, people):
        slots, size = self.spec.update_layout()
        buffer = bytearray(size)
        trained = locally_trained(self.spec, self.weights, number, trust)
        for slot in slots:
            change = trained[slot.tensor.name] - self.weights[slot.tensor.name].astype(slot.dtype)
            raw = np.asarray(change).astype(slot.dtype).tobytes()
            buffer[slot.offset : slot.offset + len(raw)] = raw
        path = self.directory / f"{number}-{trust}"
        encode_update(
            path,
            spec=self.spec,
            plan=PLAN,
            people={"train": people, "validation": 0, "test": 0},
            report={},
            outputs=(),
            change=memoryview(buffer),
        )
        return path


class Stock:
    """Flower's own path: every Trust's weights as one reply, with its people as num-examples."""

    def __init__(self, strategy):
        kind = getattr(flower, strategy.name)
        self.strategy = kind(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, **strategy.parameters)
        self.arrays = ArrayRecord({name: Array(array) for name, array in initial(SPEC).items()})

    @property
    def weights(self):
        return {name: array.numpy() for name, array in self.arrays.items()}

    def round(self, number):
        grid = StockGrid(len(PEOPLE))
        messages = list(self.strategy.configure_train(number, self.arrays, ConfigRecord(), grid))
        given = {name: array.astype(np.float32) for name, array in self.weights.items()}
        replies = []
        for trust, (message, people) in enumerate(zip(messages, PEOPLE, strict=True)):
            trained = locally_trained(SPEC, given, number, trust)
            content = RecordDict(
                {
                    "arrays": ArrayRecord({name: Array(array) for name, array in trained.items()}),
                    "metrics": MetricRecord({"num-examples": people}),
                }
            )
            replies.append(Message(content, reply_to=message))
        self.arrays, _ = self.strategy.aggregate_train(number, replies)


def distance(one, other):
    return max(float(np.abs(one[name].astype(np.float64) - other[name]).max()) for name in other)


@pytest.mark.parametrize("name", ["FedAvg", "FedAvgM", "FedAdam"])
def test_a_large_tensor_in_parts_comes_out_bit_for_bit(name, tmp_path, monkeypatch):
    strategy = Strategy(name=name, parameters={})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    one = Ours(strategy, SPEC, whole)
    monkeypatch.setattr(elementwise, "GROUP", 2)
    other = Ours(strategy, SPEC, parts)
    for number in (1, 2):
        one.round(number)
        other.round(number)
    assert {n: a.tobytes() for n, a in one.weights.items()} == {n: a.tobytes() for n, a in other.weights.items()}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_strategy_gives_stock_flowers_weights(tmp_path, strategy):
    ours, stock = Ours(strategy, SPEC, tmp_path), Stock(strategy)
    for number in range(1, ROUNDS + 1):
        ours.round(number)
        stock.round(number)
        assert distance(ours.weights, stock.weights) < TOLERANCE, number
        assert {array.dtype for array in ours.weights.values()} == {np.dtype("float32")}
    assert distance(ours.weights, initial(SPEC)) > 0.1


def test_the_strategies_differ_so_that_the_comparison_means_something(tmp_path):
    ends = []
    for strategy in STRATEGIES:
        ours = Ours(strategy, SPEC, tmp_path)
        for number in range(1, ROUNDS + 1):
            ours.round(number)
        ends.append(ours.weights)
    for (a, one), (b, other) in itertools.combinations(enumerate(ends), 2):
        same = {STRATEGIES[a].name, STRATEGIES[b].name} == {"FedAvg", "FedProx"}  # the proximal term is the notebook's
        assert (distance(one, other) < TOLERANCE) == same


def test_a_dropped_trust_is_seen(tmp_path, monkeypatch):
    stock = Stock(STRATEGIES[0])
    stock.round(1)
    monkeypatch.setattr(f"{__name__}.PEOPLE", PEOPLE[:3])
    ours = Ours(STRATEGIES[0], SPEC, tmp_path)
    ours.round(1)
    assert distance(ours.weights, stock.weights) > 1000 * TOLERANCE


@pytest.mark.parametrize("spec", [SPEC, MIXED], ids=["float32", "mixed"])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_strategy_goes_on_from_its_checkpoint_bit_for_bit(tmp_path, strategy, spec):
    steady = Ours(strategy, spec, tmp_path)
    disturbed = Ours(strategy, spec, tmp_path)
    checkpoints = Checkpoints(tmp_path / "checkpoints", spec)
    digest, _ = write_weights(tmp_path / "first", spec, initial(spec))
    position = checkpoints.begin(tmp_path / "first", digest, 0.0).position
    for number in range(1, ROUNDS + 1):
        steady.round(number)
        disturbed.round(number)
        summary = RoundSummary(
            round=number, of=ROUNDS, training=True, members=("0" * 64,), weights="0" * 64, metrics={}, seconds=0.0
        )
        weights = [(tensor.name, disturbed.weights[tensor.name]) for tensor in in_file_order(spec)]
        position = checkpoints.save(position, weights, disturbed.strategy.state, summary, {}).position
        checkpoints = Checkpoints(tmp_path / "checkpoints", spec)
        last = checkpoints.last()
        assert last.position == position
        disturbed = Ours(strategy, spec, tmp_path)
        disturbed.strategy.restore(last.state)
        disturbed.weights = checkpoints.read(last)
        for name, array in steady.weights.items():
            assert disturbed.weights[name].tobytes() == array.tobytes(), (number, name)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"round-{ROUNDS:06d}"]


def test_integer_buffers_pass_by_the_strategy(tmp_path):
    ours = Ours(STRATEGIES[3], MIXED, tmp_path)
    start = ours.weights["seen"]
    ours.round(1)
    trained = [int(locally_trained(MIXED, {**initial(MIXED), "seen": start}, 1, t)["seen"]) for t in range(len(PEOPLE))]
    exact = sum((t - int(start)) * p for t, p in zip(trained, PEOPLE, strict=True)) / sum(PEOPLE)
    assert int(ours.weights["seen"]) == int(start) + round(exact)
    assert {n: str(a.dtype) for n, a in ours.weights.items()} == {t.name: t.dtype for t in MIXED.tensors}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_model_of_integers_alone_goes_through(tmp_path, strategy):
    ours = Ours(strategy, TensorSpec(tensors=(Tensor(name="seen", shape=(2,), dtype="int32"),)), tmp_path)
    ours.round(1)
    assert ours.weights["seen"].dtype == np.dtype("int32")


def test_fedprox_tells_the_notebook_its_mu(tmp_path):
    ours = Ours(STRATEGIES[1], SPEC, tmp_path)
    ours.round(1)
    assert ours.configs == [{"proximal_mu": 0.25}]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_groups_of_tensors_change_no_bit(tmp_path, monkeypatch, strategy):
    whole = Ours(strategy, SPEC, tmp_path)
    monkeypatch.setattr(elementwise, "GROUP", 1)
    grouped = Ours(strategy, SPEC, tmp_path)
    for number in range(1, ROUNDS + 1):
        whole.round(number)
        grouped.round(number)
    assert all(grouped.weights[name].tobytes() == array.tobytes() for name, array in whole.weights.items())
