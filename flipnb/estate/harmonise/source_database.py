"""A Trust's own database as a source: a query's rows, written to a file that is then read like any other."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError

_PAGE = 10_000


def is_database(source: str) -> bool:
    """Whether a source is a PostgreSQL address, or a file of DuckDB or SQLite."""
    return source.startswith(("postgresql://", "postgres://")) or Path(source).suffix.lower() in _FILES


def write_query(source: str, query: str, columns: tuple[str, ...], target: Path) -> None:
    """The rows of a query as CSV with a header, null as nothing.

    The database is opened for reading only, and reached alone: of a file the query can't read or write another one,
    nor fetch anything. At a server it may what the address's role may.
    Raises FlipError ``no-source``, ``bad-query``, ``bad-header`` where the query's columns are not ``columns``.
    """
    with _asked(source, query) as (names, rows):
        if names != columns:
            raise FlipError(
                "bad-header",
                f"The query for {target.name} gives the columns {', '.join(names)}, not those of the mapping.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(["" if value is None else value for value in row] for row in rows)


@contextmanager
def _asked(source: str, query: str) -> Iterator[tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]]:
    import duckdb
    import psycopg

    try:
        if source.startswith(("postgresql://", "postgres://")):
            with psycopg.connect(source) as connection, closing(connection.cursor("flip")) as cursor:
                connection.read_only = True
                cursor.itersize = _PAGE
                cursor.execute(query.encode())
                yield tuple(column.name for column in cursor.description or ()), cursor
            return
        if not Path(source).is_file():
            raise FlipError("no-source", f"{source} is not there.", status=404)
        with _FILES[Path(source).suffix.lower()](source) as found:
            cursor = found.execute(query)
            if cursor.description is None:
                raise FlipError("bad-query", "The query gives no rows.")
            yield tuple(column[0] for column in cursor.description), _pages(cursor)
    except (psycopg.Error, duckdb.Error, sqlite3.Error) as error:
        raise FlipError("bad-query", f"The source's database refused: {str(error).splitlines()[0]}") from None


def _pages(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while page := cursor.fetchmany(_PAGE):
        yield from page


@contextmanager
def _duckdb(path: str) -> Iterator[Any]:
    import duckdb

    # Without these a query writes files (COPY), reads any (read_text), and installs extensions from the Internet.
    closed: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    with duckdb.connect(path, read_only=True, config=closed) as connection:
        yield connection


@contextmanager
def _sqlite(path: str) -> Iterator[Any]:
    with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # of ATTACH and VACUUM INTO, which write other files
        yield connection


_FILES = {".duckdb": _duckdb, ".sqlite": _sqlite, ".sqlite3": _sqlite, ".db": _sqlite}
