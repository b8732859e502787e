"""What ends a statement that takes too long: a thread that interrupts its connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_AGAIN_S = 0.02
"""An interrupt between two statements is lost; the next one gets its own."""


class Interruptible(Protocol):
    """A connection, as DuckDB has it, or what has several."""

    def interrupt(self) -> None:
        """Stop the statement that runs, if one does."""
        ...


@contextmanager
def interrupted(after: float, *connections: Interruptible) -> Iterator[None]:
    """Whatever runs on the connections ``after`` so many seconds raises ``duckdb.InterruptException``."""
    over = threading.Event()

    def watch() -> None:
        if not over.wait(max(0.0, after)):
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
