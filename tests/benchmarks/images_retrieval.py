"""Studies per second from a PACS on loopback into the quarantine, on disk and in the store; C-MOVE is the rival.

Debian's Orthanc with 200 studies of one 64 × 64 image each, by the collector's own code in this process: the archive is
asked for each study and its series, retrieves it, and what came is counted and synced.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import orthanc_server
from pacs import PASSWORD, free_port, peer, reached
from pacs_studies import CT, Made, make_study, store

from benchmarks.figures import Figures
from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.pulling import Puller
from flipnb.enclave.collector.quarantine import STORE, Quarantine
from flipnb.enclave.collector.states import PullState
from flipnb.enclave.collector.store import PullStore, Wanted

_STUDIES, _TIMES = 200, 3
_LARGE, _SLICES = 4, 100


def studies(figures: Figures) -> None:
    """``ours`` by each way, in studies per second; the rival is C-MOVE, for which an archive connects back."""
    small = [make_study(f"P{n}", f"A{n}") for n in range(_STUDIES)]
    port = free_port()
    with orthanc_server.serving(DicomModalities={"flip": peer(port)}) as orthanc:
        with orthanc.client() as client:
            store(client, small)
        took = {
            way: [_pulled(orthanc, way, small, port) for _ in range(_TIMES)] for way in ("dicomweb", "c-get", "c-move")
        }
        client_alone = [_client(orthanc.address, small) for _ in range(_TIMES)]
    moved = [_STUDIES / seconds for seconds in took["c-move"]]
    for way in ("dicomweb", "c-get"):
        figures.add(f"studies by {way}", "studies/s", [_STUDIES / s for s in took[way]], moved, "C-MOVE")
    figures.add(
        "studies by dicomweb, against a client in memory", "studies/s", [_STUDIES / s for s in took["dicomweb"]],
        [_STUDIES / s for s in client_alone], "dicomweb-client, nothing written",
    )  # fmt: skip


def slices(figures: Figures) -> None:
    """Large series: MB per second of 4 studies with 100 slices of 512 × 512."""
    large = [make_study(f"L{n}", f"LA{n}", sop_class=CT, series=(_SLICES,), size=512) for n in range(_LARGE)]
    megabytes = sum(len(file) for one in large for file in one.files) / 1e6
    port = free_port()
    with orthanc_server.serving(DicomModalities={"flip": peer(port)}) as orthanc:
        with orthanc.client() as client:
            for one in large:
                store(client, [one])
        moved = [megabytes / _pulled(orthanc, "c-move", large, port)]
        for way in ("dicomweb", "c-get"):
            speeds = [megabytes / _pulled(orthanc, way, large, port) for _ in range(_TIMES)]
            figures.add(f"slices by {way}", "MB/s", speeds, moved, "C-MOVE")


def _pulled(orthanc: orthanc_server.OrthancServer, way: str, made: list[Made], port: int) -> float:
    """Seconds for all of them."""
    folder = Path(tempfile.mkdtemp(prefix="flip-pull-"))
    more = {"listen_port": port} if way == "c-move" else {}
    pulls = PullStore(folder / STORE)
    try:
        pacs = Pacs(**reached(orthanc, folder, way, **more))
        number = pulls.begin("bench", "pacs", "bench", [Wanted(study_uid=one.study_uid) for one in made])
        began = time.perf_counter()
        ended = Puller(pulls, Quarantine(folder), pacs, folder, number).run()
        took = time.perf_counter() - began
        if ended != PullState.DONE or pulls.progress(number).received != sum(len(one.files) for one in made):
            raise RuntimeError(f"{way}: {ended}, {pulls.progress(number)}")
    finally:
        pulls.close()
        shutil.rmtree(folder)
    return took


def _client(address: str, made: list[Made]) -> float:
    from dicomweb_client import DICOMwebClient
    from requests import Session

    session = Session()
    session.auth = tuple(PASSWORD.split(":"))  # type: ignore[assignment]
    client = DICOMwebClient(f"{address}/dicom-web", session=session)
    began = time.perf_counter()
    for one in made:
        got = list(client.iter_study(one.study_uid, media_types=(("application/dicom", "*"),)))
        assert len(got) == len(one.files)
    return time.perf_counter() - began


MEASURES = {"studies": studies, "slices": slices}
