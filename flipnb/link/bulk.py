"""Large transfers: gigabytes over a connection of their own, between the wire and memory or a file.

No layer between TLS and the destination copies anything: httpx's HTTP parser needs three times the CPU. A transfer
that breaks off goes on where it broke.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from flipnb.contracts.blob import ReceivedBlob
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.document import invalid, sha256
from flipnb.contracts.problem import FlipError
from flipnb.link.access import Access
from flipnb.link.exchange import AS_SENT
from flipnb.link.retry import Retry

LARGE = 4 << 20
"""Bytes from which on a transfer is worth a connection of its own."""

Progress = Callable[[int, int], None]
"""Hears of bytes that are here and bytes in all; may raise to stop."""

_PIECE = 1 << 20
_SILENCE_S = 45.0
_REFUSAL_BYTES = 1 << 20
_BEYOND_THE_END = 416


class WrongBlob(FlipError):
    """The bytes that came are not those that were asked for."""

    def __init__(self, message: str) -> None:
        super().__init__("wrong-blob", message)


class CalledOff(FlipError):
    """Somebody stopped this transfer."""

    def __init__(self) -> None:
        super().__init__("called-off", "The transfer was stopped.", remedy="Begun again, it goes on from there.")


class Transfer(ABC):
    """One blob on its way. ``moved`` says how many bytes of it have arrived.

    What can be called off from another thread: its connection is shut, and the thread that moves it soon ends.
    """

    def __init__(self, access: Access) -> None:
        self.moved = 0
        self._access = access
        self._connection: http.client.HTTPSConnection | None = None
        self._called_off = threading.Event()

    def run(self, retry: Retry) -> None:
        """Attempts until all of it has arrived. Raises what ``attempt`` raises, NotNow at the end of patience."""
        retry.call(self.attempt, moved=lambda: self.moved, stop=self._called_off)

    @abstractmethod
    def attempt(self) -> None:
        """Move what is left over one connection. Raises NotNow where that breaks, FlipError ``called-off``."""

    def call_off(self) -> None:
        """Stop it, now or before it begins."""
        self._called_off.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which first drops TLS: the other thread would go on in the clear.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPSConnection]:
        """A new connection, closed at the end."""
        self._heed()
        place = urlsplit(self._access.url)
        connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, timeout=_SILENCE_S, context=self._access.tls
        )
        self._connection = connection
        try:
            connection.connect()
            self._heed()
            yield connection
        except (OSError, http.client.HTTPException) as error:
            self._heed()
            raise self._access.peer.silent(error) from None
        finally:
            self._connection = None
            connection.close()

    def _heed(self) -> None:
        if self._called_off.is_set():
            raise CalledOff

    def _begin(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        content_sha256: str,
        more: Mapping[str, str],
    ) -> None:
        """Send the signed head of a request."""
        url = self._access.url.rstrip("/")
        connection.putrequest(method, urlsplit(url).path + path, skip_accept_encoding=True)
        signed = self._access.signing.headers(method, url + path, content_sha256)
        for name, value in {**signed, **AS_SENT, **more}.items():
            connection.putheader(name, value)
        connection.endheaders()


class Download(Transfer):
    """The blob ``digest`` into the file ``descriptor``.

    A file of known ``size`` may be a memfd that has that size already. It is written, never mapped: a fault per page
    takes twice the time. The first ``kept`` bytes are there, and ``hashed`` is their SHA-256 so far.
    """

    def __init__(
        self,
        access: Access,
        digest: str,
        descriptor: int,
        *,
        size: int | None = None,
        kept: int = 0,
        hashed: hashlib._Hash | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(access)
        self.moved = kept
        self._digest, self._descriptor, self._size = digest, descriptor, size
        self._hashed = hashed or hashlib.sha256()
        self._progress = progress

    def attempt(self) -> None:
        """Raises FlipError ``wrong-blob`` where size or SHA-256 are not those that were said, besides."""
        with self._connected() as connection:
            more = {"range": f"bytes={self.moved}-"} if self.moved else {}
            self._begin(connection, "GET", f"/v1/blobs/{self._digest}", sha256(b""), more)
            response = connection.getresponse()
            if not (self.moved and response.status == _BEYOND_THE_END):  # else the last byte is here
                self._take(response)
        if self._hashed.hexdigest() != self._digest:
            raise WrongBlob(f"What the hub sent as {self._digest} is not that: its bytes are others.")

    def _take(self, response: http.client.HTTPResponse) -> None:
        if response.status not in (200, 206):
            raise self._access.peer.refused(response.status, response.read(_REFUSAL_BYTES))
        if response.status == 200 and self.moved:
            self.moved, self._hashed = 0, hashlib.sha256()  # from the beginning: something between us knows no ranges
        if response.length is None or self._size not in (None, self.moved + response.length):
            raise WrongBlob(f"The blob {self._digest[:16]}… does not have the size that was said.")
        size = self.moved + response.length
        piece = memoryview(bytearray(_PIECE))
        while self.moved < size:
            got = response.readinto(piece)
            if got == 0:
                raise ConnectionError("the connection ended early")
            self._keep(piece[:got])
            if self._progress is not None:
                self._progress(self.moved, size)

    def _keep(self, piece: memoryview) -> None:
        self._hashed.update(piece)
        while piece:
            kept = _written(self._descriptor, piece, self.moved)
            self.moved += kept
            piece = piece[kept:]


class Upload(Transfer):
    """The file ``path`` as the blob ``digest``; ``query`` says for whom. What is at the hub already is not sent."""

    def __init__(self, access: Access, path: Path, digest: str, query: str) -> None:
        super().__init__(access)
        self._path, self._digest, self._query = path, digest, query

    def attempt(self) -> None:
        """The hub's refusals are raised as FlipError, besides."""
        with self._path.open("rb", buffering=0) as file, self._connected() as connection:
            size = os.fstat(file.fileno()).st_size
            there = self._received(connection)
            self.moved = min(there.size, size)
            if not there.whole:
                self._send(connection, file.fileno(), size)

    def _received(self, connection: http.client.HTTPSConnection) -> ReceivedBlob:
        self._begin(connection, "GET", f"/v1/blobs/{self._digest}/received?{self._query}", sha256(b""), {})
        body = self._answer(connection)
        try:
            return ReceivedBlob.model_validate_json(body)
        except ValidationError as error:
            raise invalid(error, "What the hub has received") from None

    def _send(self, connection: http.client.HTTPSConnection, file: int, size: int) -> None:
        path = f"/v1/blobs/{self._digest}?{self._query}&offset={self.moved}"
        more = {"content-length": str(size - self.moved), "content-type": "application/octet-stream"}
        self._begin(connection, "PUT", path, self._digest, more)
        os.lseek(file, self.moved, os.SEEK_SET)
        piece = memoryview(bytearray(_PIECE))
        # Where the hub refuses midway, the sending breaks; its answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            while got := os.readv(file, [piece]):
                connection.send(piece[:got])
        self._answer(connection)

    def _answer(self, connection: http.client.HTTPSConnection) -> bytes:
        response = connection.getresponse()
        body = response.read(_REFUSAL_BYTES)
        if response.status not in (200, 201):
            raise self._access.peer.refused(response.status, body)
        return body


def _written(descriptor: int, piece: memoryview, offset: int) -> int:
    try:
        return os.pwrite(descriptor, piece, offset)
    except OSError as error:  # the file's, not the connection's
        if is_full(error):
            raise disk_full("this machine's") from None
        raise FlipError("not-written", f"What the hub sent can't be written: {error.strerror}.", status=500) from None
