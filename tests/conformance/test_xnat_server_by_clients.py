"""Our XNAT for tests is one as far as its clients can tell: xnatpy, pyxnat and plain HTTP walk it from end to end."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
import xnat
from xnat_server import XnatServer, serving
from xnat_server.samples import instance, put, series

pytestmark = pytest.mark.slow

STUDY, OTHER = "1.2.826.0.1.3680043.10.1", "1.2.826.0.1.3680043.10.2"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
QUESTIONS = Path(__file__).with_name("pyxnat_questions.py")
PYXNAT = "pyxnat==1.6.4"
USED_BY_PYXNAT = ("lxml==6.1.3", "nibabel", "pandas", "requests")
"""It declares PyPI's ``pathlib`` of 2014, which hides Python's own, and neither nibabel nor pandas, which it needs."""
ENVIRONMENT_SECONDS = 240


@pytest.fixture(scope="module", params=[False, True], ids=["today", "old"])
def server(request, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("xnat"), old=request.param) as one:
        put(one.archive, "CHEST", "S1", "S1_CR_1", STUDY, 2, 1, date="2026-04-01", accession="A100", patient_id="X1")
        put(one.archive, "CHEST", "S2", "S2_CT_1", OTHER, 3, modality="CT", date="2026-04-02", accession="A101")
        yield one


@pytest.fixture
def client(server):
    with plain(server) as one:
        yield one


def plain(server: XnatServer) -> httpx.Client:
    import ssl

    context = ssl.create_default_context(cafile=str(server.ca))
    return httpx.Client(base_url=server.address, auth=server.accounts.issue("flip"), verify=context, timeout=60)


@pytest.fixture
def connection(server, monkeypatch):
    """By a name and a password, as people use xnatpy, with its object model."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
    user, password = next(iter(server.accounts.passwords.items()))
    with xnat.connect(server.address, user=user, password=password, loglevel="ERROR") as one:
        yield one


def test_xnatpy_walks_from_projects_to_files(connection):
    assert list(connection.projects.values()) and connection.projects["CHEST"].name == "Chest"
    sessions = connection.projects["CHEST"].experiments
    assert {one.label for one in sessions.values()} == {"S1_CR_1", "S2_CT_1"}
    session = sessions["S1_CR_1"]
    assert (type(session).__name__, session.uid, session.dcm_accession_number) == ("CrSessionData", STUDY, "A100")
    assert str(session.date) == "2026-04-01"
    assert [scan.id for scan in session.scans.values()] == ["1", "2"]
    assert [len(scan.resources["DICOM"].files) for scan in session.scans.values()] == [2, 1]
    subjects = connection.projects["CHEST"].subjects
    assert {one.label: [e.label for e in one.experiments.values()] for one in subjects.values()} == {
        "S1": ["S1_CR_1"],
        "S2": ["S2_CT_1"],
    }


def test_xnatpy_downloads_what_was_put_there(connection, tmp_path):
    scan = connection.projects["CHEST"].experiments["S2_CT_1"].scans["1"]
    scan.resources["DICOM"].files["2.dcm"].download(str(tmp_path / "one.dcm"), verbose=False)
    assert (tmp_path / "one.dcm").read_bytes() == series(OTHER, f"{OTHER}.1", 3, modality="CT")["2.dcm"]
    scan.download(str(tmp_path / "scan.zip"), verbose=False)
    assert zipfile.ZipFile(tmp_path / "scan.zip").namelist() == [
        f"S2_CT_1/scans/1-Chest_PA_1/resources/DICOM/files/{number}.dcm" for number in (1, 2, 3)
    ]
    assert scan.dicom_dump()[0]["vr"] == "UI"


def test_xnatpy_logs_in_by_an_alias_token_and_out(server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
    alias, secret = server.accounts.issue("flip")
    before = set(server.accounts.sessions)
    with xnat.connect(server.address, user=alias, password=secret, no_parse_model=True, loglevel="ERROR") as one:
        assert one.logged_in_user == "flip"
        assert one.get_json("/data/projects")["ResultSet"]["totalRecords"] == "1"
        assert set(server.accounts.sessions) - before
    with pytest.raises(xnat.exceptions.XNATLoginFailedError):
        xnat.connect(server.address, user=alias, password="wrong", no_parse_model=True, loglevel="CRITICAL")


def test_xnatpy_uploads_into_the_prearchive_and_archives(server, connection, tmp_path):
    study = "1.2.826.0.1.3680043.10.77"
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as made:
        for name, content in series(study, f"{study}.1", 2).items():
            made.writestr(f"deep/{name}", content)
    waiting = connection.services.import_(
        path=tmp_path / "study.zip", project="NEW", subject="S9", experiment="S9_CR", content_type="application/zip"
    )
    assert [one.label for one in connection.prearchive.sessions("NEW")] == ["S9_CR"]
    archived = waiting.archive()
    assert (archived.label, archived.uid) == ("S9_CR", study)
    assert len(archived.scans[0].files) == 2
    assert connection.prearchive.sessions("NEW") == []
    server.archive.projects.pop()


def test_pyxnat_finds_the_same(server, pyxnat_python, tmp_path):
    user, password = next(iter(server.accounts.passwords.items()))
    done = subprocess.run(
        [pyxnat_python, "-I", QUESTIONS, server.address, server.ca, tmp_path, "CHEST"],
        check=False,
        env={"REQUESTS_CA_BUNDLE": str(server.ca)},  # for downloads, where pyxnat forgets its own ``verify``
        input=f"{user} {password}",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["projects"] == ["CHEST"]
    assert told["subjects"] == {
        "S1": {
            "S1_CR_1": {"type": "xnat:crSessionData", "uid": STUDY, "scans": {"1": ["1.dcm", "2.dcm"], "2": ["1.dcm"]}}
        },
        "S2": {"S2_CT_1": {"type": "xnat:ctSessionData", "uid": OTHER, "scans": {"1": ["1.dcm", "2.dcm", "3.dcm"]}}},
    }
    assert told["exists"] == [True, True, False]
    assert Path(told["downloaded"]).read_bytes() == instance(STUDY, f"{STUDY}.1", 1)


@pytest.fixture(scope="session")
def pyxnat_python(tmp_path_factory) -> Path:
    """The interpreter of an environment of its own."""
    python = tmp_path_factory.mktemp("pyxnat") / "venv/bin/python"
    _uv("venv", "--python", sys.executable, python.parents[1])
    _uv("pip", "install", "--python", python, "--constraint", CONSTRAINTS, *USED_BY_PYXNAT)
    _uv("pip", "install", "--python", python, "--no-deps", PYXNAT)
    return python


def _uv(*arguments) -> None:
    told = [sys.executable, "-m", "uv", *map(str, arguments)]
    done = subprocess.run(told, check=False, capture_output=True, text=True, timeout=ENVIRONMENT_SECONDS)
    assert done.returncode == 0, done.stderr


COLUMNS = "ID,label,xsiType,UID,dcmAccessionNumber,subject_label,date"


def test_a_listing_has_the_same_rows_in_every_format(client):
    path = "/data/projects/CHEST/experiments"
    told = client.get(path, params={"format": "json", "columns": COLUMNS}).json()["ResultSet"]
    assert told["totalRecords"] == "2"
    assert all(isinstance(value, str) for row in told["Result"] for value in row.values())
    quoted = client.get(path, params={"format": "csv", "columns": COLUMNS}).text
    assert quoted.startswith('"ID","label",')
    assert list(csv.DictReader(io.StringIO(quoted))) == told["Result"]
    tree = ElementTree.fromstring(client.get(path, params={"format": "xml", "columns": COLUMNS}).text)
    names = [one.text for one in tree.iter("column")]
    rows = [dict(zip(names, [cell.text or "" for cell in row], strict=True)) for row in tree.iter("row")]
    assert rows == told["Result"]
    assert tree.get("totalRecords") == "2"


def test_things_are_found_by_id_and_by_label_and_by_long_names(client):
    rows = client.get("/data/archive/projects/CHEST/experiments", params={"columns": "ID,label"}).json()["ResultSet"]
    first = rows["Result"][0]
    for name in (first["ID"], first["label"]):
        told = client.get(f"/data/projects/CHEST/experiments/{name}", params={"format": "json"}).json()
        assert told["items"][0]["data_fields"]["ID"] == first["ID"]
        assert told["items"][0]["meta"]["xsi:type"] == "xnat:crSessionData"
    asked = {"xsiType": "xnat:imageSessionData", "xnat:imageSessionData/UID": OTHER, "columns": "label"}
    assert [row["label"] for row in client.get("/data/experiments", params=asked).json()["ResultSet"]["Result"]] == [
        "S2_CT_1"
    ]


def test_files_of_all_scans_and_of_no_all_of_resources(client):
    session = "/data/projects/CHEST/subjects/S1/experiments/S1_CR_1"
    rows = client.get(f"{session}/scans/ALL/files", params={"format": "json"}).json()["ResultSet"]["Result"]
    assert [row["Name"] for row in rows] == ["1.dcm", "2.dcm", "1.dcm"]
    content = series(STUDY, f"{STUDY}.1", 2) | {"3.dcm": instance(STUDY, f"{STUDY}.2", 1)}
    assert [client.get(row["URI"]).content for row in rows] == list(content.values())
    zipped = client.get(f"{session}/scans/ALL/resources/DICOM/files", params={"format": "zip"})
    names = zipfile.ZipFile(io.BytesIO(zipped.content)).namelist()
    assert names[-1] == "S1_CR_1/scans/2-Chest_PA_2/resources/DICOM/files/1.dcm"
    gone = client.get(f"{session}/scans/ALL/resources/ALL/files", params={"format": "json"})
    assert (gone.status_code, "<html>" in gone.text) == (404, True)


def test_who_is_not_logged_in_sees_a_401(server):
    with plain(server) as client:
        client.auth = None
        answer = client.get("/data/projects", params={"format": "json"})
    assert answer.status_code == 401
    assert ("<!DOCTYPE" in answer.text) == (server.site.version == "1.7.6")


def test_an_alias_token_is_issued_for_who_is_logged_in(server):
    with plain(server) as client:
        client.auth = next(iter(server.accounts.passwords.items()))
        token = client.get("/data/services/tokens/issue").json()
        client.auth = (token["alias"], token["secret"])
        client.cookies.clear()
        assert client.get("/data/auth").text == "User 'flip' is logged in"
        session = client.get("/data/JSESSION").text
        assert len(session) == 32
        client.delete("/data/JSESSION")
        assert session not in server.accounts.sessions


def test_the_catalogue_may_count_what_is_not_there_until_it_is_refreshed(server, client):
    session = put(server.archive, "SHELLS", "S3", "S3_CR", "1.2.3.9", 1)
    resource = session.scans[0].resources[0]
    resource.files[0].gone, resource.counted = True, 5
    place = f"/data/experiments/{session.id}/scans/1"
    counted = client.get(f"{place}/resources").json()["ResultSet"]["Result"][0]["file_count"]
    rows = client.get(f"{place}/files").json()["ResultSet"]["Result"]
    assert (counted, len(rows), client.get(rows[0]["URI"]).status_code) == ("5", 1, 404)
    client.post("/data/services/refresh/catalog", params={"resource": f"/archive/experiments/{session.id}"})
    assert client.get(f"{place}/files").json()["ResultSet"] == {"Result": [], "totalRecords": "0", "title": "Files"}
    server.archive.projects.pop()


def test_a_type_that_is_not_secured_is_in_no_list_and_yet_there(server, client):
    put(server.archive, "HIDDEN", "S4", "S4_DX", "1.2.3.10", 1, modality="DX")
    server.archive.unsecured.add("xnat:dxSessionData")
    try:
        assert client.get("/data/projects/HIDDEN/experiments").json()["ResultSet"]["totalRecords"] == "0"
        elements = client.get("/data/search/elements").json()["ResultSet"]["Result"]
        assert "xnat:dxSessionData" not in [row["ELEMENT_NAME"] for row in elements]
        assert client.get("/data/projects/HIDDEN/experiments/S4_DX").status_code == 200
    finally:
        server.archive.unsecured.clear()
        server.archive.projects.pop()


def test_the_site_s_script_is_kept_as_it_was_put(client):
    script = 'version "6.3"\n(0010,0010) := "NOBODY"\n'
    assert client.get("/xapi/anonymize/site/enabled").json() is False
    client.put("/xapi/anonymize/site", content=script, headers={"Content-Type": "text/plain"}).raise_for_status()
    assert client.get("/xapi/anonymize/site").text == script
    for enable in (True, False):
        client.put("/xapi/anonymize/site/enabled", params={"enable": enable}, json=None).raise_for_status()
        assert client.get("/xapi/anonymize/site/enabled").json() is enable
