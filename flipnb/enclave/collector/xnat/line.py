"""The connection that xnatpy speaks over: one authority's certificates, no redirects, no environment, bounded answers.

xnatpy reads whole answers into memory, follows redirects and takes proxies and passwords from its surroundings; the
``requests`` session that it is given here does not let it.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

MOST_ANSWER = 32 << 20
_MOST_OTHER = 64 << 10
"""Of an answer that is none: a page that says what is wrong."""
_BLOCK = 1 << 18


class TooMuch(requests.RequestException):
    """An answer that is longer than it may be, or packed."""


class Line(requests.Session):
    """For one thread. ``cut`` may be called from any."""

    def __init__(self, ca: Path) -> None:
        super().__init__()
        self._sockets: set[socket.socket] = set()
        self.trust_env = False
        self.verify = os.fspath(ca)
        self.headers["Accept-Encoding"] = "identity"
        self.mount("https://", _Adapter(self._sockets))
        self.adapters.pop("http://")

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None of them: another address is another server."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Raises TooMuch, and what requests raises."""
        streamed = bool(options.get("stream"))
        response = super().send(request, **{**options, "stream": True})
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise TooMuch("the answer is packed, which was not asked for")
            response.encoding = response.encoding or "utf-8"  # else its text would be guessed from all of it
            if response.status_code != requests.codes.ok:
                _hold(response, _MOST_OTHER, whole=False)
            elif not streamed:
                _hold(response, MOST_ANSWER, whole=True)
        except BaseException:
            response.close()
            raise
        return response

    def cut(self) -> None:
        """Break off what is being read or waited for."""
        for one in tuple(self._sockets):
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # an SSLSocket's own would forget its TLS


def _hold(response: requests.Response, most: int, *, whole: bool) -> None:
    held = bytearray()
    for piece in response.iter_content(_BLOCK):
        held += piece
        if len(held) > most:
            if whole:
                raise TooMuch(f"the answer has more than {most >> 20} MB")
            response.close()
            break
    setattr(response, "_content", bytes(held[:most]))  # noqa: B010 (a name of requests' own)
    setattr(response, "_content_consumed", True)  # noqa: B010


class _Adapter(HTTPAdapter):
    """Keeps the sockets of open connections where they can be cut."""

    def __init__(self, sockets: set[socket.socket]) -> None:
        class Connection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

            def close(self) -> None:
                sockets.discard(self.sock)
                super().close()

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self._pool = Pool
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"https": self._pool}


class Quiet(logging.Logger):
    """xnatpy's own words name addresses with what was asked for in them; they are not kept."""

    def __init__(self) -> None:
        super().__init__("xnat", logging.CRITICAL + 1)

    def verbose(self, message: str, *arguments: Any, **named: Any) -> None:
        """A level that xnatpy adds to Python's."""
