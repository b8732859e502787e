"""One SQLite file of an enclave: every commit is on disk before it returns, and threads take turns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError


class Database:
    """All methods may be called from any thread."""

    def __init__(self, path: Path, *, schema: str, version: int) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        self._db.row_factory = sqlite3.Row
        if path.exists():  # else it is in memory
            path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version={version}; COMMIT;")
        elif found != version:
            raise FlipError(
                "newer-store", f"{path} was written by another version of FLIP (schema {found}).", status=500
            )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def changes(self) -> int:
        """Rises with every row that this process writes."""
        return self._db.total_changes

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """On disk at its end, or undone; part of the one that is open. Raises FlipError ``disk-full``."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if is_full(error):
                    raise disk_full("this Trust's") from None
                raise

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row."""
        with self._lock:
            row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Every row."""
        with self._lock:
            return self._db.execute(query, values).fetchall()


def text_of(moment: datetime) -> str:
    """Sorts as the moments do: always UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text_now() -> str:
    return text_of(datetime.now(UTC))
