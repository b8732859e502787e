"""Values in OHDSI cohort expressions: concepts, ranges, dates, texts."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

ConceptId = Annotated[int, Field(ge=0, lt=2**31)]
Days = Annotated[int, Field(ge=0, le=100_000)]
Offset = Annotated[int, Field(ge=-100_000, le=100_000)]
Quantity = Annotated[float, Field(ge=-1e15, le=1e15)]
"""A number to compare with, in a unit of whatever domain: up to here four decimals mean something in a double."""
_SHORTER_UNITS = ("hour", "minute", "second")
RangeOperator = Literal["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]


def _alias(name: str) -> str:
    """OHDSI's name of a field: PascalCase, but ``…CS`` for a selection by concept set."""
    return to_pascal(name.removesuffix("_cs")) + ("CS" if name.endswith("_cs") else "")


class ExpressionPart(BaseModel):
    """A part of an expression; JSON names are OHDSI's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=_alias)


class Concept(BaseModel):
    """A concept as ATLAS embeds it; only its id carries meaning, the rest describes it to people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    concept_id: ConceptId = Field(alias="CONCEPT_ID")


Concepts = tuple[Concept, ...]


class ConceptSetSelection(ExpressionPart):
    """Concepts of a concept set, or all others; without ``CodesetId`` any concept."""

    codeset_id: int | None = None
    is_exclusion: bool = False


def _four_two_two(value: object) -> object:
    """2010-1-5 is a date to OHDSI's tools; JSON's own dates have two digits."""
    parts = re.fullmatch(r"(\d{1,4})-(\d{1,2})-(\d{1,2})", value) if isinstance(value, str) else None
    return (
        "-".join(part.zfill(width) for part, width in zip(parts.groups(), (4, 2, 2), strict=True)) if parts else value
    )


Day = Annotated[date, BeforeValidator(_four_two_two)]


def in_days(part: object, days: str, unit: str, amount: str) -> object:
    """A part with its length under ``days``, where newer tools say it by a unit and an amount.

    No length has the same meaning in every unit; another length than in days stays, and so is refused by name.
    """
    if not isinstance(part, dict):
        return part
    no_length = part.get(unit) in _SHORTER_UNITS and not part.get(amount) and not part.get(days)
    if part.get(unit) != "day" and not no_length:
        return part
    plain = {key: value for key, value in part.items() if key not in (unit, amount)}
    if part.get(amount) is not None and plain.setdefault(days, part[amount]) != part[amount]:
        raise ValueError(f"{days} and {amount} differ")
    return plain


class NumericRange(ExpressionPart):
    """``Op`` compares with ``Value``; ``bt`` and ``!bt`` also need ``Extent``. Four decimals count, as in circe."""

    value: Quantity
    op: RangeOperator
    extent: Quantity | None = None

    @model_validator(mode="after")
    def _extent(self) -> NumericRange:
        _require_extent(self.op, self.extent)
        return self


class DateRange(ExpressionPart):
    """``Op`` compares a date with ``Value``; ``bt`` and ``!bt`` also need ``Extent``, both days included."""

    value: Day
    op: RangeOperator
    extent: Day | None = None

    @model_validator(mode="after")
    def _extent(self) -> DateRange:
        _require_extent(self.op, self.extent)
        return self


def _require_extent(op: RangeOperator, extent: object) -> None:
    if op in ("bt", "!bt") and extent is None:
        raise ValueError(f"Op {op} needs an Extent")


class TextFilter(ExpressionPart):
    """``Text`` as SQL's LIKE has it: ``%`` and ``_`` stand for any text and any character, capitals count."""

    text: str = Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")
    op: Literal["eq", "!eq", "startsWith", "!startsWith", "endsWith", "!endsWith", "contains", "!contains"]


class Period(ExpressionPart):
    """A calendar window; an open end is absent."""

    start_date: Day | None = None
    end_date: Day | None = None


class DateAdjustment(ExpressionPart):
    """A record's start and end, moved: days after the one or the other of its dates."""

    start_with: Literal["START_DATE", "END_DATE"] = "START_DATE"
    start_offset: Offset = 0
    end_with: Literal["START_DATE", "END_DATE"] = "END_DATE"
    end_offset: Offset = 0
