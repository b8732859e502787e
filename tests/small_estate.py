"""Small estates whose every person is known, and questions about them: for tests of counts and of disclosure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from flipnb.estate.omop.cdm import tables
from flipnb.estate.versions import Estate

FEMALE, MALE = 8532, 8507
EVERYBODY = 1
"""A condition that each person has, on ``since``: what cohorts start from."""


@dataclass(frozen=True)
class Person:
    number: int
    gender: int = FEMALE
    born: int = 1960
    since: date = date(2015, 6, 1)
    conditions: frozenset[int] = frozenset()
    values: Mapping[int, float] = field(default_factory=dict)
    note: str = ""
    recorded: Sequence[tuple[int, date]] = ()
    """Conditions with days of their own, as often as they stand here."""
    measured: Sequence[tuple[int, date, float | None, int | None]] = ()
    """Measurements with days of their own: concept, day, number, coded value."""
    mentions: frozenset[int] = frozenset()
    """Concepts that a clinical note of ``since`` asserts."""


def fill(directory: Path, people: Iterable[Person]) -> str:
    """A new estate version with these people; its id."""
    people = list(people)
    conditions = [
        (p, c, day)
        for p in people
        for c, day in ((EVERYBODY, p.since), *((c, p.since) for c in sorted(p.conditions)), *p.recorded)
    ]
    values = [(p, *one) for p in people for one in (*((c, p.since, v, None) for c, v in p.values.items()), *p.measured)]
    mentions = [(p, c) for p in people for c in sorted(p.mentions)]
    concepts = {c for _, c, _ in conditions} | {c for _, c in mentions} | {c for _, c, *_ in values}
    rows: dict[str, list[dict[str, Any]]] = {
        "person": [
            {"person_id": p.number, "gender_concept_id": p.gender, "year_of_birth": p.born} for p in people
        ],
        "observation_period": [
            {"observation_period_id": p.number, "person_id": p.number,
             "observation_period_start_date": date(2000, 1, 1), "observation_period_end_date": date(2030, 1, 1)}
            for p in people
        ],
        "condition_occurrence": [
            {"condition_occurrence_id": n, "person_id": p.number, "condition_concept_id": c,
             "condition_start_date": day, "condition_end_date": day, "stop_reason": p.note}
            for n, (p, c, day) in enumerate(conditions)
        ],
        "measurement": [
            {"measurement_id": n, "person_id": p.number, "measurement_concept_id": c, "measurement_date": day,
             "value_as_number": v, "value_as_concept_id": code}
            for n, (p, c, day, v, code) in enumerate(values)
        ],
        "note": [{"note_id": p.number, "person_id": p.number, "note_date": p.since} for p in people if p.mentions],
        "note_nlp": [
            {"note_nlp_id": n, "note_id": p.number, "note_nlp_concept_id": c, "term_exists": "Y"}
            for n, (p, c) in enumerate(mentions)
        ],
        "concept": [
            {"concept_id": c, "concept_name": str(c), "concept_code": str(c), "domain_id": "", "vocabulary_id": "",
             "concept_class_id": ""}
            for c in sorted(concepts)
        ],
    }  # fmt: skip

    def write(path: Path) -> str:
        with duckdb.connect(str(path)) as connection:
            for table in tables().values():
                connection.execute(table.ddl().replace(" NOT NULL", ""))
            for name, listed in rows.items():
                if listed:
                    lists = ", ".join(f"unnest(${number}) AS {column}" for number, column in enumerate(listed[0], 1))
                    columns = [[row[column] for row in listed] for column in listed[0]]
                    connection.execute(f"INSERT INTO {name} BY NAME SELECT {lists}", columns)
        digest = abs(hash(tuple(sorted(repr(person) for person in people))))
        return f"{digest:032x}"

    return Estate.open(directory).add(write)


def has(concepts: Iterable[int], **criterion: Any) -> dict[str, Any]:
    """The cohort of those who have one of the conditions."""
    return {
        "ConceptSets": [concept_set(0, concepts)],
        "PrimaryCriteria": {
            "CriteriaList": [{"ConditionOccurrence": {"CodesetId": 0, **criterion}}],
            "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": "First"},
        },
        "QualifiedLimit": {"Type": "First"},
        "ExpressionLimit": {"Type": "First"},
        "InclusionRules": [],
    }


def concept_set(number: int, concepts: Iterable[int]) -> dict[str, Any]:
    items = [{"concept": {"CONCEPT_ID": concept}} for concept in sorted(concepts)]
    return {"id": number, "name": "", "expression": {"items": items}}


def aged(op: str, years: int, *genders: int) -> dict[str, Any]:
    """A demographic criterion."""
    one: dict[str, Any] = {"Age": {"Value": years, "Op": op}}
    return one | ({"Gender": [{"CONCEPT_ID": g} for g in genders]} if genders else {})


def ruled(cohort: dict[str, Any], *groups: dict[str, Any]) -> dict[str, Any]:
    """The cohort with further inclusion rules, one per group."""
    rules = [{"name": f"rule {number}", "expression": group} for number, group in enumerate(groups)]
    return cohort | {"InclusionRules": [*cohort["InclusionRules"], *rules]}


def group(
    *demographic: dict[str, Any],
    kind: str = "ALL",
    having: Sequence[int] = (),
    lacking: Sequence[int] = (),
    groups: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Demographic criteria, and ids of concept sets of which the person has a condition, or none."""
    window = {"Start": {"Coeff": -1}, "End": {"Coeff": 1}}
    conditions = [
        {"Criteria": {"ConditionOccurrence": {"CodesetId": number}}, "StartWindow": window, "Occurrence": occurrence}
        for numbers, occurrence in ((having, {"Type": 2, "Count": 1}), (lacking, {"Type": 0, "Count": 0}))
        for number in numbers
    ]
    lists = {"CriteriaList": conditions, "DemographicCriteriaList": list(demographic), "Groups": list(groups)}
    return {"Type": kind, **lists}


def but_not(cohort: dict[str, Any], concepts: Iterable[int]) -> dict[str, Any]:
    """The cohort without those who have one of ``concepts``."""
    number = len(cohort["ConceptSets"])
    made = ruled(cohort, group(lacking=[number]))
    return made | {"ConceptSets": [*cohort["ConceptSets"], concept_set(number, concepts)]}
