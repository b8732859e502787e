"""Reading an extract's files row by row; a bad row is named by file and line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.mapping import SourceFile


@dataclass(frozen=True)
class Row:
    """One row: its texts by column, missing ones absent, and where it stands."""

    file: str
    line: int
    values: dict[str, str]
    decimal: str

    def text(self, column: str) -> str | None:
        return self.values.get(column)

    def number(self, column: str) -> float | None:
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
            self.refuse(f"{text[:40]!r} in column {column} is no number")
        return value

    def whole(self, column: str) -> int | None:
        value = self.number(column)
        if value is not None and value != int(value):
            self.refuse(f"{self.values[column][:40]!r} in column {column} is no whole number")
        return None if value is None else int(value)

    def day(self, column: str) -> date | None:
        text = self.text(column)
        if text is None:
            return None
        try:
            return date.fromisoformat(text)
        except ValueError:
            self.refuse(f"{text[:40]!r} in column {column} is no ISO date")

    def code(self, column: str, codes: dict[str, int]) -> int | None:
        text = self.text(column)
        if text is None:
            return None
        if text not in codes:
            self.refuse(f"{text[:40]!r} in column {column} is none of the mapping's codes ({', '.join(codes)})")
        return codes[text]

    def refuse(self, reason: str) -> NoReturn:
        raise FlipError(
            "bad-row",
            f"{self.file}, line {self.line}: {reason}.",
            remedy="Nothing was loaded. Correct the extract, or the mapping.",
        )


def read_rows(file: SourceFile, directory: Path) -> Iterator[Row]:
    """Rows of one file in their order.

    Raises FlipError ``no-source`` (no such file), ``bad-header``, ``bad-row`` (file and line).
    """
    path = directory / file.path
    try:
        stream = path.open(encoding=file.encoding, newline="")
    except OSError as error:
        raise FlipError("no-source", f"{path} can't be read: {error.strerror}.") from None
    with stream:
        lines = _delimited(file, stream) if file.format == "csv" else _json_lines(file, stream)
        line = 0
        while True:
            try:
                line, values = next(lines)
            except StopIteration:
                return
            except UnicodeDecodeError:
                Row(file.path, line + 1, {}, ".").refuse(f"this line or one soon after is not {file.encoding}")
            except (csv.Error, _BadLine) as error:
                place = error.line if isinstance(error, _BadLine) else line + 1
                Row(file.path, place, {}, ".").refuse(str(error))
            present = {name: text for name, text in values.items() if text not in file.missing}
            yield Row(file.path, line, present, file.decimal)


class _BadLine(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _delimited(file: SourceFile, stream: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(stream, delimiter=file.delimiter, strict=True)
    if file.header:
        header = tuple(next(reader, ()))
        if header != file.columns:
            wrong = [name for name in header if name not in file.columns] or [
                name for name in file.columns if name not in header
            ]
            what = f"unknown or absent: {', '.join(wrong)}" if wrong else "in another order"
            raise FlipError("bad-header", f"{file.path}, line 1: the columns are not those of the mapping ({what}).")
    for fields in reader:
        if len(fields) != len(file.columns):
            raise _BadLine(reader.line_num, f"{len(fields)} fields where {len(file.columns)} are expected")
        yield reader.line_num, dict(zip(file.columns, (field.strip() for field in fields), strict=True))


def _json_lines(file: SourceFile, stream: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(stream, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _BadLine(number, f"no JSON ({error})") from None
        if not isinstance(record, dict):
            raise _BadLine(number, "no JSON object")
        unknown = [key for key in record if key not in file.columns]
        if unknown:
            raise _BadLine(number, f"the key {unknown[0][:40]!r} is none of the mapping's columns")
        values = {}
        for key, value in record.items():
            if isinstance(value, dict | list):
                raise _BadLine(number, f"the value of {key} is no text or number")
            if value is not None:
                values[key] = value if isinstance(value, str) else json.dumps(value)
        yield number, values
