"""Stock Flower in this process, as its SuperLink would run it: what ours are compared with."""

import logging

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

_COORDINATOR_NODE = 0
logging.getLogger("flwr").setLevel(logging.ERROR)


class StockGrid(Grid):
    """Names the nodes, from 1. Flower makes messages only in a process that has this identity."""

    def __init__(self, members):
        self._members = members
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, _COORDINATOR_NODE, 1

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        raise NotImplementedError

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self):
        return range(1, self._members + 1)

    def push_messages(self, messages):
        raise NotImplementedError

    def pull_messages(self, message_ids):
        raise NotImplementedError

    def send_and_receive(self, messages, *, timeout=None):
        raise NotImplementedError
