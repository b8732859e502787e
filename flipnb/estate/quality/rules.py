"""Which checks there are: from the CDM's specification, and what is plausible of people.

In the spirit of OHDSI's DataQualityDashboard: kinds of check that the specification turns into one per table or field.
Conditions are SQL that DuckDB and PostgreSQL understand, over the table's columns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from flipnb.estate.omop.cdm import Field, Table
from flipnb.estate.quality.findings import Category

EXACT = 0.0
MAPPED = 0.05
"""The share of rows that may have concept 0."""
LIFE = 0.01
"""The share of rows that may lie before a birth or long after a death."""
VISIT = 0.05
AFTER_DEATH_DAYS = 60
AROUND_VISIT_DAYS = 7


@dataclass(frozen=True)
class RowRule:
    """A condition that a row violates by itself. ``among`` says which rows count, every one where it is None."""

    category: Category
    check: str
    field: Field | None
    meaning: str
    violated: str
    allowed: float | None = EXACT
    among: str | None = None


# field → the lowest and highest plausible value; either may be None.
_LIMITS: dict[str, tuple[float | None, float | None]] = {
    "year_of_birth": (1880, None),
    "month_of_birth": (1, 12),
    "day_of_birth": (1, 31),
    "days_supply": (1, 365),
    "refills": (0, 24),
    "drug_exposure_count": (1, None),
    "condition_occurrence_count": (1, None),
    "gap_days": (0, None),
    "dose_value": (0, None),
    "latitude": (-90, 90),
    "longitude": (-180, 180),
    "min_levels_of_separation": (0, None),
}
_LIMITS_OF_TABLE: dict[tuple[str, str], tuple[float | None, float | None]] = {
    ("drug_exposure", "quantity"): (0, 10_000),
    ("procedure_occurrence", "quantity"): (1, 1_000),
    ("device_exposure", "quantity"): (1, 1_000),
}


@dataclass(frozen=True)
class ValueLimits:
    """What a measurement of a LOINC code may be in a UCUM unit."""

    loinc: str
    unit: str
    low: float
    high: float
    name: str


@cache
def value_limits() -> tuple[ValueLimits, ...]:
    """``plausible_values.csv``: limits so wide that a number outside is an error of unit or typing; chosen for FLIP."""
    text = files(__package__).joinpath("plausible_values.csv").read_text(encoding="utf-8")
    return tuple(
        ValueLimits(row["loinc"], row["unit"], float(row["low"]), float(row["high"]), row["name"])
        for row in csv.DictReader(text.splitlines())
    )


def row_rules(table: Table) -> list[RowRule]:
    """All rules that need no other table."""
    found = []
    for field in table.fields:
        found += _presence(field)
        if field.length is not None:
            found.append(
                RowRule(
                    "conformance",
                    "text length",
                    field,
                    f"no more than {field.length} characters",
                    f"length({field.quoted}) > {field.length}",
                    among=f"{field.quoted} IS NOT NULL",
                )
            )
        limits = _LIMITS_OF_TABLE.get((table.name, field.name), _LIMITS.get(field.name))
        if limits is not None:
            found.append(_limited(field, *limits))
        # How long a code is valid is no event: OMOP writes 2099-12-31 for what has no end.
        if field.type in ("DATE", "TIMESTAMP") and not table.vocabulary and not field.name.startswith("valid_"):
            found.append(_not_in_future(field))
        if field.concept and field.domain is not None and field.required and field.domain != "Type Concept":
            found.append(
                RowRule(
                    "completeness",
                    "standard concept",
                    field,
                    "a concept other than 0",
                    f"{field.name} = 0",
                    MAPPED,
                )
            )
        if field.concept and field.name.endswith("_source_concept_id"):
            found.append(
                RowRule(
                    "completeness",
                    "source concept",
                    field,
                    "a concept other than 0 for the source's own code",
                    f"{field.name} = 0",
                    None,
                    among=f"{field.name} IS NOT NULL",
                )
            )
    return [*found, *_order_of_times(table)]


def _presence(field: Field) -> list[RowRule]:
    missing = f"{field.quoted} IS NULL"
    if field.required:
        return [RowRule("conformance", "required", field, "a value, which the CDM requires", missing)]
    return [RowRule("completeness", "filled", field, "a value", missing, None)]


def _limited(field: Field, low: float | None, high: float | None) -> RowRule:
    parts = [f"{field.name} < {low}"] if low is not None else []
    parts += [f"{field.name} > {high}"] if high is not None else []
    if field.name == "year_of_birth":
        parts.append(f"{field.name} > extract(year FROM current_date)")
    meaning = f"from {low}" if high is None else f"{low} to {high}"
    return RowRule(
        "plausibility", "value", field, meaning, " OR ".join(parts), LIFE, among=f"{field.quoted} IS NOT NULL"
    )


def _not_in_future(field: Field) -> RowRule:
    return RowRule(
        "plausibility",
        "not in the future",
        field,
        "no later than today",
        f"CAST({field.quoted} AS DATE) > current_date",
        EXACT,
        among=f"{field.quoted} IS NOT NULL",
    )


def _order_of_times(table: Table) -> list[RowRule]:
    names = {field.name: field for field in table.fields}
    found = []
    for name, field in names.items():
        begin = name.replace("_end_date", "_start_date")
        if "_end_date" in name and begin in names:
            found.append(
                RowRule(
                    "plausibility",
                    "end after start",
                    field,
                    f"no earlier than {begin}",
                    f"{name} < {begin}",
                    EXACT,
                    among=f"{name} IS NOT NULL",
                )
            )
        day = name.removesuffix("time")
        if name.endswith("_datetime") and day in names:
            found.append(
                RowRule(
                    "conformance",
                    "date and time agree",
                    field,
                    f"on the day of {day}",
                    f"CAST({name} AS DATE) <> {day}",
                    EXACT,
                    among=f"{name} IS NOT NULL",
                )
            )
    return found
