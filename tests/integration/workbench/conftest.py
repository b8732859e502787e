import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "workbench"))

from federation import AUDIENCE, Hub, Study
from workbench_samples import NOTEBOOKS, ROUNDS, cell, parameters

from flipnb.contracts.bundle import Environment
from flipnb.link.key_files import save_key
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.rehearsal import rehearse
from flipnb.workbench.studies import create_study


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A hub process with one researcher and three Trusts; no study yet."""
    hub = Hub(tmp_path_factory.mktemp("hub"), settings={"gather_seconds": 600})
    hub.heart = Study(hub, "heart", trusts=3)
    hub.start()
    hub.heart.clients()
    yield hub
    hub.end()


def make_home(hub, study, directory):
    """The home of a study's researcher, who has made it; all of its Trusts have joined."""
    home = Home(directory)
    save_key(study.researcher_key, home.directory / "keys" / "researcher.pem")
    configuration = Configuration(
        hub=hub.url,
        audience=AUDIENCE,
        ca=str(hub.ca.certificate),
        name="A researcher",
        environment=Environment(name="test", lock="0" * 64),
    )
    (home.directory / "config.json").write_text(configuration.model_dump_json())
    roster = create_study(home, study.name, "To test a hub", study.roster.trusts)
    for trust in study.trusts:
        joins = json.dumps({"study": study.name, "roster": roster.digest()}).encode()
        trust.post(f"/v1/studies/{study.name}/joins", joins, 204)
    return home


@pytest.fixture(scope="session")
def home(hub, tmp_path_factory):
    """The researcher's home, with the study ``heart`` that all three Trusts have joined."""
    return make_home(hub, hub.heart, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def notebook(tmp_path_factory):
    """A small rehearsed notebook."""
    directory = tmp_path_factory.mktemp("notebooks")
    path = directory / "study.ipynb"
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [parameters(), cell(ROUNDS)]}
    path.write_text(json.dumps(content))
    shutil.copy(NOTEBOOKS / "heart_disease.flip.json", directory / "study.flip.json")
    shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", directory)
    rehearse(path)
    return path


@pytest.fixture
def flip(home):
    """Runs a ``flip`` command as the researcher, in a process of its own."""

    def run(*arguments, cwd=None):
        return subprocess.run(
            [sys.executable, "-m", "flipnb.cli.main", *map(str, arguments)],
            env={**os.environ, "FLIP_HOME": str(home.directory)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=cwd,
        )

    return run
