"""Studies from a real Orthanc into the quarantine: as they are stored, counted, and going on after anything."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pydicom
import pytest
from orthanc_server import OrthancServer
from pacs import certified, free_port, known_to, mortal, peer, reached, until
from pacs_studies import CT, Made, make_study, store
from pydicom.uid import JPEG2000Lossless, RLELossless

from flipnb.demo.certificates import make_ca
from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.handover import hand_over, retrieved
from flipnb.enclave.collector.pulling import Puller
from flipnb.enclave.collector.quarantine import STORE, Quarantine
from flipnb.enclave.collector.states import PullState, State
from flipnb.enclave.collector.store import PullStore, Wanted

WAYS = ("dicomweb", "c-get", "c-move")
pytestmark = pytest.mark.slow


class Place:
    """A collector's directory in this process."""

    def __init__(self, directory: Path, configuration: Path | None = None) -> None:
        self.directory, self.configuration = directory, configuration or directory
        self.store = PullStore(directory / STORE)
        self.quarantine = Quarantine(directory)

    def pull(self, pacs: Pacs, wanted: list[Wanted]) -> int:
        number = self.store.begin("cohort", "trust", "controller", wanted)
        self.go_on(pacs, number)
        return number

    def go_on(self, pacs: Pacs, number: int) -> PullState:
        return Puller(self.store, self.quarantine, pacs, self.configuration, number).run()

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("studies/*/*/*"))


@pytest.fixture
def place(tmp_path):
    opened = Place(tmp_path)
    yield opened
    opened.store.close()


@pytest.fixture(scope="module")
def moving(orthanc_server: OrthancServer) -> int:
    """The port on which this module takes what a C-MOVE brings."""
    port = free_port()
    known_to(orthanc_server, port)
    return port


def archive(orthanc: OrthancServer, folder: Path, way: str, port: int = 0, **more) -> Pacs:
    if way == "c-move":
        more = {"listen_port": port, **more}
    return Pacs(**reached(orthanc, folder, way, patience_s=60, **more))


def stored(orthanc: OrthancServer, *studies: Made) -> list[Wanted]:
    with orthanc.client() as client:
        store(client, list(studies))
    return [Wanted(study_uid=one.study_uid, patients=(one.patient,)) for one in studies]


def test_two_hundred_studies_bit_for_bit(orthanc_server, place):
    studies = [make_study(f"H{n}", f"HA{n}", size=16) for n in range(200)]
    wanted = stored(orthanc_server, *studies)
    pacs = archive(orthanc_server, place.directory, "dicomweb")
    number = place.pull(pacs, wanted)
    assert place.store.pull(number).state == PullState.DONE
    assert place.store.progress(number).studies == {State.RETRIEVED: 200}
    sent = Counter(sha256(file).hexdigest() for one in studies for file in one.files)
    assert Counter(sha256(path.read_bytes()).hexdigest() for path in place.files()) == sent
    assert {path.stat().st_mode & 0o777 for path in place.files()} == {0o600}
    assert not list(place.directory.rglob("*.partial"))
    # A second pull of the same asks for nothing again.
    before = {path: path.stat().st_mtime_ns for path in place.files()}
    again = place.pull(pacs, wanted)
    assert place.store.progress(again).studies == {State.RETRIEVED: 200}
    assert before == {path: path.stat().st_mtime_ns for path in place.files()}


@pytest.mark.parametrize("way", WAYS)
def test_series_are_counted_and_what_is_stored_compressed_comes_so(orthanc_server, place, moving, way):
    studies = [
        make_study(f"S{way}1", f"SA{way}1", series=(3, 1, 2), sop_class=CT, size=32),
        make_study(f"S{way}2", f"SA{way}2", syntax=JPEG2000Lossless),
        make_study(f"S{way}3", f"SA{way}3", syntax=RLELossless),
    ]
    number = place.pull(archive(orthanc_server, place.directory, way, moving), stored(orthanc_server, *studies))
    assert place.store.progress(number).studies == {State.RETRIEVED: 3}
    by_uid = {one.study_uid: one for one in studies}
    for study in retrieved(place.store, place.quarantine):
        made = by_uid.pop(study.study_uid)
        assert {one.series_uid: len(one.files) for one in study.series} == {
            uid: len(files) for uid, files in made.series.items()
        }
        sent = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, map(io.BytesIO, made.files))}
        for path in (path for one in study.series for path in one.files):
            came = pydicom.dcmread(path)
            assert came == sent[came.SOPInstanceUID]
            assert came.PixelData == sent[came.SOPInstanceUID].PixelData
            assert came.file_meta.TransferSyntaxUID == sent[came.SOPInstanceUID].file_meta.TransferSyntaxUID
            assert path.read_bytes()[:132] == b"\0" * 128 + b"DICM"
            subprocess.run(["dcmdump", "-q", "+E", str(path)], check=True, stdout=subprocess.DEVNULL)
        hand_over(place.store, place.quarantine, study.study, State.DEIDENTIFIED)
    assert not by_uid and not place.files()


@pytest.mark.parametrize("way", ("dicomweb", "c-get"))
def test_what_is_not_one_study_of_this_patient_is_told_and_the_rest_goes_on(orthanc_server, place, moving, way):
    twice = [make_study(f"T{way}", f"TWICE{way}", size=8) for _ in range(2)]
    theirs, whole = make_study(f"U{way}", f"UA{way}", size=8), make_study(f"V{way}", f"VA{way}", size=8)
    stored(orthanc_server, *twice, theirs, whole)
    wanted = [
        Wanted(accession=f"TWICE{way}"),
        Wanted(study_uid="2.25.404"),
        Wanted(accession="NONE*"),
        Wanted(study_uid=theirs.study_uid, patients=("SOMEBODY",)),
        Wanted(accession=f"VA{way}", patients=("ELSE", f"V{way}")),
    ]
    number = place.pull(archive(orthanc_server, place.directory, way), wanted)
    assert place.store.pull(number).state == PullState.DONE
    assert [(one.state, one.reason) for one in place.store.studies(number)] == [
        (State.SEVERAL_FOUND, "2 studies have this accession number"),
        (State.NOT_FOUND, "the archive has no such study"),
        (State.REFUSED, "its accession number can't be asked for"),
        (State.REFUSED, "the archive says that it is another patient's"),
        (State.RETRIEVED, ""),
    ]
    assert len(place.files()) == 1


@pytest.mark.parametrize("way", ("dicomweb", "c-get"))
def test_an_archive_that_is_killed_and_comes_back(tmp_path, place, way):
    studies = [make_study(f"K{n}", f"KA{n}", series=(4,), size=64) for n in range(12)]
    with mortal(tmp_path / "pacs", DicomModalities={"flip": peer(free_port())}, SyncStorageArea=True) as pacs:
        wanted = stored(pacs.server, *studies)
        number = place.store.begin("cohort", "trust", "controller", wanted)
        slow = archive(pacs.server, place.directory, way, connections=1, attempts=5, megabytes_per_second=0.1)
        puller = Puller(place.store, place.quarantine, slow, place.directory, number)
        thread = threading.Thread(target=puller.run)
        thread.start()
        until(lambda: place.store.progress(number).of(State.RETRIEVED) >= 2)
        pacs.kill()
        until(lambda: place.store.pull(number).state == PullState.AWAY)
        pacs.start()
        until(lambda: place.store.progress(number).of(State.RETRIEVED) >= 4)
        puller.stop()
        thread.join()
        assert place.store.pull(number).state == PullState.STOPPED
        fast = archive(pacs.server, place.directory, way)
        assert place.go_on(fast, number) == PullState.DONE
    assert place.store.progress(number).studies == {State.RETRIEVED: 12}
    assert len(place.files()) == 48
    assert len({sha256(path.read_bytes()).hexdigest() for path in place.files()}) == 48


def test_a_study_that_lost_its_files_is_partial_or_failed_and_no_other_is(tmp_path, place):
    """KCL's empty shells: the archive's index knows instances whose files are gone."""
    studies = [make_study(f"L{n}", f"LA{n}", series=(3,), size=64) for n in range(3)]
    with mortal(tmp_path / "pacs") as pacs:
        wanted = stored(pacs.server, *studies)
        with pacs.server.client() as client:
            for file in [*studies[0].files, studies[1].files[0]]:
                found = client.post("/tools/lookup", content=str(pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID))
                attached = client.get(f"/instances/{found.json()[0]['ID']}/attachments/dicom/info").json()
                (one,) = (pacs.server.directory / "store").glob(f"*/*/{attached['Uuid']}")
                one.unlink()
        pacs.kill()  # it holds files in memory for a while
        pacs.start()
        number = place.pull(archive(pacs.server, place.directory, "dicomweb", attempts=2), wanted)
    failed, partial, whole = place.store.studies(number)
    assert (failed.state, failed.received) == (State.FAILED, 0) and failed.reason
    assert partial.state in (State.PARTIAL, State.FAILED) and partial.received < 3
    assert (whole.state, whole.received) == (State.RETRIEVED, 3)
    assert [study.study for study in retrieved(place.store, place.quarantine)] == [whole.study]


def test_mutual_tls(tmp_path):
    authority, strangers = make_ca(tmp_path / "ca"), make_ca(tmp_path / "strangers")
    shutil.copy(authority.certificate, tmp_path / "ca.pem")
    theirs, ours = certified(tmp_path, authority, "theirs"), certified(tmp_path, authority, "ours")
    others = certified(tmp_path, strangers, "others")
    port, study = free_port(), make_study("TLS", "TLSA", size=8)
    with mortal(
        tmp_path / "pacs",
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(tmp_path / theirs["certificate"]),
        DicomTlsPrivateKey=str(tmp_path / theirs["key"]),
        DicomTlsTrustedCertificates=str(tmp_path / "ca.pem"),
        DicomTlsRemoteCertificateRequired=True,
        DicomModalities={"flip": peer(port, UseDicomTls=True)},
    ) as pacs:
        (wanted,) = stored(pacs.server, study)
        for way, shown, patience_s, became in (
            ("c-get", ours, 60, State.RETRIEVED),
            ("c-move", ours, 60, State.RETRIEVED),
            ("c-get", others, 2, State.WANTED),
            ("c-get", None, 2, State.WANTED),
        ):
            place = Place(tmp_path / f"{way}-{patience_s}-{shown is None}", tmp_path)
            tls = {"ca": "ca.pem", "name": "localhost", **shown} if shown else None
            told = archive(pacs.server, tmp_path, way, port, tls=tls).model_copy(update={"patience_s": patience_s})
            number = place.pull(told, [wanted])
            progress = place.store.progress(number)
            told = (way, progress, place.store.pull(number).reason)
            assert progress.of(State.RETRIEVED) == (became == State.RETRIEVED), told
            place.store.close()
