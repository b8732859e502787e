"""The shipped tutorial, and small notebooks made for one fault each."""

import json
import shutil

import pytest
from workbench_samples import NOTEBOOKS, TRUSTS, copy_tutorial

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Environment
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import Researcher, Roster, Trust
from flipnb.link.key_files import save_key
from flipnb.workbench import widgets
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.rehearsal import rehearse
from flipnb.workbench.studies import roster_path


@pytest.fixture(scope="session", autouse=True)
def front_end(tmp_path_factory):
    """Nothing here looks at what the cohort's widget shows: where it was not built, empty files stand in."""
    with pytest.MonkeyPatch.context() as patch:
        if not (widgets.STATIC / "cohort.js").is_file():
            place = tmp_path_factory.mktemp("static")
            for name in ("cohort.js", "cohort.css"):
                (place / name).touch()
            patch.setattr(widgets, "STATIC", place)
        yield


@pytest.fixture
def write(tmp_path):
    """Write a notebook of cells beside the tutorial's plan and cohort; returns its path."""

    def written(*cells, name="study"):
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}))
        plan = json.loads((NOTEBOOKS / "heart_disease.flip.json").read_text())
        (tmp_path / f"{name}.flip.json").write_text(json.dumps(plan))
        shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", tmp_path)
        return path

    return written


@pytest.fixture(scope="session")
def rehearsed_tutorial(tmp_path_factory):
    """The tutorial, rehearsed by papermill in a kernel of its own; do not change it."""
    notebook = copy_tutorial(tmp_path_factory.mktemp("tutorial"))
    return notebook, rehearse(notebook)


@pytest.fixture
def tutorial(rehearsed_tutorial, tmp_path):
    """A copy of the rehearsed tutorial that a test may change."""
    place = tmp_path / "tutorial"
    shutil.copytree(rehearsed_tutorial[0].parent, place)
    return place / "heart_disease.ipynb"


@pytest.fixture
def home(tmp_path):
    """A researcher's home with the study ``heart``; nobody listens at its hub."""
    home = Home(tmp_path / "home")
    key = SigningKey.generate()
    save_key(key, home.directory / "keys" / "researcher.pem")
    import certifi

    configuration = Configuration(
        hub="https://127.0.0.1:9",
        audience="test-hub",
        ca=certifi.where(),
        name="R",
        environment=Environment(name="test", lock="0" * 64),
    )
    (home.directory / "config.json").write_text(configuration.model_dump_json())
    roster = Roster(
        study="heart",
        purpose="Heart disease",
        researchers=(Researcher(name="R", public_key=key.public_key),),
        trusts=tuple(Trust(name=n, title=n.title(), public_key=k.public_key) for n, k in TRUSTS.items()),
    )
    path = roster_path(home, "heart")
    path.parent.mkdir(parents=True)
    path.write_bytes(envelope.seal(roster, envelope.ROSTER, key))
    return home
