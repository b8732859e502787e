"""SQLite in WAL mode, fully synchronous, with short transactions from one thread.

The hub's event loop is the only user of the one connection, and nothing is awaited inside a transaction, so that no
two transactions ever meet and no lock is waited for. What a request changed is on disk before it is acknowledged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Database:
    """The hub's database file, brought to the newest schema when it is opened."""

    def __init__(self, path: Path, committed: Callable[[Session], None] = lambda session: None) -> None:
        """``committed`` is called after each transaction that is on disk."""
        self._committed = committed
        self.engine = _engine(path)
        with self.engine.connect() as connection:
            migrate(connection)
        self._busy = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """BEGIN IMMEDIATE … COMMIT; rolls back where the block raises. Never await within the block."""
        if self._busy:
            raise RuntimeError("a transaction is open already: something was awaited within it")
        self._busy = True
        try:
            with Session(self.engine, expire_on_commit=False) as session:
                with session.begin():
                    yield session
                self._committed(session)
        finally:
            self._busy = False

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": True, "timeout": 10}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN is off: ours below is IMMEDIATE
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest revision of ``flipnb/hub/migrations``."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
    connection.commit()
