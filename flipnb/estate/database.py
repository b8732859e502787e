"""An estate's tables to read: a version in DuckDB, or a Trust's PostgreSQL server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from flipnb.contracts.problem import FlipError
from flipnb.estate.postgresql import connect, current_version, read_version, with_values
from flipnb.estate.versions import Bounds, Estate
from flipnb.records.database import Database, DuckDatabase, by_table

if TYPE_CHECKING:
    import duckdb
    import psycopg

BY_CONCEPT = "by_concept"
"""The schema of what ``cohort.by_concept`` writes: copies of clinical tables, and of what is asked of a vocabulary."""


class Copies(Enum):
    """What copies of clinical tables, by concept, a database has."""

    NONE = 0
    """As a Trust's server has, and a version of an earlier release, whose copies lack something."""
    RECORDS = 1
    WITH_PERIODS = 2
    """Each record with the one observation period that its start is in."""


_PAGE = 10_000
_MISSING = re.compile(
    r"(?:Table with name|relation|column) \"?([\w.]+)\"? does not exist|does not have a column named \"(\w+)"
)


class EstateDatabase(Database, Protocol):
    """SQL is in the database's own dialect. Rows come a page at a time.

    Raises FlipError ``estate-incomplete`` for a table that is not there.
    """

    dialect: Literal["duckdb", "postgres"]
    version: str
    """The estate version that is read; empty where there are none."""

    @property
    def copies(self) -> Copies:
        """What copies by concept there are to ask instead of the clinical tables."""
        ...


@contextmanager
def reading(
    estate: Path | str, version: str | None = None, *, bounds: Bounds | None = None
) -> Iterator[EstateDatabase]:
    """The current version of an estate's directory, or the tables behind a ``postgresql://`` address.

    Raises FlipError ``no-estate``, ``unknown-version``, ``database-away``.
    """
    if str(estate).startswith(("postgresql://", "postgres://")):
        with _postgresql(str(estate)) as connection:
            # A server that flip has not filled has its tables where its own search path finds them.
            found = version or current_version(connection)
            if found is not None:
                read_version(connection, found)
            yield _PostgresqlDatabase(connection, found or "")
        return
    opened = Estate.open(Path(estate), bounds)
    current = version or opened.current()
    if current is None:
        raise FlipError(
            "no-estate", f"{estate} holds no estate version.", remedy="Fill it with flip estate load.", status=404
        )
    with opened.reading(current) as connection:
        yield DuckDBDatabase(connection, current)


class DuckDBDatabase(DuckDatabase):
    """One version of an estate, over a connection of its own; ``version`` is empty where there are none."""

    dialect: Literal["duckdb", "postgres"] = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection, version: str = "") -> None:
        super().__init__(connection)
        self.version = version
        self._running = connection

    def interrupt(self) -> None:
        """Have what runs now, if anything does, raise ``duckdb.InterruptException``; from another thread."""
        self._connection.interrupt()
        self._running.interrupt()

    @cached_property
    def copies(self) -> Copies:
        """What copies by concept the version was written with; asked once."""
        import duckdb

        try:
            # The catalog's own tables take longer to ask than a small cohort.
            self._connection.execute(
                f"SELECT op_start_date FROM {BY_CONCEPT}.condition_occurrence, {BY_CONCEPT}.vocabulary LIMIT 0"
            )
        except duckdb.CatalogException:
            return Copies.NONE
        except duckdb.BinderException:
            return Copies.RECORDS
        return Copies.WITH_PERIODS

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows are fetched by the page. Raises FlipError ``estate-incomplete`` for a table that is not there."""
        import duckdb

        try:
            self._running = self._connection.cursor()
            cursor = self._running.execute(sql, list(values))
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise incomplete(error) from None
        while page := cursor.fetchmany(_PAGE):
            yield from page


class _PostgresqlDatabase:
    dialect: Literal["duckdb", "postgres"] = "postgres"
    copies = Copies.NONE

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], version: str = "") -> None:
        self._connection = connection
        self.version = version

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        from psycopg import errors
        from psycopg.sql import SQL

        # A cursor on the server, so that a large cohort does not come at once.
        with closing(self._connection.cursor("flip")) as cursor:
            cursor.itersize = _PAGE
            try:
                if values:
                    cursor.execute(with_values(sql), list(values))
                else:
                    cursor.execute(SQL(sql))
            except (errors.UndefinedTable, errors.UndefinedColumn) as error:
                raise incomplete(error) from None
            yield from cursor

    def columns(self) -> Mapping[str, frozenset[str]]:
        return by_table(
            self.rows(
                "SELECT table_name, column_name FROM information_schema.columns "
                "WHERE table_schema = ANY (current_schemas(false))"
            )
        )


@contextmanager
def _postgresql(address: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """One read-only transaction, so that all queries see the same data."""
    import psycopg

    with connect(address) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def incomplete(error: Exception) -> FlipError:
    """``estate-incomplete`` for an engine's word that a table or column is not there; raises any other ``error``."""
    found = _MISSING.search(str(error))
    if found is None:
        raise error
    return FlipError("estate-incomplete", f"The estate has no {found[1] or found[2]}, which the question reads.")
