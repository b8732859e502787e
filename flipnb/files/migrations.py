"""Numbered migrations of a SQLite file: step n makes schema n out of schema n - 1, in one transaction.

The number is the file's ``user_version``, 0 where it is new. A process that is killed, whenever it is, leaves the file
whole, at a number; the next one goes on from there. Before an upgrade's first step the file is copied beside itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

Step = str | Callable[[sqlite3.Connection], None]
"""SQL statements, each ended by a semicolon, or what makes them. Neither begins nor ends a transaction."""


class WrongSchema(Exception):
    """The file has another schema than the code knows: ``found`` instead of ``known``."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(f"{path} has schema {found}, not {known}")
        self.path, self.found, self.known = path, found, known


def schema_of(db: sqlite3.Connection) -> int:
    """The number of the file's schema."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    return int(found)


def require(db: sqlite3.Connection, path: Path, steps: Sequence[Step]) -> None:
    """Change nothing; raise WrongSchema where the schema is not that of the last of ``steps``."""
    found = schema_of(db)
    if found != len(steps):
        raise WrongSchema(path, found, len(steps))


def upgrade(db: sqlite3.Connection, path: Path, steps: Sequence[Step]) -> None:
    """Apply those of ``steps`` that the file lacks. ``db`` is a connection to ``path`` that commits by itself.

    Raises WrongSchema where the file is of a newer version; it is not touched then. Foreign keys are off afterwards.
    """
    found = schema_of(db)
    if found > len(steps):
        raise WrongSchema(path, found, len(steps))
    if 0 < found < len(steps):
        _keep(db, path, found)
    db.execute("PRAGMA foreign_keys=OFF")  # a table that others refer to may be made anew
    for number, step in enumerate(steps[found:], found + 1):
        _apply(db, path, number, step)


def copy_of(path: Path, schema: int) -> Path:
    """Where an upgrade leaves the file as it was with ``schema``."""
    return path.with_name(f"{path.name}.schema-{schema}")


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Statement by statement, within the transaction that is open (``executescript`` would commit it)."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


def _apply(db: sqlite3.Connection, path: Path, number: int, step: Step) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        if schema_of(db) == number - 1:  # else another process was faster
            if isinstance(step, str):
                run_script(db, step)
            else:
                step(db)
            if lost := db.execute("PRAGMA foreign_key_check").fetchall():
                raise sqlite3.IntegrityError(f"step {number} of {path} leaves {len(lost)} rows that refer to nothing")
            db.execute(f"PRAGMA user_version={number}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _keep(db: sqlite3.Connection, path: Path, schema: int) -> None:
    """Copy the file as it is with ``schema``, while nobody else can upgrade it; not where somebody just has."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if schema_of(db) == schema:
            with closing(sqlite3.connect(path)) as reader:  # SQLite copies nothing over a connection that may write
                _copy(reader, copy_of(path, schema))
    finally:
        db.execute("ROLLBACK")


def _copy(db: sqlite3.Connection, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        partial.touch(mode=0o600)
        with closing(sqlite3.connect(partial)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the file itself is: SQLite syncs what it commits
        finally:
            os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
