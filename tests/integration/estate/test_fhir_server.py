"""``flip estate serve`` as a process, asked over HTTP as a clinician's tool asks."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fhir_samples import sample_estate
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.estate import Estate

FLIP = Path(sys.executable).with_name("flip")


@contextmanager
def serving(estate: str, *options: str) -> Iterator[tuple[httpx.Client, dict, subprocess.Popen]]:
    command = [str(FLIP), "estate", "serve", estate, "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line, "the server did not start"
            announced = json.loads(line)
            token = Path(announced["token_file"]).read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=announced["url"], headers=headers, timeout=60) as client:
                yield client, announced, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served") / "estate"
    sample_estate(directory)
    with serving(str(directory)) as (client, announced, _):
        yield client, announced, directory


def bundle(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["resourceType"] == "Bundle" and body["type"] == "searchset"
    return body


def outcome(response, status, code):
    assert response.status_code == status, response.text
    body = response.json()
    assert body["resourceType"] == "OperationOutcome" and body["issue"][0]["code"] == code, body
    return body["issue"][0]["diagnostics"]


def link(body, relation):
    return next((item["url"] for item in body["link"] if item["relation"] == relation), None)


def test_only_with_the_token_and_the_right_names(server):
    client, announced, directory = server
    for name in ("token", "pseudonyms.key"):
        assert stat.S_IMODE((directory / ".serve" / name).stat().st_mode) == 0o600
    for authorization in ("", "Bearer x", "Basic eDp5", f"Bearer {'x' * 43}"):
        response = client.get("/metadata", headers={"Authorization": authorization})
        outcome(response, 401, "login")
        assert response.headers["www-authenticate"].startswith("Bearer")
    outcome(client.get("/metadata", headers={"Host": "evil.example"}), 421, "security")
    outcome(client.get("/metadata", headers={"Host": announced["url"].removeprefix("http://") + "0"}), 421, "security")
    outcome(client.get("/Patient", headers={"Origin": "http://evil.example"}), 403, "security")
    outcome(client.get("/Patient", headers={"Origin": "null"}), 403, "security")
    assert client.get("/Patient", headers={"Origin": announced["url"]}).status_code == 200
    port = announced["url"].rpartition(":")[2]
    assert client.get("/Patient", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_capabilities(server):
    client, announced, _ = server
    body = client.get("/metadata").json()
    assert body["resourceType"] == "CapabilityStatement" and body["fhirVersion"] == "4.0.1"
    assert body["implementation"]["url"] == announced["url"]
    resources = {item["type"]: item for item in body["rest"][0]["resource"]}
    assert set(resources) == {
        "Patient", "Condition", "Observation", "MedicationRequest", "Procedure", "Encounter", "ImagingStudy",
        "DiagnosticReport",
    }  # fmt: skip
    for kind, item in resources.items():
        for parameter in item["searchParam"]:
            value = {"date": "ge2020", "token": "x", "reference": "x", "quantity": "1"}[parameter["type"]]
            value = "true" if parameter["name"] == "deceased" else value
            response = client.get(f"/{kind}", params={parameter["name"]: value}, headers={"Prefer": "handling=strict"})
            assert response.status_code == 200, (kind, parameter, response.text)
        for include in item.get("searchInclude", ()):
            assert "next" not in bundle(client.get(f"/{kind}", params={"_include": include, "_summary": "count"}))


def test_read_and_its_versions(server):
    client, _, _ = server
    patient = bundle(client.get("/Patient?_count=1"))["entry"][0]["resource"]
    response = client.get(f"/Patient/{patient['id']}")
    assert response.json() == patient
    tag = response.headers["etag"]
    assert tag == f'W/"{patient["meta"]["versionId"]}"' and "last-modified" in response.headers
    assert client.get(f"/Patient/{patient['id']}", headers={"If-None-Match": tag}).status_code == 304
    assert client.get(f"/Patient/{patient['id']}", headers={"If-None-Match": '"x"'}).status_code == 200
    history = f"/Patient/{patient['id']}/_history"
    assert client.get(f"{history}/{patient['meta']['versionId']}").json() == patient
    outcome(client.get(f"{history}/{'0' * 31}f"), 404, "not-found")
    outcome(client.get("/Patient/nobody"), 404, "not-found")


def test_pages_by_their_links(server):
    client, _, _ = server
    url, seen = "/Observation?_count=20&_sort=-date&status=final", []
    while url is not None:
        body = bundle(client.get(url))
        assert "_cursor" not in link(body, "self") and "status=final" in link(body, "self")
        seen += [entry["fullUrl"] for entry in body["entry"]]
        again = bundle(client.get(url))
        assert [entry["fullUrl"] for entry in again["entry"]] == [entry["fullUrl"] for entry in body["entry"]]
        url = link(body, "next")
    assert len(seen) == len(set(seen)) == body["total"]


def test_get_and_post_are_the_same(server):
    client, _, _ = server
    wanted = {"gender": "male,female", "birthdate": "lt1990", "_count": "100"}
    got, posted = client.get("/Patient", params=wanted), client.post("/Patient/_search", data=wanted)
    assert bundle(got)["entry"] == bundle(posted)["entry"] and bundle(got)["total"] > 0
    outcome(client.post("/Patient/_search", json=wanted), 415, "not-supported")
    outcome(client.post("/Patient/_search", data={"gender": "x" * 70_000}), 413, "too-long")


def test_unknown_parameters_by_preference(server):
    client, _, _ = server
    body = bundle(client.get("/Patient?name=smith&gender=male"))
    said = [entry["resource"] for entry in body["entry"] if entry["search"]["mode"] == "outcome"]
    assert "name" in said[0]["issue"][0]["diagnostics"] and link(body, "self").endswith("/Patient?gender=male")
    strict = client.get("/Patient?name=smith", headers={"Prefer": "handling=strict"})
    assert "name" in outcome(strict, 400, "not-supported")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-supported"),
        ("GET", "/Medication", 404, "not-supported"),
        ("GET", "/Medication/1", 404, "not-supported"),
        ("GET", "/docs", 404, "not-supported"),
        ("GET", "/Patient/1/_history", 404, "not-supported"),
        ("POST", "/Patient", 405, "not-supported"),
        ("PUT", "/Patient/1", 405, "not-supported"),
        ("DELETE", "/Patient/1", 405, "not-supported"),
        ("GET", "/Patient?birthdate=soon", 400, "value"),
        ("GET", "/Patient?gender:above=male", 400, "not-supported"),
        ("GET", "/Patient?_cursor=x.y", 410, "deleted"),
        ("GET", f"/Patient?_cursor={1:032x}.y", 400, "invalid"),
        ("GET", "/Patient?_format=xml", 406, "not-supported"),
        ("GET", "/Patient?gender=%ff", 400, "value"),
        ("GET", "/Patient?gender=" + "x" * 20_000, 413, "too-long"),
        ("GET", "/Observation?code=';DROP TABLE person;--", 200, ""),
    ],
)
def test_errors_are_operation_outcomes(server, method, path, status, code):
    client, _, _ = server
    response = client.request(method, path)
    if status == 200:
        assert bundle(response)["total"] == 0
    else:
        outcome(response, status, code)


def test_formats(server):
    client, _, _ = server
    for wanted in ("json", "application/json", "application/fhir+json"):
        assert client.get("/Patient", params={"_format": wanted}).status_code == 200
    assert client.get("/Patient?_format=application/fhir+json").status_code == 200
    accept = {"Accept": "application/fhir+xml;q=1, application/fhir+json;q=0.5"}
    assert client.get("/Patient", headers=accept).status_code == 200
    outcome(client.get("/Patient", headers={"Accept": "text/html"}), 406, "not-supported")


def test_a_new_version_is_served_and_open_pages_stay(tmp_path):
    sample_estate(tmp_path / "estate", people=12)
    with serving(str(tmp_path / "estate"), "--state", str(tmp_path / "state")) as (client, announced, process):
        assert announced["token_file"] == str(tmp_path / "state" / "token")
        first = bundle(client.get("/Patient?_count=5"))
        assert first["total"] == 12
        sample_estate(tmp_path / "estate", people=30, seed=2)
        assert bundle(client.get("/Patient?_summary=count"))["total"] == 30
        second = bundle(client.get(link(first, "next")))
        assert second["total"] == 12 and len(second["entry"]) == 5
        old = first["entry"][0]["resource"]
        assert client.get(f"/Patient/{old['id']}/_history/{old['meta']['versionId']}").json() == old
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_no_estate(tmp_path):
    command = [FLIP, "estate", "serve", str(tmp_path / "none")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "no estate" in result.stderr and "Traceback" not in result.stderr


def test_a_token_that_others_can_read_is_refused(tmp_path):
    sample_estate(tmp_path / "estate", people=1)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "token").write_text("x\n")
    (tmp_path / "state" / "token").chmod(0o644)
    command = [FLIP, "estate", "serve", str(tmp_path / "estate"), "--state", str(tmp_path / "state")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "chmod 600" in result.stderr


def test_postgresql_answers_as_duckdb(tmp_path, postgresql_server):
    """The same tables on a Trust's server give the same resources."""
    from flipnb.estate.serve.stores import open_stores
    from flipnb.records.fhir import Pseudonyms
    from flipnb.records.fhir.search import search_all

    estate = Estate.open(tmp_path / "estate")
    sample_estate(estate.directory)
    address = postgresql_server.new_database()
    copy_to_postgresql(estate, address)
    ours, theirs = (open_stores(str(where), Pseudonyms(b"k" * 32)).current() for where in (estate.directory, address))
    for query in (
        "Patient?birthdate=ge1951&gender:not=male",
        "Patient?death-date=lt2021&_revinclude=Condition:patient",
        "Condition?code:below=http://snomed.info/sct|73211009&onset-date=ge2020-01-05T10:30:00Z",
        "Condition?abatement-date=lt2020-01-20&category=encounter-diagnosis",
        "Observation?category=laboratory,survey&date=ge2019-12&_sort=-date",
        "Observation?value-quantity=ap70|http://unitsofmeasure.org|kg&code:text=weight",
        "MedicationRequest?status=completed&_include=MedicationRequest:encounter",
        "Procedure?date=sa2020-01-02",
        "Encounter?date=2020&class=IMP",
        "ImagingStudy?started=2020-01-05",
        "DiagnosticReport?code=18748-4&_sort=patient",
    ):
        mine, other = list(search_all(ours, query)), list(search_all(theirs, query))
        assert mine, query
        for item in (*mine, *other):
            del item["meta"]
        assert mine == other, query


def test_postgresql_behind_every_command(tmp_path, postgresql_server, monkeypatch):
    """Loaded, served as a process, asked for a cohort and its quality; a view over it is refused by name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, address = tmp_path / "source", postgresql_server.new_database()
    source.mkdir()
    people = ["person_id,gender_concept_id,year_of_birth", "1,8507,1950", "2,8532,1961"]
    (source / "observation_period.csv").write_text(
        "person_id,observation_period_start_date,observation_period_end_date\n1,2019-01-01,2021-01-01\n"
    )
    (source / "condition_occurrence.csv").write_text(
        "person_id,condition_concept_id,condition_start_date\n1,201826,2020-05-01\n"
    )

    def flip(*arguments: str):
        return CliRunner().invoke(app, ["estate", *arguments])

    def loaded(lines: list[str]) -> str:
        (source / "person.csv").write_text("\n".join(lines))
        result = flip("load", str(source), "--mapping", "omop-5.4", "--into", address, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)["version"]

    first = loaded(people)
    with serving(address, "--state", str(tmp_path / "state")) as (client, announced, process):
        assert announced["version"] == first
        assert stat.S_IMODE((tmp_path / "state" / "token").stat().st_mode) == 0o600
        outcome(client.get("/Patient", headers={"Authorization": "Bearer x"}), 401, "login")
        outcome(client.get("/Patient", headers={"Host": "evil.example"}), 421, "security")
        page = bundle(client.get("/Patient?_count=1&_total=accurate"))
        assert page["total"] == 2
        assert bundle(client.get("/Condition?onset-date=2020"))["entry"][0]["resource"]["resourceType"] == "Condition"
        second = loaded([*people, "3,8507,1970"])
        assert second != first and bundle(client.get("/Patient?_total=accurate"))["total"] == 3
        following = bundle(client.get(link(page, "next")))
        assert [item["resource"]["meta"]["versionId"][:8] for item in following["entry"]] == [first[:8]]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    definition = tmp_path / "definition.json"
    definition.write_text(json.dumps(whoever_has_a_condition()))
    assert json.loads(flip("cohort", str(definition), "--in", address, "--json").output)["people"] == 1
    assert json.loads(flip("quality", address, "--json").output)["people"] == 3
    view = {"resource": "Patient", "select": [{"column": [{"name": "id", "path": "id"}]}]}
    definition.write_text(json.dumps(view))
    refused = flip("view", str(definition), "--over", address)
    assert refused.exit_code == 1 and "A view reads files of resources, no database" in refused.output
    refused = flip("load", address, "--mapping", "omop-5.4", "--into", str(tmp_path / "estate"))
    assert refused.exit_code == 1 and "database" in refused.output, refused.output


def whoever_has_a_condition() -> dict:
    return {
        "ConceptSets": [],
        "PrimaryCriteria": {
            "CriteriaList": [{"ConditionOccurrence": {}}],
            "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": "All"},
        },
    }


def copy_to_postgresql(estate, address):
    import psycopg

    with estate.reading(estate.current()) as source, psycopg.connect(address) as target:
        names = [row[0] for row in source.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        for name in names:
            columns = source.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [name]
            ).fetchall()
            kinds = {"DOUBLE": "DOUBLE PRECISION"}
            definitions = ", ".join(f'"{column}" {kinds.get(kind, kind)}' for column, kind in columns)
            target.execute(f"CREATE TABLE {name} ({definitions})")
            rows = source.execute(f"SELECT * FROM {name}").fetchall()
            with target.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * len(columns))})", rows)
