"""Strategies beside stock Flower: memory to aggregate single updates, and CPU to make the next weights of a mean.

Memory: ours from files, piece by piece; stock Flower with all in memory. Each sample is a process of its own, which
does one aggregation of seven Trusts' updates of one model and nothing else. CPU: from the mean change to the new
weights, of a model of 10 million float32 in ten tensors, taken turn about.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flower_grid import StockGrid
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from benchmarks.figures import Figures
from benchmarks.processes import GB, own_peak
from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.elementwise import ElementwiseStrategy
from flipnb.federation.encoding import encode_update
from flipnb.federation.individual import IndividualStrategy
from flipnb.federation.individual_updates import IndividualUpdates
from flipnb.federation.weights import moved

TRUSTS = 7
SAMPLES = 3
SPEC = TensorSpec(tensors=tuple(Tensor(name=f"layer{n}", shape=(1250, 1000), dtype="float32") for n in range(10)))
WIDE = TensorSpec(tensors=tuple(Tensor(name=f"layer{n}", shape=(1000, 1000), dtype="float32") for n in range(10)))
STRATEGIES = {
    "FedMedian": {},
    "FedTrimmedAvg": {},
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
}


def plan(name: str) -> Plan:
    strategy = Strategy(name=name, parameters=STRATEGIES[name])
    return Plan(rounds=1, clip_norm=2**13, strategy=strategy, aggregation="individual")


def change(trust: int, spec: TensorSpec = SPEC) -> dict[str, np.ndarray]:
    random = np.random.default_rng(trust)
    return {t.name: random.standard_normal(t.shape, dtype=np.float32) for t in spec.tensors}


def prepare(directory: Path) -> None:
    """The Trusts' files, which every strategy reads alike."""
    slots, size = SPEC.update_layout()
    for trust in range(TRUSTS):
        buffer, arrays = bytearray(size), change(trust)
        for slot in slots:
            raw = arrays[slot.tensor.name].tobytes()
            buffer[slot.offset : slot.offset + len(raw)] = raw
        encode_update(
            directory / f"{trust}",
            spec=SPEC,
            plan=plan("FedMedian"),
            people={"train": 10 + trust, "validation": 0, "test": 0},
            report={},
            outputs=(),
            change=memoryview(buffer),
        )


def ours(name: str, directory: Path) -> None:
    updates = IndividualUpdates(spec=SPEC, plan=plan(name), outputs=(), training=True)
    for trust in range(TRUSTS):
        updates.add(directory / f"{trust}", f"trust-{trust}")
    weights = {t.name: np.zeros(t.shape, np.float32) for t in SPEC.tensors}
    IndividualStrategy(plan(name).strategy, SPEC).round(1, weights, updates)


def stock(name: str, directory: Path) -> None:
    del directory
    parameters = {parameter: int(value) for parameter, value in STRATEGIES[name].items()}
    strategy = getattr(flower, name)(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, **parameters)
    start = ArrayRecord({t.name: Array(np.zeros(t.shape, np.float32)) for t in SPEC.tensors})
    replies = []
    for trust, message in enumerate(strategy.configure_train(1, start, ConfigRecord(), StockGrid(TRUSTS))):
        arrays = ArrayRecord({name: Array(array) for name, array in change(trust).items()})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10 + trust})})
        replies.append(Message(content, reply_to=message))
    strategy.aggregate_train(1, replies)


def memory(figures: Figures) -> None:
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place))
        for name in STRATEGIES:
            samples = {
                who: [_sample(who, name, Path(place)) for _ in range(SAMPLES)] for who in ("ours", "stock", "idle")
            }
            idle = min(samples["idle"])
            figures.add(
                f"{name}: memory to aggregate 7 updates of a 50 MB model, above the imports",
                "GB",
                [sample - idle for sample in samples["ours"]],
                [sample - idle for sample in samples["stock"]],
                "Flower 1.41, in memory",
            )


def _sample(who: str, name: str, place: Path) -> float:
    """Peak resident memory of one process, in GB."""
    command = [sys.executable, "-m", "benchmarks.strategies", who, name, str(place)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / GB


class Mean:
    """A round's mean changes, in memory."""

    weight = 7

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._change = {t.name: random.standard_normal(t.elements) for t in WIDE.tensors}

    def mean_of(self, tensor: Tensor, start: int, end: int) -> np.ndarray:
        return self._change[tensor.name][start:end]

    def forget(self, tensor: Tensor) -> None:
        pass


def cpu(figures: Figures) -> None:
    weights, mean = change(99, WIDE), Mean()
    for name in ("FedAvg", "FedAdam", "FedYogi"):
        ours, stock = ElementwiseStrategy(Strategy(name=name), WIDE), getattr(flower, name)(fraction_evaluate=0.0)
        samples = [
            (_cpu(_our_round, ours, number, weights, mean), _cpu(_stock_round, stock, number, weights, mean))
            for number in range(1, 2 * SAMPLES + 2)
        ]
        figures.add(
            f"{name}: CPU to make the next weights of a mean, 10 million elements",
            "s",
            [mine for mine, _ in samples[1:]],
            [theirs for _, theirs in samples[1:]],
            "Flower 1.41",
        )


def _cpu(act: Callable[..., None], *arguments: Any) -> float:
    began = time.process_time()
    act(*arguments)
    return time.process_time() - began


def _our_round(strategy: ElementwiseStrategy, number: int, weights: dict[str, np.ndarray], mean: Mean) -> None:
    for _ in strategy.round(number, TRUSTS, weights, mean):
        pass


def _stock_round(strategy: Any, number: int, weights: dict[str, np.ndarray], mean: Mean) -> None:
    start = ArrayRecord({name: Array(array) for name, array in weights.items()})
    asked, *_ = strategy.configure_train(number, start, ConfigRecord(), StockGrid(TRUSTS))
    new = {
        t.name: Array(moved(t, weights[t.name], mean.mean_of(t, 0, t.elements).reshape(t.shape))) for t in WIDE.tensors
    }
    content = RecordDict({"arrays": ArrayRecord(new), "metrics": MetricRecord({"num-examples": mean.weight})})
    arrays, _ = strategy.aggregate_train(number, [Message(content, reply_to=asked)])
    for array in arrays.values():
        array.numpy().astype(np.float32, copy=False)


MEASURES = {"memory": memory, "cpu": cpu}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=("ours", "stock", "idle"))
    parser.add_argument("name", choices=STRATEGIES)
    parser.add_argument("place", type=Path)
    asked = parser.parse_args()
    if asked.who != "idle":
        {"ours": ours, "stock": stock}[asked.who](asked.name, asked.place)
    print(own_peak())
