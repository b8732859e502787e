"""What loads of images have read: a database beside the archive, so that no file is released twice.

``ESTATE/images/intake.db`` holds what headers say of people and never leaves the enclave. A load that was killed goes
on after the last batch that is written here; the archive has its files by then.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from flipnb.estate.imaging.loading.headers import Header

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (sha256 TEXT PRIMARY KEY, study TEXT NOT NULL, name TEXT NOT NULL,
    header TEXT NOT NULL, recipe TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_by_study ON file (study);
CREATE TABLE IF NOT EXISTS outcome (sha256 TEXT NOT NULL, recipe TEXT NOT NULL, outcome TEXT NOT NULL,
    PRIMARY KEY (sha256, recipe)) WITHOUT ROWID;
"""
_NAME = "SELECT name, header FROM file WHERE sha256 = ?"
_OUTCOME = "SELECT outcome FROM outcome JOIN file USING (sha256, recipe) WHERE sha256 = ?"
State = Literal["released", "quarantined", "refused"]


@dataclass(frozen=True)
class Released:
    """What became of a file under one policy, key and person: ``sha256`` is the archive's, where it was released.

    ``facts`` are ``deidentify.Facts``' and ``features`` are ``headers.read_features``', each by name.
    """

    state: State
    reason: str = ""
    sha256: str = ""
    bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """A file that was given to a load, its header, and what became of it."""

    name: str
    header: Header
    outcome: Released


class Catalogue:
    """One process at a time: that of a load, which holds the estate's lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def find(self, sha256: str, recipe: str) -> Released | None:
        """What became of a file by a recipe; None where it was not released yet."""
        row = self._connection.execute(
            "SELECT outcome FROM outcome WHERE sha256 = ? AND recipe = ?", [sha256, recipe]
        ).fetchone()
        return None if row is None else Released(**json.loads(row[0]))

    def keep(self, recipes: Iterable[tuple[str, Given]]) -> None:
        """Files with what became of each by a recipe, which is what counts from now on: all of them, or none."""
        with self._written():
            for recipe, given in recipes:
                header = given.header
                self._connection.execute(
                    "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)",
                    [header.sha256, header.study, given.name, json.dumps(asdict(header)), recipe],
                )
                self._connection.execute(
                    "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?)",
                    [header.sha256, recipe, json.dumps(asdict(given.outcome))],
                )

    def choose(self, recipes: Iterable[tuple[str, str, Header]]) -> None:
        """Of files that are known, the name, the recipe and what the header says, as they are from now on."""
        with self._written():
            self._connection.executemany(
                "UPDATE file SET name = ?, recipe = ?, header = ? WHERE sha256 = ?",
                ((name, recipe, json.dumps(asdict(header)), header.sha256) for name, recipe, header in recipes),
            )

    def of_study(self, study: str) -> list[Given]:
        """Every file of a study that was ever given, by its SHA-256, with what became of it."""
        rows = self._connection.execute(
            "SELECT name, header, outcome FROM file JOIN outcome USING (sha256, recipe) WHERE study = ? "
            "ORDER BY sha256",
            [study],
        )
        return [Given(name, Header(**json.loads(header)), Released(**json.loads(out))) for name, header, out in rows]

    def names(self, wanted: Iterable[str]) -> dict[str, str]:
        """Of files that are known: their names by SHA-256."""
        rows = ((sha, self._connection.execute(_NAME, [sha]).fetchone()) for sha in wanted)
        return {sha: row[0] for sha, row in rows if row is not None}

    def headers(self, wanted: Iterable[str]) -> dict[str, Header]:
        """Of files that are known: their headers by SHA-256."""
        rows = ((sha, self._connection.execute(_NAME, [sha]).fetchone()) for sha in wanted)
        return {sha: Header(**json.loads(row[1])) for sha, row in rows if row is not None}

    def settled(self, wanted: Iterable[str]) -> list[str]:
        """Of files that are known: those that are not held back any more."""
        rows = ((sha, self._connection.execute(_OUTCOME, [sha]).fetchone()) for sha in wanted)
        return [sha for sha, row in rows if row is not None and json.loads(row[0])["state"] != "quarantined"]

    @contextmanager
    def _written(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
