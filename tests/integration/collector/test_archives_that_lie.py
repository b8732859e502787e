"""Archives that lie, flood and stall: a small server of each kind; no study's lie reaches another, none is hidden."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pydicom
import pytest
from pacs import OURS, free_port
from pacs_studies import CR, make_study
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from test_pulls_from_a_pacs import Place

from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.headers import questions, write_headers
from flipnb.enclave.collector.pacs.archive import connected
from flipnb.enclave.collector.pacs.dimse import Dimse
from flipnb.enclave.collector.quarantine import Quarantine
from flipnb.enclave.collector.states import PullState, State
from flipnb.enclave.collector.store import Wanted
from flipnb.enclave.collector.watch import Watched, looked_after

FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
FILE = make_study("P", "A", size=8).files[0]
pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    opened = Place(tmp_path)
    yield opened
    opened.store.close()


TAGS = {
    "study": "0020000D",
    "series": "0020000E",
    "patient": "00100020",
    "accession": "00080050",
    "day": "00080020",
    "modality": "00080060",
    "n": "00201209",
    "all": "00201208",
}


def row(**values: object) -> dict[str, object]:
    return {TAGS[name]: {"vr": "LO", "Value": [value]} for name, value in values.items()}


def study(uid: str, patient: str = "P", accession: str = "A", instances: int = 1) -> dict[str, object]:
    return row(study=uid, patient=patient, accession=accession, day="20200102", all=instances)


def series(uid: str, instances: int = 1, name: str | None = None) -> dict[str, object]:
    return row(study=uid, series=name or f"{uid}.1", modality="CT", n=instances)


class Liar(BaseHTTPRequestHandler):
    """A DICOMweb server that holds whatever study it is asked for; ``says`` is what it says of it."""

    protocol_version = "HTTP/1.1"
    says: Callable[[Liar, str, dict[str, list[str]]], bool]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        parts, query = unquote(asked.path).strip("/").split("/"), parse_qs(asked.query)
        uids = query.get("StudyInstanceUID", [""])[0].split(",") if len(parts) == 1 else [parts[1]]
        if type(self).says(self, "/".join(parts[::2]), {"uid": uids, **query}):
            return
        if parts == ["studies"]:
            self.rows([study(uid) for uid in uids])
        elif parts == ["series"] or len(parts) == 3:
            self.rows([series(uid) for uid in uids])
        else:
            self.files([FILE])

    def rows(self, rows: list[dict[str, object]]) -> None:
        self.body(json.dumps(rows).encode(), "application/dicom+json")

    def files(self, files: list[bytes]) -> None:
        parts = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
        self.body(parts + b"--x--\r\n", 'multipart/related; type="application/dicom"; boundary=x')

    def body(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def flood(self, kind: str, begin: bytes, piece: bytes) -> None:
        """Until the other side hangs up."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.close_connection = True
        self.wfile.write(begin)
        while True:
            self.wfile.write(piece)


@pytest.fixture
def lying(place) -> Iterator[Callable[..., Pacs]]:
    servers: list[ThreadingHTTPServer] = []

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    def start(says: Callable[[Liar, str, dict[str, list[str]]], bool], **more: object) -> Pacs:
        server = Quiet(("127.0.0.1", 0), type("One", (Liar,), {"says": staticmethod(says)}))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        return Pacs(**{"way": "dicomweb", "root": root, "patience_s": 20, "attempts": 1, **more})

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def other_studies(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
    """Other people's studies in every answer, and the right ones among them."""
    if what == "studies" and len(one.path.split("/")) == 2:
        one.rows([study(f"9.9.{n}", "SOMEBODY") for n in range(300)] + [study(uid) for uid in asked["uid"]])
        return True
    return False


def test_other_peoples_studies_in_an_answer_are_left_out(lying, place):
    number = place.pull(lying(other_studies), [Wanted("1.2.1", patients=("P",)), Wanted("1.2.2", patients=("P",))])
    assert place.store.progress(number).studies == {State.RETRIEVED: 2}
    assert len(place.files()) == 2


def of_another(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
    if one.path.startswith("/studies?"):
        one.rows([study(uid, patient="SOMEBODY" if uid == "1.2.1" else "P") for uid in asked["uid"]])
        return True
    return False


BAD = {
    "a UID that is a path": lambda one, asked: one.rows([{**series("1.2.1", name="../../../etc/passwd")}]),
    "a huge number": lambda one, asked: one.rows([series("1.2.1", instances=10**11)]),
    "a negative number": lambda one, asked: one.rows([series("1.2.1", instances=-1)]),
    "a list for a value": lambda one, asked: one.rows([{"0020000E": {"Value": ["1.2", "1.3"]}}]),
    "a deep value": lambda one, asked: one.body(b"[" * 100_000, "application/dicom+json"),
    "no JSON": lambda one, asked: one.body(b"<html>", "application/dicom+json"),
    "ten thousand series": lambda one, asked: one.rows([series("1.2.1", name=f"1.2.1.{n}") for n in range(999)]),
    "no series": lambda one, asked: one.rows([]),
    "a control character": lambda one, asked: one.rows([row(study="1.2.1", series="1.2\u202e", modality="CT", n=1)]),
    "an error": lambda one, asked: one.body(b"", "text/html", 500),
}


@pytest.mark.parametrize("lie", BAD)
def test_what_is_said_of_one_study_harms_no_other(lying, place, lie):
    def says(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        if one.path.startswith("/series") or (what == "studies/series" and "includefield" in asked):
            if "1.2.1" in asked["uid"] and len(asked["uid"]) == 1:
                BAD[lie](one, asked)
            elif "1.2.1" in asked["uid"]:
                one.body(b"", "text/html", 400)
            else:
                return False
            return True
        return False

    number = place.pull(lying(says, most_series=500, most_instances=1000), [Wanted("1.2.1"), Wanted("1.2.2")])
    bad, good = place.store.studies(number)
    assert (good.state, bad.state in (State.REFUSED, State.FAILED)) == (State.RETRIEVED, True), bad
    assert bad.reason and len(bad.reason) <= 400
    assert len(place.files()) == 1


FLOODS = {
    "bytes without end": lambda one: one.flood(
        "multipart/related; boundary=x", b"--x\r\n\r\n" + FILE[:200], b"\0" * 65536
    ),
    "files without end": lambda one: one.flood("multipart/related; boundary=x", b"", b"--x\r\n\r\n" + FILE + b"\r\n"),
    "a header without end": lambda one: one.flood("multipart/related; boundary=x", b"--x\r\n", b"a" * 65536),
    "the same file a hundred times": lambda one: one.files([FILE] * 100),
    "no DICOM": lambda one: one.files([b"<html>" * 100]),
    "no parts": lambda one: one.body(b"PK", "application/zip"),
    "half a part": lambda one: one.body(b"--x\r\n\r\n" + FILE, "multipart/related; boundary=x"),
    "nothing": lambda one: one.body(b"--x--", "multipart/related; boundary=x"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_what_comes_for_one_study_harms_no_other(lying, place, flood):
    def says(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        if what == "studies/series":
            if "includefield" in asked:
                one.rows([series(asked["uid"][0], 2 if asked["uid"] == ["1.2.1"] else 1)])
            elif asked["uid"] == ["1.2.1"]:
                FLOODS[flood](one)
            else:
                return False
            return True
        if one.path.startswith("/series"):
            one.rows([series(uid, 2 if uid == "1.2.1" else 1) for uid in asked["uid"]])
            return True
        return False

    pacs = lying(says, most_gigabytes=0.02, most_instances=1000, connections=1)
    number = place.pull(pacs, [Wanted("1.2.1"), Wanted("1.2.2")])
    bad, good = place.store.studies(number)
    assert good.state == State.RETRIEVED
    assert bad.state in (State.REFUSED, State.FAILED, State.PARTIAL), bad
    assert bad.received == (1 if flood == "the same file a hundred times" else 0) or bad.state == State.PARTIAL
    assert sum(path.stat().st_size for path in place.files()) < 20_000_000
    assert place.store.pull(number).state == PullState.DONE


def test_an_archive_that_stalls_is_cut_off_and_the_rest_goes_on(lying, place):
    def says(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        if what == "studies/series" and "includefield" not in asked and asked["uid"] == ["1.2.1"]:
            one.send_response(200)
            one.send_header("Content-Type", "multipart/related; boundary=x")
            one.end_headers()
            for _ in range(10_000):  # a byte now and then, for as long as somebody listens
                one.wfile.write(b"-")
                time.sleep(0.05)
            return True
        return False

    number = place.pull(lying(says, patience_s=1, connections=1), [Wanted("1.2.1"), Wanted("1.2.2")])
    late, good = place.store.studies(number)
    assert (late.state, good.state) == (State.FAILED, State.RETRIEVED)
    assert "it sent nothing whole for 1 s" in late.reason


def test_answers_without_end_are_not_read(lying, place):
    def same(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        one.rows([study(f"1.{n}") for n in range(1000)])
        return True

    def new(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        offset = int(asked["offset"][0])
        one.rows([study(f"1.{n}") for n in range(offset, offset + 1000)])
        return True

    def huge(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        one.flood("application/dicom+json", b"[", b" " * 65536)
        return True

    for says, reason in ((same, "same page"), (new, "more than 5000 rows"), (huge, "more than 32 MB")):
        number = place.pull(lying(says, most_answers=5000), [Wanted(accession=f"A{reason[0]}{reason[-1]}")])
        (one,) = place.store.studies(number)
        assert one.state == State.FAILED and reason in one.reason


def test_headers_take_what_was_asked_alone(lying, tmp_path):
    def says(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        if one.path.startswith("/studies?"):
            number = asked["PatientID"][0]
            if number == "spoiled":
                one.body(b"", "text/html", 500)
                return True
            lies = [study("1.5", number[:-1] + "�"), study("1.6", "x" * 65), study("1.7", "a\u0000b")]
            one.rows([study(f"1.2.{number}", number), study(f"1.3.{number}", "SOMEBODY"), *lies])
            return True
        return False

    pacs = lying(says)
    watched = Watched(connected(pacs, tmp_path), 20)
    with looked_after(watched):
        report = write_headers(watched, list(questions(["1", "spoiled", "2", "1"])), tmp_path / "out.csv", most=100)
    assert (report.studies, report.series) == (2, 2)
    assert report.left_out["a study that was not asked for"] == 3
    assert report.left_out["a question that the archive does not answer: it answers with HTTP status 500"] == 1
    assert sum(report.left_out.values()) == 13
    assert [line.split(",")[2] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]] == ["1.2.1", "1.2.2"]


class Lies:
    """A storage and query SCP that answers as it is told."""

    def __init__(self) -> None:
        self.port = free_port()
        self.studies: Callable[[Dataset], Iterator[Dataset | bytes]] = lambda asked: iter(())
        self.instances: Callable[[Dataset], list[Dataset]] = lambda asked: []
        ours = AE(ae_title="LIAR")
        for model in (FIND, GET):
            ours.add_supported_context(model)
        for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"):
            ours.add_supported_context(CR, syntax, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get)]
        self.server = ours.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _find(self, event) -> Iterator[tuple[int, Dataset | None]]:
        for answer in self.studies(event.identifier):
            yield 0xFF00, answer
        yield 0x0000, None

    def _get(self, event) -> Iterator[object]:
        instances = self.instances(event.identifier)
        yield len(instances)
        for one in instances:
            yield 0xFF00, one

    def pacs(self, **more: object) -> Pacs:
        address = {"host": "127.0.0.1", "port": self.port, "called_aet": "LIAR", "calling_aet": OURS}
        return Pacs(**{"way": "c-get", **address, "patience_s": 20, "attempts": 1, "connections": 1, **more})


@pytest.fixture
def liar() -> Iterator[Lies]:
    made = Lies()
    yield made
    made.server.shutdown()


def answered(asked: Dataset, uid: str, **more: str) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel, answer.StudyInstanceUID, answer.PatientID = asked.QueryRetrieveLevel, uid, "P"
    answer.AccessionNumber, answer.StudyDate = "A", "20200102"
    if asked.QueryRetrieveLevel == "SERIES":
        answer.SeriesInstanceUID, answer.Modality = f"{uid}.1", "CR"
        answer.NumberOfSeriesRelatedInstances = 1
    else:
        answer.SOPClassesInStudy = CR
    for name, value in more.items():
        setattr(answer, name, value)
    return answer


def asked_for(asked: Dataset) -> list[str]:
    uids = asked.StudyInstanceUID
    return [str(uids)] if isinstance(uids, str) and uids else [str(uid) for uid in uids or ()]


def test_dimse_answers_to_other_questions_and_other_instances(liar, place):
    """Of what C-GET sends nothing is decoded; that it is another study's is for the jailed parser, which is told."""
    liar.studies = lambda asked: iter(
        [answered(asked, "9.9", PatientID="SOMEBODY")] * (asked.QueryRetrieveLevel == "STUDY")
        + [*(answered(asked, uid) for uid in asked_for(asked))]
    )
    liar.instances = lambda asked: [pydicom.dcmread(io.BytesIO(FILE))]
    number = place.pull(liar.pacs(), [Wanted("1.2.1"), Wanted("1.2.2", patients=("NOT P",))])
    one, two = place.store.studies(number)
    assert (one.state, two.state) == (State.RETRIEVED, State.REFUSED)
    (path,) = place.files()
    assert pydicom.dcmread(path).PixelData == pydicom.dcmread(io.BytesIO(FILE)).PixelData


def test_success_with_nothing_sent_and_more_than_allowed(liar, place):
    liar.studies = lambda asked: (answered(asked, uid) for uid in asked_for(asked))
    number = place.pull(liar.pacs(), [Wanted("1.2.1")])
    (one,) = place.store.studies(number)
    assert (one.state, one.reason) == (State.FAILED, "0 of 1 instances, 1 of 1 series not whole")
    big = pydicom.dcmread(io.BytesIO(FILE))
    big.Rows, big.Columns, big.PixelData = 4000, 4000, b"\0" * 16_000_000
    liar.instances = lambda asked: [big]
    number = place.pull(liar.pacs(most_gigabytes=0.01), [Wanted("1.2.2")])
    (one,) = place.store.studies(number)
    assert one.state in (State.REFUSED, State.FAILED) and not place.files(), one
    liar.instances = lambda asked: [pydicom.dcmread(io.BytesIO(FILE))]
    number = place.pull(liar.pacs(), [Wanted("1.2.3")])
    assert place.store.progress(number).studies == {State.RETRIEVED: 1}


def test_a_million_rows_and_values_in_a_wrong_charset(liar, place):
    def endless(asked: Dataset) -> Iterator[Dataset]:
        for n in range(1_000_000):
            yield answered(asked, f"1.4.{n}")

    liar.studies = endless
    number = place.pull(liar.pacs(most_answers=200), [Wanted(accession="A")])
    (one,) = place.store.studies(number)
    assert (one.state, "more than 200 rows" in one.reason) == (State.FAILED, True)

    def strange(asked: Dataset) -> Iterator[Dataset]:
        for uid in asked_for(asked) or ["1.2.9"]:
            odd = answered(asked, uid, SpecificCharacterSet="ISO_IR 192")
            odd.add_new(0x00080050, "SH", b"\xff\xfe\xfd")
            yield odd

    liar.studies = strange
    number = place.pull(liar.pacs(), [Wanted(accession="B")])
    (one,) = place.store.studies(number)
    assert one.state == State.REFUSED and "AccessionNumber" in one.reason
    assert Quarantine(place.directory).files(one.study, 1) == []


def test_where_nobody_listens_the_pull_waits_and_says_so(place):
    pacs = Pacs(way="c-get", host="127.0.0.1", port=free_port(), called_aet="A", calling_aet="B", patience_s=1)
    number = place.pull(pacs, [Wanted("1.2.1")])
    assert (place.store.pull(number).state, place.store.progress(number).studies) == (PullState.AWAY, {State.WANTED: 1})
    assert "can't be reached" in place.store.pull(number).reason
    assert not list(Path(place.directory).glob("studies/*"))


def test_nobody_but_who_asked_takes_an_answer(liar, place):
    """pynetdicom's own thread takes what it finds, now and then before who asked: an answer of two was lost so."""
    archive = Dimse(liar.pacs(), place.directory)
    association, line = archive._asked()
    try:
        for _ in range(20):
            association._reactor_checkpoint.clear()
            association.dimse.msg_queue.put((1, "an answer"))
            association._reactor_checkpoint.set()
        time.sleep(0.5)
        assert association.dimse.msg_queue.qsize() == 20
        while association.dimse.msg_queue.qsize():
            association.dimse.msg_queue.get()
    finally:
        line.drop()
    assert not association.is_alive() or association.join(10) is None


@pytest.mark.parametrize(
    "said", [b"\x02\x00\xff\xff\xff\xf0", b"\x04\x00\x7f\xff\xff\xff", b"\x99\x00\x00\x00\x00\x04"]
)
def test_a_length_that_lies_is_not_believed(place, said):
    """Of the first PDU that comes back: 4 GB are not waited for, nor made room for."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(1 << 16)
                    connection.sendall(said + bytes(100))

        threading.Thread(target=answer, daemon=True).start()
        address = {"host": "127.0.0.1", "port": server.getsockname()[1], "called_aet": "A", "calling_aet": "B"}
        number = place.pull(Pacs(way="c-get", patience_s=1, connections=1, **address), [Wanted("1.2.1")])
        server.shutdown(socket.SHUT_RDWR)
    # Away, or late where this machine is: never more.
    assert place.store.progress(number).of(State.WANTED, State.FAILED) == 1


def test_an_archive_that_says_no_numbers_is_counted(lying, liar, place):
    """NumberOfSeriesRelatedInstances is optional: then the instances are asked for, one by one."""
    others = make_study("P", "A", series=(2,), size=8)
    ((_, files),) = others.series.items()

    def says(one: Liar, what: str, asked: dict[str, list[str]]) -> bool:
        if one.path.startswith("/series"):
            one.rows([row(study=uid, series=f"{uid}.1", modality="CT") for uid in asked["uid"]])
        elif "/instances" in one.path:
            one.rows([{"00080018": {"vr": "UI", "Value": [f"1.7.{n}"]}} for n in range(2)])
        elif what == "studies/series" and asked["uid"] == ["1.2.1"]:
            one.files(files)
        else:
            return False
        return True

    number = place.pull(lying(says), [Wanted("1.2.1"), Wanted("1.2.2")])
    whole, partial = place.store.studies(number)
    assert (whole.state, whole.received, whole.expected) == (State.RETRIEVED, 2, 2)
    assert (partial.state, partial.received, partial.expected) == (State.PARTIAL, 1, 2)

    def found(asked: Dataset) -> Iterator[Dataset]:
        if asked.QueryRetrieveLevel == "IMAGE":
            for one in map(pydicom.dcmread, map(io.BytesIO, files)):
                yield answered(asked, "1.2.3", SOPInstanceUID=one.SOPInstanceUID)
            return
        for uid in asked_for(asked):
            one = answered(asked, uid)
            if asked.QueryRetrieveLevel == "SERIES":
                del one.NumberOfSeriesRelatedInstances
            yield one

    liar.studies = found
    liar.instances = lambda asked: [pydicom.dcmread(io.BytesIO(file)) for file in files]
    number = place.pull(liar.pacs(), [Wanted("1.2.3")])
    (whole,) = place.store.studies(number)
    assert (whole.state, whole.received, whole.expected) == (State.RETRIEVED, 2, 2)
