"""An estate version while it is written: a DuckDB file that grows by one source file per transaction.

Beside the CDM's tables, a version holds ``flip_source`` (one row per file: which mapping in which version read it, who
reviewed that mapping) and ``flip_reject`` (rows that were not loaded). Every row of the CDM's tables, and of
``image_file``, names its file in the last column, ``flip_source_id``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.omop.cdm import Dialect, Table, own_tables, tables
from flipnb.estate.versions import CONFIG

if TYPE_CHECKING:
    import duckdb

SOURCE_ID = "flip_source_id"
PROVENANCE = f"{SOURCE_ID} INTEGER"
MEMORY = "2GB"
"""What DuckDB may hold in memory during a load; the rest is spilled beside the version."""

_WATCH_S = 5.0

_SOURCE_COLUMNS = (
    "source_id INTEGER, feed VARCHAR, file VARCHAR, digest VARCHAR, mapping VARCHAR, mapping_version VARCHAR, "
    "reviewer VARCHAR, row_count BIGINT, reject_count BIGINT, ignored_columns VARCHAR"
)
_REJECT_COLUMNS = 'source_id INTEGER, file VARCHAR, line BIGINT, "column" VARCHAR, reason VARCHAR, "value" VARCHAR'


@dataclass(frozen=True)
class SourceRecord:
    """A row of ``flip_source``, but for its counts. ``feed`` is the mapping whose loads replace each other."""

    feed: str
    file: str
    digest: str
    mapping: str
    mapping_version: str
    reviewer: str | None

    def identity(self) -> list[str]:
        """What must be the same for a file's rows to stay: its columns as text."""
        return [self.feed, self.file, self.digest, self.mapping, self.mapping_version, self.reviewer or ""]


@dataclass
class Loading:
    """One source file under way: what its transaction will say about it."""

    source_id: int
    rows: int = 0
    rejects: list[Reject] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def metadata_ddl(schema: str = "", dialect: Dialect = "duckdb") -> list[str]:
    """``CREATE TABLE`` of flip_source and flip_reject."""
    prefix = f"{schema}." if schema else ""
    return [
        f"CREATE TABLE {prefix}flip_source ({_SOURCE_COLUMNS})",
        f"CREATE TABLE {prefix}flip_reject ({_REJECT_COLUMNS})",
    ]


def configuration(path: Path, memory: str) -> dict[str, str | bool | int | float | list[str]]:
    """DuckDB's, for writing a version at ``path``."""
    return {
        **CONFIG,
        "memory_limit": memory,
        "threads": os.cpu_count() or 1,
        "temp_directory": str(path.with_name("spill")),
        "preserve_insertion_order": False,
    }


def filled_tables() -> dict[str, Table]:
    """The tables of a version whose rows each name their source, by name: the CDM's and our own."""
    return {**tables(), **own_tables()}


def estate_tables() -> tuple[str, ...]:
    """The names of all tables of a version."""
    return (*filled_tables(), "flip_source", "flip_reject")


class Build:
    """``connection`` is open while the build is; see ``open``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, memory: str) -> None:
        self.connection, self.memory = connection, memory

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, memory: str = MEMORY) -> Iterator[Build]:
        """A new build at ``path``, or the one that is there, as its last whole transaction left it."""
        import duckdb

        with duckdb.connect(str(path), config=configuration(path, memory)) as connection:
            connection.execute("SET enable_progress_bar=true; SET enable_progress_bar_print=false")
            build = cls(connection, memory)
            build._create()
            yield build
            connection.execute("CHECKPOINT")

    def done(self) -> dict[tuple[str, str], int]:
        """The files that are in whole: (feed, file) → source id."""
        rows = self.connection.execute("SELECT feed, file, source_id FROM flip_source").fetchall()
        return {(feed, file): int(source_id) for feed, file, source_id in rows}

    @contextmanager
    def file(self, record: SourceRecord) -> Iterator[Loading]:
        """One transaction: everything of this file, or nothing."""
        with self.together([record]) as (loading,):
            yield loading

    @contextmanager
    def together(self, records: Sequence[SourceRecord]) -> Iterator[list[Loading]]:
        """One transaction for several files."""
        first = self._scalar("SELECT coalesce(max(source_id), 0) + 1 FROM flip_source")
        loadings = [Loading(number) for number in range(first, first + len(records))]
        self.connection.execute("BEGIN")
        try:
            yield loadings
            for record, loading in zip(records, loadings, strict=True):
                self._record(record, loading)
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def watched(self, stage: str, progress: Callable[[str, int], None]) -> Iterator[None]:
        """Tell how many percent of a long query are through, now and then, under ``stage`` and a percent sign."""
        ended = threading.Event()

        def watch() -> None:
            told = 0
            while not ended.wait(_WATCH_S):
                percent = int(self.connection.query_progress())
                if percent > told:
                    told = percent
                    progress(f"{stage} %", percent)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def keep(self, previous: Path, records: Iterable[SourceRecord]) -> None:
        """Copy what an earlier version holds of unchanged files, one transaction per file set."""
        wanted = [record for record in records if (record.feed, record.file) not in self.done()]
        if not wanted:
            return
        self.connection.execute(f"ATTACH '{_literal(previous)}' AS previous (READ_ONLY)")
        try:
            self.connection.execute("BEGIN")
            first = self._scalar("SELECT coalesce(max(source_id), 0) FROM flip_source")
            self.connection.execute("CREATE TEMP TABLE kept (old INTEGER, new INTEGER)")
            for number, record in enumerate(wanted, start=first + 1):
                self.connection.execute(
                    "INSERT INTO kept SELECT source_id, ? FROM previous.flip_source WHERE feed = ? AND file = ?",
                    [number, record.feed, record.file],
                )
            found = self.connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'previous'")
            there = {name for (name,) in found.fetchall()}
            for table in filled_tables().values():
                if table.name not in there:
                    # A version of an earlier release, which knew fewer tables.
                    continue
                columns = ", ".join(f"p.{field.quoted}" for field in table.fields)
                self.connection.execute(
                    f"INSERT INTO {table.name} SELECT {columns}, kept.new FROM previous.{table.name} p "
                    f"JOIN kept ON kept.old = p.{SOURCE_ID}"
                )
            for name in ("flip_source", "flip_reject"):
                self.connection.execute(
                    f"INSERT INTO {name} SELECT kept.new, p.* EXCLUDE (source_id) FROM previous.{name} p "
                    "JOIN kept ON kept.old = p.source_id"
                )
            self.connection.execute("DROP TABLE kept")
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        finally:
            self.connection.execute("DETACH previous")

    def insert(self, table: Table, loading: Loading, rows: list[dict[str, Any]]) -> None:
        """Append rows by column name; what a row does not name is null."""
        if not rows:
            return
        named = [field for field in table.fields if any(field.name in row for row in rows)]
        lists = ", ".join(f"unnest(?::{field.type}[])" for field in named)
        columns = ", ".join(field.quoted for field in named)
        values = [[row.get(field.name) for row in rows] for field in named]
        self.connection.execute(
            f"INSERT INTO {table.name} ({columns}, {SOURCE_ID}) SELECT {lists}, {loading.source_id}", values
        )

    def counts(self) -> dict[str, int]:
        """Rows per table, tables without rows left out."""
        counts = {name: self.count(name) for name in tables()}
        return {name: count for name, count in counts.items() if count}

    def count(self, name: str) -> int:
        """The number of rows of a table."""
        return self._scalar(f"SELECT count(*) FROM {name}")

    def rates(self) -> tuple[int, int]:
        """Rows read and rows rejected, of all files but images: one that is held back ends no load."""
        row = self.connection.execute(
            "SELECT coalesce(sum(row_count + reject_count), 0), coalesce(sum(reject_count), 0) FROM flip_source "
            "WHERE feed <> 'images'"
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def rejects(self, limit: int) -> list[Reject]:
        """The first rejects, file by file."""
        rows = self.connection.execute(
            'SELECT file, line, "column", reason, "value" FROM flip_reject ORDER BY source_id, line LIMIT ?', [limit]
        ).fetchall()
        return [Reject(*row) for row in rows]

    def write_rejects(self, path: Path) -> None:
        """All rejects as CSV: file, line, column, reason, value."""
        self.connection.execute(
            'COPY (SELECT file, line, "column", reason, "value" FROM flip_reject ORDER BY source_id, line) '
            f"TO '{_literal(path)}' (HEADER)"
        )

    def _create(self) -> None:
        """Tables that are not there; a build that an earlier release began may lack some."""
        self.connection.execute("BEGIN")
        for table in filled_tables().values():
            # Keys and NOT NULL are checked by the quality report: an index over 100 million rows fits in no memory.
            if not self._known(table.name):
                self.connection.execute(table.ddl(checked=False, extra=(PROVENANCE,)))
        if not self._known("flip_source"):
            for statement in metadata_ddl():
                self.connection.execute(statement)
        self.connection.execute("COMMIT")

    def _record(self, record: SourceRecord, loading: Loading) -> None:
        self.connection.execute(
            "INSERT INTO flip_source VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                loading.source_id,
                *record.identity()[:5],
                record.reviewer,
                loading.rows,
                len(loading.rejects),
                ", ".join(loading.ignored) or None,
            ],
        )
        if loading.rejects:
            columns = [list(column) for column in zip(*(reject.row() for reject in loading.rejects), strict=True)]
            self.connection.execute(
                f"INSERT INTO flip_reject SELECT {loading.source_id}, unnest(?::VARCHAR[]), unnest(?::BIGINT[]), "
                "unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
                columns,
            )

    def _known(self, table: str) -> bool:
        return bool(
            self.connection.execute(
                "SELECT 1 FROM information_schema.tables WHERE table_name = ? AND table_schema = 'main'", [table]
            ).fetchone()
        )

    def _scalar(self, query: str) -> int:
        row = self.connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")
