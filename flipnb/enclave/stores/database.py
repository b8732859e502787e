"""One SQLite file of an enclave: every commit is on disk before it returns, and threads take turns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError
from flipnb.files import migrations
from flipnb.files.migrations import Step, WrongSchema


class Database:
    """All methods may be called from any thread."""

    def __init__(self, path: Path, steps: Sequence[Step], *, upgrade: bool = True, older: bool = False) -> None:
        """Open ``path``, brought to the schema of the last of ``steps``; or, without ``upgrade``, as it is.

        Raises FlipError ``newer-store``, and ``older-store`` (only without ``upgrade``, and not where an ``older``
        schema may be looked at), ``damaged-store`` and ``disk-full``.
        """
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        try:
            if path.exists():  # else it is in memory
                path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            if upgrade:
                migrations.upgrade(self._db, path, steps)
            elif not (older and 0 < migrations.schema_of(self._db) <= len(steps)):
                migrations.require(self._db, path, steps)
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.row_factory = sqlite3.Row
        except BaseException as error:
            self._db.close()
            if isinstance(error, WrongSchema):
                raise _wrong_schema(error) from None
            if is_full(error):
                raise disk_full("this Trust's") from None
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                raise FlipError(
                    "damaged-store",
                    f"{path} is damaged: {error}.",
                    remedy="`flip enclave doctor` says what to do.",
                    status=500,
                ) from None
            raise

    def close(self) -> None:
        """Close the file; no method may be called after it."""
        with self._lock:
            self._db.close()

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
    """This moment, as the stores write moments."""
    return text_of(datetime.now(UTC))


def exact_now() -> str:
    """This moment to the microsecond, where an order is read from it: two runs may start within one second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _wrong_schema(error: WrongSchema) -> FlipError:
    if error.found < error.known:
        return FlipError(
            "older-store",
            f"{error.path} has the schema {error.found} of an older FLIP; this one works with schema {error.known}.",
            remedy="Start the agent: it brings the file up to date and keeps a copy of it.",
            status=503,
        )
    return FlipError(
        "newer-store",
        f"{error.path} has the schema {error.found} of a newer FLIP; this one knows schema {error.known} at most.",
        remedy="Install the newer FLIP again. Nothing was changed.",
        status=500,
    )
