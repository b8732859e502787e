"""``flip validate``: each fault is found, named and placed; the shipped tutorials have none."""

import json

import pytest
from workbench_samples import ROUNDS, cell, parameters

from flipnb.workbench.plan_file import plan_path
from flipnb.workbench.validation import find_issues


def test_the_rehearsed_tutorial_has_no_issue(tutorial):
    assert find_issues(tutorial) == []


def test_an_environment_lock_that_has_everything(tutorial, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==2.0 \\\n    --hash=sha256:00\nTorch==2.6\n# pandas\n")
    assert find_issues(tutorial, lock=lock) == []


def test_a_notebook_that_was_not_rehearsed_is_a_warning(write):
    source = ROUNDS.replace("float32(lr)", "float32(lr * (seed + len(solver)))")
    (issue,) = find_issues(write(parameters(), cell(source)))
    assert (issue.severity, issue.code) == ("warning", "not-rehearsed")


FAULTS = {
    "undeclared": (ROUNDS.replace("accuracy=0.5", "accuracy=0.5, spy=1"), "error", "undeclared-output", 2, 8),
    "missing": (ROUNDS.replace(", accuracy=0.5", ""), "error", "missing-output", None, None),
    "no report": ("import flipnb as flip\nfor rnd in flip.rounds({}):\n    pass", "error", "no-report", None, None),
    "no rounds": ("x = 1", "error", "no-rounds", None, None),
    "path": (ROUNDS + 'open("/home/me/x.csv")', "warning", "absolute-path", 2, 9),
    "windows": (ROUNDS + r'open("C:\\data\\x.csv")', "warning", "absolute-path", 2, 9),
    "home": (ROUNDS + 'open("~/x.csv")', "warning", "absolute-path", 2, 9),
    "shell": (ROUNDS + "\n!pip install x", "error", "shell-command", 2, 10),
    "magic install": ("%pip install x\n" + ROUNDS, "error", "shell-command", 2, 1),
    "module": ("import no_such_module\n" + ROUNDS, "warning", "no-module", 2, 1),
    "syntax": (ROUNDS + "\nx = = 1", "error", "not-python", 2, 10),
    "unused": (ROUNDS, "warning", "unused-parameter", 1, None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_with_cell_and_line(write, fault):
    source, severity, code, number, line = FAULTS[fault]
    issues = find_issues(write(parameters(), cell(source)))
    assert (severity, code, number, line) in [(i.severity, i.code, i.cell, i.line) for i in issues]


@pytest.mark.parametrize("harmless", ["/", "a / b", "/bundle/codes.csv", "/scratch/x", "loss/accuracy", "http://x/y"])
def test_what_is_no_path_of_this_machine_is_not_told_of(write, harmless):
    issues = find_issues(write(parameters(), cell(ROUNDS + f"name = {harmless!r}")))
    assert "absolute-path" not in [issue.code for issue in issues]


def test_an_import_that_the_lock_lacks_is_an_error(write, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==2.0\n")
    issues = find_issues(write(parameters(), cell("import os, pandas.api\nimport numpy\n" + ROUNDS)), lock=lock)
    (issue,) = (i for i in issues if i.code == "not-in-environment")
    assert "pandas" in issue.message
    assert (issue.cell, issue.line) == (2, 1)


def test_progress_that_no_trust_would_tell_is_hinted_at_once(write):
    told = ROUNDS.replace("    rnd.report", "    rnd.progress(1)\n    rnd.progress(epoch=2)\n    rnd.report")
    notebook = write(parameters(), cell(told))
    (issue,) = (i for i in find_issues(notebook) if i.code == "no-epochs")
    assert (issue.severity, issue.cell) == ("warning", 2)
    plan = plan_path(notebook)
    declared = json.loads(plan.read_text())
    declared["plan"]["epochs"] = 2
    plan.write_text(json.dumps(declared))
    assert "no-epochs" not in [i.code for i in find_issues(notebook)]


def test_cells_that_are_skipped_are_not_looked_at(write):
    issues = find_issues(write(parameters(), cell(ROUNDS), cell("!rm x", "skip-execution")))
    assert "shell-command" not in [issue.code for issue in issues]


def test_faults_of_notebook_and_plan_are_issues_and_not_exceptions(write, tmp_path):
    assert [i.code for i in find_issues(tmp_path / "none.ipynb")] == ["no-notebook"]
    assert [i.code for i in find_issues(write(cell(ROUNDS)))] == ["no-parameters-cell"]
    notebook = write(parameters("lr = open('x')"), cell(ROUNDS))
    notebook.with_name("study.flip.json").write_text(json.dumps({"title": "x"}))
    assert {"bad-parameters", "invalid-document"} <= {i.code for i in find_issues(notebook)}


def test_errors_come_first(write):
    issues = find_issues(write(parameters(), cell(ROUNDS + 'open("/home/x/y"); rnd.report(z=1)')))
    severities = [issue.severity for issue in issues]
    assert severities == sorted(severities)
    assert "error" in severities
    assert "warning" in severities


ARRAY = {"name": "n", "minimum": 0, "maximum": 9, "decimals": 0}
WITH_TOTAL = ROUNDS.replace("data = flip.data()", 'data = flip.data()\nflip.total({"n": 1})')


@pytest.mark.parametrize(
    ("source", "consensus", "arrays", "code", "line"),
    [
        (ROUNDS, True, [], "no-agreement", None),
        (ROUNDS.replace("    rnd.report", "    rnd.agree([0], [0])\n    rnd.report"), True, [], "no-validation", None),
        (WITH_TOTAL, False, [], "undeclared-total", 5),
        (WITH_TOTAL, False, [{**ARRAY, "name": "m"}], "undeclared-total", 5),
        (ROUNDS, False, [ARRAY], "unused-total", None),
    ],
)
def test_agreement_and_totals_fit_the_plan(write, source, consensus, arrays, code, line):
    notebook = write(parameters(), cell(source))
    path = notebook.with_name("study.flip.json")
    plan = json.loads(path.read_text())
    plan["totals"] = [{"arrays": arrays}] if arrays else []
    plan["plan"]["consensus"] = {} if consensus else None
    path.write_text(json.dumps(plan))
    assert (code, line) in [(issue.code, issue.line) for issue in find_issues(notebook)]
    path.write_text(json.dumps(plan | {"totals": [{"arrays": [ARRAY]}], "plan": {**plan["plan"], "consensus": None}}))
    assert not {"undeclared-total", "no-agreement"} & {issue.code for issue in find_issues(notebook)}


def test_a_window_that_may_look_into_the_future_is_told_of(write):
    notebook = write(parameters(), cell(ROUNDS))
    path = plan_path(notebook)
    plan = json.loads(path.read_text())
    variables = {one["name"]: one for one in plan["dataset"]["variables"]}
    variables["thalach"]["window"] = {"start_days": -30, "end_days": 30}
    variables["chol"]["window"] = "until-cohort-end"
    variables["num"]["window"] = "until-cohort-end"
    path.write_text(json.dumps(plan))
    told = [issue.message for issue in find_issues(notebook) if issue.code == "later-window"]
    assert any(one.startswith("chol may lie after the index date: it is read up to the cohort's end") for one in told)
    assert any(one.startswith("thalach may lie after the index date (window from 30 days before") for one in told)
    assert not any(one.startswith("num") for one in told), "an outcome may lie later"
