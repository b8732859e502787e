"""An estate version's tables without a row: what a statement says of itself, before a record is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flipnb.estate.versions import CONFIG

if TYPE_CHECKING:
    import duckdb

_MEMORY = "256MB"
_COLUMNS = """
SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()
WHERE NOT internal AND database_name = current_database() ORDER BY schema_name, table_name, column_index
"""


def empty_copy(version: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A database in memory with the schemas, tables and columns of ``version``, and nothing in them."""
    import duckdb

    empty = duckdb.connect(":memory:", config={**CONFIG, "memory_limit": _MEMORY, "threads": 1})
    tables: dict[tuple[str, str], list[str]] = {}
    for schema, table, column, kind in version.execute(_COLUMNS).fetchall():
        tables.setdefault((schema, table), []).append(f"{_quoted(column)} {kind}")
    for statement in _statements(tables):
        empty.execute(statement)
    return empty


def _statements(tables: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    for schema in sorted({schema for schema, _ in tables}):
        yield f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}"
    for (schema, table), columns in tables.items():
        yield f"CREATE TABLE {_quoted(schema)}.{_quoted(table)} ({', '.join(columns)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
