"""Each point that is sent has the model that was rehearsed: run on the twin until its model is known."""

import json

import pytest
from workbench_samples import cell, parameters

from flipnb.contracts.problem import FlipError
from flipnb.workbench import shapes
from flipnb.workbench.rehearsal import rehearse
from flipnb.workbench.submission import check_shapes, prepare, submit

SPACE = "hidden: int = 2  # [1, 64] units\nlr: float = 0.1  # [0, 1] learning rate\n"
NOTEBOOK = """import numpy as np
import flipnb as flip

if hidden == 13:
    raise ValueError("unlucky")
open(f"PLACE/seen-{hidden}-{lr}", "w").close()
weights = {"w": np.zeros((hidden, 3), np.float32), "b": np.zeros(3, np.float32)}
for rnd in flip.rounds(weights):
    open(f"PLACE/trained-{hidden}-{lr}", "w").close()
    rnd.report(loss=0.5, accuracy=0.5)
"""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    import shutil

    from workbench_samples import NOTEBOOKS

    place = tmp_path_factory.mktemp("shapes")
    path = place / "study.ipynb"
    cells = [parameters(SPACE), cell(NOTEBOOK.replace("PLACE", str(place)))]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    shutil.copy(NOTEBOOKS / "heart_disease.flip.json", place / "study.flip.json")
    shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", place)
    rehearse(path)
    return path


def no_file(digest, path):
    raise AssertionError(f"the bundle has no file, and {digest} was asked for")


def prepared_at(home, notebook, *points):
    return prepare(home, notebook, "heart", [dict(point) for point in points])


@pytest.mark.slow
def test_a_sweep_that_changes_the_models_shape_is_refused_before_the_hub_hears_of_it(home, rehearsed):
    sweep = [{"hidden": hidden, "lr": lr} for hidden in (2, 4) for lr in (0.1, 0.2)]
    heard = []
    with pytest.raises(FlipError) as caught:
        submit(home, prepared_at(home, rehearsed, *sweep), lambda done, of: heard.append((done, of)))
    assert caught.value.code == "other-shape", "not hub-unreachable: nobody was asked"
    assert str(caught.value) == (
        "hidden=4 changes the model's shape: w is [4, 3], rehearsed [2, 3]. So does 1 other point. "
        "Rehearse it, or leave it out."
    )
    assert heard == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert not list(rehearsed.parent.glob("trained-4-*")), "it ends where the model is known"
    assert (rehearsed.parent / "trained-2-0.1").exists()


@pytest.mark.slow
def test_what_was_found_is_kept(home, rehearsed):
    prepared = prepared_at(home, rehearsed, {}, {"lr": 0.2}, {"lr": 0.3})
    assert check_shapes(prepared, most=1) == (2, 3)
    assert check_shapes(prepared) == (3, 3)
    (rehearsed.parent / "seen-2-0.2").unlink()
    assert check_shapes(prepared_at(home, rehearsed, {"lr": 0.2})) == (1, 1)
    assert not (rehearsed.parent / "seen-2-0.2").exists()
    with pytest.raises(FlipError) as caught:
        submit(home, prepared)
    assert caught.value.code == "hub-unreachable", "the shapes are known, and the hub is asked"


@pytest.mark.slow
def test_a_point_that_fails_says_where(home, rehearsed):
    with pytest.raises(FlipError) as caught:
        check_shapes(prepared_at(home, rehearsed, {"hidden": 13}))
    assert caught.value.code == "point-fails"
    assert caught.value.message == "hidden=13 fails on the twin: Cell 2, line 5: ValueError: unlucky"


@pytest.mark.slow
def test_runs_of_a_bundle_are_checked_by_the_bundle_alone(home, rehearsed):
    bundle = prepared_at(home, rehearsed, {}).bundle
    with shapes.subject_of(bundle, home.directory / "shapes.json", no_file) as subject:
        shapes.check(subject, [{"hidden": 8, "lr": 0.1}])
        with pytest.raises(FlipError, match=r"hidden=8, lr=0.1 changes .*w is \[8, 3\], rehearsed \[2, 3\]"):
            shapes.require_same(subject, [{"hidden": 8, "lr": 0.1}])
