"""Delimited text as DuckDB reads it: what separates its columns, and on which line of the file a row stands."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from flipnb.contracts.problem import FlipError

_DELIMITERS = ",\t;|"
csv.field_size_limit(1 << 27)
_BLOCK = 1 << 20

_LINE = 64 << 20
"""Bytes of the longest row that is read (a note can be long), and of a buffer: DuckDB would take 16 times as much for
each of some buffers, and a load no longer fit into its memory."""


MOST_UNREAD = 10_000
"""Lines after a quote that is never closed, each of which is a reject; more of them, and the file can't be read."""


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


def line_numbers(path: Path, positions: Iterable[int]) -> dict[int, int]:
    """On which line of the file, from 1, each byte stands; of an empty line, the first after it that is not."""
    found: dict[int, int] = {}
    wanted = sorted(set(positions), reverse=True)
    begin, line = 0, 1
    with _open_bytes(path) as stream:
        while wanted and (block := stream.read(_BLOCK)):
            seen = 0
            while wanted and wanted[-1] < begin + len(block):
                place = wanted.pop()
                line += block.count(b"\n", seen, place - begin)
                seen = max(seen, place - begin)
                while block[seen : seen + 1] in (b"\n", b"\r"):
                    line += block[seen] == ord("\n")
                    seen += 1
                found[place] = line
            line += block.count(b"\n", seen)
            begin += len(block)
    return found | dict.fromkeys(wanted, line)


def unclosed_quote(path: Path, dialect: Dialect) -> tuple[int, int] | None:
    """(the line on which a quote is opened that nothing closes, how many lines there are from it to the end)."""
    opened, number = 0, 0
    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            if dialect.quote not in line:
                continue
            if opened:
                opened = 0 if line.count(dialect.quote) % 2 else opened
            elif _opens(line, dialect):
                opened = number
    return (opened, number - opened + 1) if opened else None


def swallowed(name: str, first: int, count: int) -> dict[int, str]:
    """The lines that a quote opened on line ``first`` has swallowed → the reason why each is a reject.

    Raises FlipError ``bad-file`` where they are more than a file may lose.
    """
    if count > MOST_UNREAD:
        raise FlipError(
            "bad-file",
            f"{name}, line {first}: a quote is opened here that nothing closes, so that {count} lines can't be read.",
            remedy="Write a quote within a field as two, and load again.",
        )
    after = f"within a quote that was opened on line {first} and that nothing closes"
    return {
        first: "a quote is opened here that nothing closes",
        **dict.fromkeys(range(first + 1, first + count), after),
    }


def _opens(line: str, dialect: Dialect) -> bool:
    try:
        next(csv.reader([line], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def mixes_newlines(path: Path) -> bool:
    """Whether there is a carriage return, and a line that ends without one or one that ends by it alone."""
    pairs = returns = newlines = 0
    with _open_bytes(path) as stream:
        while block := stream.read(_BLOCK):
            if block.endswith(b"\r"):
                block += stream.read(1)  # a pair may lie at the edge of a block
            pairs += block.count(b"\r\n")
            returns += block.count(b"\r")
            newlines += block.count(b"\n")
    return returns > 0 and not pairs == returns == newlines


def copy_with_equal_newlines(path: Path, target: Path, dialect: Dialect) -> None:
    """A copy, row by row, whose rows all end alike; what a quoted field holds, and bytes that are no text, stay."""
    kind: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    with (
        io.TextIOWrapper(_open_bytes(path), encoding="utf-8", errors="surrogateescape", newline="") as stream,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as copy,
    ):
        reader = csv.reader(stream, delimiter=dialect.delimiter, quoting=kind)
        writer = csv.writer(copy, delimiter=dialect.delimiter, quoting=kind, lineterminator="\n", quotechar='"')
        for fields in reader:
            writer.writerow(fields)


def lines(path: Path, dialect: Dialect) -> Iterator[tuple[int, int]]:
    """(record, line on which it begins), both from 1, the header included.

    Empty lines are no records, for DuckDB neither.
    """
    with _open(path) as stream:
        reader = csv.reader(
            stream, delimiter=dialect.delimiter, quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
        )
        record, line = 0, 1
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error:  # longer than a row may be, for DuckDB too
                fields = ["unread"]
            if fields:
                record += 1
                yield record, line
            line = reader.line_num + 1


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _open_bytes(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")
