"""Conditions of a cohort expression as SQL text.

Nothing of an expression reaches SQL but numbers, dates and quoted texts that are formatted here, so that no expression
can say anything else in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from flipnb.contracts.cohort_criteria import Window, WindowEnd
from flipnb.contracts.cohort_values import Concepts, DateRange, NumericRange, TextFilter

_LONGEST = 100_000
START, END = "a.start_date", "a.end_date"
"""The dates of a record ``a`` that is looked for near an index event ``q``."""

_OPERATORS = {"lt": "<", "lte": "<=", "eq": "=", "!eq": "<>", "gt": ">", "gte": ">="}


def number(value: float) -> str:
    """Four decimals, as circe-be writes numbers."""
    return str(Decimal(repr(float(value))).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP))


def day(value: date) -> str:
    """A date as an SQL literal."""
    return f"DATE '{value.isoformat()}'"


def shifted(column: str, days: int) -> str:
    """SQL of a date so many days later, or earlier where ``days`` is negative."""
    return f"{column} {'+' if days >= 0 else '-'} {abs(days)}" if days else column


def supplied(start: str, days_supply: str) -> str:
    """SQL of the date to which a supply lasts; NULL for days that no date can be moved by: a single record of 2^31
    would make the statement fail, and everybody's count with it."""
    days = f"CAST({days_supply} AS INTEGER)"
    return f"CASE WHEN {days_supply} BETWEEN -{_LONGEST} AND {_LONGEST} THEN {start} + {days} END"


def where(conditions: Sequence[str]) -> str:
    """A WHERE clause; empty where there are no conditions."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def in_concepts(column: str, concepts: Concepts, *, exclude: bool = False) -> str:
    """SQL that a column is one of the concepts, or none of them."""
    return in_ids(column, (concept.concept_id for concept in concepts), exclude=exclude)


def in_ids(column: str, ids: Iterable[int], *, exclude: bool = False) -> str:
    """SQL that a column is one of the ids, or none of them. There must be one at least."""
    return f"{column} {'NOT IN' if exclude else 'IN'} ({', '.join(str(int(one)) for one in ids)})"


def like(column: str, text: TextFilter) -> str:
    """LIKE without an escape character, which PostgreSQL has unless told, and DuckDB has not."""
    pattern = text.text.replace("'", "''")
    escape = ""
    if "\\" in pattern:
        pattern, escape = pattern.replace("\\", "\\\\"), " ESCAPE '\\'"
    before = "%" if text.op.lower().endswith(("endswith", "contains")) else ""
    after = "%" if text.op.lower().endswith(("startswith", "contains")) else ""
    return f"{column} {'NOT LIKE' if text.op.startswith('!') else 'LIKE'} '{before}{pattern}{after}'{escape}"


def is_word(column: str, word: str) -> str:
    """A word out of a closed list, in whichever case the estate has it."""
    return f"LOWER({column}) = '{word.lower()}'"


def in_range(column: str, limits: NumericRange, *, whole: bool) -> str:
    """``whole`` cuts the limits to integers, as circe-be does for ages and counts."""

    def text(value: float) -> str:
        return str(int(value)) if whole else number(value)

    return _compare(column, limits.op, text(limits.value), None if limits.extent is None else text(limits.extent))


def in_dates(column: str, limits: DateRange) -> str:
    """SQL that a date lies within the limits."""
    return _compare(column, limits.op, day(limits.value), None if limits.extent is None else day(limits.extent))


def _compare(column: str, operator: str, value: str, extent: str | None) -> str:
    if operator in ("bt", "!bt"):
        inside = f"({column} >= {value} AND {column} <= {extent})"
        return inside if operator == "bt" else f"NOT {inside}"
    return f"{column} {_OPERATORS[operator]} {value}"


@dataclass(frozen=True)
class Bound:
    """A condition that a record's date ``column``, START or END, is not before, or not after, a date of an index event.

    ``operator``: >= or <=.
    """

    column: str
    operator: str
    limit: str

    def of(self, column: str) -> str:
        """The condition's SQL about another column, or the same one."""
        return f"{column} {self.operator} {self.limit}"

    def sql(self) -> str:
        """The condition's SQL."""
        return self.of(self.column)


def in_period_of(window: Window) -> list[Bound]:
    """That a record ``a`` starts in the observation period of an index event ``q``, which starts in it, too.

    A window that begins with that start or later asks for the one bound already, one that ends with it for the other.
    """

    def of_start(edge: WindowEnd, side: int) -> bool:
        on_start = not window.use_index_end and not is_about_end(window, ends=False)
        return on_start and edge.days is not None and edge.coeff * edge.days * side >= 0

    bounds = []
    if not of_start(window.start, 1):
        bounds.append(Bound(START, ">=", "q.op_start_date"))
    if not of_start(window.end, -1):
        bounds.append(Bound(START, "<=", "q.op_end_date"))
    return bounds


def in_window(window: Window, *, within_period: bool, ends: bool) -> list[Bound]:
    """That a record ``a`` is near an index event ``q``.

    ``ends``: an EndWindow, which is about the record's end unless it says otherwise. Outside observation periods an
    open side has no limit.
    """
    index = "q.end_date" if window.use_index_end else "q.start_date"
    record = END if is_about_end(window, ends=ends) else START
    limits = ((">=", _edge(window.start, index, within_period)), ("<=", _edge(window.end, index, within_period)))
    return [Bound(record, operator, limit) for operator, limit in limits if limit is not None]


def _edge(edge: WindowEnd, index: str, within_period: bool) -> str | None:
    if edge.days is not None:
        return shifted(index, edge.coeff * edge.days)
    if not within_period:
        return None
    return "q.op_start_date" if edge.coeff == -1 else "q.op_end_date"


def is_about_end(window: Window, *, ends: bool) -> bool:
    """Whether the window is about the record's end."""
    return ends if window.use_event_end is None else window.use_event_end
