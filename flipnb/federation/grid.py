"""What Flower's strategies are given: a grid that names the nodes, and replies; by Flower's public names alone.

A strategy believes that it talks to one node per Trust. The coordinator has exchanged a round's weights and updates
before it asks a strategy for the aggregate, so that nothing is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

import numpy as np
import numpy.typing as npt
from flwr.app import DEFAULT_TTL, Array, ArrayRecord, Message, MessageType, Metadata, MetricRecord, RecordDict
from flwr.serverapp import Grid

EXAMPLES = "num-examples"
"""Flower's own name for what a reply weighs."""

_COORDINATOR_NODE = 0
_EXCHANGED = "A round is exchanged before its strategy is asked."


class RoundGrid(Grid):
    """Names the nodes: one per member, from 1."""

    def __init__(self, members: int) -> None:
        self._members = members

    def set_run(self, run: Any) -> None:
        raise RuntimeError("A coordinator has one run, from its order.")

    @property
    def run(self) -> Any:
        raise RuntimeError("Flower's Run is not used here.")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        raise RuntimeError(_EXCHANGED)

    def get_node_ids(self) -> Iterable[int]:
        return range(1, self._members + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise RuntimeError(_EXCHANGED)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise RuntimeError(_EXCHANGED)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise RuntimeError(_EXCHANGED)


class Reply(Message):
    """What a node answers to a round, as a strategy reads it.

    Flower's own constructor makes messages only in a process that its SuperLink runs.
    """

    def __init__(self, content: RecordDict, node: int) -> None:
        self._answer, self._from = content, node

    @property
    def metadata(self) -> Metadata:
        return Metadata(
            run_id=1,
            message_id="",
            src_node_id=self._from,
            dst_node_id=_COORDINATOR_NODE,
            reply_to_message_id="",
            group_id="",
            created_at=time.time(),
            ttl=DEFAULT_TTL,
            message_type=MessageType.TRAIN,
        )

    @property
    def content(self) -> RecordDict:
        return self._answer

    @content.setter
    def content(self, value: RecordDict) -> None:
        self._answer = value

    def has_content(self) -> bool:
        return True

    def has_error(self) -> bool:
        return False


def reply(arrays: Mapping[str, npt.NDArray[Any]], *, weight: int, node: int, **numbers: int) -> Reply:
    """The answer of ``node`` (from 1): arrays, what they weigh, and other numbers for the strategy."""
    record = ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})
    return Reply(RecordDict({"arrays": record, "metrics": MetricRecord({EXAMPLES: weight, **numbers})}), node)
