"""Where an archive sends what a C-MOVE asked for: a storage SCP of ours, one for each port of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from pynetdicom import StoragePresentationContexts, build_context, evt

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.pacs.associations import AS_STORED, Line, application
from flipnb.enclave.collector.pacs.transport import server_context
from flipnb.enclave.collector.quarantine import Incoming


class Receiver:
    """Takes instances that a move of ours asked for, told apart by the move's message id; all others are refused.

    An archive that does not say whose move it is (it need not: PS3.7, section 9.3.1.1) is believed while there is only
    one. It must show our AE title, and its certificate where TLS is configured.
    """

    _all: ClassVar[dict[int, Receiver]] = {}
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, pacs: Pacs, folder: Path) -> None:
        assert pacs.listen_port is not None
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._expected: dict[int, Incoming] = {}
        self._most_bytes = int(pacs.most_gigabytes * 1e9) + (1 << 20)
        title, theirs, _, _ = pacs.dimse()
        ours = application(title, pacs.patience_s)
        ours.require_called_aet = True
        ours.require_calling_aet = [theirs]
        ours.maximum_associations = 2 * pacs.connections
        contexts = [build_context(str(one.abstract_syntax), list(AS_STORED)) for one in StoragePresentationContexts]
        try:
            self._server: Any = ours.start_server(
                (pacs.listen, pacs.listen_port),
                block=False,
                ssl_context=server_context(pacs.tls, folder) if pacs.tls is not None else None,
                evt_handlers=[(evt.EVT_CONN_OPEN, self._opened), *Line(self._for).handlers()[1:]],
                contexts=contexts,
            )
        except OSError as error:
            raise FlipError(
                "port-taken", f"The collector can't listen on {pacs.listen}:{pacs.listen_port}: {error.strerror}."
            ) from None

    @classmethod
    def of(cls, pacs: Pacs, folder: Path) -> Receiver:
        """This process's receiver on the archive's port. Raises FlipError ``port-taken``."""
        assert pacs.listen_port is not None
        with cls._making:
            if pacs.listen_port not in cls._all:
                cls._all[pacs.listen_port] = cls(pacs, folder)
            return cls._all[pacs.listen_port]

    @classmethod
    def close_all(cls) -> None:
        """Stop listening."""
        with cls._making:
            while cls._all:
                cls._all.popitem()[1]._server.shutdown()

    @contextmanager
    def expecting(self, into: Incoming) -> Iterator[int]:
        """The message id for a move whose instances go to ``into`` until the block ends."""
        with self._lock:
            number = next(self._numbers) % 65_535 + 1
            self._expected[number] = into
        try:
            yield number
        finally:
            with self._lock:
                del self._expected[number]

    def _for(self, originator: int | None) -> Incoming | None:
        with self._lock:
            if originator is None and len(self._expected) == 1:
                return next(iter(self._expected.values()))
            return self._expected.get(originator or 0)

    def _opened(self, event: Any) -> None:
        line = Line(self._for)
        line.allow(self._most_bytes)
        line.handlers()[0][1](event)
