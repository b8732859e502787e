"""Under ``individual`` every strategy gives stock Flower's weights on the same inputs, piece by piece from files.

Ours rounds each Trust's change to float32 and then to 2^-f, hence the tolerance (absolute, for weights of about 1).
Krum and MultiKrum select by distances that stock computes in float32 by cancelling norms; with the drawn inputs no two
scores are so close that this matters.
"""

import numpy as np
import pytest
from flower_grid import StockGrid
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation import individual, individual_updates
from flipnb.federation.encoding import encode_update
from flipnb.federation.individual import IndividualStrategy, _points
from flipnb.federation.individual_updates import IndividualUpdates
from flipnb.federation.strategy_kinds import Kind
from flipnb.federation.weights import cast

TOLERANCE = 4e-6
PEOPLE = (202, 7, 31, 86, 40, 13, 55)
STRATEGIES = [
    Strategy(name="FedMedian"),
    Strategy(name="FedTrimmedAvg"),
    Strategy(name="FedTrimmedAvg", parameters={"beta": 0.4}),
    Strategy(name="Krum", parameters={"num_malicious_nodes": 1}),
    Strategy(name="MultiKrum", parameters={"num_malicious_nodes": 2, "num_nodes_to_select": 3}),
]
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
        Tensor(name="half", shape=(5,), dtype="bfloat16"),
        Tensor(name="double", shape=(2,), dtype="float64"),
        Tensor(name="seen", shape=(2,), dtype="int64"),
    )
)


def plan(strategy):
    return Plan(rounds=2, clip_norm=64.0, strategy=strategy, aggregation="individual")


def drawn(spec, seed):
    random = np.random.default_rng(seed)
    return {
        t.name: np.asarray(
            np.rint(random.normal(size=t.shape) * 9) if t.dtype == "int64" else random.normal(size=t.shape)
        ).astype(t.update_dtype)
        for t in spec.tensors
    }


def trained(spec, weights, trust):
    """The last Trust is hostile: far from all the others."""
    moves = drawn(spec, [3, trust])
    far = 4 if trust == len(PEOPLE) - 1 else 0.1
    return {
        name: np.asarray(array + (moves[name] if array.dtype.kind == "i" else far * moves[name]), array.dtype)
        for name, array in weights.items()
    }


def write(path, spec, strategy, weights, after, people):
    slots, size = spec.update_layout()
    buffer = bytearray(size)
    for slot in slots:
        raw = np.asarray(after[slot.tensor.name] - weights[slot.tensor.name]).astype(slot.dtype).tobytes()
        buffer[slot.offset : slot.offset + len(raw)] = raw
    parts = {"train": people, "validation": 0, "test": 0}
    encode_update(path, spec=spec, plan=plan(strategy), people=parts, report={}, outputs=(), change=memoryview(buffer))
    return path


def ours(directory, spec, strategy, weights, *, order=None):
    updates = IndividualUpdates(spec=spec, plan=plan(strategy), outputs=(), training=True)
    for trust in order or range(len(PEOPLE)):
        path = directory / f"{trust}"
        write(path, spec, strategy, weights, trained(spec, weights, trust), PEOPLE[trust])
        updates.add(path, f"trust-{trust}")
    made = IndividualStrategy(strategy, spec).round(1, weights, updates)
    updates.clear()
    return {t.name: cast(t, made[t.name]) for t in spec.tensors}


def stock(strategy, weights):
    whole = {"num_malicious_nodes", "num_nodes_to_select"}
    parameters = {name: int(v) if name in whole else v for name, v in strategy.parameters.items()}
    made = getattr(flower, strategy.name)(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, **parameters)
    record = ArrayRecord({name: Array(array) for name, array in weights.items()})
    messages = made.configure_train(1, record, ConfigRecord(), StockGrid(len(PEOPLE)))
    replies = []
    for trust, message in enumerate(messages):
        arrays = {name: Array(array) for name, array in trained(SPEC, weights, trust).items()}
        metrics = MetricRecord({"num-examples": PEOPLE[trust]})
        replies.append(Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message))
    arrays, _ = made.aggregate_train(1, replies)
    return {name: array.numpy() for name, array in arrays.items()}


def distance(one, other):
    return max(float(np.abs(one[name].astype(np.float64) - other[name]).max()) for name in other)


@pytest.mark.parametrize("piece", [1 << 20, 7], ids=["whole", "pieces"])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_strategy_gives_stock_flowers_weights(tmp_path, monkeypatch, strategy, piece):
    monkeypatch.setattr(individual_updates, "PIECE", piece)
    weights = drawn(SPEC, 0)
    made = ours(tmp_path, SPEC, strategy, weights)
    assert distance(made, stock(strategy, weights)) < TOLERANCE
    assert distance(made, weights) > 0.01
    assert {array.dtype for array in made.values()} == {np.dtype("float32")}


def test_a_hostile_trust_moves_the_mean_and_not_the_robust_strategies(tmp_path):
    weights = drawn(SPEC, 0)
    hostile = trained(SPEC, weights, len(PEOPLE) - 1)
    for strategy in STRATEGIES:
        assert distance(ours(tmp_path, SPEC, strategy, weights), hostile) > 2
        assert distance(ours(tmp_path, SPEC, strategy, weights), weights) < 1


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_no_order_of_arrival_changes_a_bit(tmp_path, strategy):
    weights = drawn(MIXED, 0)
    one = ours(tmp_path, MIXED, strategy, weights)
    other = ours(tmp_path, MIXED, strategy, weights, order=[6, 2, 4, 0, 5, 3, 1])
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    assert {name: str(array.dtype) for name, array in one.items()} == {t.name: t.dtype for t in MIXED.tensors}


def test_integer_buffers_follow_the_strategys_rule(tmp_path):
    weights = drawn(MIXED, 0)
    after = np.stack([trained(MIXED, weights, trust)["seen"] for trust in range(len(PEOPLE))])
    median = ours(tmp_path, MIXED, STRATEGIES[0], weights)["seen"]
    np.testing.assert_array_equal(median, np.rint(np.median(after, axis=0)).astype(np.int64))


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 9), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_points_have_the_updates_distances(seed, count, scale):
    made = np.random.default_rng(seed).normal(size=(count, 40)) * scale
    distances = ((made[:, None] - made[None]) ** 2).sum(axis=2)
    points = _points(distances)
    again = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(again, distances, rtol=1e-9, atol=1e-9 * max(float(distances.max()), 1e-300))


def test_an_update_beyond_the_clip_is_refused_by_name(tmp_path):
    strategy = STRATEGIES[0]
    weights = drawn(SPEC, 0)
    path = write(tmp_path / "0", SPEC, strategy, weights, trained(SPEC, weights, 0), 20)
    narrow = Plan(rounds=2, clip_norm=2**-20, strategy=strategy, aggregation="individual")
    updates = IndividualUpdates(spec=SPEC, plan=narrow, outputs=(), training=True)
    with pytest.raises(FlipError, match="trust-0 exceeds the clip at 'weight'"):
        updates.add(path, "trust-0")
    assert updates.trusts == ()


class Farthest(flower.FedMedian):
    """Reads whole tensors: takes the first Trust's where the tensor's name has a 'w', else the median."""

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        arrays = next(iter(replies[0].content.array_records.values()))
        assert [array.numpy().shape for array in arrays.values()] in [[(9, 3)], [(3,)], [()], [(9, 3), (3,), ()]]
        return super().aggregate_train(server_round, replies)


@pytest.mark.parametrize("reads", ["tensors", "model"])
def test_an_installed_strategy_may_read_whole_tensors_or_the_model(tmp_path, monkeypatch, reads):
    monkeypatch.setattr(individual_updates, "PIECE", 2)
    monkeypatch.setattr(individual, "kind_of", lambda chosen, aggregation: Kind(Farthest, reads))
    weights = drawn(SPEC, 0)
    made = ours(tmp_path, SPEC, Strategy(name="lab.Farthest"), weights)
    assert distance(made, stock(Strategy(name="FedMedian"), weights)) < TOLERANCE


class Broken(flower.FedMedian):
    def aggregate_train(self, server_round, replies):
        raise ZeroDivisionError("nobody is there")


def test_a_strategy_that_fails_is_named_with_its_round(tmp_path, monkeypatch):
    monkeypatch.setattr(individual, "kind_of", lambda chosen, aggregation: Kind(Broken, "elements"))
    with pytest.raises(FlipError) as caught:
        ours(tmp_path, SPEC, Strategy(name="lab.Broken"), drawn(SPEC, 0))
    assert caught.value.code == "strategy-failed"
    assert caught.value.message == "Strategy lab.Broken failed in round 1 with ZeroDivisionError: nobody is there"
