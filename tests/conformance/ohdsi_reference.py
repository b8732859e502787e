"""OHDSI's own generated cohort SQL, run on DuckDB, and data to run it over."""

from __future__ import annotations

import json
import random
import re
import tempfile
import zipfile
from datetime import date, timedelta
from functools import cache

import duckdb
import public_data
import sqlglot
from public_data import PHENOTYPES

from flipnb.estate.omop.cdm import tables


def definition_ids() -> list[str]:
    return sorted((name.removesuffix(".json") for name in PHENOTYPES.names() if name.endswith(".json")), key=int)


def definition(name: str) -> dict:
    return json.loads(PHENOTYPES.file(f"{name}.json").read_text())


def empty_cdm() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    for table in tables().values():
        connection.execute(table.ddl())
    return connection


def synthea() -> duckdb.DuckDBPyConnection:
    """28 synthetic persons; a test is skipped where the public data are absent."""
    connection = empty_cdm()
    with zipfile.ZipFile(public_data.synthea()) as archive, tempfile.TemporaryDirectory() as directory:
        for name in sorted(tables().keys() - {"image_occurrence", "image_feature"}):  # an extension of the CDM
            archive.extract(f"{name.upper()}.csv", directory)
            connection.execute(
                f"INSERT INTO {name} BY NAME SELECT * FROM read_csv(?, header=true, all_varchar=true, nullstr='')",
                [f"{directory}/{name.upper()}.csv"],
            )
    return connection


@cache
def reference_statements(name: str, dialect: str = "duckdb") -> tuple[str, ...]:
    """OHDSI's SQL Server script for a definition, in another dialect; rows go to ``reference_cohort``."""
    script = PHENOTYPES.file(f"{name}.sql").read_text()
    script = re.split(r"\{1 != 0\}\?\{\s*-- BEGIN: Censored Stats", script)[0]
    script = re.sub(r"\{0 != 0\}\?\{[^{}]*\}", "", script)
    script = re.sub(r"\{\d+ != 0\}\?\{([^{}]*)\}", r"\1", script)
    script = re.sub(r"UPDATE STATISTICS [^;]*;", "", script)
    for parameter, value in {
        "@target_database_schema.@target_cohort_table": "reference_cohort",
        "@cdm_database_schema.": "",
        "@vocabulary_database_schema.": "",
        "@target_cohort_id": "1",
    }.items():
        script = script.replace(parameter, value)
    statements = [text for text in sqlglot.transpile(script, read="tsql", write=dialect) if text.strip()]
    if dialect == "postgres":
        # sqlglot leaves SQL Server's name of the function.
        statements = [text.replace("DATE_FROM_PARTS(", "MAKE_DATE(") for text in statements]
    return tuple(statements)


def reference_rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple]:
    """Rows (person, start, end), sorted, of OHDSI's script for a definition."""
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TEMP TABLE reference_cohort (cohort_definition_id BIGINT, subject_id BIGINT, "
        "cohort_start_date DATE, cohort_end_date DATE)"
    )
    for statement in reference_statements(name):
        cursor.execute(statement)
    query = "SELECT subject_id, CAST(cohort_start_date AS DATE), CAST(cohort_end_date AS DATE) FROM reference_cohort"
    return sorted(cursor.execute(query).fetchall())


def generated(seed: int = 7, people_per_definition: int = 40) -> duckdb.DuckDBPyConnection:
    """A population in which each definition's own concepts occur, close together, with and without its values."""
    source = random.Random(seed)
    connection = empty_cdm()
    concepts: set[int] = set()
    ancestors: set[tuple[int, int]] = set()
    rows: dict[str, list[dict]] = {name: [] for name in tables()}
    numbers = iter(range(1, 10**9))
    for name in definition_ids():
        expression = definition(name)
        sets = {}
        for concept_set in expression["ConceptSets"]:
            items = concept_set["expression"]["items"]
            sets[concept_set["id"]] = [item["concept"]["CONCEPT_ID"] for item in items] or [0]
            for item in items:
                parent = item["concept"]["CONCEPT_ID"]
                concepts.add(parent)
                if item.get("includeDescendants"):
                    child = 2_000_000_000 + parent % 100_000_000
                    concepts.add(child)
                    ancestors |= {(parent, parent), (parent, child)}
                    if source.random() < 0.5:
                        sets[concept_set["id"]].append(child)
        criteria = list(_criteria(expression))
        for _ in range(people_per_definition):
            _person(next(numbers), criteria, sets, rows, numbers, source)
    rows["concept"] = [
        {
            "concept_id": concept, "concept_name": "c", "domain_id": "d", "vocabulary_id": "v",
            "concept_class_id": "k", "concept_code": "x", "valid_start_date": date(1970, 1, 1),
            "valid_end_date": date(2099, 12, 31),
        }
        for concept in sorted(concepts)
    ]  # fmt: skip
    rows["concept_ancestor"] = [
        {"ancestor_concept_id": a, "descendant_concept_id": d, "min_levels_of_separation": 0,
         "max_levels_of_separation": 1}
        for a, d in sorted(ancestors)
    ]  # fmt: skip
    for name, items in rows.items():
        _insert(connection, name, items)
    return connection


def _insert(connection: duckdb.DuckDBPyConnection, table: str, items: list[dict]) -> None:
    import pandas as pd

    if items:
        frame = pd.DataFrame(items)  # noqa: F841  (DuckDB reads it by name)
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM frame")


def _criteria(part: object):
    if isinstance(part, dict):
        for key, value in part.items():
            if key in _EVENTS and isinstance(value, dict):
                yield key, value
            if key != "ConceptSets":
                yield from _criteria(value)
    elif isinstance(part, list):
        for item in part:
            yield from _criteria(item)


# Domain → table, prefix of its columns, date column, required end date column.
_EVENTS = {
    "ConditionOccurrence": ("condition_occurrence", "condition", "condition_start_date", None),
    "DrugExposure": ("drug_exposure", "drug", "drug_exposure_start_date", "drug_exposure_end_date"),
    "Measurement": ("measurement", "measurement", "measurement_date", None),
    "Observation": ("observation", "observation", "observation_date", None),
    "ProcedureOccurrence": ("procedure_occurrence", "procedure", "procedure_date", None),
    "ConditionEra": ("condition_era", "condition", "condition_era_start_date", "condition_era_end_date"),
    "VisitOccurrence": ("visit_occurrence", "visit", "visit_start_date", "visit_end_date"),
}


def _person(person: int, criteria: list, sets: dict, rows: dict, numbers, source: random.Random) -> None:
    start = date(2000, 1, 1) + timedelta(days=source.randrange(3000))
    length = source.randrange(400, 4000)
    rows["person"].append(
        {"person_id": person, "gender_concept_id": source.choice([8507, 8532]),
         "year_of_birth": source.randrange(1920, 2000), "race_concept_id": 0, "ethnicity_concept_id": 0}
    )  # fmt: skip
    rows["observation_period"].append(
        {"observation_period_id": person, "person_id": person, "observation_period_start_date": start,
         "observation_period_end_date": start + timedelta(days=length), "period_type_concept_id": 0}
    )  # fmt: skip
    anchor = start + timedelta(days=source.randrange(length))
    for domain, criterion in criteria * 2:
        if source.random() < 0.35:
            continue
        table, prefix, day_column, end_column = _EVENTS[domain]
        near = source.random() < 0.7
        day = anchor + timedelta(days=source.randrange(-20, 60) if near else source.randrange(-800, 800))
        record = {
            f"{table}_id": next(numbers), "person_id": person, day_column: day,
            f"{prefix}_concept_id": source.choice(sets.get(criterion.get("CodesetId"), [0])),
        }  # fmt: skip
        if domain != "ConditionEra":
            record[f"{prefix}_type_concept_id"] = 0
        if end_column:
            record[end_column] = day + timedelta(days=source.randrange(0, 40))
        if domain == "DrugExposure":
            record["drug_source_concept_id"] = 0
        if domain == "ConditionOccurrence":
            record["condition_end_date"] = source.choice([None, day + timedelta(days=source.randrange(90))])
        limits = criterion.get("ValueAsNumber")
        if limits:
            record["value_as_number"] = limits["Value"] + source.choice([-1, 0, 1, 2])
        if criterion.get("Unit"):
            record["unit_concept_id"] = source.choice(criterion["Unit"])["CONCEPT_ID"]
        if criterion.get("ValueAsConcept"):
            record["value_as_concept_id"] = source.choice(criterion["ValueAsConcept"])["CONCEPT_ID"]
        rows[table].append(record)
    if source.random() < 0.3:
        rows["death"].append({"person_id": person, "death_date": anchor + timedelta(days=source.randrange(0, 400))})
