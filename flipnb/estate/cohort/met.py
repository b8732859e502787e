"""Which events meet a condition, as sets of events: a group of many criteria is one set, however many there are.

A database that is asked whether each event is in one of many sets plans a join for each, one over the other, in a time
that grows with the cube of their number. Sets that are united first are one join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flipnb.contracts.cohort_criteria import CriteriaGroup

STACKED = 16
"""Conditions that all must hold are asked one over the other up to so many: few are found sooner so."""


@dataclass(frozen=True)
class Met:
    """A condition on an event ``p``: it is among those of a SELECT of event_id, or, ``inverted``, it is not.

    Without a SELECT every event meets it or, inverted, none.
    """

    events: str | None = None
    inverted: bool = False

    def condition(self) -> str:
        """The SQL of the condition."""
        if self.events is None:
            return "1 = 0" if self.inverted else "1 = 1"
        return f"p.event_id {'NOT IN' if self.inverted else 'IN'} ({self.events})"

    def among(self, events: str) -> str:
        """A SELECT of event_id of those among ``events``, a table or subquery, that meet it."""
        if self.events is not None and not self.inverted:
            return self.events
        return f"SELECT p.event_id FROM {events} p WHERE {self.condition()}"


def every(parts: Sequence[Met], events: str) -> str:
    """The condition that an event ``p`` of ``events`` meets all of ``parts``."""
    parts = tuple(dict.fromkeys(parts))
    if len(parts) > STACKED:
        return _enough(parts, events, len(parts), inverted=False).condition()
    return " AND ".join(part.condition() for part in parts) or "1 = 1"


def grouped(group: CriteriaGroup, parts: Sequence[Met], events: str) -> Met:
    """Events that meet as many of ``parts`` as the group asks for. A part that is there twice counts twice."""
    if group.type == "ALL":
        return Met(f"SELECT p.event_id FROM {events} p WHERE {every(parts, events)}")
    wanted = 1 if group.type == "ANY" else (group.count or 0) + (group.type == "AT_MOST")
    return _enough(parts, events, wanted, inverted=group.type == "AT_MOST")


def _enough(parts: Sequence[Met], events: str, wanted: int, *, inverted: bool) -> Met:
    sets = Counter(part for part in parts if part.events is not None)
    certain = sum(part.events is None and not part.inverted for part in parts)
    if wanted - certain <= 0:
        return Met(None, inverted)
    if wanted - certain > sets.total():
        return Met(None, not inverted)
    if wanted - certain == 1:
        return _united(list(sets), events, inverted)
    counted = " UNION ALL ".join(
        f"SELECT DISTINCT event_id, {times} AS met FROM ({part.among(events)}) m" for part, times in sets.items()
    )
    enough = f"GROUP BY event_id HAVING SUM(met) >= {wanted - certain}"
    return Met(f"SELECT event_id FROM ({counted}) c {enough}", inverted)


def _united(sets: Sequence[Met], events: str, inverted: bool) -> Met:
    if len(sets) == 1:
        return Met(sets[0].events, sets[0].inverted != inverted)
    return Met(" UNION ALL ".join(part.among(events) for part in sets), inverted)
