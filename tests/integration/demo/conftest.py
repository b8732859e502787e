"""One real federation of four hospitals for all tests of this folder: daemons, TLS, sandboxes, real records."""

import os
import shutil
from pathlib import Path

import pytest

from flipnb.demo import federation, job
from flipnb.demo.narration import Narration

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A filled federation that is up and joined; its notebook is a copy that tests may change."""
    directory = tmp_path_factory.mktemp("federation")
    if os.geteuid() == 0:
        for parent in (directory, *directory.parents):
            if parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    made = job.make(directory / "demo", Narration(), ROOT)
    notebooks = directory / "notebooks"
    notebooks.mkdir()
    for file in (ROOT / "notebooks").glob("heart_disease.*"):
        shutil.copy(file, notebooks)
    made.notebook = notebooks / "heart_disease.ipynb"
    made.fill()
    federation.up(made.federation.directory, attached=True)
    try:
        made.open_study()
        made.rehearse()
        yield made
    finally:
        federation.remove(made.federation.directory)
