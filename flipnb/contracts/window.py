"""Which days around a person's index date (the cohort's start) a variable is read from."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from flipnb.contracts.cohort_values import Offset
from flipnb.contracts.document import Document

UNTIL_COHORT_END: Literal["until-cohort-end"] = "until-cohort-end"


class Window(Document):
    """From ``start_days`` to ``end_days`` after the index date, both days within; None is without an end.

    Day 0 is the index date, -1 the day before: ``Window(start_days=-365, end_days=0)`` is the year up to it.
    """

    start_days: Offset | None
    end_days: Offset | None

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.start_days is not None and self.end_days is not None and self.start_days > self.end_days:
            raise ValueError(f"the window starts on day {self.start_days} and ends before, on day {self.end_days}")
        return self

    @property
    def may_be_later(self) -> bool:
        """Whether it reaches beyond the index date."""
        return self.end_days is None or self.end_days > 0

    @property
    def nearest_day(self) -> int:
        """The day within it that lies nearest to the index date."""
        if self.start_days is not None and self.start_days > 0:
            return self.start_days
        return min(0, self.end_days if self.end_days is not None else 0)

    def shares(self, other: Window) -> tuple[int | None, int | None] | None:
        """First and last day that both have, None where that is without an end; None alone where they share no day."""
        starts = [day for day in (self.start_days, other.start_days) if day is not None]
        ends = [day for day in (self.end_days, other.end_days) if day is not None]
        first, last = max(starts, default=None), min(ends, default=None)
        return None if first is not None and last is not None and first > last else (first, last)

    @property
    def words(self) -> str:
        """For people, as the rest of a sentence: ``from 365 days before the index date to the index date``."""
        if self.start_days is None and self.end_days is None:
            return "at any time, before or after the index date"
        if self.start_days is None:
            return f"up to {_day(self.end_days or 0)}"
        if self.end_days is None:
            return f"from {_day(self.start_days)} on, without end"
        if self.start_days == self.end_days:
            return f"on {_day(self.start_days)}"
        return f"from {_day(self.start_days)} to {_day(self.end_days)}"


ALWAYS = Window(start_days=None, end_days=None)


def _day(number: int) -> str:
    if number == 0:
        return "the index date"
    days = f"{abs(number)} day{'' if abs(number) == 1 else 's'}"
    return f"{days} {'after' if number > 0 else 'before'} the index date"
