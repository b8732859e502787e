"""A full disk: 0xA700 to the archive, no study blamed, nothing torn, and the pull goes on when there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ON_A_FULL_DISK = """
import subprocess, sys
from pathlib import Path
import io, pydicom
from pynetdicom import evt
from pacs_studies import make_study
from test_archives_that_lie import Lies, answered, asked_for
from test_pulls_from_a_pacs import Place
from flipnb.enclave.collector.states import PullState, State
from flipnb.enclave.collector.store import Wanted

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
place, liar, statuses = Place(disk), Lies(), []
image = pydicom.dcmread(io.BytesIO(make_study("P", "A", size=1024).files[0]))
liar.studies = lambda asked: (answered(asked, uid) for uid in asked_for(asked))
liar.instances = lambda asked: [image]
liar.server.bind(evt.EVT_DIMSE_RECV, lambda event: statuses.append(event.message.command_set.get("Status")))
pacs = liar.pacs(keep_free_gigabytes=0)
filler = disk / "filler"
filler.write_bytes(bytes(3 << 20))
number = place.pull(pacs, [Wanted(f"1.2.{n}") for n in range(6)])
assert place.store.pull(number).state == PullState.DISK_FULL, place.store.pull(number)
assert 0xA700 in statuses, statuses
here = place.store.progress(number).of(State.RETRIEVED)
assert 0 < here < 6 and place.store.progress(number).of(State.WANTED) == 6 - here, place.store.progress(number)
assert {one.attempts for one in place.store.studies(number)} == {0, 1}
assert len(place.files()) == here and not list(disk.rglob("*.partial"))
filler.unlink()
careful = pacs.model_copy(update={"keep_free_gigabytes": 1})
assert place.go_on(careful, number) == PullState.DISK_FULL
assert place.store.progress(number).of(State.RETRIEVED) == here
place.go_on(pacs, number)
assert place.store.progress(number).of(State.RETRIEVED) > here
liar.server.shutdown()
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """On a tmpfs of its own, mounted where that process alone sees it."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", ON_A_FULL_DISK, os.fspath(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
