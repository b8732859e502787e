"""Conditions of a cohort expression as SQL text.

Nothing of an expression reaches SQL but numbers and dates that are formatted here, so that no expression can say
anything else in SQL.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from flipnb.contracts.cohort import Concepts, DateRange, NumericRange, Window, WindowEnd

_OPERATORS = {"lt": "<", "lte": "<=", "eq": "=", "!eq": "<>", "gt": ">", "gte": ">="}


def number(value: float) -> str:
    """Four decimals, as circe-be writes numbers."""
    return str(Decimal(repr(float(value))).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP))


def day(value: date) -> str:
    return f"DATE '{value.isoformat()}'"


def shifted(column: str, days: int) -> str:
    return f"{column} {'+' if days >= 0 else '-'} {abs(days)}" if days else column


def in_concepts(column: str, concepts: Concepts, *, exclude: bool = False) -> str:
    ids = ", ".join(str(int(concept.concept_id)) for concept in concepts)
    return f"{column} {'NOT IN' if exclude else 'IN'} ({ids})"


def in_range(column: str, limits: NumericRange, *, whole: bool) -> str:
    """``whole`` cuts the limits to integers, as circe-be does for ages and counts."""

    def text(value: float) -> str:
        return str(int(value)) if whole else number(value)

    return _compare(column, limits.op, text(limits.value), None if limits.extent is None else text(limits.extent))


def in_dates(column: str, limits: DateRange) -> str:
    return _compare(column, limits.op, day(limits.value), None if limits.extent is None else day(limits.extent))


def _compare(column: str, operator: str, value: str, extent: str | None) -> str:
    if operator in ("bt", "!bt"):
        inside = f"({column} >= {value} AND {column} <= {extent})"
        return inside if operator == "bt" else f"NOT {inside}"
    return f"{column} {_OPERATORS[operator]} {value}"


def in_window(window: Window, *, within_period: bool, ends: bool) -> list[str]:
    """Conditions on a record ``a`` near an index event ``p``.

    ``ends``: an EndWindow, which is about the record's end unless it says otherwise. Outside observation periods an
    open side has no limit.
    """
    index = "p.end_date" if window.use_index_end else "p.start_date"
    from_end = window.use_event_end if window.use_event_end is not None else ends
    record = "a.end_date" if from_end else "a.start_date"
    conditions = []
    for operator, edge in ((">=", window.start), ("<=", window.end)):
        limit = _edge(edge, index, within_period)
        if limit is not None:
            conditions.append(f"{record} {operator} {limit}")
    return conditions


def _edge(edge: WindowEnd, index: str, within_period: bool) -> str | None:
    if edge.days is not None:
        return shifted(index, edge.coeff * edge.days)
    if not within_period:
        return None
    return "p.op_start_date" if edge.coeff == -1 else "p.op_end_date"
