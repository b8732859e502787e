"""Records near the events of people who have many, found in a time that grows with the records, not with their square.

A join that holds each event of a person against each of their records takes N² steps for N of both: one person's many
records would show in the time of a question. Where a criterion is about one date of the records, those from an event's
first day on lie one after the other, so that the first of them tells whether any, and the n-th whether n, are there up
to its last day. An ASOF join finds it by sorting events and records once. It takes longer to begin than a plain join,
which remains for people of few events; so all criteria about the same events are asked in one, and nothing tells
whether it had anything to do: there is always one row that is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flipnb.estate.cohort.conditions import START, Bound

FEW = 16
"""So many events of one person are held against each of their records."""


@dataclass(frozen=True)
class Nearest:
    """Records ``found``, a subquery, of which an event needs ``least`` (and no more, if ``exactly``) within ``bounds``.

    ``bounds`` are about one of the record's dates; ``same_visit``: and of the event's visit. With ``distinct``, what is
    ``counted`` in ``found`` must be there, and is that date where more than one is needed.
    """

    found: str
    bounds: tuple[Bound, ...]
    same_visit: bool
    distinct: bool
    least: int
    exactly: bool

    @property
    def in_turn(self) -> bool:
        """Whether it takes a record after the first to tell."""
        return self.least > 1 or self.exactly

    def asked(self, number: int, events: str) -> str:
        """A SELECT of each event's first and last day."""
        first = [bound.limit for bound in self.bounds if bound.operator == ">="]
        last = [bound.limit for bound in self.bounds if bound.operator == "<="]
        # GREATEST and LEAST pass over what is null.
        known = [f"{limit} IS NOT NULL" for limits in (first, last) if len(limits) > 1 for limit in limits]
        return (
            f"SELECT {number} AS number, q.event_id, q.person_id, {self._visit('q')} AS visit, "
            f"{_of(first, 'GREATEST', '-infinity')} AS since, {_of(last, 'LEAST', 'infinity')} AS until "
            f"FROM {events} q WHERE {' AND '.join(['q.many', *known])}"
        )

    def records(self, number: int, people: str) -> str:
        """A SELECT of the records of ``people``: each on its day."""
        (date,) = {bound.column for bound in self.bounds} or {START}
        known = f"{date} IS NOT NULL{' AND a.counted IS NOT NULL' if self.distinct else ''}"
        wanted = f", {self.least} AS least, {'TRUE' if self.exactly else 'FALSE'} AS exactly" if self.in_turn else ""
        return (
            f"SELECT {number} AS number, a.person_id, {self._visit('a')} AS visit, {date} AS since{wanted} "
            f"FROM {self.found} a WHERE {known} AND a.person_id IN (SELECT person_id FROM {people})"
        )

    def _visit(self, row: str) -> str:
        return f"{row}.visit_occurrence_id" if self.same_visit else "CAST(0 AS BIGINT)"


def _of(limits: Sequence[str], which: str, none: str) -> str:
    if not limits:
        return f"DATE '{none}'"
    return limits[0] if len(limits) == 1 else f"{which}({', '.join(limits)})"


@dataclass
class Nearby:
    """All that is looked for near ``events``, which have ``many``: whether their person has more than FEW of them."""

    events: str
    _numbers: dict[Nearest, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the subquery that ``query`` is."""
        return f"near_{self.events}"

    @property
    def people(self) -> str:
        """The name of a subquery of those who have many."""
        return f"many_{self.events}"

    def number(self, nearest: Nearest) -> int:
        """Its number in ``query``."""
        return self._numbers.setdefault(nearest, len(self._numbers) + 1)

    def query(self) -> str:
        """A SELECT of number and event_id, in DuckDB's SQL: which events of people who have many have what is asked."""
        day = "DATE '2000-01-01'"
        asked = [f"SELECT 0 AS number, 0 AS event_id, 0 AS person_id, CAST(0 AS BIGINT) AS visit, {day} AS since, "
                 f"{day} AS until"]  # fmt: skip
        asked += [nearest.asked(number, self.events) for nearest, number in self._numbers.items()]
        record = f"SELECT 0 AS number, 0 AS person_id, CAST(0 AS BIGINT) AS visit, {day} AS since"
        first, turns = [record], [f"{record}, 1 AS least, TRUE AS exactly"]
        once: list[str] = []
        for nearest, number in self._numbers.items():
            those = once if nearest.in_turn and nearest.distinct else turns if nearest.in_turn else first
            those.append(nearest.records(number, self.people))
        if once:
            turns.append(f"SELECT DISTINCT o.* FROM ({' UNION ALL '.join(once)}) o")
        none = "CAST(NULL AS DATE)"
        found = f"SELECT r.*, r.since AS reached, {none} AS passed FROM ({' UNION ALL '.join(first)}) r"
        if len(turns) > 1:
            found += f" UNION ALL {_reached(' UNION ALL '.join(turns))}"
        return (
            f"SELECT q.number, q.event_id FROM ({' UNION ALL '.join(asked)}) q ASOF JOIN ({found}) a "
            "ON a.number = q.number AND a.person_id = q.person_id AND a.visit = q.visit AND a.since >= q.since "
            "WHERE a.reached <= q.until AND (a.passed IS NULL OR a.passed > q.until)"
        )


def _reached(records: str) -> str:
    """Each date once, with that of the ``least``-th record from it on, and, if ``exactly``, of the one after that."""
    place = "number, person_id, visit"
    order = f"OVER (PARTITION BY {place} ORDER BY since)"
    return (
        f"SELECT {place}, since, MIN(reached) AS reached, MIN(passed) AS passed FROM (SELECT {place}, since, "
        f"LEAD(since, least - 1) {order} AS reached, CASE WHEN exactly THEN LEAD(since, least) {order} END AS passed "
        f"FROM ({records}) r) t GROUP BY {place}, since"
    )
