"""Codes of a Trust's own: Usagi's export, source_to_concept_map, the estate's vocabulary; from CSV, Parquet and SQL."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import duckdb
import psycopg
import pytest
from estate_rows import rows

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.harmonise.source_database import write_query
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
MOMENTS = "CAST(day AS TIMESTAMP) + INTERVAL '23 hours 5 minutes' AS day, CAST(until AS TIMESTAMP) AS until"
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


@pytest.mark.parametrize("kind", ["parquet", "sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_other_sources_give_the_same(source, kind, request):
    """There, days are moments, of which the time is let go."""
    csv = source / "extract"
    database = duckdb.connect()
    for name in ("people", "events"):
        database.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{csv / name}.csv', all_varchar=true)")
    database.execute("CREATE OR REPLACE TABLE events AS SELECT * REPLACE (" + MOMENTS + ") FROM events")
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


HOSTILE = {
    "duckdb": (
        "COPY (SELECT 1) TO 'OUT/written.csv'; SELECT id, sex, born FROM people",
        "SELECT content AS id, '' AS sex, '' AS born FROM read_text('OUT/secret')",
        "ATTACH 'OUT/written.duckdb' AS other; SELECT id, sex, born FROM people",
        "SET enable_external_access = true; SELECT id, sex, born FROM people",
    ),
    "sqlite": ("ATTACH 'OUT/written.db' AS other", "VACUUM INTO 'OUT/written.db'", "PRAGMA user_version"),
    "postgresql": ("SELECT id, sex, born FROM people; COMMIT; DROP TABLE people", "DELETE FROM people RETURNING *"),
}
"""What a mapping that somebody else has written may ask of a source, its query alone being SQL."""


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_a_query_reaches_its_own_database_alone_and_changes_nothing(source, kind, request):
    out = source / "elsewhere"
    out.mkdir()
    (out / "secret").write_text("secret")
    database = duckdb.connect()
    for name in ("people", "events"):
        database.execute(
            f"CREATE TABLE {name} AS SELECT * FROM read_csv('{source / 'extract' / name}.csv', all_varchar=true)"
        )
    asked = filled(kind, database, source, request)
    for query in HOSTILE[kind]:
        with pytest.raises(FlipError) as refused:
            write_query(asked, query.replace("OUT", str(out)), ("id", "sex", "born"), source / "rows.csv")
        assert refused.value.code in ("bad-query", "bad-header"), query
        assert [path.name for path in out.iterdir()] == ["secret"], query
        assert not (source / "rows.csv").exists() or "secret" not in (source / "rows.csv").read_text()
    write_query(asked, "SELECT count(*) AS n FROM people", ("n",), source / "rows.csv")
    assert int((source / "rows.csv").read_text().split()[1]) > 0


FHIR_FILES = """
[files.people]
path = "export"
format = "fhir"
[files.people.view]
resource = "Patient"
[[files.people.view.select]]
column = [
  { name = "id", path = "getResourceKey()" },
  { name = "sex", path = "gender" },
  { name = "born", path = "birthDate.toString().substring(0, 4)" },
]

[files.events]
path = "export"
format = "fhir"
[files.events.view]
resource = "Observation"
[[files.events.view.select]]
forEach = "code.coding"
column = [
  { name = "id", path = "%resource.subject.getReferenceKey(Patient)" },
  { name = "code", path = "code" },
  { name = "day", path = "%resource.effective.ofType(dateTime).toDate()" },
  { name = "until", path = "%resource.effective.ofType(Period).end.toDate()" },
  { name = "result", path = "%resource.value.ofType(Quantity).value" },
  { name = "unit", path = "%resource.value.ofType(Quantity).code" },
]
"""


def fhir_mapping() -> str:
    start, end = MAPPING.index("[files.people]"), MAPPING.index("[person]")
    text = MAPPING[:start] + FHIR_FILES + MAPPING[end:]
    return text.replace("codes = { f = 8532, m = 8507 }", "codes = { female = 8532, male = 8507 }")


def observation(day: str, *codes: str, person: str = "a", value: float | None = None) -> dict:
    quantity = {} if value is None else {"valueQuantity": {"value": value, "code": "mm[Hg]"}}
    coding = [{"system": "urn:own", "code": code} for code in codes]
    resource = {"resourceType": "Observation", "status": "final", "code": {"coding": coding}, "effectiveDateTime": day}
    return {**resource, "subject": {"reference": f"Patient/{person}"}, **quantity}


def test_resources_as_a_source(source):
    """People and events by views over the same folder, a bundle and NDJSON; what a view can't use is named."""
    patients = [
        {"resourceType": "Patient", "id": "a", "gender": "female", "birthDate": "1950-02-03"},
        {"resourceType": "Patient", "id": "b", "gender": "male", "birthDate": "1960"},
    ]
    export = source / "extract" / "export"
    export.mkdir()
    entry = [{"resource": one} for one in [*patients, observation("2000-01-01T08:00:00Z", "K1", "K2", value=5.5)]]
    (export / "1.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entry}))
    lines = [
        observation("2000-01-03", "K3", person="b"),
        observation("2000", "K1"),
        observation("2000-01-03", "K1", person="c"),
    ]
    (export / "2.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines) + "nothing\n")
    (source / "mapping.toml").write_text(fhir_mapping())
    report = load(source / "extract", source / "mapping.toml", source / "estate", max_rejects=1)
    assert report.people == 2 and report.rejected == 3
    estate = Estate.open(source / "estate")
    with estate.reading(report.version) as connection:
        events = connection.execute(
            "SELECT person_id, condition_source_value, condition_start_date::VARCHAR FROM condition_occurrence "
            "UNION ALL SELECT person_id, measurement_source_value, measurement_date::VARCHAR FROM measurement "
            "UNION ALL SELECT person_id, drug_source_value, drug_exposure_start_date::VARCHAR FROM drug_exposure "
            "UNION ALL SELECT person_id, observation_source_value, observation_date::VARCHAR FROM observation "
            "ORDER BY ALL"
        ).fetchall()
        assert events == [(1, "K1", "2000-01-01"), (1, "K2", "2000-01-01"), (2, "K3", "2000-01-03")]
        value = connection.execute("SELECT value_as_number, unit_source_value FROM measurement").fetchall()
        assert value == [(5.5, "mm[Hg]")]
        rejects = connection.execute("SELECT file, line, reason FROM flip_reject ORDER BY ALL").fetchall()
    # Each view reads the whole folder; what is no resource is named once.
    assert [(file, line) for file, line, _ in rejects] == [("export/2.ndjson", line) for line in (2, 3, 4)]
    assert "no ISO date" in rejects[0][2] and "there is no person 'c'" in rejects[1][2] and "no JSON" in rejects[2][2]
    again = load(source / "extract", source / "mapping.toml", source / "estate", max_rejects=1)
    assert not again.new


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('path = "gender"', 'path = "gen der"', "FHIRPath"),
        ('path = "gender"', 'path = "gender", collection = true', "column sex is a collection"),
        ('format = "fhir"', 'format = "csv"', "a view is for the format fhir"),
        ('path = "export"\nformat', 'path = "export"\ncolumns = ["id"]\nformat', "columns are not those of the view"),
        ('path = "export"', 'path = "exports"', "has no exports of FHIR"),
    ],
)
def test_resources_that_a_mapping_gets_wrong(source, old, new, words):
    (source / "extract" / "export").mkdir()
    (source / "extract" / "export" / "1.json").write_text('{"resourceType": "Patient", "id": "a"}')
    (source / "mapping.toml").write_text(fhir_mapping().replace(old, new, 1))
    with pytest.raises(FlipError) as error:
        load(source / "extract", source / "mapping.toml", source / "estate")
    assert words in error.value.message


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
