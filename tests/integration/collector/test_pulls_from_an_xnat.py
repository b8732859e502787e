"""Pulling studies from an XNAT: a server of ours that speaks its contract, over TLS, with the collector's own store."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from starlette.responses import HTMLResponse, Response
from xnat_server import serving
from xnat_server.archive import Waiting
from xnat_server.samples import instance, put, series

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.headers import questions, write_headers
from flipnb.enclave.collector.pacs.answers import Implausible, Question
from flipnb.enclave.collector.pacs.archive import Away, NotGiven
from flipnb.enclave.collector.pulling import Puller
from flipnb.enclave.collector.quarantine import STORE, Quarantine
from flipnb.enclave.collector.states import PullState, State
from flipnb.enclave.collector.store import PullStore, Wanted
from flipnb.enclave.collector.watch import Watched
from flipnb.enclave.collector.xnat.anonymisation import examine, put_site_script
from flipnb.enclave.collector.xnat.archive import XnatArchive
from flipnb.enclave.collector.xnat.configuration import Xnat, token_of

pytestmark = pytest.mark.slow
ROOT = "1.2.826.0.1.3680043.10"


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "site") as one:
        yield one


@pytest.fixture
def folder(tmp_path, server):
    """The configuration's folder, with an alias token."""
    made = tmp_path / "enclave"
    made.mkdir()
    give_token(made, server.accounts.issue("flip"))
    (made / "ca.pem").write_bytes(server.ca.read_bytes())
    return made


def give_token(folder, token, mode=0o600):
    (folder / "token").write_text(":".join(token) + "\n")
    (folder / "token").chmod(mode)


def configured(server, **more) -> Xnat:
    told = {"root": server.address, "project": "CHEST", "ca": "ca.pem", "credentials": "token"}
    return Xnat.model_validate_json(json.dumps({**told, "patience_s": 30, "keep_free_gigabytes": 0, **more}))


class Trust:
    """A collector's directory, and pulls in it."""

    def __init__(self, directory, server, folder, **more):
        self.store, self.quarantine = PullStore(directory / STORE), Quarantine(directory)
        self.xnat, self.folder = configured(server, **more), folder

    def pull(self, *wanted):
        self.number = self.store.begin("a cohort", "xnat", "somebody", wanted)
        return self.go_on()

    def go_on(self):
        puller = Puller(self.store, self.quarantine, self.xnat, self.folder, self.number, connect=XnatArchive)
        return puller.run()

    def states(self):
        return {one.study_uid or one.accession: (str(one.state), one.reason) for one in self.store.studies(self.number)}

    def contents(self, uid):
        study = next(one for one in self.store.studies(self.number) if uid in (one.found_uid, one.study_uid))
        return {
            one.series_uid: sorted(path.read_bytes() for path in self.quarantine.files(study.study, one.number))
            for one in self.store.series(study.study)
        }


@pytest.fixture
def trust(tmp_path, server, folder):
    return Trust(tmp_path / "collected", server, folder)


def expected(uid, *counts):
    return {
        f"{uid}.{number}": sorted(series(uid, f"{uid}.{number}", count).values())
        for number, count in enumerate(counts, 1)
    }


@pytest.mark.parametrize("download", ["file", "zip"])
def test_studies_come_whole_by_uid_by_accession_number_and_by_label(tmp_path, server, folder, download):
    for number in (1, 2, 3):
        put(server.archive, "CHEST", f"S{number}", f"S{number}_CR", f"{ROOT}.{number}", 3, 2, accession=f"A{number}")
    trust = Trust(tmp_path / "collected", server, folder, download=download)
    wanted = Wanted(study_uid=f"{ROOT}.1", patients=("S1",)), Wanted(accession="A2"), Wanted(accession="S3_CR")
    assert trust.pull(*wanted) is PullState.DONE
    assert {state for state, _ in trust.states().values()} == {"retrieved"}
    for number in (1, 2, 3):
        assert trust.contents(f"{ROOT}.{number}") == expected(f"{ROOT}.{number}", 3, 2)
    assert not any("prearchive" in one for one in server.asked)
    assert server.accounts.sessions == {}, "whoever is done logs out"


def test_headers_are_a_table_and_no_file_is_asked_for(tmp_path, server, folder):
    put(server.archive, "CHEST", "S1", "S1_CR", f"{ROOT}.1", 2, 1, accession="A1", date="2026-04-01")
    put(server.archive, "CHEST", "S2", "S2_CT", f"{ROOT}.2", 4, modality="CT", date="2026-04-02")
    put(server.archive, "CHEST", "S2", "S2_LATER", f"{ROOT}.3", 4, date="2026-05-02")
    put(server.archive, "ELSEWHERE", "S1", "S1_CR", f"{ROOT}.4", 1, date="2026-04-01")
    archive = XnatArchive(configured(server), folder)
    watched = Watched(archive, 30)
    from datetime import date

    asked = list(questions(since=date(2026, 4, 1), until=date(2026, 4, 3)))
    report = write_headers(watched, asked, tmp_path / "headers.csv", most=100)
    archive.close()
    assert (report.studies, report.series, report.instances, report.left_out) == (2, 3, 7, {})
    assert (tmp_path / "headers.csv").read_text().splitlines()[1:] == [
        f"S1,A1,{ROOT}.1,{ROOT}.1.1,CR,,2026-04-01,2",
        f"S1,A1,{ROOT}.1,{ROOT}.1.2,CR,,2026-04-01,1",
        f"S2,,{ROOT}.2,{ROOT}.2.1,CT,,2026-04-02,4",
    ]
    assert not any("/files/" in one for one in server.asked)


def test_what_is_ambiguous_is_told_and_never_guessed(trust, server):
    put(server.archive, "CHEST", "S1", "S1_A", f"{ROOT}.1", 1, accession="TWICE")
    put(server.archive, "CHEST", "S1", "S1_B", f"{ROOT}.2", 1, accession="TWICE")
    put(server.archive, "CHEST", "S2", "A9", f"{ROOT}.3", 1)
    put(server.archive, "CHEST", "S2", "S2_OTHER", f"{ROOT}.4", 1, accession="A9")
    put(server.archive, "CHEST", "S3", "S3_FIRST", f"{ROOT}.5", 1)
    put(server.archive, "CHEST", "S3", "S3_AGAIN", f"{ROOT}.5", 1)
    put(server.archive, "CHEST", "S4", "S4_CR", f"{ROOT}.6", 1)
    put(server.archive, "CHEST", "S5", "S5_CR", "", 1, accession="NO_UID")
    trust.pull(
        Wanted(accession="TWICE"),
        Wanted(accession="A9"),
        Wanted(study_uid=f"{ROOT}.5"),
        Wanted(study_uid=f"{ROOT}.6", patients=("SOMEBODY_ELSE",)),
        Wanted(study_uid=f"{ROOT}.7"),
        Wanted(accession="NO_UID"),
        Wanted(accession=".."),
    )
    told = trust.states()
    assert {name: state for name, (state, _) in told.items()} == {
        "TWICE": "several found",
        "A9": "several found",
        f"{ROOT}.5": "refused",
        f"{ROOT}.6": "refused",
        f"{ROOT}.7": "not found",
        "NO_UID": "refused",
        "..": "not found",
    }
    assert "2 sessions of the project are this study" in told[f"{ROOT}.5"][1]
    assert not any("/files/" in one for one in server.asked)


def test_an_empty_shell_is_told_by_its_files_and_one_that_lost_some_is_partial(trust, server):
    """A catalogue may count what is not there, may list it, and may count less than there is."""
    shell = put(server.archive, "CHEST", "S1", "SHELL", f"{ROOT}.1", 1)
    shell.scans[0].resources[0].files, shell.scans[0].resources[0].counted = [], 1
    lost = put(server.archive, "CHEST", "S2", "LOST", f"{ROOT}.2", 3, 2)
    lost.scans[0].resources[0].files[1].gone = True
    fewer = put(server.archive, "CHEST", "S3", "FEWER", f"{ROOT}.3", 3, 2)
    del fewer.scans[1].resources[0].files[0]
    fewer.scans[1].resources[0].counted = 2
    stale = put(server.archive, "CHEST", "S4", "STALE", f"{ROOT}.4", 3)
    stale.scans[0].resources[0].counted = 0
    hollow = put(server.archive, "CHEST", "S5", "HOLLOW", f"{ROOT}.5", 3, 2)
    hollow.scans[1].resources[0].files, hollow.scans[1].resources[0].counted = [], 2
    trust.pull(*(Wanted(study_uid=f"{ROOT}.{number}") for number in (1, 2, 3, 4, 5)))
    told = trust.states()
    assert [told[f"{ROOT}.{number}"][0] for number in (1, 2, 3, 4, 5)] == [
        "failed",
        "partial",
        "partial",
        "retrieved",
        "partial",
    ]
    assert "it is empty" in told[f"{ROOT}.1"][1]
    assert told[f"{ROOT}.2"][1].startswith("4 of 5 instances, 1 of 2 series not whole: 1 of 3 files are not given")
    assert told[f"{ROOT}.3"][1].startswith("4 of 5 instances")
    assert told[f"{ROOT}.5"][1].startswith("3 of 5 instances, 1 of 2 series not whole")
    assert len(trust.contents(f"{ROOT}.2")[f"{ROOT}.2.1"]) == 2


def test_the_prearchive_is_not_looked_into(trust, server):
    archived = put(server.archive, "CHEST", "S1", "SAME", f"{ROOT}.1", 1)
    waiting = server.archive.new_session("SAME", f"{ROOT}.2", "CR")
    only = server.archive.new_session("ONLY_WAITING", f"{ROOT}.3", "CR")
    server.archive.waiting += [Waiting("CHEST", "20261102_1", "S1", one) for one in (waiting, only)]
    trust.pull(Wanted(accession="SAME"), Wanted(accession="ONLY_WAITING"), Wanted(study_uid=f"{ROOT}.2"))
    assert {name: state for name, (state, _) in trust.states().items()} == {
        "SAME": "retrieved",
        "ONLY_WAITING": "not found",
        f"{ROOT}.2": "not found",
    }
    assert trust.contents(archived.uid) == expected(f"{ROOT}.1", 1)


def test_a_session_of_a_type_that_is_not_secured_is_found_by_its_label_and_the_doctor_tells_of_it(
    trust, server, folder
):
    put(server.archive, "CHEST", "S1", "S1_DX", f"{ROOT}.1", 1, modality="DX")
    server.archive.unsecured.add("xnat:dxSessionData")
    trust.pull(Wanted(accession="S1_DX", patients=("S1",)), Wanted(study_uid=f"{ROOT}.9"))
    assert [state for state, _ in trust.states().values()] == ["retrieved", "not found"]
    look = examine(configured(server), folder)[-1]
    assert (look.good, "DX" in look.detail) == (False, True)


@pytest.mark.parametrize("download", ["file", "zip"])
def test_hostile_names_become_no_path_and_refuse_the_study(tmp_path, server, folder, download):
    put(server.archive, "CHEST", "S1", "GOOD", f"{ROOT}.1", 1)
    bad = put(server.archive, "CHEST", "S2", "BAD", f"{ROOT}.2", 1)
    if download == "file":
        bad.scans[0].resources[0].files[0].name = "../../../../../../tmp/flip-was-here.dcm"
    else:
        bad.scans[0].resources[0].files[0].name = "bad.dcm"
        server.faults.zip_names["bad.dcm"] = "BAD/scans/1-CR/resources/DICOM/files/../../../../../flip-was-here.dcm"
    trust = Trust(tmp_path / "collected", server, folder, download=download)
    trust.pull(Wanted(study_uid=f"{ROOT}.1"), Wanted(study_uid=f"{ROOT}.2"))
    told = trust.states()
    assert told[f"{ROOT}.1"][0] == "retrieved"
    assert (told[f"{ROOT}.2"][0], "leads elsewhere" in told[f"{ROOT}.2"][1]) == ("refused", True)
    assert [path.name for path in tmp_path.rglob("*.dcm")] == ["000001.dcm"]
    assert not list(tmp_path.rglob("*flip-was-here*"))


def test_what_is_no_dicom_file_and_what_is_too_much_refuse_their_study_alone(tmp_path, server, folder):
    page = put(server.archive, "CHEST", "S1", "PAGE", f"{ROOT}.1", 1)
    page.scans[0].resources[0].files[0].content = b"<html>please log in</html>"
    put(server.archive, "CHEST", "S2", "BIG", f"{ROOT}.2", 60)
    put(server.archive, "CHEST", "S3", "GOOD", f"{ROOT}.3", 2)
    notes = put(server.archive, "CHEST", "S4", "NOTES", f"{ROOT}.4", 1)
    scan = server.archive.scan(notes, "9", "")
    server.archive.resource(scan, {"note.txt": b"not DICOM"}, label="NOTES")
    trust = Trust(tmp_path / "collected", server, folder, most_gigabytes=2e-5)
    trust.pull(*(Wanted(study_uid=f"{ROOT}.{number}") for number in (1, 2, 3, 4)))
    told = trust.states()
    assert [told[f"{ROOT}.{number}"][0] for number in (1, 2, 3, 4)] == ["refused", "refused", "retrieved", "retrieved"]
    assert "no DICOM file" in told[f"{ROOT}.1"][1]
    assert "more bytes" in told[f"{ROOT}.2"][1]


def test_two_scans_of_one_series_are_one_and_secondary_captures_come_too(trust, server):
    session = put(server.archive, "CHEST", "S1", "SPLIT", f"{ROOT}.1", 2)
    again = server.archive.scan(session, "1-CR1", f"{ROOT}.1.1")
    more = {f"{number}.dcm": instance(f"{ROOT}.1", f"{ROOT}.1.1", number) for number in (3, 4)}
    server.archive.resource(again, more)
    server.archive.resource(again, {"sc.dcm": instance(f"{ROOT}.1", f"{ROOT}.1.1", 5)}, label="secondary")
    trust.pull(Wanted(study_uid=f"{ROOT}.1"))
    assert trust.states()[f"{ROOT}.1"] == ("retrieved", "")
    assert trust.contents(f"{ROOT}.1") == expected(f"{ROOT}.1", 5)


@pytest.mark.parametrize("download", ["file", "zip"])
def test_a_line_that_breaks_leaves_what_was_whole_and_goes_on_later(tmp_path, server, folder, download):
    session = put(server.archive, "CHEST", "S1", "LONG", f"{ROOT}.1", 4, 2)
    place = f"/scans/2/resources/{session.scans[1].resources[0].number}/files"
    server.faults.cut.add(place if download == "zip" else f"{place}/2.dcm")
    trust = Trust(tmp_path / "collected", server, folder, download=download, attempts=2)
    trust.pull(Wanted(study_uid=f"{ROOT}.1"))
    assert trust.states()[f"{ROOT}.1"][0] == "partial"
    server.faults.cut.clear()
    server.asked.clear()
    trust.pull(Wanted(study_uid=f"{ROOT}.1"))
    assert trust.states()[f"{ROOT}.1"][0] == "retrieved"
    assert trust.contents(f"{ROOT}.1") == expected(f"{ROOT}.1", 4, 2)
    assert not any("/scans/1/resources" in one and "/files" in one for one in server.asked), "it was whole already"


def test_a_site_that_is_silent_is_cut_off_after_the_patience(tmp_path, server, folder):
    put(server.archive, "CHEST", "S1", "SILENT", f"{ROOT}.1", 2)
    put(server.archive, "CHEST", "S2", "GOOD", f"{ROOT}.2", 2)
    server.faults.silent.add(f"{server.archive.project('CHEST').sessions[0][1].id}/scans/1/resources/")
    trust = Trust(tmp_path / "collected", server, folder, patience_s=6, attempts=1, connections=1)
    assert trust.pull(Wanted(study_uid=f"{ROOT}.1"), Wanted(study_uid=f"{ROOT}.2")) is PullState.DONE
    told = trust.states()
    assert (told[f"{ROOT}.1"][0], told[f"{ROOT}.2"][0]) == ("failed", "retrieved")
    assert "sent nothing whole" in told[f"{ROOT}.1"][1]


def test_a_session_that_lapsed_is_opened_anew_and_a_token_that_was_withdrawn_is_told(server, folder):
    put(server.archive, "CHEST", "S1", "S1_CR", f"{ROOT}.1", 1)
    archive = XnatArchive(configured(server), folder)
    assert len(list(archive.studies(Question(study_uids=(f"{ROOT}.1",))))) == 1
    server.accounts.sessions.clear()
    assert [one.instances for one in archive.series([f"{ROOT}.1"])] == [1]
    server.accounts.sessions.clear()
    server.accounts.tokens.clear()
    with pytest.raises(Away, match="alias token"):
        list(archive.series([f"{ROOT}.1"]))
    server.faults.busy.add("/")
    with pytest.raises(Away):
        list(archive.series([f"{ROOT}.1"]))
    archive.close()


def test_a_site_with_another_authority_s_certificate_is_not_spoken_to(tmp_path, server, folder):
    from flipnb.demo.certificates import make_ca

    (folder / "ca.pem").write_bytes(make_ca(tmp_path / "another").certificate.read_bytes())
    with pytest.raises(Away, match="SSLError"):
        list(XnatArchive(configured(server), folder).studies(Question(study_uids=(f"{ROOT}.1",))))
    assert server.asked == []


def test_a_password_or_a_file_open_to_others_is_no_token(server, folder):
    give_token(folder, ("flip", "a-password-of-somebody"))
    with pytest.raises(FlipError) as raised:
        token_of(configured(server), folder)
    assert raised.value.code == "bad-credentials"
    give_token(folder, server.accounts.issue("flip"), mode=0o640)
    with pytest.raises(FlipError) as raised:
        token_of(configured(server), folder)
    assert raised.value.code == "file-open-to-others"


@pytest.mark.parametrize(
    "wrong",
    [
        {"root": "http://xnat.example"},
        {"root": "https://user:word@xnat.example"},
        {"project": "../OTHER"},
        {"download": "both"},
    ],
)
def test_a_configuration_that_would_be_unsafe_is_refused(server, wrong):
    with pytest.raises(ValueError):
        configured(server, **wrong)


def test_answers_that_are_no_answers_are_told(server, folder):
    session = put(server.archive, "CHEST", "S1", "S1_CR", f"{ROOT}.1", 1)
    session.scans[0].uid = "not a UID"
    archive = XnatArchive(configured(server), folder)
    list(archive.studies(Question(study_uids=(f"{ROOT}.1",))))
    assert [type(one) for one in archive.series([f"{ROOT}.1"])] == [Implausible]
    archive.close()


PAGE = "<!DOCTYPE html><html><body>something else</body></html>"


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (Response(gzip.compress(bytes(1 << 20)), headers={"Content-Encoding": "gzip"}), "packed"),
        (Response(b'{"ResultSet":' + bytes(33 << 20)), "32 MB"),
        (Response(b"[" * 200_000), "not JSON"),
        (Response(b'{"ResultSet": []}'), "no listing"),
        (Response(b'{"ResultSet": {"Result": [{"ID": {"a": 1}}]}}'), "no text"),
        (Response(status_code=403), "403"),
        (HTMLResponse(PAGE, 404), "404"),
    ],
)
def test_answers_of_a_site_that_has_turned_are_bounded_and_told(server, folder, instead, told):
    server.faults.instead["/experiments"] = instead
    archive = XnatArchive(configured(server), folder)
    with pytest.raises(NotGiven, match=told):
        list(archive.studies(Question(study_uids=(f"{ROOT}.1",))))
    archive.close()


@pytest.mark.parametrize("where", ["/", "/data/auth", "/experiments"])
def test_nobody_is_followed_to_another_address(tmp_path, server, folder, where):
    with serving(tmp_path / "another") as other:
        moved = {"Location": f"{other.address}/data/projects"}
        server.faults.instead[where] = Response(status_code=302, headers=moved)
        archive = XnatArchive(configured(server), folder)
        with pytest.raises((Away, NotGiven)):
            list(archive.studies(Question(study_uids=(f"{ROOT}.1",))))
        archive.close()
        assert other.asked == []


def test_a_login_page_in_place_of_an_answer_is_a_session_that_lapsed(server, folder):
    """So old releases say it, with status 200."""
    server.faults.instead["/experiments"] = HTMLResponse(PAGE)
    with pytest.raises(Away, match="login"):
        list(XnatArchive(configured(server), folder).studies(Question(study_uids=(f"{ROOT}.1",))))


def test_a_site_s_script_is_put_there_and_seen_by_the_doctor(tmp_path, server, folder):
    import hashlib

    script = tmp_path / "site.das"
    script.write_text('version "6.3"\n(0010,0010) := "NOBODY"\n')
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    server.archive.project("CHEST")
    before = {look.what: look for look in examine(configured(server), folder)}
    assert before["XNAT's own anonymisation"].detail.startswith("off")
    found = put_site_script(configured(server), folder, script.read_text())
    assert (found.enabled, found.sha256, server.site.script) == (True, digest, script.read_text())
    after = {look.what: look for look in examine(configured(server), folder)}
    assert after["XNAT's own anonymisation"].detail == f"on, script of {found.size} bytes, SHA-256 {digest[:16]}…"
    assert all(look.good for look in after.values())
    assert not examine(configured(server, project="NONE"), folder)[0].good
    with pytest.raises(FlipError):
        put_site_script(configured(server), folder, " ")


def test_a_collector_that_is_killed_goes_on_where_it_was(tmp_path, server, folder):
    put(server.archive, "CHEST", "S1", "FIRST", f"{ROOT}.1", 2)
    put(server.archive, "CHEST", "S2", "SECOND", f"{ROOT}.2", 2, 2)
    stuck = server.archive.project("CHEST").sessions[1][1].id
    server.faults.silent.add(f"{stuck}/scans/2/resources/")
    directory = tmp_path / "collected"
    trust = Trust(directory, server, folder)
    trust.number = trust.store.begin(
        "a cohort", "xnat", "somebody", [Wanted(study_uid=f"{ROOT}.{number}") for number in (1, 2)]
    )
    (folder / "xnat.json").write_text(configured(server, connections=1).model_dump_json())
    told = [sys.executable, "-c", _CHILD, str(directory), str(folder), str(trust.number)]
    child = subprocess.Popen(told, env={**os.environ, "PYTHONPATH": ""})
    try:
        wait_for(lambda: any(f"{stuck}/scans/2/resources/" in one for one in tuple(server.asked)))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    server.faults.silent.clear()
    server.asked.clear()
    assert trust.go_on() is PullState.DONE
    assert {state for state, _ in trust.states().values()} == {"retrieved"}
    assert trust.contents(f"{ROOT}.2") == expected(f"{ROOT}.2", 2, 2)
    assert trust.contents(f"{ROOT}.1") == expected(f"{ROOT}.1", 2)  # noted together, so that it may be asked again


_CHILD = """
import sys
from pathlib import Path
from flipnb.enclave.collector.pulling import Puller
from flipnb.enclave.collector.quarantine import STORE, Quarantine
from flipnb.enclave.collector.store import PullStore
from flipnb.enclave.collector.xnat.archive import XnatArchive
from flipnb.enclave.collector.xnat.configuration import Xnat

directory, folder = Path(sys.argv[1]), Path(sys.argv[2])
xnat = Xnat.model_validate_json((folder / "xnat.json").read_bytes())
Puller(PullStore(directory / STORE), Quarantine(directory), xnat, folder, int(sys.argv[3]), connect=XnatArchive).run()
"""


def wait_for(holds):
    ends = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_pull_that_is_stopped_ends_though_the_site_is_silent(trust, server, folder):
    put(server.archive, "CHEST", "S1", "SILENT", f"{ROOT}.1", 1)
    server.faults.silent.add("/files")
    trust.number = trust.store.begin("a cohort", "xnat", "somebody", [Wanted(study_uid=f"{ROOT}.1")])
    puller = Puller(trust.store, trust.quarantine, trust.xnat, folder, trust.number, connect=XnatArchive)
    thread = threading.Thread(target=puller.run)
    thread.start()
    wait_for(lambda: any(one.endswith("/files") for one in tuple(server.asked)))
    puller.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert trust.store.pull(trust.number).state is PullState.STOPPED
    assert [one.state for one in trust.store.studies(trust.number)] == [State.WANTED]
