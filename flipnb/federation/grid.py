"""Our ``Grid``: Flower's strategies, unmodified, over FLIP's rounds.

A strategy believes that it talks to one node per Trust. Under aggregation ``sum`` the integers are added before it
sees anything: it gets one reply, the mean, with the sum of the weights as ``num-examples``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

# The one private thing: Message() refuses to exist without it (held to by tests/conformance/test_flower_strategies.py).
from flwr.supercore.task_identity import TaskIdentity

_COORDINATOR_NODE = 0


@dataclass(frozen=True)
class Aggregate:
    """The weighted mean of the Trusts' weights after local training, and the sum of the weights."""

    arrays: Mapping[str, npt.NDArray[Any]]
    weight: int


Exchange = Callable[[Mapping[str, npt.NDArray[Any]], Mapping[str, float]], Aggregate]
"""Sends global weights and the strategy's numbers to the members; returns when the round's sum is complete."""


class RoundGrid(Grid):
    """One exchange per ``send_and_receive``. One per process: Flower keeps a process-wide identity."""

    def __init__(self, members: int, exchange: Exchange) -> None:
        self._members = members
        self._exchange = exchange
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, _COORDINATOR_NODE, 1

    def set_run(self, run: Any) -> None:
        raise RuntimeError("A coordinator has one run, from its order.")

    @property
    def run(self) -> Any:
        raise RuntimeError("Flower's Run is not used here.")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """One node per member, from 1."""
        return range(1, self._members + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise RuntimeError("Rounds are exchanged whole: use send_and_receive.")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise RuntimeError("Rounds are exchanged whole: use send_and_receive.")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """The members' mean as one reply. The deadline is the plan's, per Trust; ``timeout`` is not used."""
        asked = list(messages)
        if not asked:
            return []
        content = asked[0].content
        (arrays,) = content.array_records.values()
        numbers: dict[str, float] = {}
        for record in content.config_records.values():
            for name, value in record.items():
                if isinstance(value, int | float) and name != "server-round":
                    numbers[name.replace("-", "_")] = float(value)
        aggregate = self._exchange({name: array.numpy() for name, array in arrays.items()}, numbers)
        reply = RecordDict(
            {
                "arrays": ArrayRecord({name: Array(np.asarray(value)) for name, value in aggregate.arrays.items()}),
                "metrics": MetricRecord({"num-examples": aggregate.weight}),
            }
        )
        return [Message(reply, reply_to=asked[0])]
