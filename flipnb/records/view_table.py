"""A view's rows as a table: JSON, CSV or Parquet, written as they come, and as a DataFrame."""

from __future__ import annotations

import base64
import csv
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flipnb.contracts.problem import FlipError
from flipnb.records.view import Row, rows
from flipnb.records.view_definition import Column, ViewDefinition

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_BATCH = 20_000


def write_json(table: Iterable[Row], stream: IO[str]) -> int:
    """An array of objects, one a line. Returns the number of rows."""
    count = 0
    stream.write("[")
    for count, row in enumerate(table, 1):
        stream.write(("\n" if count == 1 else ",\n") + json.dumps(row, ensure_ascii=False, default=_number))
    stream.write("\n]\n" if count else "]\n")
    return count


def write_csv(view: ViewDefinition, table: Iterable[Row], stream: IO[str]) -> int:
    """RFC 4180 with a header; null is empty, collections and structures are JSON. Returns the number of rows."""
    names = [column.name for column in view.columns]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for count, row in enumerate(table, 1):  # noqa: B007
        writer.writerow([_cell(row[name]) for name in names])
    return count


def write_parquet(view: ViewDefinition, table: Iterable[Row], path: Path) -> int:
    """Columns typed by the definition (``Column.sql_type``), lists for collections. Returns the number of rows.

    Raises FlipError ``column-type`` where a value is not of its column's type.
    """
    with tempfile.TemporaryDirectory(prefix="flip-view-") as directory, _database(Path(directory) / "view") as target:
        count = fill(target, "view", view, table)
        place = str(path).replace("'", "''")
        target.execute(f"COPY view TO '{place}' (FORMAT parquet, COMPRESSION zstd)")
    return count


def frame(view: ViewDefinition, resources: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The view over resources as a DataFrame, typed as in Parquet."""
    with _database(None) as target:
        fill(target, "view", view, rows(view, resources))
        return target.execute("SELECT * FROM view").df()


def fill(target: duckdb.DuckDBPyConnection, name: str, view: ViewDefinition, table: Iterable[Row]) -> int:
    """Create the table ``name`` and fill it, some thousand rows at a time. Returns the number of rows."""
    import duckdb

    columns = view.columns
    if not columns:
        raise FlipError("invalid-view", "The ViewDefinition is invalid: it has no column.")
    kinds = [column.sql_type + ("[]" if column.collection else "") for column in columns]
    definitions = ", ".join(f'"{column.name}" {kind}' for column, kind in zip(columns, kinds, strict=True))
    target.execute(f"CREATE TABLE {name} ({definitions})")
    count = 0
    for batch in _batches(table):
        # DuckDB casts text to any type, so that one rule holds for all: what does not fit is refused.
        lists = [[_database_value(column, row[column.name]) for row in batch] for column in columns]
        raw = ["VARCHAR[]" if column.collection else "VARCHAR" for column in columns]
        given = ", ".join(f"unnest(?::{kind}[]) AS c{index}" for index, kind in enumerate(raw))
        casts = ", ".join(_cast(column, f"c{index}", kinds[index]) for index, column in enumerate(columns))
        try:
            target.execute(f"INSERT INTO {name} SELECT {casts} FROM (SELECT {given})", lists)
        except duckdb.Error as error:
            raise FlipError(
                "column-type",
                f"A value is not of its column's type: {str(error).splitlines()[0]}",
                remedy="Change the column's type, or its ansi/type tag.",
            ) from None
        count += len(batch)
    return count


def _cast(column: Column, name: str, kind: str) -> str:
    if column.sql_type == "BLOB":
        return f"list_transform({name}, lambda x: from_base64(x))" if column.collection else f"from_base64({name})"
    return f"{name}::{kind}"


def _database(path: Path | None) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(
        str(path) if path else ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )


def _batches(table: Iterable[Row]) -> Iterator[Sequence[Row]]:
    iterator = iter(table)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch


def _database_value(column: Column, value: Any) -> Any:
    if column.collection:
        return [_text(column, item) for item in value]
    return _text(column, value)


def _text(column: Column, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_number)
    text = str(value)
    if column.sql_type == "BLOB":
        try:
            base64.b64decode(text, validate=True)
        except ValueError:
            raise FlipError("column-type", f"Column {column.name} holds a value that is no base64.") from None
    return text


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_number)
    return value


def _number(value: Any) -> int | float:
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
