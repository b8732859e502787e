"""What a variable's value is, in plain Python, over the people of ``small_estate``: of any window, as docs say it."""

from __future__ import annotations

from datetime import date
from statistics import fmean

from small_estate import Person

from flipnb.contracts.dataset import Variable


def value_of(variable: Variable, person: Person, start: date, end: date) -> float | int | None:
    """The value in the window around a stay from ``start`` to ``end``; None where it is missing."""
    if variable.source == "condition":
        return int(any(c == variable.concept_id and within(variable, day, start, end) for c, day in person.recorded))
    column = 2 if variable.value == "number" else 3
    ordered = sorted(
        (one[1], place, one[column])
        for place, one in enumerate(person.measured)
        if one[0] == variable.concept_id and one[column] is not None and within(variable, one[1], start, end)
    )
    values = [value for _, _, value in ordered]
    if variable.take == "count":
        return len(values)
    if not values:
        return None
    return {
        "last": lambda: values[-1],
        "first": lambda: values[0],
        "minimum": lambda: min(values),
        "maximum": lambda: max(values),
        "mean": lambda: fmean(values),
    }[variable.take]()


def within(variable: Variable, day: date, start: date, end: date) -> bool:
    """Whether a day lies in the window."""
    if variable.window == "until-cohort-end":
        return day <= end
    number = (day - start).days
    first, last = variable.window.start_days, variable.window.end_days
    return (first is None or first <= number) and (last is None or number <= last)
