"""When the people of a mapped extract died, and from when to when they were followed."""

from __future__ import annotations

from datetime import date

from flipnb.estate.harmonise.extract import Row
from flipnb.estate.harmonise.mapped_values import Person
from flipnb.estate.harmonise.mapping import Deaths, FollowUp


class LifeReader:
    """Each person's death and follow-up, once. A row that says otherwise raises BadRow."""

    def __init__(self) -> None:
        self._died: set[int] = set()
        self._followed: set[int] = set()

    def death(self, row: Row, person: Person, deaths: Deaths) -> date | None:
        """The day of death; None where the row has none."""
        died = row.day(deaths.column)
        if died is not None:
            if person.person_id in self._died:
                row.refuse("the person's death is there twice", deaths.column)
            self._died.add(person.person_id)
        return died

    def period(self, row: Row, person: Person, follow_up: FollowUp, recorded: tuple[date, date]) -> tuple[date, date]:
        """First and last day of observation: what the row says, else the first and last that were ``recorded``."""
        if person.person_id in self._followed:
            row.refuse("the person's follow-up is there twice", follow_up.end or follow_up.start)
        start = (row.day(follow_up.start) if follow_up.start is not None else None) or recorded[0]
        end = (row.day(follow_up.end) if follow_up.end is not None else None) or recorded[1]
        if end < start:
            row.refuse(f"the follow-up ends on {end}, before it starts on {start}", follow_up.end or follow_up.start)
        self._followed.add(person.person_id)
        return start, end
