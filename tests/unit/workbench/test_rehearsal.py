"""Rehearsing: the shipped tutorial and faulty notebooks, each executed by papermill in a real kernel."""

import hashlib
import json
import os

import pytest
from safetensors.numpy import load_file
from workbench_samples import ROUNDS, cell, parameters

import flipnb
from flipnb.contracts.problem import FlipError
from flipnb.workbench.rehearsal import last_rehearsal, rehearsal_directory, rehearse


def test_the_tutorial_runs_unchanged_on_a_twin(rehearsed_tutorial):
    notebook, found = rehearsed_tutorial
    assert [(t.name, t.shape, t.dtype) for t in found.tensors.tensors] == [
        ("weight", (1, 13), "float32"),
        ("bias", (1,), "float32"),
    ]
    initial = load_file(found.initial_weights)
    assert all(not array.any() for array in initial.values())
    assert len(found.reports) == 3  # two training rounds and the final weights
    assert found.reports[0]["loss"] == pytest.approx(0.6931, abs=1e-4)  # ln 2: the model starts from zero
    assert found.reports[2]["loss"] < found.reports[0]["loss"]
    executed = json.loads((rehearsal_directory(notebook) / "executed.ipynb").read_text())
    assert not any(o["output_type"] == "error" for c in executed["cells"] for o in c.get("outputs", []))


def test_its_kernel_listens_on_sockets_of_this_user_alone(rehearsed_tutorial):
    notebook, _ = rehearsed_tutorial
    executed = (rehearsal_directory(notebook) / "executed.ipynb").read_text()
    assert "TCP" not in executed, "ipykernel warns of who could listen to TCP"


def test_the_twin_is_marked_as_such(rehearsed_tutorial):
    notebook, _ = rehearsed_tutorial
    executed = (rehearsal_directory(notebook) / "executed.ipynb").read_text()
    assert "synthetic people, none of them real" in executed


def test_a_changed_notebook_counts_as_not_rehearsed(tutorial):
    assert last_rehearsal(tutorial).reports
    content = json.loads(tutorial.read_text())
    content["cells"][-1]["source"] = "Changed."
    tutorial.write_text(json.dumps(content))
    with pytest.raises(FlipError) as caught:
        last_rehearsal(tutorial)
    assert caught.value.code == "not-rehearsed"


def test_a_changed_plan_counts_as_not_rehearsed(tutorial):
    path = tutorial.with_name("heart_disease.flip.json")
    plan = json.loads(path.read_text())
    plan["plan"]["rounds"] = 3
    path.write_text(json.dumps(plan))
    assert last_rehearsal(tutorial).reports
    outputs = [{**plan["outputs"][0], "maximum": 21}, *plan["outputs"][1:]]
    array = {"name": "n", "minimum": 0, "maximum": 1, "decimals": 0}
    consensus = {**plan["plan"], "consensus": {}}
    for change in ({"outputs": outputs}, {"totals": [{"arrays": [array]}]}, {"plan": consensus}):
        path.write_text(json.dumps(plan | change))
        with pytest.raises(FlipError, match="Dataset, outputs, totals or consensus"):
            last_rehearsal(tutorial)


def test_a_damaged_record_counts_as_not_rehearsed(tutorial):
    for name, content in (("initial.safetensors", None), ("rehearsal.json", "{}")):
        path = rehearsal_directory(tutorial) / name
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(FlipError) as caught:
            last_rehearsal(tutorial)
        assert caught.value.code == "not-rehearsed"


@pytest.mark.slow
def test_parameters_reach_the_notebook(write):
    notebook = write(parameters(), cell(ROUNDS))
    found = rehearse(notebook, {"lr": 0.25})
    before = found.initial_weights.read_bytes()
    assert [t.name for t in found.tensors.tensors] == ["w"]
    executed = (rehearsal_directory(notebook) / "executed.ipynb").read_text()
    assert "lr = 0.25" in executed
    assert os.environ.get("FLIP_PLAN") is None
    assert hashlib.sha256(rehearse(notebook).initial_weights.read_bytes()).digest() == hashlib.sha256(before).digest()


BROKEN = {
    "raises": (ROUNDS.replace("loss=len(data.train) / 1000", "loss=1 / 0"), "rehearsal-failed",
               "Cell 2, line 8: ZeroDivisionError"),
    "undeclared": (ROUNDS.replace("accuracy=0.5", "accuracy=0.5, spy=1"), "rehearsal-failed", "'spy'"),
    "no report": (ROUNDS.replace("    rnd.report(loss=len(data.train) / 1000, accuracy=0.5)\n", ""), "rehearsal-failed",
                  "Round 1 ended without rnd.report"),
    "not finite": (ROUNDS.replace("np.float32(lr)", 'np.float32("nan")'), "rehearsal-failed", "NaN"),
    "break": (ROUNDS + "    break\n", "rehearsal-failed", "left its rounds by break"),
    "no rounds": ("import flipnb", "no-rounds", "to its end"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_notebook_fails_by_name_and_the_last_good_rehearsal_stays(write, fault):
    source, code, said = BROKEN[fault]
    notebook = write(parameters(), cell(source))
    kept = rehearsal_directory(notebook)
    kept.mkdir(parents=True)
    (kept / "rehearsal.json").write_text("earlier")
    with pytest.raises(FlipError) as caught:
        rehearse(notebook)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert (kept / "rehearsal.json").read_text() == "earlier"


def test_a_wrong_parameter_starts_no_kernel(write):
    notebook = write(parameters(), cell(ROUNDS))
    with pytest.raises(FlipError) as caught:
        rehearse(notebook, {"lr": 2.0})
    assert caught.value.code == "out-of-bounds"
    assert not rehearsal_directory(notebook).exists()


def test_in_plain_jupyter_the_only_plan_in_the_folder_is_taken(write, monkeypatch):
    notebook = write(parameters(), cell(ROUNDS))
    monkeypatch.chdir(notebook.parent)
    data = flipnb.data()
    assert data.is_twin
    assert "chol" in data.train.frame()
    assert len(data.train) > len(data.test) > 0
    write(parameters(), name="second")
    with pytest.raises(FlipError) as caught:
        flipnb.data()
    assert caught.value.code == "no-plan"


def test_in_plain_jupyter_a_plan_can_be_named_and_holds_for_the_rounds(write, monkeypatch, tmp_path):
    import numpy as np

    from flipnb.workbench import rehearsal

    notebook = write(parameters(), cell(ROUNDS))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(rehearsal, "_given", {})
    assert flipnb.data(notebook.with_name("study.flip.json")).is_twin
    numbers = []
    for rnd in flipnb.rounds({"w": np.zeros(1)}):
        numbers.append(rnd.number)
        rnd.report(loss=0, accuracy=0)
    assert numbers == [1, 2, 3]
