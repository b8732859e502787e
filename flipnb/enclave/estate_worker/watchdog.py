"""What ends a statement that takes too long: a thread that interrupts its connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOOK_S = 0.05
_AGAIN_S = 0.02
"""An interrupt between two statements is lost; the next one gets its own."""


class Interruptible(Protocol):
    """A connection, as DuckDB has it, or what has several."""

    def interrupt(self) -> None:
        """Stop the statement that runs, if one does."""
        ...


@contextmanager
def interrupted(after: float, *connections: Interruptible, cpu: float | None = None) -> Iterator[None]:
    """Whatever runs on the connections ``after`` so many seconds, or so many of a processor (``cpu``) of this process,
    raises ``duckdb.InterruptException``."""
    over = threading.Event()
    end, began = time.monotonic() + after, time.process_time()

    def late() -> bool:
        spent = time.process_time() - began
        return time.monotonic() >= end or (cpu is not None and spent >= cpu)

    def watch() -> None:
        while not late():
            pause = max(0.0, end - time.monotonic())
            if over.wait(pause if cpu is None else min(pause, _LOOK_S)):
                return
        while not over.wait(_AGAIN_S):
            for connection in connections:
                connection.interrupt()

    watching = threading.Thread(target=watch, name="watchdog", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
