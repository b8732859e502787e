"""A cohort's queries once it is compiled: its rows, its people, and how many each step leaves."""

from __future__ import annotations

from dataclasses import dataclass

from flipnb.estate.cohort.subqueries import Subqueries


@dataclass(frozen=True)
class Step:
    """A step on the way into a cohort; ``events`` names the subquery of the events that are left."""

    name: str
    events: str


@dataclass(frozen=True)
class People:
    """A subquery that has the people, if not the stays, of a cohort; ``once``: everybody in one row."""

    source: str
    once: bool

    def count(self) -> str:
        """SQL that counts the people."""
        return "COUNT(*)" if self.once else "COUNT(DISTINCT person_id)"


@dataclass
class CompiledCohort:
    """A cohort's queries, in DuckDB's SQL."""

    _subqueries: Subqueries
    _rows: str
    steps: tuple[Step, ...]
    _with_people: tuple[People, ...]
    """Those of the cohort with so many rules as were asked for."""

    def rows(self) -> str:
        """A SELECT of person_id, start_date and end_date."""
        return self._subqueries.statement(self._rows)

    def people(self) -> str:
        """A SELECT of how many people there are."""
        whole = self._with_people[-1]
        return self._subqueries.statement(f"SELECT {whole.count()} FROM {whole.source} c")

    def sizes(self) -> str:
        """A SELECT of number and people: how many there are with so many inclusion rules as were asked for, in order.

        One pass: what the cohorts have in common is found once.
        """
        counts = [
            f"SELECT {number} AS number, {one.count()} AS people FROM {one.source} c"
            for number, one in enumerate(self._with_people)
        ]
        return self._subqueries.statement(f"{' UNION ALL '.join(counts)} ORDER BY number")

    def members(self) -> str:
        """A SELECT of number and person_id: who ``sizes`` counts, each once for a number."""
        found = [
            f"SELECT {'' if one.once else 'DISTINCT '}{number} AS number, person_id FROM {one.source} c"
            for number, one in enumerate(self._with_people)
        ]
        return self._subqueries.statement(" UNION ALL ".join(found))

    def attrition(self) -> str:
        """A SELECT of step (its number), people and events; the last row holds the cohort's people and rows."""
        counts = [
            f"SELECT {number} AS step, COUNT(DISTINCT person_id) AS people, COUNT(*) AS events FROM {source}"
            for number, source in enumerate([*(step.events for step in self.steps), f"({self._rows}) c"])
        ]
        return self._subqueries.statement(f"{' UNION ALL '.join(counts)} ORDER BY step")
