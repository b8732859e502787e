"""Reading an extract's files row by row; a bad row is named by file and line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.delimited import swallowed
from flipnb.estate.harmonise.fhir_entries import entries
from flipnb.estate.harmonise.mapping import ExtractFile
from flipnb.estate.harmonise.rejects import BadRow, Reject
from flipnb.estate.harmonise.source import SourceFile
from flipnb.records.view import rows as view_rows
from flipnb.records.view_definition import ViewDefinition


@dataclass(frozen=True)
class Row:
    """One row: its texts by column, missing ones absent, and where it stands.

    ``part`` tells the rows of one place apart, where a view makes several of one resource.
    """

    file: str
    line: int
    values: dict[str, str]
    decimal: str
    part: int = 0

    def text(self, column: str) -> str | None:
        """The column's text; None where it is empty. A column that is not there is empty, too."""
        return self.values.get(column)

    def number(self, column: str) -> float | None:
        """The column's number, by the file's decimal sign; None where it is empty. Raises BadRow for else."""
        text = self.text(column)
        if text is None:
            return None
        try:
            # A decimal point in a file with decimal commas may be a separator of thousands: no guess.
            if self.decimal == "," and "." in text:
                raise ValueError
            value = float(text.replace(",", ".") if self.decimal == "," else text)
            if not math.isfinite(value) or "_" in text:
                raise ValueError
        except ValueError:
            self.refuse(f"{text[:40]!r} in column {column} is no number", column)
        return value

    def number_or_none(self, column: str) -> float | None:
        """The number that a column holds; None where it holds a text."""
        try:
            return self.number(column)
        except BadRow:
            return None

    def whole(self, column: str) -> int | None:
        """The column's whole number; None where it is empty. Raises BadRow for a fraction."""
        value = self.number(column)
        if value is not None and value != int(value):
            self.refuse(f"{self.values[column][:40]!r} in column {column} is no whole number", column)
        return None if value is None else int(value)

    def day(self, column: str) -> date | None:
        """The day of an ISO date, or of a date and time as a database or Parquet has it, in its own time zone."""
        text = self.text(column)
        if text is None:
            return None
        try:
            return datetime.fromisoformat(text).date()
        except ValueError:
            self.refuse(f"{text[:40]!r} in column {column} is no ISO date", column)

    def code(self, column: str, codes: dict[str, int]) -> int | None:
        """The concept id that the column's text means; None where it is empty. Raises BadRow for an unknown text."""
        text = self.text(column)
        if text is None:
            return None
        if text not in codes:
            self.refuse(f"{text[:40]!r} in column {column} is none of the mapping's codes ({', '.join(codes)})", column)
        return codes[text]

    def refuse(self, reason: str, column: str | None = None) -> NoReturn:
        """Raises BadRow."""
        raise BadRow(Reject(self.file, self.line, column, reason, self.values.get(column or "")))


def read_rows(file: ExtractFile, source: SourceFile) -> Iterator[Row | Reject]:
    """Rows of one file in their order, and a Reject where a line is none.

    Raises FlipError ``no-source`` (no such file), ``bad-header``, ``bad-file`` (a quote that is never closed).
    """
    path = source.path
    if file.format == "parquet":
        yield from _parquet(file, path)
        return
    if file.format == "fhir":
        yield from _resources(file, source)
        return
    try:
        # A line that can't be decoded is a reject, not the end of the file.
        stream = path.open(encoding=file.encoding, errors="surrogateescape", newline="")
    except OSError as error:
        raise FlipError("no-source", f"{path} can't be read: {error.strerror}.") from None
    with stream:
        for line, values in _READERS[file.format](file, stream):
            said = values if isinstance(values, str) else _no_text(file, values)
            if said is not None:
                yield Reject(file.path, line, None, said)
                continue
            assert not isinstance(values, str)
            present = {name: text for name, text in values.items() if text not in file.missing}
            yield Row(file.path, line, present, file.decimal)


def _no_text(file: ExtractFile, values: dict[str, str]) -> str | None:
    """What is wrong with texts that no database keeps."""
    for name, text in values.items():
        if "\0" in text:
            return f"a NUL character in column {name}"
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            return f"column {name} is not {file.encoding}"
    return None


_Line = tuple[int, "dict[str, str] | str"]
"""Where a row stands, and its texts by column or what is wrong with it."""


def _delimited(file: ExtractFile, stream: Iterator[str]) -> Iterator[_Line]:
    reader = csv.reader(stream, delimiter=file.delimiter, strict=True)
    if file.header:
        _require_header(file, tuple(next(reader, ())))
    while True:
        before = reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                yield from swallowed(file.path, before + 1, reader.line_num - before).items()
            else:
                yield reader.line_num, str(error)
            continue
        if len(fields) != len(file.columns):
            yield reader.line_num, f"{len(fields)} fields where {len(file.columns)} are expected"
        else:
            yield reader.line_num, dict(zip(file.columns, (field.strip() for field in fields), strict=True))


def _require_header(file: ExtractFile, header: tuple[str, ...]) -> None:
    if header != file.columns:
        wrong = [name for name in header if name not in file.columns] or [
            name for name in file.columns if name not in header
        ]
        what = f"unknown or absent: {', '.join(wrong)}" if wrong else "in another order"
        raise FlipError("bad-header", f"{file.path}, line 1: the columns are not those of the mapping ({what}).")


def _json_lines(file: ExtractFile, stream: Iterator[str]) -> Iterator[_Line]:
    for number, line in enumerate(stream, start=1):
        yield number, _json_row(file, line)


def _json_row(file: ExtractFile, line: str) -> dict[str, str] | str:
    try:
        return _json_values(file, line)
    except RecursionError:
        return "JSON that is nested too deeply"


def _json_values(file: ExtractFile, line: str) -> dict[str, str] | str:
    try:
        record = json.loads(line)
    except ValueError as error:
        return f"no JSON ({error})"
    if not isinstance(record, dict):
        return "no JSON object"
    values = {}
    for key, value in _flat(record, file.ignored):
        if key not in file.columns:
            return f"the key {key[:40]!r} is none of the mapping's columns"
        if isinstance(value, list):
            return f"the value of {key} is no text or number"
        if value is not None:
            values[key] = value if isinstance(value, str) else json.dumps(value)
    return values


def _flat(record: dict[str, Any], ignored: tuple[str, ...], within: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values, those of objects within by dotted names, without those that are ignored."""
    for key, value in record.items():
        name = f"{within}{key}"
        if any(fnmatchcase(name, pattern) for pattern in ignored):
            continue
        if isinstance(value, dict):
            yield from _flat(value, ignored, f"{name}.")
        else:
            yield name, value


def _parquet(file: ExtractFile, path: Path) -> Iterator[Row]:
    """Values as texts, in the format's own writing: ISO dates, points in numbers."""
    import duckdb

    columns = ", ".join(f'"{name}"::VARCHAR' for name in file.columns)
    try:
        with duckdb.connect() as connection:
            scan = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{_quoted(path)}')").fetchall()
            _require_header(file, tuple(row[0] for row in scan))
            cursor = connection.execute(f"SELECT {columns} FROM read_parquet('{_quoted(path)}')")
            for line, values in enumerate(iter(cursor.fetchone, None), start=1):
                present = {
                    name: text
                    for name, text in zip(file.columns, values, strict=True)
                    if text is not None and text not in file.missing
                }
                yield Row(file.path, line, present, ".")
    except duckdb.Error as error:
        raise FlipError("no-source", f"{path} can't be read as Parquet: {str(error).splitlines()[0]}") from None


def _resources(file: ExtractFile, source: SourceFile) -> Iterator[Row | Reject]:
    """The view's rows, resource by resource; ``line`` is that of NDJSON, or the entry's place in its bundle."""
    view = ViewDefinition.read(file.view)
    for entry in entries(source):
        if isinstance(entry, Reject):
            yield entry
            continue
        if not isinstance(entry.resource, dict):
            yield Reject(source.name, entry.line, None, "no FHIR resource")
            continue
        try:
            for part, values in enumerate(view_rows(view, [entry.resource])):
                present = {name: _text(name, value) for name, value in values.items() if value is not None}
                kept = {name: text for name, text in present.items() if text not in file.missing}
                yield Row(source.name, entry.line, kept, ".", part)
        except FlipError as error:
            yield Reject(source.name, entry.line, None, error.message, str(entry.resource.get("id")))


def _text(column: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise FlipError("invalid-view", f"Column {column} holds an element with parts, not a value.")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


# What a database was asked was written as CSV.
_READERS = {"csv": _delimited, "jsonl": _json_lines, "sql": _delimited}
