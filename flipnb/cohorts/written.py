"""Limits, days and concepts as OHDSI's JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

Json = dict[str, Any]

_OPERATORS = {"at_least": "gte", "above": "gt", "at_most": "lte", "below": "lt", "since": "gte", "until": "lte"}


def concept_list(ids: Sequence[int]) -> list[Json]:
    """Concepts as circe's JSON lists them, by id alone."""
    return [{"CONCEPT_ID": concept} for concept in ids]


def window(start: int | None, end: int | None) -> Json:
    """Days from ``start`` to ``end`` of the index event, negative before it; None is as far as observation goes."""
    return {"Start": _edge(start, -1), "End": _edge(end, 1), "UseIndexEnd": False}


def _edge(days: int | None, open_side: int) -> Json:
    if days is None:
        return {"Coeff": open_side}
    return {"Days": abs(days), "Coeff": -1 if days < 0 else 1}


def number_range(**limits: float | None) -> Json:
    """One limit, or ``at_least`` and ``at_most``."""
    return _range(limits, ("at_least", "at_most"))


def day_range(since: date | None, until: date | None) -> Json:
    """From ``since`` to ``until``, both included; one of them may be None. Raises ValueError where both are."""
    days = {"since": since, "until": until}
    return _range({name: day.isoformat() if day else None for name, day in days.items()}, ("since", "until"))


def _range(limits: Mapping[str, Any], ends: tuple[str, str]) -> Json:
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if set(given) == set(ends):
        return {"Value": given[ends[0]], "Extent": given[ends[1]], "Op": "bt"}
    if len(given) != 1:
        raise ValueError(f"give one limit, or {ends[0]} and {ends[1]}")
    ((name, limit),) = given.items()
    return {"Value": limit, "Op": _OPERATORS[name]}
