"""Associations with an archive (PS3.8), held to bounds: pynetdicom, with what it leaves open closed.

Nagle's algorithm is off on every connection (with it each C-STORE waits 2 × 40 ms), PDUs have 128 KB, a PDU that says
it is longer is not read, and instances go to files as they arrive.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pynetdicom import AE, _config, build_context, dimse_messages, evt
from pynetdicom.presentation import PresentationContext

from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.pacs.transport import client_context
from flipnb.enclave.collector.quarantine import DiskFull, File, Incoming

PDU_BYTES = 131_072
MOST_CONTEXTS = 126
"""128 is the most (PS3.8, section 9.3.2.2); two are for the queries."""
AS_STORED = (
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2",  # implicit VR little endian
    "1.2.840.10008.1.2.4.90",  # JPEG 2000, lossless
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.70",  # JPEG, lossless, first-order prediction
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.4.201",  # HTJ2K
    "1.2.840.10008.1.2.4.203",
)
"""A context for each, so that an archive can send what it has as it is. Big endian is not asked for."""
USUAL_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX
    "1.2.840.10008.5.1.4.1.1.1.2",  # MG
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.128",  # PET
    "1.2.840.10008.5.1.4.1.1.20",  # NM
    "1.2.840.10008.5.1.4.1.1.6.1",  # US
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.7",  # SC
    "1.2.840.10008.5.1.4.1.1.12.1",  # XA
    "1.2.840.10008.5.1.4.1.1.66.4",  # SEG
    "1.2.840.10008.5.1.4.1.1.481.3",  # RTSTRUCT
    "1.2.840.10008.5.1.4.1.1.88.22",  # SR
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.67",
)
"""Where an archive does not say which classes a study has."""
_LONGEST = 1 << 20
"""Of one PDU, whoever agreed to what."""
_CONNECT_S = 20.0
_PAUSED_S = 0.1

OUT_OF_RESOURCES = 0xA700
NOT_OURS = 0xC000
SUCCESS = 0x0000

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_RESPONSE_IDENTIFIERS = _config.LOG_REQUEST_IDENTIFIERS = False
_config.STORE_RECV_CHUNKED_DATASET = True
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def storage_contexts(classes: Sequence[str]) -> list[PresentationContext]:
    """A context for each class and transfer syntax, as many as there may be; fewer syntaxes where classes are many."""
    syntaxes = AS_STORED[: max(1, MOST_CONTEXTS // max(1, len(classes)))]
    return [build_context(one, syntax) for one in classes for syntax in syntaxes][:MOST_CONTEXTS]


def application(title: str, patience_s: float) -> AE:
    """An application entity of ours with the collector's timeouts."""
    ours = AE(ae_title=title)
    ours.maximum_pdu_size = PDU_BYTES
    ours.acse_timeout = ours.connection_timeout = _CONNECT_S
    ours.dimse_timeout = ours.network_timeout = patience_s
    return ours


def associate(
    pacs: Pacs, folder: Path, contexts: Sequence[PresentationContext], *, roles: Sequence[Any], line: Line
) -> Any:
    """An association of ours with an archive, established or not. Raises FlipError ``bad-certificate``."""
    ours, theirs, host, port = pacs.dimse()
    tls = (client_context(pacs.tls, folder), pacs.tls.name or host) if pacs.tls is not None else None
    return application(ours, pacs.patience_s).associate(
        host,
        port,
        contexts=list(contexts),
        ae_title=theirs,
        max_pdu=PDU_BYTES,
        ext_neg=list(roles),
        tls_args=tls,
        evt_handlers=line.handlers(),
    )


_now = threading.local()
"""``spooling``: which series the message belongs to that this thread is decoding."""


class Spool:
    """What stands for pynetdicom's temporary file: an instance's file of the series that is being received.

    It never raises: where it did, pynetdicom's thread would end without a word. What went wrong is kept, the rest of
    the instance is thrown away, and the store's answer says so.
    """

    def __init__(self, **_: object) -> None:
        self.name = ""
        self.file = self
        self.incoming: Incoming | None = None
        self._target: File | None = None
        find: Callable[[], Incoming | None] | None = getattr(_now, "spooling", None)
        try:
            self.incoming = find() if find is not None else None
            self._target = self.incoming.file(hashed=False) if self.incoming is not None else None
        except Exception as error:
            self._fail(error)

    def write(self, piece: bytes) -> None:
        """The next bytes, the file meta among them."""
        if self._target is not None:
            try:
                self._target.write(piece)
            except Exception as error:
                self._fail(error)

    def flush(self) -> None:
        """Instances are synced when they are whole."""

    def close(self) -> None:
        """What is not finished by now does not become whole."""
        if self._target is not None:
            self._target.drop()

    def stored(self, name: str) -> int:
        """The instance of this UID is all here: the status of the answer to C-STORE (PS3.4, section B.2.3)."""
        if self._target is not None:
            try:
                self._target.finish(name)
            except Exception as error:
                self._fail(error)
        if self.incoming is None:
            return NOT_OURS
        if self.incoming.failed is None:
            return SUCCESS
        return OUT_OF_RESOURCES if isinstance(self.incoming.failed, DiskFull) else NOT_OURS

    def _fail(self, error: Exception) -> None:
        self.close()
        self._target = None
        if self.incoming is not None and self.incoming.failed is None:
            self.incoming.failed = error


setattr(dimse_messages, "NamedTemporaryFile", Spool)  # noqa: B010 (a name of its own imports, for mypy)


class _Paused(threading.Event):
    """In place of the event by which pynetdicom pauses an association's own thread: paused until it is killed.

    pynetdicom clears its event and looks whether the thread waits; the thread says so just before it looks at the
    event, and may then take an answer off the queue that somebody else waits for. It is gone then, and nobody is told:
    on a busy machine one of two studies with one accession number was. An association of ours needs that thread for
    nothing but its end: who uses it is told by the queue when the connection breaks, and lets go of one that lay idle.
    """

    def __init__(self, association: Any) -> None:
        super().__init__()
        self._association = association

    def set(self) -> None:
        """Whoever is done with a request would start the thread again."""

    def wait(self, timeout: float | None = None) -> bool:
        """Until the association is killed."""
        while not self._association._kill:
            time.sleep(_PAUSED_S)
        return True


class Line:
    """The connection under an association: what comes over it is bounded, and it can be cut from any thread.

    ``spooling``: the series to which a C-STORE belongs that comes in with this originator's message id, if any says so.
    """

    def __init__(self, spooling: Callable[[int | None], Incoming | None]) -> None:
        self._spooling = spooling
        self._association: Any = None
        self._left = 0

    def handlers(self) -> list[Any]:
        """For pynetdicom."""
        return [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_C_STORE, _stored)]

    def allow(self, size: int) -> None:
        """From now on so many bytes may come."""
        self._left = size

    def hang_up(self) -> None:
        """End the association as it should be, where it can be."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self.drop()

    def drop(self) -> None:
        """End the association without a word."""
        self.cut()
        if self._association is not None:
            self._association.kill()

    def cut(self) -> None:
        """Whoever waits for something from this association waits no longer."""
        association = self._association
        if association is None:
            return
        association.dimse.msg_queue.put((None, None))
        connection = association.dul.socket and association.dul.socket.socket
        if connection is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _opened(self, event: Any) -> None:
        self._association = association = event.assoc
        if association.is_requestor:
            association._reactor_checkpoint = _Paused(association)
        connection: socket.socket = association.dul.socket.socket
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        association.dul.socket.recv = lambda size: self._receive(connection, size)
        decode = association.dimse.receive_primitive

        def receive(primitive: Any) -> None:
            _now.spooling = lambda: self._spooling(_originator(association))
            try:
                decode(primitive)
            except Exception:
                # It would end pynetdicom's thread, and whoever waits for the association would wait for ever.
                self.cut()

        association.dimse.receive_primitive = receive

    def _receive(self, connection: socket.socket, size: int) -> bytearray:
        """``size`` bytes, fewer where the connection ends. Raises OSError for more than may come."""
        self._left -= size
        if size > _LONGEST or self._left < 0:
            raise OSError("the peer sends more than it may")
        content = bytearray(size)
        view, here = memoryview(content), 0
        while here < size:
            read = connection.recv_into(view[here:])
            if not read:
                view.release()
                del content[here:]
                break
            here += read
        return content


def _originator(association: Any) -> int | None:
    message = association.dimse.message
    number = getattr(message and message.command_set, "MoveOriginatorMessageID", None)
    return number if isinstance(number, int) else None


def _stored(event: Any) -> int:
    spool = event.request._dataset_file
    return spool.stored(str(event.request.AffectedSOPInstanceUID)) if isinstance(spool, Spool) else NOT_OURS
