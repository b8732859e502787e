"""What an estate's current version holds, by a query."""

from __future__ import annotations

from pathlib import Path

from flipnb.estate import Estate


def rows(estate: Path, query: str) -> list[tuple]:
    opened = Estate.open(estate)
    with opened.reading(opened.current()) as connection:
        return connection.execute(query).fetchall()
