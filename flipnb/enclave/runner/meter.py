"""Bounds on what a kernel may send: frame size, bytes and messages, whatever they claim to be.

A kernel owns the key that signs its messages, so nothing in a message is trusted to count it: frames are counted as
they leave the socket, before anything is parsed.
"""

from __future__ import annotations

from typing import Any, Literal

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

MIB = 1 << 20
QUEUE_BYTES = 256 * MIB
"""Most that may wait in one socket's queue."""


class OutputLimitReached(Exception):
    """The kernel sent more than it may."""


class Meter:
    """Counts a kernel's messages. ``exceeded`` says which limit was passed, or that a message was no message."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self.max_bytes = max_bytes
        self.max_messages = max_messages
        self.bytes = 0
        self.messages = 0
        self.exceeded: Literal["output-bytes", "output-messages", "bad-message"] | None = None

    @property
    def frame_bytes(self) -> int:
        """No honest frame is longer: an output within the limit, and a message's envelope."""
        return self.max_bytes + MIB

    def count(self, size: int) -> None:
        """Raises OutputLimitReached."""
        self.bytes += size
        self.messages += 1
        if self.bytes > self.max_bytes:
            self.exceeded = "output-bytes"
        elif self.messages > self.max_messages:
            self.exceeded = "output-messages"
        if self.exceeded:
            raise OutputLimitReached(self.exceeded)


class _MeteredChannel(AsyncZMQSocketChannel):
    meter: Meter

    async def _recv(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        frames = await self.socket.recv_multipart(**kwargs)
        self.meter.count(sum(map(len, frames)))
        try:
            _, message = self.session.feed_identities(frames)
            return dict(self.session.deserialize(message))
        except Exception:
            # Who waits for the next message may not look at this one's error before the cell ends.
            self.meter.exceeded = self.meter.exceeded or "bad-message"
            raise


class _MeteredClient(AsyncKernelClient):
    meter: Meter

    # On the client's context: the manager's own has no effect on these channels.
    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, self.meter.frame_bytes)
        context.setsockopt(zmq.RCVHWM, max(4, QUEUE_BYTES // self.meter.frame_bytes))
        return context


def metered_client(meter: Meter) -> type[AsyncKernelClient]:
    """A kernel client class whose channels are counted by ``meter``."""
    channel = type("Channel", (_MeteredChannel,), {"meter": meter})
    channels = {f"{name}_channel_class": Type(channel) for name in ("shell", "iopub", "stdin", "control")}
    return type("Client", (_MeteredClient,), {"meter": meter, **channels})
