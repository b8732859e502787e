"""Our ``Grid``: Flower's strategies, unmodified, over FLIP's rounds.

A strategy believes that it talks to one node per Trust. The coordinator has exchanged a round's weights and updates
before it asks a strategy for the aggregate, so that a grid only says which nodes there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

# The one private thing: Message() refuses to exist without it (held to by tests/conformance/test_flower_strategies.py).
from flwr.supercore.task_identity import TaskIdentity

_COORDINATOR_NODE = 0
_EXCHANGED = "A round is exchanged before its strategy is asked."


class RoundGrid(Grid):
    """Names the nodes. One per process: Flower keeps a process-wide identity."""

    def __init__(self, members: int) -> None:
        self._members = members
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
        raise RuntimeError(_EXCHANGED)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise RuntimeError(_EXCHANGED)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise RuntimeError(_EXCHANGED)
