"""What is plausible of a concept: the numbers of a measurement, the units that it is told in, the sex of who has it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from flipnb.estate.database import EstateDatabase
from flipnb.estate.omop.cdm import Table
from flipnb.estate.quality.findings import Finding, example_of
from flipnb.estate.quality.rules import LIFE, MAPPED, value_limits

_OF_PEOPLE = {"condition_occurrence": "condition_concept_id", "procedure_occurrence": "procedure_concept_id"}
_MALE, _FEMALE = 8507, 8532


@dataclass(frozen=True)
class SexOf:
    """What people of one sex alone have: a SNOMED CT code and its descendants; ``sex`` is OMOP's concept."""

    snomed: str
    sex: int
    name: str


@cache
def sexes() -> tuple[SexOf, ...]:
    """``plausible_sex.csv``: a few that are common and certain; chosen for FLIP."""
    text = files(__package__).joinpath("plausible_sex.csv").read_text(encoding="utf-8")
    return tuple(SexOf(row["snomed"], int(row["sex"]), row["name"]) for row in csv.DictReader(text.splitlines()))


def values(database: EstateDatabase, table: Table) -> Iterator[Finding]:
    """Numbers of common measurements, in their unit; units that are none of theirs; and numbers without any."""
    yield from _numbers_by_unit(database, table)
    yield from _units(database, table)
    (found,) = database.rows(
        "SELECT count(*) FILTER (WHERE unit_concept_id IS NULL AND unit_source_value IS NULL), count(*) "
        f"FROM {table.name} WHERE value_as_number IS NOT NULL"
    )
    yield Finding(
        category="completeness",
        check="unit of a number",
        table=table.name,
        field="unit_concept_id",
        meaning="a unit where there is a number",
        violated=int(found[0]),
        total=int(found[1]),
    )


_UNIT = "coalesce(u.concept_code, m.unit_source_value)"
_MEASURED = (
    "JOIN concept c ON c.concept_id = m.measurement_concept_id AND c.vocabulary_id = 'LOINC' "
    "LEFT JOIN concept u ON u.concept_id = m.unit_concept_id AND u.vocabulary_id = 'UCUM'"
)


def _numbers_by_unit(database: EstateDatabase, table: Table) -> Iterator[Finding]:
    limits = ", ".join(f"('{one.loinc}', '{one.unit}', {one.low}, {one.high})" for one in value_limits())
    outside = "m.value_as_number < l.low OR m.value_as_number > l.high"
    query = (
        f"SELECT l.loinc, l.unit, count(*), count(*) FILTER (WHERE {outside}), "
        f"min(CASE WHEN {outside} THEN m.value_as_number END) FROM {table.name} m {_MEASURED} "
        f"JOIN (VALUES {limits}) AS l (loinc, unit, low, high) ON l.loinc = c.concept_code AND l.unit = {_UNIT} "
        "WHERE m.value_as_number IS NOT NULL GROUP BY l.loinc, l.unit ORDER BY l.loinc, l.unit"
    )
    by_code = {(one.loinc, one.unit): one for one in value_limits()}
    for loinc, code, *counted in database.rows(query):
        limit = by_code[loinc, code]
        meaning = f"{limit.name} (LOINC {loinc}) from {limit.low:g} to {limit.high:g} {code}"
        yield _implausible(table, "value_as_number", "value by unit", meaning, counted, LIFE)


def _units(database: EstateDatabase, table: Table) -> Iterator[Finding]:
    """Of measurements whose limits are known, the units that none is for."""
    known: dict[str, list[str]] = {}
    for one in value_limits():
        known.setdefault(one.loinc, []).append(one.unit)
    listed = ", ".join(f"('{one.loinc}', '{one.unit}')" for one in value_limits())
    wrong = f"(c.concept_code, {_UNIT}) NOT IN ({listed})"
    loincs = ", ".join(f"'{loinc}'" for loinc in known)
    names = {one.loinc: one.name for one in value_limits()}
    query = (
        f"SELECT c.concept_code, count(*), count(*) FILTER (WHERE {wrong}), min(CASE WHEN {wrong} THEN {_UNIT} END) "
        f"FROM {table.name} m {_MEASURED} WHERE m.value_as_number IS NOT NULL AND {_UNIT} IS NOT NULL "
        f"AND c.concept_code IN ({loincs}) GROUP BY c.concept_code ORDER BY c.concept_code"
    )
    for loinc, *counted in database.rows(query):
        meaning = f"{names[loinc]} (LOINC {loinc}) in {' or '.join(known[loinc])}"
        yield _implausible(table, "unit_concept_id", "unit of a measurement", meaning, counted, MAPPED)


def people_of_one_sex(database: EstateDatabase, table: Table, *, with_descendants: bool) -> Iterator[Finding]:
    """What only women or only men have; people whose sex is not recorded are not counted."""
    column = _OF_PEOPLE.get(table.name)
    if column is None:
        return
    listed = ", ".join(f"('{one.snomed}', {one.sex})" for one in sexes())
    named = (
        "SELECT l.code, l.sex, c.concept_id FROM "
        f"(VALUES {listed}) AS l (code, sex) JOIN concept c ON c.vocabulary_id = 'SNOMED' AND c.concept_code = l.code"
    )
    meant = named
    if with_descendants:
        meant += (
            f" UNION SELECT n.code, n.sex, a.descendant_concept_id FROM ({named}) n "
            "JOIN concept_ancestor a ON a.ancestor_concept_id = n.concept_id"
        )
    query = (
        f"SELECT m.code, count(*), count(*) FILTER (WHERE p.gender_concept_id <> m.sex), "
        f"'person ' || min(CASE WHEN p.gender_concept_id <> m.sex THEN t.person_id END) FROM ({meant}) m "
        f"JOIN {table.name} t ON t.{column} = m.concept_id JOIN person p ON p.person_id = t.person_id "
        f"WHERE p.gender_concept_id IN ({_MALE}, {_FEMALE}) GROUP BY m.code ORDER BY m.code"
    )
    by_code = {one.snomed: one for one in sexes()}
    for code, *counted in database.rows(query):
        one = by_code[code]
        meaning = f"{one.name} (SNOMED CT {code}) of {'women' if one.sex == _FEMALE else 'men'} alone"
        yield _implausible(table, column, "sex", meaning, counted, LIFE)


def _implausible(table: Table, field: str, check: str, meaning: str, counted: Sequence[Any], allowed: float) -> Finding:
    """What is said of one concept: ``counted`` are its rows, those that violate, and one of these."""
    total, violated, example = counted
    return Finding(
        category="plausibility",
        check=check,
        table=table.name,
        field=field,
        meaning=meaning,
        violated=int(violated),
        total=int(total),
        allowed=allowed,
        example=example_of(example),
    )
