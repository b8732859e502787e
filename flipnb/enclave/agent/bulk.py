"""Large transfers: gigabytes over a connection of their own, in a thread, between the wire and memory or a file.

The agent's event loop is free meanwhile, and no layer between TLS and the destination copies anything. A transfer that
breaks off goes on where it broke.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from flipnb.contracts.problem import FlipError

LARGE = 4 << 20
"""Bytes from which on a transfer is worth a connection of its own."""

_PIECE = 1 << 20
_SILENCE_S = 45.0
_REFUSAL_BYTES = 1 << 20
Sign = Callable[[str, str, str], Mapping[str, str]]
"""Method, path with query, SHA-256 of the content → headers that sign it."""


class Broken(Exception):
    """The connection broke, or the hub can't serve now; what was transferred is not lost."""


class Answered(Exception):
    """The hub answered with another status than success."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the hub answers {status}")
        self.status, self.body = status, body


class BulkLink:
    """Opens one TLS connection per transfer; safe to use from several threads."""

    def __init__(self, url: str, context: ssl.SSLContext, sign: Sign) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
        self._context = context
        self._sign = sign

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        """A connection that is closed at the end; what breaks on it is raised as Broken."""
        made = http.client.HTTPSConnection(self._host, self._port, timeout=_SILENCE_S, context=self._context)
        try:
            yield made
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{type(error).__name__}: {error}") from None
        finally:
            made.close()

    def headers(self, method: str, target: str, sha256: str, more: Mapping[str, str]) -> dict[str, str]:
        return {**self._sign(method, target, sha256), "accept-encoding": "identity", **more}

    def path(self, target: str) -> str:
        return self._prefix + target


class Transfer:
    """What can be called off from another thread: its connection is shut, and the thread soon ends."""

    def __init__(self, link: BulkLink) -> None:
        self._link = link
        self._connection: http.client.HTTPSConnection | None = None
        self._called_off = False

    def call_off(self) -> None:
        self._called_off = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPSConnection]:
        with self._link.connection() as connection:
            self._connection = connection
            try:
                connection.connect()
                if self._called_off:
                    raise Broken("called off")
                yield connection
            finally:
                self._connection = None


class Download(Transfer):
    """A blob of known size and SHA-256 into the file ``descriptor``, which has that size already (a memfd).

    It is written, never mapped: a fault per page takes twice the time.
    """

    def __init__(self, link: BulkLink, digest: str, size: int, descriptor: int) -> None:
        super().__init__(link)
        self._digest, self._size, self._descriptor = digest, size, descriptor
        self._hashed = hashlib.sha256()
        self.written = 0

    def run(self) -> None:
        """Bring the rest. Raises Broken, Answered, and FlipError ``wrong-weights`` where it is not what was said."""
        target = self._link.path(f"/v1/blobs/{self._digest}")
        resumed = {"range": f"bytes={self.written}-"} if self.written else {}
        with self._connected() as connection:
            empty = hashlib.sha256().hexdigest()
            connection.request("GET", target, headers=self._link.headers("GET", target, empty, resumed))
            response = connection.getresponse()
            if response.status not in (200, 206):
                raise Answered(response.status, response.read(_REFUSAL_BYTES))
            if response.status != (206 if self.written else 200):
                raise FlipError("wrong-weights", "The hub ignored a range request.", status=502)
            if response.length != self._size - self.written:
                raise FlipError("wrong-weights", f"The blob {self._digest[:16]}… does not have {self._size} bytes.")
            piece = memoryview(bytearray(_PIECE))
            while self.written < self._size:
                got = response.readinto(piece)
                if got == 0:
                    raise Broken("the connection ended early")
                self._hashed.update(piece[:got])
                self._keep(piece[:got])
        if self._hashed.hexdigest() != self._digest:
            raise FlipError("wrong-weights", f"What the hub sent as {self._digest} is not that: its bytes are others.")

    def _keep(self, rest: memoryview) -> None:
        while rest:
            kept = os.pwrite(self._descriptor, rest, self.written)
            self.written += kept
            rest = rest[kept:]


class Upload(Transfer):
    """The file ``path`` as the blob ``digest``, from ``offset`` on."""

    def __init__(self, link: BulkLink, path: Path, digest: str, query: str) -> None:
        super().__init__(link)
        self._path, self._digest, self._query = path, digest, query

    def run(self, offset: int) -> None:
        """Raises Broken, Answered."""
        size = self._path.stat().st_size
        target = self._link.path(f"/v1/blobs/{self._digest}?{self._query}&offset={offset}")
        more = {"content-length": str(size - offset), "content-type": "application/octet-stream"}
        with self._connected() as connection, self._path.open("rb", buffering=0) as file:
            headers = self._link.headers("PUT", target, self._digest, more)
            connection.putrequest("PUT", target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            os.lseek(file.fileno(), offset, os.SEEK_SET)
            # Where the hub refuses midway, the sending breaks; its answer says why.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                buffer = bytearray(_PIECE)
                view = memoryview(buffer)
                while got := file.readinto(buffer):
                    connection.send(view[:got])
            response = connection.getresponse()
            body = response.read(_REFUSAL_BYTES)
            if response.status not in (200, 201):
                raise Answered(response.status, body)
