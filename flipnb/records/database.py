"""Where OMOP tables are read from: a frozen cohort, an estate; tables and columns that are not there are empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import duckdb


class Database(Protocol):
    """A read-only connection. SQL has ``?`` for values."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]:
        """The rows of one query; they may be read once."""
        ...

    def columns(self) -> Mapping[str, frozenset[str]]:
        """The tables that can be read, each with its columns, by their names in small letters."""
        ...


class DuckDatabase:
    """A DuckDB connection; ``schema`` is ``catalog.schema`` or a schema's name, and holds the tables."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, schema: str | None = None) -> None:
        self._connection = connection
        self._schema = schema

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]:
        """All rows of one query, on a cursor of its own, so that threads may ask at once."""
        cursor = self._connection.cursor()
        if self._schema is not None:
            cursor.execute(f"SET schema = '{self._schema}'")
        return cursor.execute(sql, list(values)).fetchall()

    def columns(self) -> Mapping[str, frozenset[str]]:
        """Tables and views of the schema with their columns, all in lower case."""
        return by_table(
            self.rows(
                "SELECT table_name, column_name FROM duckdb_columns() "
                "WHERE database_name = current_database() AND schema_name = current_schema()"
            )
        )


def by_table(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, frozenset[str]]:
    """Rows of a table's name and a column's, as ``Database.columns`` has them."""
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(str(table).lower(), set()).add(str(column).lower())
    return {table: frozenset(names) for table, names in found.items()}
