"""Codes of a Trust's own: Usagi's export, source_to_concept_map, the estate's vocabulary; from CSV, Parquet and SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import psycopg
import pytest

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.omop.cdm import tables

MAPPING = """
format = "flip/mapping/1"
reviewer = "Dr Ada"

[source]
name = "Test"
abbreviation = "T"
holder = "Test"
release_date = 2001-02-03

[files.people]
path = "people.csv"
columns = ["id", "sex", "born"]

[files.events]
path = "events.csv"
columns = ["id", "code", "day", "until", "result", "unit"]

[person]
file = "people"
id = "id"
sex = { column = "sex", codes = { f = 8532, m = 8507 } }
birth_year = "born"
date = { day = 2001-02-03 }

[code_lists]
own = "usagi.csv"

[[events]]
file = "events"
column = "code"
codes = "own"
table = "condition_occurrence"
date = { column = "day" }
end = "until"
value = "result"
unit_column = "unit"
"""
PEOPLE = "id,sex,born\na,f,1950\nb,m,1960\n"
EVENTS = (
    "id,code,day,until,result,unit\n"
    "a,K1,2000-01-01,2000-01-05,,\na,K2,2000-01-02,,5.5,mm[Hg]\nb,K3,2000-01-03,,high,\nb,K9,2000-01-04,,,\nb,,2000-01-04,,,\n"
)
USAGI = (
    "sourceCode,sourceName,sourceFrequency,sourceAutoAssignedConceptIds,matchScore,mappingStatus,equivalence,statusSetBy,"
    "statusSetOn,conceptId,conceptName,domainId,mappingType,comment,createdBy,createdOn,assignedReviewer\n"
    'K1,"Pain, acute",5,,0.9,APPROVED,EQUAL,ada,1700000000000,2000000001,Pain,Condition,MAPS_TO,,ada,1700000000000,\n'
    "K2,Pressure,5,,0.9,APPROVED,EQUAL,ada,1700000000000,2000000003,Pressure,Measurement,MAPS_TO,,ada,1700000000000,\n"
    "K3,Seen,5,,0.9,UNCHECKED,EQUAL,,0,2000000002,Seen,Observation,MAPS_TO,,ada,1700000000000,\n"
)
CDM_MAP = (
    "source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,target_vocabulary_id,"
    "valid_start_date,valid_end_date,invalid_reason\n"
    "K1,0,x,Pain,2000000001,SNOMED,1970-01-01,2099-12-31,\nK3,0,x,Old,2000000002,SNOMED,1970-01-01,2099-12-31,D\n"
)
QUERIES = (
    "SELECT id, sex, born FROM people ORDER BY id",
    "SELECT id, code, day, until, result, unit FROM events ORDER BY day",
)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "usagi.csv").write_text(USAGI)
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "people.csv").write_text(PEOPLE)
    (tmp_path / "extract" / "events.csv").write_text(EVENTS)
    return tmp_path


def rows(estate: Path, query: str) -> list[tuple]:
    opened = Estate.open(estate)
    with opened.reading(opened.current()) as connection:
        return connection.execute(query).fetchall()


def found(estate: Path) -> dict[str, list[tuple]]:
    condition = (
        "SELECT condition_concept_id, condition_source_value, condition_end_date::VARCHAR FROM condition_occurrence"
    )
    measurement = "SELECT measurement_concept_id, value_as_number, unit_source_value FROM measurement"
    return {"conditions": sorted(rows(estate, condition), key=str), "measurements": rows(estate, measurement)}


EXPECTED = {
    "conditions": [(0, "K3", None), (0, "K9", None), (2000000001, "K1", "2000-01-05")],
    "measurements": [(2000000003, 5.5, "mm[Hg]")],
}


def test_usagi_and_the_domain_decide(source):
    report = load(source / "extract", source / "mapping.toml", source / "estate")
    assert report.people == 2 and report.rejected == 0 and report.rows["source_to_concept_map"] == 2
    assert found(source / "estate") == EXPECTED
    traced = rows(
        source / "estate",
        "SELECT DISTINCT file, mapping, reviewer FROM condition_occurrence "
        "JOIN flip_source ON source_id = flip_source_id",
    )
    assert traced == [("events.csv", "mapping.toml", "Dr Ada")]
    period = "SELECT max(observation_period_end_date)::VARCHAR FROM observation_period"
    assert rows(source / "estate", period) == [("2001-02-03",)]


def test_source_to_concept_map_and_a_list_that_is_neither(source):
    (source / "usagi.csv").write_text(CDM_MAP)
    load(source / "extract", source / "mapping.toml", source / "estate")
    # The concept is in no vocabulary here, so that nothing is known of its domain: the row goes where the mapping says.
    assert found(source / "estate")["conditions"] == [
        (0, "K2", None),
        *EXPECTED["conditions"][:2],
        (2000000001, "K1", "2000-01-05"),
    ]
    (source / "usagi.csv").write_text("code,concept\n1,2\n")
    with pytest.raises(FlipError) as refused:
        load(source / "extract", source / "mapping.toml", source / "estate")
    assert refused.value.code == "bad-code-list"


def test_the_estates_own_vocabulary(source):
    (source / "mapping.toml").write_text(MAPPING.replace('codes = "own"\ntable', 'vocabulary = "ICD10"\ntable'))
    first = load(source / "extract", source / "mapping.toml", source / "estate")
    assert "measurement" not in first.rows
    concept = ",".join(tables()["concept"].columns) + "\n2000000003,P,Measurement,ICD10,x,S,K2,1970-01-01,2099-12-31,\n"
    (source / "concept.csv").write_text(concept)
    load(source / "concept.csv", "omop-5.4", source / "estate")
    again = load(source / "extract", source / "mapping.toml", source / "estate")
    assert again.rows["measurement"] == 1 and again.rows["concept"] == 1


@pytest.mark.parametrize("kind", ["parquet", "sqlite", "duckdb", "postgresql"])
def test_other_sources_give_the_same(source, kind, request):
    csv = source / "extract"
    database = duckdb.connect()
    for name in ("people", "events"):
        database.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{csv / name}.csv', all_varchar=true)")
    mapping = MAPPING
    if kind == "parquet":
        for name in ("people", "events"):
            database.execute(f"COPY {name} TO '{csv / name}.parquet'")
            mapping = mapping.replace(f'path = "{name}.csv"', f'path = "{name}.parquet"\nformat = "parquet"')
        asked = str(csv)
    else:
        for name, query in zip(("people", "events"), QUERIES, strict=True):
            mapping = mapping.replace(f'path = "{name}.csv"', f'path = "{name}.csv"\nformat = "sql"\nquery = "{query}"')
        asked = filled(kind, database, source, request)
    (source / "mapping.toml").write_text(mapping)
    load(asked, source / "mapping.toml", source / "estate")
    assert found(source / "estate") == EXPECTED


def filled(kind, database, source, request) -> str:
    people, events = (database.execute(query).fetchall() for query in QUERIES)
    ddl = ("CREATE TABLE people (id TEXT, sex TEXT, born TEXT)",
           "CREATE TABLE events (id TEXT, code TEXT, day TEXT, until TEXT, result TEXT, unit TEXT)")  # fmt: skip
    if kind == "postgresql":
        address = request.getfixturevalue("postgresql_server").new_database()
        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            for statement in ddl:
                cursor.execute(statement)
            cursor.executemany("INSERT INTO people VALUES (%s, %s, %s)", people)
            cursor.executemany("INSERT INTO events VALUES (%s, %s, %s, %s, %s, %s)", events)
        return address
    path = source / f"trust.{kind}"
    with sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path)) as connection:
        for statement in ddl:
            connection.execute(statement)
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", people)
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", events)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('codes = "own"\ntable', "table", "either a code list or a vocabulary"),
        ('own = "usagi.csv"', 'other = "usagi.csv"', "there is no code list 'own'"),
        ('value = "result"', 'value = "none"', "has no column 'none'"),
        ('path = "people.csv"', 'path = "people.csv"\nformat = "sql"', "a query is for the format sql"),
        ('unit_column = "unit"', 'unit = "odd"', "is no unit of UCUM"),
    ],
)
def test_what_a_mapping_may_not_say(source, old, new, words):
    assert old in MAPPING
    (source / "mapping.toml").write_text(MAPPING.replace(old, new))
    with pytest.raises(FlipError, match=words):
        load(source / "extract", source / "mapping.toml", source / "estate")
