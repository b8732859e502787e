"""The app that stock Flower runs: a strategy round after round, and clients that change what they got and send it back.

Flower names every 5 MB of a tensor by their SHA-256 and sends what the other side has by that name but once. Tensors of
one constant, and nodes with the same answer, would therefore cross the wire as a few chunks: the model is random, and
each node changes it in its own way.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message, context):
    time.sleep(message.content["config"]["sleep"])
    step = np.float32(0.001 + context.node_id % 1000 * 1e-5)
    changed = {name: array.numpy() + step for name, array in message.content["arrays"].items()}
    arrays = ArrayRecord({name: Array(array) for name, array in changed.items()})
    metrics = MetricRecord({"num-examples": 1, "loss": 0.5})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@client.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 0.5})}), reply_to=message)


class Timed(FedAvg):
    """FedAvg that writes down when each phase begins and ends."""

    path = Path()

    def note(self, what):
        with self.path.open("a") as file:
            file.write(json.dumps({"what": what, "at": time.time()}) + "\n")

    def configure_train(self, server_round, arrays, config, grid):
        self.note("train-begins")
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        result = super().aggregate_train(server_round, replies)
        self.note("train-ends")
        return result

    def aggregate_evaluate(self, server_round, replies):
        result = super().aggregate_evaluate(server_round, replies)
        self.note("round-ends")
        return result


@server.main()
def main(grid, context):
    run = context.run_config
    nodes = int(run["nodes"])
    strategy = Timed(
        fraction_evaluate=float(run["evaluate"]),
        min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes,
    )  # fmt: skip
    strategy.path = Path(str(run["notes"]))
    random = np.random.default_rng(1)
    model = [random.standard_normal(int(run["elements"]), np.float32) for _ in range(int(run["tensors"]))]
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(model),
        num_rounds=int(run["rounds"]),
        train_config=ConfigRecord({"sleep": float(run["sleep"])}),
    )
    strategy.note("ends")
