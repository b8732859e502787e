"""The app that stock Flower runs: a no-op strategy round after round, and clients that send back what they got."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message, context):
    time.sleep(message.content["config"]["sleep"])
    arrays = message.content["arrays"]
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
    model = [np.full(int(run["elements"]), 0.5, np.float32) for _ in range(int(run["tensors"]))]
    from flwr.app import ConfigRecord

    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(model),
        num_rounds=int(run["rounds"]),
        train_config=ConfigRecord({"sleep": float(run["sleep"])}),
    )
    strategy.note("ends")
