"""Whose number of a source system is whose: one map for records, images and letters, that never leaves the enclave.

Each load of people brings their own numbers (``person_source_value``, under the mapping's name) and, where the source
has them, those of other systems; a controller's file says what no source knows. What matches nobody or several people
is for the caller to count and show: nothing here guesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import duckdb

    from flipnb.estate.postgresql import Connection

FEED = "identities"
"""The name of the mapping by which controllers' files are loaded."""

_NHS = re.compile(r"(?:\d[ -]?){9}\d")


@dataclass(frozen=True)
class Claim:
    """A number is a person's, or was merged into another number of the same system; ``since`` and ``until`` included.

    ``person`` is a person's own number (``person_source_value``), of the mapping ``feed``, or of any where that is
    None: then a controller's file claims it.
    """

    system: str
    number: str
    person: str | None = None
    merged_into: str | None = None
    since: date | None = None
    until: date | None = None
    feed: str | None = None

    def holds(self, moment: date | None) -> bool:
        """Whether it is so at a moment; always, where none is given."""
        if moment is None:
            return True
        return (self.since is None or self.since <= moment) and (self.until is None or moment <= self.until)


@dataclass(frozen=True)
class Match:
    """The people of the estate (person_id) whose number it is: one, nobody or several."""

    people: frozenset[int]

    @property
    def state(self) -> Literal["one", "nobody", "several"]:
        """How many there are."""
        return "nobody" if not self.people else "one" if len(self.people) == 1 else "several"

    @property
    def person(self) -> int | None:
        """The person; None unless there is exactly one."""
        return next(iter(self.people)) if len(self.people) == 1 else None


_Node = tuple[str, str]


class IdentityMap:
    """``own`` are the people by (mapping, own number): person_ids; a mapping may have given one number to several.

    Where a controller's file claims a number, at whatever time, what loads claim of the same number counts no more.
    """

    def __init__(self, own: Mapping[_Node, Iterable[int]], claims: Iterable[Claim]) -> None:
        self._own: dict[_Node, frozenset[int]] = {}
        for (feed, value), people in own.items():
            node = (feed, normal(value))
            self._own[node] = self._own.get(node, frozenset()).union(people)
        self._claims: dict[_Node, list[Claim]] = {}
        for claim in claims:
            self._claims.setdefault((claim.system, normal(claim.number)), []).append(claim)
        for node, found in self._claims.items():
            if stated := [claim for claim in found if claim.feed is None]:
                self._claims[node] = stated
        self._systems: dict[str, set[str]] = {}
        for system, number in (*self._own, *self._claims):
            self._systems.setdefault(number, set()).add(system)

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection | Connection) -> IdentityMap:
        """The map of an estate version that ``load`` made, some 300 bytes of memory for each number.

        ``connection`` reads that version, in DuckDB or PostgreSQL.
        """
        own: dict[_Node, set[int]] = {}
        for feed, value, person in connection.execute(
            "SELECT feed, coalesce(person_source_value, CAST(person_id AS VARCHAR)), person_id "
            "FROM person JOIN flip_source ON source_id = flip_source_id"
        ).fetchall():
            own.setdefault((feed, value), set()).add(int(person))
        if not has_numbers(connection):
            return cls(own, ())
        rows = connection.execute(
            f"SELECT system, number, person_source_value, merged_into, valid_from, valid_to, nullif(feed, '{FEED}') "
            "FROM person_number JOIN flip_source ON source_id = flip_source_id"
        ).fetchall()
        return cls(own, (Claim(*row) for row in rows))

    def lookup(self, system: str | None, number: str, moment: date | None = None) -> Match:
        """Who had the number at a moment. Without a ``system``, whoever has it in any."""
        number = normal(number)
        systems = self._systems.get(number, set()) if system is None else {system}
        found = (self._people((one, number), moment, frozenset()) for one in systems)
        return Match(frozenset().union(*found))

    def knows(self, system: str) -> bool:
        """Whether any number of the system is known."""
        return system in self._known_systems

    @cached_property
    def _known_systems(self) -> set[str]:
        return set().union(*self._systems.values()) if self._systems else set()

    def name(self, person: int) -> str:
        """A person's own number with the mapping that brought it, which a new load of the same people keeps."""
        return self._names[person]

    @cached_property
    def _names(self) -> dict[int, str]:
        return {person: f"{feed}/{value}" for (feed, value), people in self._own.items() for person in people}

    def _people(self, node: _Node, moment: date | None, passed: frozenset[_Node]) -> frozenset[int]:
        """Through merges and persons' own numbers; a circle leads to nobody."""
        if node in passed:
            return frozenset()
        passed |= {node}
        claims = self._claims.get(node, [])
        valid = [claim for claim in claims if claim.holds(moment)]
        merged = {(claim.system, normal(claim.merged_into)) for claim in valid if claim.merged_into is not None}
        if merged:
            return frozenset().union(*(self._people(one, moment, passed) for one in merged))
        found = frozenset() if any(claim.feed is None for claim in claims) else self._own.get(node, frozenset())
        named = {one for claim in valid if claim.person is not None for one in self._named(claim)}
        return found.union(*(self._person(one, moment, passed) for one in named))

    def _named(self, claim: Claim) -> Iterator[_Node]:
        number = normal(claim.person or "")
        systems = self._systems.get(number, set()) if claim.feed is None else {claim.feed}
        return ((system, number) for system in systems if (system, number) in self._own)

    def _person(self, node: _Node, moment: date | None, passed: frozenset[_Node]) -> frozenset[int]:
        """The person of an own number, or of the one that it was merged into."""
        if any(claim.merged_into is not None and claim.holds(moment) for claim in self._claims.get(node, [])):
            return self._people(node, moment, passed)
        return self._own[node]


def normal(number: str) -> str:
    """A number without blanks around it; one of ten digits, as an NHS number is, without those within it."""
    stripped = number.strip(" \0\t\r\n")
    return re.sub(r"[ -]", "", stripped) if _NHS.fullmatch(stripped) else stripped


def closes_circle(merges: Mapping[str, Iterable[str]], number: str, into: str) -> bool:
    """Whether ``number`` could be reached from ``into`` by merges of one system, whatever their time."""
    waiting, seen = [into], set()
    while waiting:
        one = waiting.pop()
        if one == number:
            return True
        if one not in seen:
            seen.add(one)
            waiting += merges.get(one, ())
    return False


def has_numbers(connection: duckdb.DuckDBPyConnection | Connection) -> bool:
    """Whether a version has the table of numbers, which one of an earlier release has not."""
    return bool(
        connection.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'person_number'").fetchone()
    )
