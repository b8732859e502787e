"""A notebook, unchanged, as a federation of twins on one machine: the arithmetic of a real run, errors by Trust."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import flipnb as flip
from flipnb.contracts.problem import FlipError
from flipnb.records import Records
from flipnb.twin import make
from flipnb.workbench.narrative import describe_round
from flipnb.workbench.plan_file import read_plan

sys.path.insert(0, str(Path(__file__).parents[1] / "workbench"))

from workbench_samples import NOTEBOOKS, cell, parameters

AVERAGE = """import numpy as np
import flipnb as flip

data = flip.data()
age = data.train.frame()["age"].to_numpy(float) / 100
people = flip.total({"people": len(age)})["people"]
weights = {"w": np.zeros(1)}
for rnd in flip.rounds(weights):
    rnd.agree(lambda: np.full(len(data.validation), int(weights["w"][0] * 10)))
    if rnd.training:
        weights["w"] += 0.5 * (age.mean() - weights["w"])
    rnd.report(loss=people / 1000, accuracy=0.5)
"""
FAILING = """import numpy as np
import flipnb as flip

weights = {"w": np.zeros(1)}
small = len(flip.data().train) < 100
for rnd in flip.rounds(weights):
    if small and rnd.number == 2:
        1 / 0
    rnd.report(loss=1, accuracy=0.5)
"""


@pytest.fixture
def write(tmp_path):
    """Write a notebook of one cell beside a changed copy of the tutorial's plan."""

    def written(source, **changes):
        path = tmp_path / "study.ipynb"
        cells = [parameters(), cell(source)]
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
        plan = json.loads((NOTEBOOKS / "heart_disease.flip.json").read_text())
        plan["plan"] = {"rounds": 3, "clip_norm": 10, **changes.pop("plan", {})}
        path.with_name("study.flip.json").write_text(json.dumps(plan | changes))
        shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", tmp_path)
        return path

    return written


@pytest.mark.slow
def test_a_simulation_is_a_run_of_twins(write, tmp_path):
    """Halfway to the mean in each round: the federation's weight is (1 - 2^-k) of the pooled mean after k rounds."""
    totals = [{"arrays": [{"name": "people", "minimum": 0, "maximum": 10000, "decimals": 0}]}]
    notebook = write(
        AVERAGE,
        plan={"rounds": 40, "consensus": {"rounds": 2}},
        split={"seed": 1, "shares": {"train": 2, "validation": 1, "test": 1}},
        totals=totals,
    )
    heard, told = [], []
    found = flip.rehearse(notebook, trusts=3, told=told.append, heard=lambda summary, names: heard.append(summary))
    assert told[0] == "Rehearsing study.ipynb on a twin …" and told[1].startswith("Rehearsed on the twin in ")
    assert told[2] == "A kernel starts for each of 3 twins …"
    assert told[3:] == [describe_round(summary, found.names) for summary in heard]
    assert found.code == "agreed"
    trained = [summary for summary in found.rounds if summary.training]
    assert found.reason == f"Agreed at round {len(trained)}."
    assert list(found.rounds) == heard
    plan = read_plan(notebook.with_name("study.flip.json"))
    ages = []
    for number, people in enumerate(found.people.values(), start=1):
        make(plan.dataset, plan.split, tmp_path / f"{number}", people=people, seed=number)
        ages.append(Records(tmp_path / f"{number}").train.frame()["age"].to_numpy(float) / 100)
    assert len(set(found.people.values())) == 3
    expected = np.concatenate(ages).mean() * (1 - 0.5 ** len(trained))
    np.testing.assert_allclose(load_file(found.weights)["w"], [expected], atol=1e-8)
    assert {summary.metrics["loss"] for summary in found.rounds} == {sum(map(len, ages)) / 1000}
    assert sorted(found.names.values()) == ["twin-1", "twin-2", "twin-3"]
    assert all((found.directory / name / "executed.ipynb").exists() for name in found.people)


FINAL = """import numpy as np
import flipnb as flip

weights = {"w": np.zeros(1)}
for rnd in flip.rounds(weights):
    if rnd.training:
        weights["w"] += 1
    else:
        age = flip.data().test.frame()["age"].to_numpy(float)
        counts = flip.total({"old": [(age > 50).sum(), (age <= 50).sum()], "weight": weights["w"]})
        print(counts["old"].tolist(), counts["weight"].tolist())
    rnd.report(loss=1, accuracy=0.5)
"""


@pytest.mark.slow
def test_a_total_of_the_final_evaluation_is_of_the_final_weights(write):
    arrays = [
        {"name": "old", "shape": [2], "minimum": 0, "maximum": 1000, "decimals": 0},
        {"name": "weight", "shape": [1], "minimum": 0, "maximum": 10, "decimals": 3},
    ]
    notebook = write(FINAL, totals=[{"arrays": arrays, "final": True}])
    found = flip.rehearse(notebook, trusts=2)
    assert [summary.training for summary in found.rounds] == [True, True, True, False]
    plan = read_plan(notebook.with_name("study.flip.json"))
    ages = []
    for number, people in enumerate(found.people.values(), start=1):
        make(plan.dataset, plan.split, notebook.parent / f"{number}", people=people, seed=number)
        ages += Records(notebook.parent / f"{number}").test.frame()["age"].tolist()
    old = float(sum(age > 50 for age in ages))
    executed = (found.directory / "twin-1" / "executed.ipynb").read_text()
    assert f"[{old}, {len(ages) - old}] [6.0]" in executed


@pytest.mark.slow
def test_a_twin_that_fails_is_named_with_cell_line_and_error(write):
    notebook = write(FAILING, minimum_trusts=2)
    found = flip.rehearse(notebook, trusts=3)
    first, second, *_ = found.rounds
    assert first.left_out == {}
    ((key, reason),) = second.left_out.items()
    assert (found.names[key], reason) == ("twin-1", "Cell 2, line 8: ZeroDivisionError: division by zero")
    assert [len(summary.members) for summary in found.rounds] == [3, 2, 2, 2]


def test_a_federation_has_a_bounded_number_of_trusts(write):
    with pytest.raises(FlipError, match="1 to 64 Trusts, not 65"):
        flip.rehearse(write(AVERAGE), trusts=65)


@pytest.mark.slow
def test_the_second_tutorial_ends_when_its_twins_agree(tmp_path):
    for file in (*NOTEBOOKS.glob("until_agreement.*"), NOTEBOOKS / "heart_disease.cohort.json"):
        shutil.copy(file, tmp_path)
    found = flip.rehearse(tmp_path / "until_agreement.ipynb", trusts=2)
    assert found.code == "agreed"
    *before, last, final = found.rounds
    assert [(s.votes, s.voters) for s in (before[-1], last)] == [(2, 2), (2, 2)]
    assert (found.rounds[0].votes, final.training) == (0, False)
    assert final.metrics["loss"] < found.rounds[0].metrics["loss"]
