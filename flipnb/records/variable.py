"""A variable's value as SQL, the same in an estate and in a frozen cohort; DuckDB's dialect."""

from __future__ import annotations

from flipnb.contracts.dataset import Variable
from flipnb.contracts.window import Window

_TABLE = {"measurement": "measurement", "observation": "observation", "condition": "condition_occurrence"}
_DAY = {"measurement": "measurement_date", "observation": "observation_date", "condition": "condition_start_date"}


def within_window(variable: Variable, start: str, end: str) -> str:
    """The condition that a record ``t`` lies in the variable's window, of a stay from ``start`` to ``end`` (SQL dates).

    True for every record where the window has no end on either side. Days are compared as differences, which are
    defined for every two dates; a date moved by days may not be one.
    """
    day = f"t.{_DAY[variable.source]}"
    if not isinstance(variable.window, Window):
        return f"{day} <= {end}"
    bounds = ((">=", variable.window.start_days), ("<=", variable.window.end_days))
    return " AND ".join(f"{day} - {start} {op} {days}" for op, days in bounds if days is not None) or "TRUE"


def has_value(variable: Variable) -> str:
    """The condition that a record ``t`` is one of the variable's: its concept, and a value of the declared kind."""
    found = f"t.{variable.source}_concept_id = {variable.concept_id}"
    return found if variable.source == "condition" else f"{found} AND {_value(variable)} IS NOT NULL"


def taken(variable: Variable) -> str:
    """An aggregate over the records ``t`` of one person that are the variable's and lie in its window.

    Without a record it is NULL, but 0 for a count and a condition; a condition is 1 with one.
    """
    order = f"(t.{variable.source}_date, t.{variable.source}_id)"
    value = _value(variable)
    if variable.source == "condition":
        return "(count(*) > 0)::INT"
    return {
        "last": f"arg_max({value}, {order})",
        "first": f"arg_min({value}, {order})",
        "minimum": f"min({value})",
        "maximum": f"max({value})",
        "mean": f"avg({value} ORDER BY {order})",
        "count": f"count({value})",
    }[variable.take]


def table_of(variable: Variable) -> str:
    """The CDM's table that it is read from."""
    return _TABLE[variable.source]


def of_person(variable: Variable, person: str, start: str, end: str) -> str:
    """A scalar subquery: the variable's value of the person whose id and stay these are (SQL expressions)."""
    return (
        f"(SELECT {taken(variable)} FROM {table_of(variable)} t WHERE t.person_id = {person} "
        f"AND {has_value(variable)} AND {within_window(variable, start, end)})"
    )


def _value(variable: Variable) -> str:
    return "t.value_as_number" if variable.value == "number" else "t.value_as_concept_id"
