"""Delimited text as DuckDB reads it: what separates its columns, and on which line of the file a row stands."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flipnb.contracts.problem import FlipError

_DELIMITERS = ",\t;|"
csv.field_size_limit(1 << 27)


_LINE = 64 << 20
"""Bytes of the longest row that is read (a note can be long), and of a buffer: DuckDB would take 16 times as much for
each of some buffers, and a load no longer fit into its memory."""


@dataclass(frozen=True)
class Dialect:
    """``columns`` are the header's, as they are written. ``quote`` is empty where no field is quoted."""

    delimiter: str
    quote: str
    columns: tuple[str, ...]

    def scan(self, path: Path, rejects: str) -> str:
        """``read_csv(…)`` with every column as text; malformed rows go to the temporary table ``rejects``."""
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in distinct(self.columns))
        return (
            f"read_csv({literal(str(path))}, auto_detect=false, header=true, delim={literal(self.delimiter)}, "
            f"quote={literal(self.quote)}, escape={literal(self.quote)}, nullstr='', columns={{{columns}}}, "
            f"max_line_size={_LINE}, buffer_size={_LINE}, store_rejects=true, rejects_table={literal(rejects)}, "
            f"rejects_scan={literal(rejects + '_scan')})"
        )


def sniff(path: Path) -> Dialect:
    """The dialect by the header line. Tab-separated text is never quoted (as Athena writes it), unless its header is.

    Raises FlipError ``bad-header`` for a file without a header.
    """
    with _open(path) as stream:
        try:
            line = stream.readline(1 << 20).lstrip("\ufeff").rstrip("\r\n")
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise FlipError("bad-header", f"{path.name}, line 1: no text in UTF-8 ({error}).") from None
    if not line.strip():
        raise FlipError("bad-header", f"{path.name}, line 1: there is no header.")
    delimiter = max(_DELIMITERS, key=line.count)
    quote = "" if delimiter == "\t" and '"' not in line else '"'
    columns = next(csv.reader([line], delimiter=delimiter, quotechar=quote or '"'))
    return Dialect(delimiter, quote, tuple(name.strip() for name in columns))


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names as DuckDB columns: an empty or repeated one gets its place added."""
    seen: set[str] = set()
    result = []
    for place, name in enumerate(names):
        unique = name if name and name.lower() not in seen else f"{name}#{place + 1}"
        seen.add(unique.lower())
        result.append(unique)
    return tuple(result)


def lines(path: Path, dialect: Dialect, last: int) -> Iterator[tuple[int, int]]:
    """(record, line on which it begins), both from 1, the header included, up to the record ``last``.

    Empty lines are no records, for DuckDB neither.
    """
    with _open(path) as stream:
        reader = csv.reader(
            stream, delimiter=dialect.delimiter, quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
        )
        record, line = 0, 1
        try:
            for fields in reader:
                if fields:
                    record += 1
                    yield record, line
                line = reader.line_num + 1
                if record >= last:
                    return
        except csv.Error:
            return


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")
