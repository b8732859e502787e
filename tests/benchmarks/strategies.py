"""Peak memory of aggregating single updates: ours from files, piece by piece; stock Flower with all in memory.

Each sample is a process of its own, which does one aggregation of seven Trusts' updates of one model and nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from flower_grid import StockGrid
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from benchmarks.figures import Figures
from benchmarks.processes import GB, own_peak
from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.encoding import encode_update
from flipnb.federation.individual import IndividualStrategy
from flipnb.federation.individual_updates import IndividualUpdates

TRUSTS = 7
SAMPLES = 3
SPEC = TensorSpec(tensors=tuple(Tensor(name=f"layer{n}", shape=(1250, 1000), dtype="float32") for n in range(10)))
STRATEGIES = {
    "FedMedian": {},
    "FedTrimmedAvg": {},
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
}


def plan(name: str) -> Plan:
    strategy = Strategy(name=name, parameters=STRATEGIES[name])
    return Plan(rounds=1, clip_norm=2**13, strategy=strategy, aggregation="individual")


def change(trust: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(trust)
    return {t.name: random.standard_normal(t.shape, dtype=np.float32) for t in SPEC.tensors}


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


MEASURES = {"memory": memory}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=("ours", "stock", "idle"))
    parser.add_argument("name", choices=STRATEGIES)
    parser.add_argument("place", type=Path)
    asked = parser.parse_args()
    if asked.who != "idle":
        {"ours": ours, "stock": stock}[asked.who](asked.name, asked.place)
    print(own_peak())
