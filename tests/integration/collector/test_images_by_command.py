"""A data controller's way from a PACS's headers to a cohort's studies in the quarantine, by commands and in jails."""

from __future__ import annotations

import csv
import json
import time
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
import typer
from orthanc_server import OrthancServer
from pacs import free_port, known_to, reached, until
from pacs_studies import CT, make_study, store
from typer.testing import CliRunner

from flipnb.cli.images_pull import add_to
from flipnb.cohorts import concepts, enter, image
from flipnb.contracts.policy import Policy
from flipnb.demo.certificates import make_ca
from flipnb.enclave.agent.doctor import examine
from flipnb.enclave.collector.order import GoOn, Order
from flipnb.enclave.collector.process import DIRECTORY, CollectorProcess
from flipnb.enclave.collector.quarantine import STORE
from flipnb.enclave.collector.states import State
from flipnb.enclave.collector.store import PullStore, Wanted
from flipnb.enclave.sandbox.uids import collector_uid
from flipnb.enclave.setup import create_enclave
from flipnb.estate import load
from flipnb.estate.cohort import generate

pytestmark = pytest.mark.slow
COMPUTED = 2000000011
MAPPING = """
format = "flip/mapping/1"
vocabulary = ["concepts.csv"]

[source]
name = "Test"
abbreviation = "T"
holder = "Test"
release_date = 2021-02-03

[files.people]
path = "people.csv"
columns = ["id", "sex", "born"]

[person]
file = "people"
id = "id"
sex = { column = "sex", codes = { f = 8532, m = 8507 } }
birth_year = "born"
date = { day = 2021-02-03 }

[code_lists]
own = "codes.csv"

[files.scans]
path = "scans.csv"
columns = ["patient", "accession", "study_uid", "series_uid", "modality", "body_part", "study_date", "instances"]
person = "patient"

[[series]]
file = "scans"
study = "study_uid"
series = "series_uid"
column = "modality"
codes = "own"
site = "body_part"
site_codes = "own"
date = { column = "study_date" }
"""
CONCEPTS = """\
concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,\
valid_end_date,invalid_reason
8507,MALE,Gender,Gender,Gender,S,M,1970-01-01,2099-12-31,
8532,FEMALE,Gender,Gender,Gender,S,F,1970-01-01,2099-12-31,
2000000011,CT,Procedure,Local,Local,S,1,1970-01-01,2099-12-31,
2000000012,Chest,Spec Anatomic Site,Local,Local,S,2,1970-01-01,2099-12-31,
"""
CODES = """\
source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,target_vocabulary_id,\
valid_start_date,valid_end_date,invalid_reason
CT,0,x,CT,2000000011,Local,1970-01-01,2099-12-31,
CHEST,0,x,Chest,2000000012,Local,1970-01-01,2099-12-31,
"""
app = typer.Typer()
add_to(app)


@pytest.fixture
def enclave(tmp_path: Path, orthanc_server: OrthancServer) -> Path:
    known_to(orthanc_server, free_port())
    (tmp_path / "lock.txt").write_text("")
    directory = tmp_path / "enclave"
    create_enclave(
        directory, name="north", title="North", hub_url="https://127.0.0.1:1", hub_audience="hub",
        hub_ca=make_ca(tmp_path / "ca").certificate, controller="anna", controller_passphrase="of-a-controller",
        policy=Policy(), environment="own", lock_file=tmp_path / "lock.txt", runtime_dir=tmp_path / "run",
    )  # fmt: skip
    written = {way: reached(orthanc_server, directory, way) for way in ("dicomweb", "c-get")}
    (directory / "collector.json").write_text(
        json.dumps({"pacs": {"web": written["dicomweb"], "get": written["c-get"]}})
    )
    return directory


def run(enclave: Path, *words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*map(str, words), "--enclave", str(enclave)])
    assert done.exit_code == code, (done.output, (enclave / "logs" / "collector.log").read_text()[-3000:])
    return done.stdout


def stored(orthanc: OrthancServer, *studies) -> None:
    with orthanc.client() as client:
        store(client, list(studies))


def test_headers_are_counted_before_a_cohort_is_pulled(orthanc_server, enclave, tmp_path):
    mine = [make_study("a", "CA", sop_class=CT, series=(2, 1), size=8), make_study("b", "CB", size=8)]
    theirs = make_study("a-stranger", "CX", sop_class=CT, size=8)
    stored(orthanc_server, *mine, theirs)
    (tmp_path / "extract").mkdir()
    for name, text in (("mapping.toml", MAPPING), ("concepts.csv", CONCEPTS), ("codes.csv", CODES)):
        (tmp_path / name).write_text(text)
    (tmp_path / "extract" / "people.csv").write_text("id,sex,born\na,f,1950\nb,m,1960\nc,m,1970\n")
    (tmp_path / "numbers").write_text("a\nb\nc\n")
    for pacs in ("web", "get"):
        scans = tmp_path / "extract" / "scans.csv"
        run(enclave, "headers", "--from", pacs, "--patients", tmp_path / "numbers", "--to", scans)
        with scans.open() as file:
            rows = list(csv.DictReader(file))
        assert sorted((row["patient"], row["modality"], row["instances"]) for row in rows) == [
            ("a", "CT", "1"), ("a", "CT", "2"), ("b", "CR", "1"),
        ]  # fmt: skip
        assert {row["study_uid"] for row in rows} == {one.study_uid for one in mine}
    report = load(tmp_path / "extract", tmp_path / "mapping.toml", enclave / "estate")
    assert (report.rejected, report.rows["image_occurrence"], report.rows["procedure_occurrence"]) == (0, 3, 2)
    definition = enter(image(concepts("CT", COMPUTED))).expression()
    assert generate(definition, enclave / "estate").people == 1
    (tmp_path / "ct.json").write_text(json.dumps(definition))
    told = json.loads(run(enclave, "pull", tmp_path / "ct.json", "--from", "web", "--json"))
    assert (told["state"], told["studies"], told["received"], told["name"]) == ("done", {"retrieved": 1}, 3, "ct")
    files = sorted((enclave / DIRECTORY).glob("studies/*/*/*.dcm"))
    assert {sha256(path.read_bytes()).digest() for path in files} == {sha256(file).digest() for file in mine[0].files}
    assert "ct" in run(enclave, "pulls") and mine[0].study_uid in run(enclave, "pulls", told["pull"])
    (tmp_path / "requests").write_text("CB\nNONE\n")
    short = json.loads(run(enclave, "pull", "--accessions", tmp_path / "requests", "--from", "get", "--json", code=1))
    assert short["studies"] == {"retrieved": 1, "not found": 1}


def test_by_days_those_of_the_patients_alone(orthanc_server, enclave, tmp_path):
    stored(orthanc_server, *(make_study(one, f"D{one}", size=8, day="19990607") for one in ("a", "b", "z")))
    (tmp_path / "numbers").write_text("a\nz\n")
    told = json.loads(
        run(enclave, "headers", "--from", "web", "--patients", tmp_path / "numbers", "--by-days", "--since",
            "1999-06-06", "--until", "1999-06-08", "--to", tmp_path / "out.csv", "--json")
    )  # fmt: skip
    assert (told["studies"], told["left_out"]) == (2, {"a study of none of the patients named": 1})


def test_what_is_wrong_is_said(enclave, tmp_path):
    (found,) = (one for one in examine(enclave) if one.what == "collector")
    assert (found.good, found.detail) == (True, "archives of images: get, web")
    (enclave / "password").chmod(0o644)
    (found,) = (one for one in examine(enclave) if one.what == "collector")
    assert not found.good and "password can be read by other users" in found.detail
    (enclave / "password").chmod(0o600)
    for words, said in (
        (
            ("headers", "--from", "none", "--to", tmp_path / "x", "--since", "2020-01-01", "--until", "2020-01-01"),
            "none",
        ),
        (("headers", "--from", "web", "--to", tmp_path / "x"), "Headers are asked for by patients"),
        (("pull", "--from", "web"), "Name a cohort's definition"),
        (("pull", "--from", "web", "--go-on", "404"), "There is no pull 404"),
        (("stop", "404"), "There is no pull 404"),
    ):
        done = CliRunner().invoke(app, [*map(str, words), "--enclave", str(enclave)])
        assert done.exit_code == 1 and said in done.stderr, done.output


def test_a_collector_that_is_killed_at_any_point(orthanc_server, enclave):
    """kill -9 again and again, each time a little later; what is whole stays, and in the end all of it is there."""
    studies = [make_study(f"M{n}", f"MA{n}", series=(2, 1), size=32) for n in range(30)]
    stored(orthanc_server, *studies)
    path = enclave / DIRECTORY / STORE
    following = PullStore(path)
    number = following.begin("killed", "web", "me", [Wanted(study_uid=one.study_uid) for one in studies])
    uid = collector_uid(enclave)
    for kills in range(1, 5):
        collector = CollectorProcess(
            enclave, Order(order=GoOn(pull=number)), uid=uid, log=enclave / "logs" / "collector.log"
        )
        least = 4 * kills
        while following.progress(number).of(State.RETRIEVED) < least and not collector.is_over():
            time.sleep(0.01)
        if kills == 1 and not collector.is_over():
            sees_nothing_else(collector.pid, enclave)
        before = following.progress(number).of(State.RETRIEVED)
        collector.kill()
        until(collector.is_over)
        assert following.progress(number).of(State.RETRIEVED) >= before
    last = CollectorProcess(enclave, Order(order=GoOn(pull=number)), uid=uid, log=enclave / "logs" / "collector.log")
    while not last.is_over():
        time.sleep(0.1)
    assert last.told().state == "done"
    assert following.progress(number).studies == {State.RETRIEVED: 30}
    files = list((enclave / DIRECTORY).glob("studies/*/*/*"))
    sent = sorted(sha256(file).hexdigest() for one in studies for file in one.files)
    assert sorted(sha256(file.read_bytes()).hexdigest() for file in files) == sent
    following.close()


def sees_nothing_else(outer: int, enclave: Path) -> None:
    """Of the enclave a collector sees its own folder alone; no key, no estate, no state."""
    inner = psutil.Process(outer).children(recursive=True)[-1].pid
    seen = Path(f"/proc/{inner}/root{enclave}")
    assert {one.name for one in seen.iterdir()} == {DIRECTORY}
    assert not (seen / "keys").exists()
    assert psutil.Process(inner).uids().real == (collector_uid(enclave) or psutil.Process().uids().real)
