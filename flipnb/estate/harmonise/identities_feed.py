"""``--mapping identities``: a controller's files on whose numbers of source systems are whose."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import Build, SourceRecord
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.rejects import BadRow, Reject
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.identities import FEED, IdentityMap, closes_circle, normal
from flipnb.estate.omop.cdm import own_tables

COLUMNS = ("system", "number", "person", "from", "to", "merged_into")
_OPTIONAL = ("kind",)
_FIELDS = {
    "system": "system",
    "number": "number",
    "person": "person_source_value",
    "merged_into": "merged_into",
    "kind": "kind",
}
"""Columns of text, and where each goes."""

_Key = tuple[str, ...]


@dataclass
class _Merges:
    """Which numbers of each system were merged into which, in the whole map so far."""

    into: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, system: str, number: str, into: str) -> bool:
        """False where that would close a circle; then nothing is added."""
        merges = self.into.setdefault(system, {})
        if closes_circle(merges, number, into):
            return False
        merges.setdefault(number, []).append(into)
        return True


class IdentitiesFeed:
    """CSV files with the columns ``system, number, person, from, to, merged_into`` and perhaps ``kind``.

    A row says either whose the number is (``person``: their own number in the estate, ``person_source_value``) or into
    which number of the same system it was merged. Raises FlipError ``no-source``, ``bad-header``.
    """

    name = mapping = FEED
    reviewer: str | None = None

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """The source's CSV files."""
        return open_source(Path(source), scratch, lambda name: name.lower().endswith(".csv"))

    def needs_vocabulary(self) -> bool:
        """No. Whom a number is of is looked up when it is asked, not when it is loaded."""
        return False

    def version(self, files: Sequence[SourceFile]) -> str:
        """All files together: rows of one may close a circle with those of another."""
        return sha256("\n".join(["flip/identities/1", *(f"{file.digest} {file.name}" for file in files)]).encode())

    def warnings(self, build: Build) -> list[str]:
        """Numbers of people who are not in the estate, or who could be two; a server's people are not looked at."""
        if not build.count("person"):
            return ["No people are at hand here to compare the numbers with: those of nobody are not told."]
        known = IdentityMap.of(build.connection)
        rows = build.connection.execute(
            "SELECT system, number, merged_into, coalesce(valid_from, valid_to) FROM person_number "
            "JOIN flip_source ON source_id = flip_source_id WHERE feed = ? ORDER BY system, number",
            [FEED],
        ).fetchall()
        found: dict[str, list[str]] = {"nobody": [], "several": []}
        for system, number, into, moment in rows:
            state = known.lookup(system, number, moment).state
            # A number that another was merged into may be several people's, one after the other.
            if state == "nobody" or (state == "several" and into is None):
                found[state].append(f"{number} of {system}")
        words = {"nobody": "of nobody in the estate", "several": "of several people at a time"}
        return [
            f"{len(numbers)} numbers are {words[state]}: {', '.join(numbers[:3])}{' …' if len(numbers) > 3 else ''}"
            for state, numbers in found.items()
            if numbers
        ]

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """All files in one transaction, for together they are one map."""
        merges = _known_merges(build)
        seen: set[_Key] = set()
        with build.together([record for _, record in files]) as loadings:
            for (file, _), loading in zip(files, loadings, strict=True):
                rows: list[dict[str, Any]] = []
                for line, cells in _lines(file, loading.rejects):
                    try:
                        rows.append(_row(file.name, line, cells, merges, seen))
                    except BadRow as bad:
                        loading.rejects.append(bad.reject)
                build.insert(own_tables()["person_number"], loading, rows)
                loading.rows += len(rows)
                progress(file.name, loading.rows)
        return []


def _known_merges(build: Build) -> _Merges:
    """Those that loads of people have brought."""
    merges = _Merges()
    for system, number, into in build.connection.execute(
        "SELECT system, number, merged_into FROM person_number WHERE merged_into IS NOT NULL ORDER BY ALL"
    ).fetchall():
        merges.add(system, normal(number), normal(into))
    return merges


def _lines(file: SourceFile, rejects: list[Reject]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by column with the line on which each ends; those of another length are rejected."""
    with file.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.reader(stream)
        try:
            head = [name.strip() for name in next(reader, [])]
            if set(head) - set(_OPTIONAL) != set(COLUMNS) or len(set(head)) != len(head):
                raise FlipError(
                    "bad-header",
                    f"{file.name}, line 1: the columns must be {','.join(COLUMNS)}, and perhaps kind.",
                )
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(head):
                    reason = f"{len(cells)} columns, where the header has {len(head)}"
                    rejects.append(Reject(file.name, reader.line_num, None, reason))
                    continue
                yield reader.line_num, dict(zip(head, (cell.strip() for cell in cells), strict=True))
        except csv.Error as error:
            raise FlipError("bad-file", f"{file.name}, line {reader.line_num}: {error}.") from None


def _row(file: str, line: int, cells: Mapping[str, str], merges: _Merges, seen: set[_Key]) -> dict[str, Any]:
    """A row of person_number. Raises BadRow."""

    def refuse(column: str | None, reason: str) -> BadRow:
        return BadRow(Reject(file, line, column, reason, cells.get(column) if column else None))

    for column, target in _FIELDS.items():
        value = cells.get(column, "")
        if not value.isprintable():
            raise refuse(column, f"column {column} is no text in UTF-8")
        longest = own_tables()["person_number"].field(target).length
        if longest is not None and len(value) > longest:
            raise refuse(column, f"column {column} has more than {longest} characters")
    for column in ("system", "number"):
        if not cells[column]:
            raise refuse(column, f"column {column} is missing")
    if bool(cells["person"]) == bool(cells["merged_into"]):
        raise refuse("person", "either person or merged_into is needed")
    since, until = (_day(cells, column, refuse) for column in ("from", "to"))
    if since is not None and until is not None and until < since:
        raise refuse("to", f"it ends on {until}, before it starts on {since}")
    key = tuple(cells[column] for column in COLUMNS)
    if key in seen:
        raise refuse(None, "this is there twice")
    if into := cells["merged_into"]:
        number = normal(cells["number"])
        if normal(into) == number:
            raise refuse("merged_into", "a number can't be merged into itself")
        if not merges.add(cells["system"], number, normal(into)):
            raise refuse("merged_into", "this merge closes a circle")
    seen.add(key)
    texts = {target: cells.get(column) or None for column, target in _FIELDS.items()}
    return {**texts, "valid_from": since, "valid_to": until}


def _day(cells: Mapping[str, str], column: str, refuse: Any) -> date | None:
    if not cells[column]:
        return None
    try:
        return date.fromisoformat(cells[column])
    except ValueError:
        raise refuse(column, f"{cells[column][:20]!r} in column {column} is no date like 2026-05-31") from None
