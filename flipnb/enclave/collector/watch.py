"""Nobody waits for an archive for ever: one that gives nothing for too long is cut off, as is everybody at a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flipnb.enclave.collector.pacs.archive import Archive, Away, NotGiven
from flipnb.enclave.collector.quarantine import Incoming, Stopped

_LOOK_S = 0.25


class Watched:
    """An archive in use by one thread, looked at by another."""

    def __init__(self, archive: Archive, patience_s: float) -> None:
        self.archive = archive
        self._patience_s = patience_s
        self._heard = 0.0
        self._incoming: Incoming | None = None
        self._waits = False
        self._late = False
        self._stopped = False

    def touch(self) -> None:
        """Something came."""
        self._heard = time.monotonic()

    @contextmanager
    def waiting(self, incoming: Incoming | None = None) -> Iterator[None]:
        """While the block asks the archive. Raises NotGiven where it was cut off for being late, Stopped at a stop."""
        self.touch()
        self._incoming, self._late, self._waits = incoming, False, True
        try:
            if self._stopped:
                raise Stopped
            yield
        except (Away, NotGiven, OSError, RuntimeError, ValueError) as error:
            # RuntimeError, ValueError: pynetdicom's, of an association that is gone or has no such context.
            if self._stopped:
                raise Stopped from None
            if self._late:
                self.archive.close()
                raise NotGiven(f"it sent nothing whole for {self._patience_s:g} s") from None
            if isinstance(error, RuntimeError | ValueError):
                self.archive.close()
                raise Away(f"{type(error).__name__}: {error}"[:200]) from None
            raise
        finally:
            self._waits, self._incoming = False, None

    def stop(self) -> None:
        """From another thread: whoever waits for the archive, or will, waits no more."""
        self._stopped = True
        if self._waits:
            self.archive.cut()

    def look(self) -> None:
        """From another thread: cut off an archive that is late."""
        incoming = self._incoming
        heard = max(self._heard, incoming.heard) if incoming is not None else self._heard
        if self._waits and not self._late and time.monotonic() - heard > self._patience_s:
            self._late = True
            self.archive.cut()


@contextmanager
def looked_after(watched: Watched) -> Iterator[None]:
    """Have a thread look while the block runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            watched.look()

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
