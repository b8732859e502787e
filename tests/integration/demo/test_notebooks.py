"""Every notebook of notebooks/, cell by cell in kernels that JupyterLab's server starts, on a real federation."""

import json
import math
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from agreement_by_hand import ended_after, hospitals_of
from lab_kernel import LabKernel, text_of
from lab_server import LabServer

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate import freeze
from flipnb.estate.versions import Estate
from flipnb.records import Records
from flipnb.workbench.agreement import describe_rule
from flipnb.workbench.plan_file import read_cohort, read_plan
from flipnb.workbench.rehearsal import rehearse
from flipnb.workbench.results import fetch_results
from flipnb.workbench.submission import prepare, submit

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRUSTS = ("cleveland", "hungary", "long-beach", "switzerland")
TITLES = ("Cleveland", "Hungary", "Long Beach VA", "Switzerland")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, demo):
    """JupyterLab as `make lab` opens it: all tutorials and all their plans in one folder."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(
        ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".flip", ".ipynb_checkpoints")
    )
    server = LabServer(tmp_path_factory.mktemp("lab"), root, demo.federation.workbench)
    server.start()
    yield server
    server.end()


def run(lab, name):
    """Run every code cell; an error in one is the test's. What each has said, by its id, and its data by type."""
    notebook = nbformat.read(lab.root / "notebooks" / name, as_version=4)
    said, kinds = {}, set()
    with LabKernel(lab, f"notebooks/{name}") as kernel:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                outputs = kernel.run(cell.source, seconds=900)
                said[cell.id] = text_of(outputs)
                kinds |= {kind for output in outputs for kind in output.get("data", {})}
    return said, kinds


def words_of(name, identity):
    """The text of a cell."""
    (cell,) = (cell for cell in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells if cell.id == identity)
    return cell.source


def frozen(demo, seed):
    """Each hospital's parts of the split of until_agreement, outside every enclave: train, validation and test."""
    plan = read_plan(ROOT / "notebooks" / "until_agreement.flip.json")
    cohort = CohortExpression.parse(read_cohort(plan, ROOT / "notebooks"))
    split = plan.split.model_copy(update={"seed": seed})
    found = {}
    for enclave in demo.federation.enclaves:
        estate, folder = enclave.directory / "estate", demo.federation.directory / f"{enclave.hospital.name}-{seed}"
        freeze(estate, Estate.open(estate).current(), cohort, plan.dataset, split, b"\0" * 32, folder)
        records = Records(folder)
        found[enclave.hospital.name] = {
            part: getattr(records, part).frame() for part in ("train", "validation", "test")
        }
    return found


@pytest.mark.timeout(900)
def test_the_tour_simulates_two_trusts_of_invented_people(lab):
    said, kinds = run(lab, "00_tour.ipynb")
    assert (
        said["00-05"].startswith("Rehearsing heart_disease.ipynb on a twin …\n") and "\nRound 6 of 6: " in said["00-05"]
    )
    assert "{'twin-1': " in said["00-05"] and "'twin-2': " in said["00-05"]
    assert "twin" in said["00-02"] and "age" in said["00-03"]
    assert "application/vnd.plotly.v1+json" in kinds
    assert said["00-08"] == "{'bias': (1,), 'weight': (1, 13)}"


@pytest.mark.timeout(900)
def test_heart_disease_runs_in_the_folder_with_all_other_plans(lab):
    said, _ = run(lab, "heart_disease.ipynb")
    assert "synthetic people, none of them real" in said["data"]
    variables = {
        variable.name for variable in read_plan(ROOT / "notebooks" / "heart_disease.flip.json").dataset.variables
    }
    assert len(variables - {"num"}) == 10, "ten ordinary measurements, and the angiography's result"
    assert variables.isdisjoint({"slope", "ca", "thal"}), "which are left out, as in Fed-Heart-Disease"
    assert said["rounds"].count("\n") >= 2 or "Round" in said["rounds"]


@pytest.mark.timeout(900)
def test_until_agreement_runs_on_its_own_plan(lab):
    said, _ = run(lab, "until_agreement.ipynb")
    assert "agreement" in said["loop"] and "vote" in said["loop"]


@pytest.mark.timeout(1500)
def test_cohorts_train_and_results_run_in_order(lab):
    said, kinds = run(lab, "01_cohorts.ipynb")
    assert "'count': 1" in said["01-03"].replace("{'count': 1.0", "{'count': 1")
    assert "≈" in said["01-06"]
    assert "High blood pressure" in said["01-07"] and "Adult" in said["01-07"]
    assert "application/vnd.plotly.v1+json" in kinds
    assert "PrimaryCriteria" in json.loads((lab.root / "notebooks" / "high_pressure.cohort.json").read_text())
    said, _ = run(lab, "02_train.ipynb")
    for hospital in ("Cleveland", "Hungary", "Switzerland", "Long Beach VA"):
        assert f"The data controller of {hospital} reads" in said["02-06"]
    assert "Round 5 of 5" in said["02-08"] and "The run is succeeded" in said["02-08"]
    assert len(re.findall(r"\bsucceeded\b", said["02-09"])) >= 2
    said, kinds = run(lab, "03_results.ipynb")
    assert said["03-01"].count("succeeded") == 2
    assert [title in said["03-05"] for title in TITLES] == [True, True, False, False], "two of four let theirs out"
    assert said["03-07"] == "{'bias': (1,), 'weight': (1, 13)}"
    assert "All keys matched" in said["03-08"]
    assert "'rounds': 6" in said["03-10"], "five of training, and the final weights"
    assert all(name in said["03-10"] for name in TRUSTS)


def test_how_many_must_agree_is_as_the_tutorial_says(demo):
    threshold = read_plan(ROOT / "notebooks" / "until_agreement.flip.json").plan.consensus.threshold
    people = {name: len(parts["validation"]) for name, parts in frozen(demo, 40).items()}
    rows = re.findall(
        r"^\| ([A-Z][A-Za-z ]+[a-z]) \| (\d+) \| (\d+) \| (\w+) \|$", words_of("until_agreement.ipynb", "rounds"), re.M
    )
    told = {
        name.lower().replace(" ", "-"): tuple(map(int, (n, must, may.replace("none", "0"))))
        for name, n, must, may in rows
    }
    needed = {name: math.ceil(threshold * n - 1e-9) for name, n in people.items()}
    written = {name: (n, needed[name], n - needed[name]) for name, n in people.items()}
    assert told == written
    assert tuple(sorted(told)) == TRUSTS


@pytest.mark.timeout(1500)
def test_the_hospitals_agree_well_before_the_limit_in_the_round_that_arithmetic_says(lab, demo):
    notebook = demo.notebook.with_name("until_agreement.ipynb")
    for file in (ROOT / "notebooks").glob("until_agreement.*"):
        shutil.copy(file, notebook.parent)
    rehearse(notebook)
    for seed in (3, 4):
        sent = submit(demo.home, prepare(demo.home, notebook, "heart", [{}], {"seed": seed}))
        demo.approve(sent.bundle, 1)
        view = demo.train(sent.runs[0].run)
        by_hand, accuracy = ended_after(hospitals_of(list(frozen(demo, seed).values())))
        assert 4 <= by_hand <= 13, "as the tutorial says"
        assert (view.code, view.reason) == ("agreed", f"Agreed at round {by_hand}.")
        found = fetch_results(demo.home, view.run, notebook.parent / f"results-{seed}")
        assert found.record.rounds[-1].metrics["accuracy"] == pytest.approx(accuracy, abs=0.01)
        votes = found.agreement()
        assert votes["votes"].tolist()[-3:] == [4, 4, 4]
        assert votes["holds_out"].tolist()[-1] == ""
        assert "keep" in votes["holds_out"].iloc[0] or "hungary" in votes["holds_out"].iloc[0], "nobody agrees at once"
        shown = demo.researcher.flip("runs", view.run, show=False)
        assert shown["code"] == "agreed"
    assert describe_rule(found.record.consensus).startswith("Needed to agree: 0.95 at every Trust")


def test_with_one_intercept_for_all_they_would_not_agree(demo):
    ended = [ended_after(hospitals_of(list(frozen(demo, seed).values())), one_intercept=True)[0] for seed in (0, 1)]
    assert ended == [None, None]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_output_is_committed(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_every_notebook_is_run_here():
    here = Path(__file__).read_text()
    assert [path.name for path in NOTEBOOKS if f'run(lab, "{path.name}")' not in here] == []
