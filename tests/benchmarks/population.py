"""An estate of N invented people with about 100 clinical rows each, written by DuckDB alone; one seed, one population.

Concepts are those of the definitions that will be asked, their invented descendants, and invented others; how often
each occurs falls with its rank (Zipf), as codes do in hospitals. What is recorded of a person is recorded at visits,
so that conditions, drugs and measurements meet on one day.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flipnb.estate.omop.cdm import tables

if TYPE_CHECKING:
    import duckdb

VISITS = 12
"""Visits of a person, each of which the other rows belong to."""

# Rows a person, share of the definitions' concepts among all (the rest are invented), invented concepts.
_DOMAINS = {
    "Condition": ("condition_occurrence", 20, 4000),
    "Drug": ("drug_exposure", 17, 3000),
    "Measurement": ("measurement", 32, 1500),
    "Observation": ("observation", 10, 1500),
    "Procedure": ("procedure_occurrence", 9, 2000),
    "Visit": ("visit_occurrence", VISITS, 10),
}
_SLOTS = 1 << 17
"""Concepts are drawn from so many slots of a domain; a concept has slots by its frequency, at least one."""

_INVENTED = 2_000_000_000
_DESCENDANTS = 8
_DAY_ONE = "DATE '2008-01-01'"


def write_population(
    connection: duckdb.DuckDBPyConnection, people: int, definitions: Iterable[dict], *, seed: int = 1
) -> None:
    """Fill the OMOP tables of an empty database; every table of CDM 5.4 is there, most are empty."""
    for table in tables().values():
        connection.execute(table.ddl(checked=False))
    _write_vocabulary(connection, list(definitions), random.Random(seed))
    connection.execute(f"SET VARIABLE seed = {int(seed)}")
    connection.execute("CREATE TEMP MACRO draw(a, b, salt) AS hash(a * 64 + b, salt, getvariable('seed'))")
    _write_people(connection, people)
    for domain, (table, rows, _) in _DOMAINS.items():
        connection.execute(_insertion(domain, table, rows, people))
    connection.execute(
        "INSERT INTO death (person_id, death_date) SELECT person_id, observation_period_end_date "
        "FROM observation_period WHERE draw(person_id, 0, 'death') % 20 = 0"
    )
    connection.execute(
        "INSERT INTO condition_era BY NAME SELECT condition_occurrence_id AS condition_era_id, person_id, "
        "condition_concept_id, condition_start_date AS condition_era_start_date, condition_end_date AS "
        "condition_era_end_date, 1 AS condition_occurrence_count FROM condition_occurrence "
        "WHERE condition_occurrence_id % 4 = 0"
    )
    connection.execute("DROP MACRO draw; DROP TABLE slot; CHECKPOINT")


def read_definitions(folder: Path, names: Sequence[str]) -> list[dict]:
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def _write_vocabulary(connection: duckdb.DuckDBPyConnection, definitions: list[dict], source: random.Random) -> None:
    """Concepts with their frequency slots, in the temporary table ``slot`` (domain, slot, concept_id)."""
    concepts: dict[int, str] = {}
    parents: set[int] = set()
    for definition in definitions:
        for concept_set in definition["ConceptSets"]:
            for item in concept_set["expression"]["items"]:
                concept = item["concept"]
                domain = concept["DOMAIN_ID"]
                concepts[concept["CONCEPT_ID"]] = domain if domain in _DOMAINS else "Observation"
                if item.get("includeDescendants"):
                    parents.add(concept["CONCEPT_ID"])
    ancestry = [(concept, concept, 0) for concept in concepts]
    number = _INVENTED
    for parent in sorted(parents):
        for _ in range(_DESCENDANTS):
            number += 1
            concepts[number] = concepts[parent]
            ancestry += [(parent, number, 1), (number, number, 0)]
    for domain, (_, _, invented) in _DOMAINS.items():
        for _ in range(invented):
            number += 1
            concepts[number] = domain
            ancestry.append((number, number, 0))
    _insert(connection, "CREATE TEMP TABLE named (concept_id INTEGER, domain VARCHAR)", "named", list(concepts.items()))
    _insert(connection, "CREATE TEMP TABLE below (a INTEGER, d INTEGER, n INTEGER)", "below", ancestry)
    connection.execute(
        "INSERT INTO concept SELECT concept_id, 'Concept ' || concept_id, domain, 'Invented', 'Invented', 'S', "
        "concept_id, DATE '1970-01-01', DATE '2099-12-31', NULL FROM named ORDER BY concept_id"
    )
    connection.execute("INSERT INTO concept_ancestor SELECT a, d, n, n FROM below ORDER BY a, d")
    slots: list[tuple[str, int, int]] = []
    for domain in _DOMAINS:
        ranked = sorted(concept for concept, one in concepts.items() if one == domain)
        source.shuffle(ranked)
        weights = [1 / (rank + 10) for rank in range(len(ranked))]
        share = _SLOTS / sum(weights)
        drawn = [c for c, weight in zip(ranked, weights, strict=True) for _ in range(max(1, round(weight * share)))]
        slots += [(domain, place, concept) for place, concept in enumerate(drawn)]
    _insert(connection, "CREATE TEMP TABLE slot (domain VARCHAR, place BIGINT, concept_id INTEGER)", "slot", slots)
    connection.execute("DROP TABLE named; DROP TABLE below")


def _insert(connection: duckdb.DuckDBPyConnection, ddl: str, table: str, rows: list[tuple]) -> None:
    connection.execute(ddl)
    columns = ", ".join("unnest(?)" for _ in rows[0])
    connection.execute(f"INSERT INTO {table} SELECT {columns}", [list(column) for column in zip(*rows, strict=True)])


def _write_people(connection: duckdb.DuckDBPyConnection, people: int) -> None:
    connection.execute(
        "INSERT INTO person BY NAME SELECT i AS person_id, CASE WHEN draw(i, 0, 'sex') % 2 = 0 THEN 8507 ELSE 8532 END "
        "AS gender_concept_id, 1925 + draw(i, 0, 'born') % 85 AS year_of_birth, 0 AS race_concept_id, "
        f"0 AS ethnicity_concept_id FROM range(1, {people + 1}) t(i)"
    )
    connection.execute(
        "INSERT INTO observation_period SELECT i, i, "
        f"{_DAY_ONE} + (draw(i, 0, 'from') % 2500)::INTEGER, "
        f"{_DAY_ONE} + (draw(i, 0, 'from') % 2500)::INTEGER + 400 + (draw(i, 0, 'for') % 3600)::INTEGER, 32817 "
        f"FROM range(1, {people + 1}) t(i)"
    )


def _insertion(domain: str, table: str, rows: int, people: int) -> str:
    """An INSERT of ``rows`` rows for each person, on the days of the person's visits."""
    modulus = f"(SELECT max(place) + 1 FROM slot WHERE domain = '{domain}')"
    visit = "k" if table == "visit_occurrence" else f"draw(i, k, '{table} visit') % {VISITS}"
    events = (
        f"SELECT i, k, i * {rows} + k AS id, {visit} AS visit, draw(i, k, '{table}') % {modulus} AS place, "
        f"draw(i, k, '{table} value') AS value FROM range(1, {people + 1}) p(i), range({rows}) r(k)"
    )
    dated = (
        f"SELECT e.i, e.id, i * {VISITS} + visit AS visit_id, s.concept_id AS concept, e.value, "
        "o.observation_period_start_date + (draw(e.i, e.visit, 'day') % (o.observation_period_end_date - "
        f"o.observation_period_start_date)::UBIGINT)::INTEGER AS day FROM ({events}) e "
        f"JOIN observation_period o ON o.person_id = e.i JOIN slot s ON s.domain = '{domain}' AND s.place = e.place"
    )
    return f"INSERT INTO {table} BY NAME SELECT {_COLUMNS[table]} FROM ({dated}) d ORDER BY id"


_UNITS = "[8840, 8753, 8554, 8713, 9529, 8636, 8848, 8876]"
_COMMON = "i AS person_id, visit_id AS visit_occurrence_id, 0 AS {0}_source_concept_id, 32817 AS {0}_type_concept_id, "
_COLUMNS = {
    "visit_occurrence": "id AS visit_occurrence_id, i AS person_id, concept AS visit_concept_id, day AS "
    "visit_start_date, day + (value % 4)::INTEGER AS visit_end_date, 32817 AS visit_type_concept_id, "
    "0 AS visit_source_concept_id",
    "condition_occurrence": _COMMON.format("condition")
    + "id AS condition_occurrence_id, concept AS condition_concept_id, day AS condition_start_date, "
    "day + (value % 20)::INTEGER AS condition_end_date",
    "drug_exposure": _COMMON.format("drug") + "id AS drug_exposure_id, concept AS drug_concept_id, "
    "day AS drug_exposure_start_date, day + (value % 60)::INTEGER AS drug_exposure_end_date, "
    "(value % 60)::INTEGER AS days_supply, (value % 100)::DOUBLE AS quantity, (value % 4)::INTEGER AS refills",
    "measurement": _COMMON.format("measurement") + "id AS measurement_id, concept AS measurement_concept_id, "
    "day AS measurement_date, (value % 2000)::DOUBLE / 10 AS value_as_number, "
    f"{_UNITS}[1 + ((value // 2048) % 8)::BIGINT] AS unit_concept_id",
    "observation": _COMMON.format("observation") + "id AS observation_id, concept AS observation_concept_id, "
    "day AS observation_date",
    "procedure_occurrence": _COMMON.format("procedure") + "id AS procedure_occurrence_id, "
    "concept AS procedure_concept_id, day AS procedure_date",
}
