"""A cohort over an estate: how many people each step leaves, who they are. Exact, for the enclave alone."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.document import load_json
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.compiled import CompiledCohort
from flipnb.estate.cohort.compiler import compile_steps
from flipnb.estate.cohort.subqueries import in_dialect
from flipnb.estate.cohort.vocabulary import concepts_of
from flipnb.estate.database import EstateDatabase, reading
from flipnb.files.whole import writing

HEADER = ("subject_id", "cohort_start_date", "cohort_end_date")
"""The columns of OHDSI's cohort table."""


class AttritionStep(BaseModel):
    """What a step left: people and their events. An inclusion rule counts after all rules before it."""

    model_config = ConfigDict(frozen=True)

    name: str
    people: int
    events: int


class CohortReport(BaseModel):
    """``people`` are in the cohort, ``rows`` are their stays."""

    model_config = ConfigDict(frozen=True)

    people: int
    rows: int
    attrition: tuple[AttritionStep, ...]


def generate(definition: Path | Mapping[str, Any], estate: Path | str, rows: Path | None = None) -> CohortReport:
    """Find the cohort in the estate's current version, or in the database at a ``postgresql://`` address.

    ``rows``: a CSV file for the cohort's rows, by person and start; written whole or not at all. Raises FlipError
    ``unsupported-cohort``, ``invalid-cohort``, ``not-json``, ``no-estate``, ``estate-incomplete``, ``database-away``.
    """
    expression = CohortExpression.parse(
        read_definition(definition) if isinstance(definition, Path) else dict(definition)
    )
    with reading(estate) as database:
        compiled = compiled_for(database, expression)
        counts = list(database.rows(in_dialect(compiled.attrition(), database.dialect)))
        if rows is not None:
            _write_rows(database, compiled, rows)
    steps = tuple(
        AttritionStep(name=step.name, people=people, events=events)
        for step, (_, people, events) in zip(compiled.steps, counts[:-1], strict=True)
    )
    return CohortReport(people=counts[-1][1], rows=counts[-1][2], attrition=steps)


def read_definition(path: Path) -> dict[str, Any]:
    """ATLAS JSON from a file. Raises FlipError ``no-cohort``, ``not-json``, ``duplicate-key``."""
    try:
        value = load_json(path.read_bytes(), str(path))
    except OSError as error:
        raise FlipError("no-cohort", f"{path} can't be read: {error.strerror}.") from None
    if not isinstance(value, dict):
        raise FlipError("no-cohort", f"{path} holds no cohort expression.")
    return value


def count_people(database: EstateDatabase, expression: CohortExpression) -> int:
    """How many people (not rows) a cohort has."""
    ((people,),) = database.rows(in_dialect(compiled_for(database, expression).people(), database.dialect))
    return int(people)


def compiled_for(database: EstateDatabase, expression: CohortExpression, rules: Sequence[int] = ()) -> CompiledCohort:
    """The cohort's queries, with the concepts of its concept sets looked up in this database's vocabulary."""
    concepts = concepts_of(database, expression.concept_sets)
    return compile_steps(expression, concepts, copies=database.copies, rules=rules, dialect=database.dialect)


def _write_rows(database: EstateDatabase, compiled: CompiledCohort, path: Path) -> None:
    sql = f"SELECT person_id, start_date, end_date FROM ({compiled.rows()}) c ORDER BY person_id, start_date, end_date"
    with writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(database.rows(in_dialect(sql, database.dialect)))
