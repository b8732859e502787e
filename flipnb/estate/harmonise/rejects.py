"""Rows that were not loaded, each named by file, line, column and reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from flipnb.contracts.problem import FlipError

_VALUE_LENGTH = 80
_SHOWN = 3


@dataclass(frozen=True)
class Reject:
    """``line`` counts from 1, the header included; ``column`` is the source's, None where the whole row is wrong."""

    file: str
    line: int
    column: str | None
    reason: str
    value: str | None = None

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"

    def row(self) -> tuple[str, int, str | None, str, str | None]:
        """The columns of flip_reject after the source's id; a long value is cut, and what is no text is escaped."""
        value = self.value
        if value is not None:
            value = value[:_VALUE_LENGTH].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
        return (self.file, self.line, self.column, self.reason, value)


class BadRow(Exception):
    """A row that can't be loaded; ends the reading of that row only."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(str(reject))
        self.reject = reject


def refuse_load(rejected: int, rows: int, allowed: float, first: list[Reject], whole: Path) -> NoReturn:
    """Raises FlipError ``too-many-rejects``: ``rejected`` of ``rows`` is more than the share ``allowed``.

    The first few rejects are named; ``whole`` is the file that lists all.
    """
    named = "; ".join(str(reject) for reject in first[:_SHOWN])
    raise FlipError(
        "too-many-rejects",
        f"{rejected} of {rows} rows were rejected ({rejected / max(rows, 1):.2%}), where {allowed:.2%} are allowed. "
        f"{named}.",
        remedy=f"Nothing was loaded; {whole} lists every reject. Correct the extract or the mapping, or allow more "
        "with --max-rejects.",
    )
