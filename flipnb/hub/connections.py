"""Connections of the hub: whoever connects, a stranger too, says what it wants soon and in few bytes."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_BYTES = 64 << 10
"""Request line and headers; those of our clients have some hundred bytes."""
_HEAD_SECONDS = 30.0
_PARTING_SECONDS = 1.0


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which reads heads of any length for any time, with a bound on both.

    The first head of a connection is there within 30 s, each later one within the time of keep-alive after the answer
    before it, however its bytes come; else the connection is closed.
    """

    _head: int | None = None
    """How many bytes of a head have come at least; None where none has begun."""
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_head(_HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head_is_there()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # TLS hands on what comes until the other side has closed, too
            return
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self.send_400_response("The request's head is too large.")
                self._await_head(_PARTING_SECONDS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._await_head(self.timeout_keep_alive)

    def _await_head(self, seconds: float) -> None:
        self._head_is_there()
        self._closing = self.loop.call_later(seconds, self.transport.abort)

    def _head_is_there(self) -> None:
        self._head = None
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
