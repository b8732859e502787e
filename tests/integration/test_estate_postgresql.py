"""Loads into a real PostgreSQL: the same rows as in DuckDB, readers that never wait, nothing half-loaded."""

from __future__ import annotations

import json

import duckdb
import psycopg
import pytest
from public_data import synthea

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.database import reading
from flipnb.estate.identities import IdentityMap
from flipnb.estate.omop.cdm import script, tables
from flipnb.estate.postgresql import current_version, read_version
from flipnb.estate.quality import assess

PERSON = 'person_id,gender_concept_id,year_of_birth,person_source_value\n1,8507,1950,"a,""b"\nx,8507,1950,\n'
VISIT = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date\n1,1,9202,2000-06-07\n1,1,9202,2000-08-31\n"


@pytest.fixture
def address(postgresql_server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return postgresql_server.new_database()


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "person.csv").write_text(PERSON)
    (tmp_path / "source" / "visit_occurrence.csv").write_text(VISIT)
    return tmp_path / "source"


def test_the_same_rows_as_in_duckdb(address, tmp_path):
    there = load(synthea(), "omop-5.4", address)
    here = load(synthea(), "omop-5.4", tmp_path / "estate")
    assert (there.version, there.rows) == (here.version, here.rows)
    with reading(address) as server, reading(tmp_path / "estate") as file:
        assert server.version == file.version
        for name in tables():
            if name != "concept_relationship":
                query = f"SELECT * FROM {name}"
                assert sorted(map(str, server.rows(query))) == sorted(map(str, file.rows(query)))
    with psycopg.connect(address) as connection:
        assert connection.execute(f"SELECT count(*) FROM estate_{there.version}.measurement").fetchone() == (10040,)


def test_versions_rejects_and_readers(address, source):
    with pytest.raises(FlipError, match=r"person\.csv, line 3") as refused:
        load(source, "omop-5.4", address)
    assert refused.value.code == "too-many-rejects"
    first = load(source, "omop-5.4", address, max_rejects=0.5)
    assert first.rejected == 1 and first.rows == {"person": 1, "visit_occurrence": 2}
    with reading(address) as reader:
        assert list(reader.rows("SELECT person_source_value FROM person")) == [('a,"b',)]
        (source / "person.csv").write_text(PERSON + "2,8532,1960,\n")
        second = load(source, "omop-5.4", address, max_rejects=0.5)
        assert (second.read, second.unchanged) == (("person.csv",), ("visit_occurrence.csv",))
        assert second.people == 2 and second.rows["visit_occurrence"] == 2
        assert list(reader.rows("SELECT count(*) FROM person")) == [(1,)]
    with reading(address) as reader:
        assert reader.version == second.version
        assert list(reader.rows("SELECT count(*) FROM person")) == [(2,)]
        traced = "SELECT file, mapping FROM visit_occurrence JOIN flip_source ON source_id = flip_source_id"
        assert set(reader.rows(traced)) == {("visit_occurrence.csv", "omop-5.4")}
    (source / "person.csv").write_text(PERSON)
    assert load(source, "omop-5.4", address, max_rejects=0.5).version == first.version
    with reading(address) as reader:
        assert reader.version == first.version


def test_a_load_that_dies_leaves_the_server_and_goes_on(address, source):
    (source / "person.csv").write_text(PERSON.replace("x,", "3,"))

    def die(stage, rows):
        if stage == "copying visit_occurrence":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(source, "omop-5.4", address, progress=die)
    with psycopg.connect(address) as connection:
        schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'estate_%'").fetchall()
        assert schemas == []
    stages = []
    assert load(source, "omop-5.4", address, progress=lambda stage, rows: stages.append(stage)).people == 2
    assert "person.csv" not in stages and "copying person" in stages


def test_an_address_that_leads_nowhere(source, tmp_path):
    with pytest.raises(FlipError) as away:
        load(source, "omop-5.4", f"postgresql://user:secret@/x?host={tmp_path}")
    assert away.value.code == "database-away" and "secret" not in str(away.value)
    assert Estate.open(tmp_path).current() is None


def test_quality_is_the_same_on_both(address, tmp_path):
    load(synthea(), "omop-5.4", address)
    load(synthea(), "omop-5.4", tmp_path / "estate")
    there, here = assess(address), assess(tmp_path / "estate")
    assert [one.model_dump(exclude={"example"}) for one in there.findings] == [
        one.model_dump(exclude={"example"}) for one in here.findings
    ]
    assert there.years == here.years and len(here.findings) > 500


def test_the_cdm_with_all_its_keys(address):
    """The generated script runs on an empty database, and makes every key of the specification."""
    with psycopg.connect(address) as connection:
        connection.execute(script("postgres", "cdm"))
        found = connection.execute(
            "SELECT contype::text, count(*) FROM pg_constraint JOIN pg_namespace n ON n.oid = connamespace "
            "WHERE n.nspname = 'cdm' GROUP BY contype"
        ).fetchall()
        columns = connection.execute(
            "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'cdm'"
        ).fetchall()
    fields = [(table.name, field) for table in tables().values() for field in table.fields]
    keys = {"p": sum(field.primary_key for _, field in fields), "f": sum(bool(f.foreign_key) for _, f in fields)}
    assert {kind: count for kind, count in found if kind in keys} == keys
    assert set(columns) == {(name, field.name, "NO" if field.required else "YES") for name, field in fields}
    assert len(tables()) == 39 + 2 and len(fields) == 432 + 23
    with duckdb.connect() as connection:
        connection.execute(script("duckdb"))


def test_codes_find_the_servers_vocabulary(address, tmp_path):
    """FHIR after a vocabulary, both on the server: the concept decides, and nothing of the vocabulary comes twice."""
    columns = ",".join(tables()["concept"].columns)
    (tmp_path / "concept.csv").write_text(
        f'{columns}\n2000000001,"A, ""b""",Observation,SNOMED,x,S,c1,1970-01-01,2099-12-31,\n'
    )
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "1960-01-01"}
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "c1"}]},
        "onsetDateTime": "2001-01-01",
    }
    (tmp_path / "export.ndjson").write_text(f"{json.dumps(patient)}\n{json.dumps(condition)}\n")
    load(tmp_path / "concept.csv", "omop-5.4", address)
    report = load(tmp_path / "export.ndjson", "fhir-r4", address)
    assert report.rows == {"person": 1, "observation_period": 1, "observation": 1, "cdm_source": 1, "concept": 1}
    with reading(address) as server:
        assert list(server.rows("SELECT observation_concept_id FROM observation")) == [(2000000001,)]
        assert list(server.rows("SELECT concept_name FROM concept")) == [('A, "b"',)]
    assert load(tmp_path / "export.ndjson", "fhir-r4", address).new is False


def test_names_of_a_version_are_never_those_that_a_stranger_made(address, source):
    """Up to PostgreSQL 14 everybody may make functions in ``public``; one that fits a column's type better is taken."""
    load(source, "omop-5.4", address, max_rejects=0.5)
    with psycopg.connect(address) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
        connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO stranger")
    with psycopg.connect(address, user="stranger") as connection:
        connection.execute(
            "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE WARNING '% read %', current_user, $1; RETURN 'hostile'; END $$"
        )
        connection.execute("CREATE VIEW public.people AS SELECT 1 AS person_id")
    try:
        with reading(address) as reader:
            assert list(reader.rows("SELECT lower(person_source_value) FROM person")) == [('a,"b',)]
            assert "people" not in reader.columns()
            with pytest.raises(FlipError) as missing:
                list(reader.rows("SELECT person_id FROM people"))
            assert missing.value.code == "estate-incomplete"
    finally:
        with psycopg.connect(address) as connection:
            connection.execute("DROP OWNED BY stranger")
            connection.execute("DROP ROLE stranger")


def test_a_server_holds_whose_numbers_are_whose(address, source, tmp_path):
    load(source, "omop-5.4", address, max_rejects=0.5)
    file = tmp_path / "numbers.csv"
    file.write_text('system,number,person,from,to,merged_into\nKCH,7,"a,""b",,,\nKCH,8,,,,7\nKCH,9,nobody,,,\n')
    report = load(file, "identities", address, max_rejects=0.5)
    assert report.people == 1 and "not told" in report.warnings[0]
    with psycopg.connect(address) as connection:
        read_version(connection, current_version(connection) or "")
        found = IdentityMap.of(connection)
    assert found.lookup("KCH", "8").person == found.lookup(None, "7").person == 1
    assert found.lookup("KCH", "9").state == "nobody"
