"""Study notebooks from templates: each rehearses at once, has nothing to mend, and overwrites nothing."""

import json
import os

import numpy as np
import pytest

import flipnb as flip
from flipnb.contracts.problem import FlipError
from flipnb.workbench.freezing import freeze_notebook
from flipnb.workbench.plan_file import read_cohort, read_plan
from flipnb.workbench.rehearsal import rehearsal_directory
from flipnb.workbench.templates import find_templates, make_plan
from flipnb.workbench.validation import find_imports, find_issues

NAMES = [template.name for template in find_templates()]


def test_the_templates_are_found_by_entry_point_in_the_order_of_the_screen():
    assert NAMES[:5] == ["table", "survival", "totals", "images", "segmentation"]
    assert all(template.title and template.says and template.packages for template in find_templates())


@pytest.mark.slow
@pytest.mark.parametrize("template", NAMES)
def test_each_rehearses_at_once_and_has_no_problem_at_send(template, tmp_path):
    made = flip.new("my_study", template=template, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my_study.cohort.json", "my_study.flip.json", "my_study.ipynb",
    ]  # fmt: skip
    found = flip.rehearse(made.notebook)
    assert find_issues(made.notebook) == []
    assert set(found.reports[-1]) == {output.name for output in read_plan(made.plan).outputs}
    executed = json.loads((rehearsal_directory(made.notebook) / "executed.ipynb").read_text())
    assert not any(said["output_type"] == "error" for cell in executed["cells"] for said in cell.get("outputs", []))


@pytest.mark.parametrize("template", find_templates(), ids=NAMES)
def test_what_a_template_imports_is_what_it_says_that_it_needs(template, tmp_path):
    made = flip.new("my_study", template=template.name, folder=tmp_path)
    imported = {found.module for found in find_imports(freeze_notebook(made.notebook))}
    assert set(template.packages) <= imported <= {*template.packages, "numpy"}
    assert read_cohort(read_plan(made.plan), tmp_path)
    assert read_plan(made.plan).title.startswith("My study")


@pytest.mark.parametrize("there", ["my_study.ipynb", "my_study.flip.json", "my_study.cohort.json"])
def test_where_one_name_is_taken_nothing_is_written(there, tmp_path):
    (tmp_path / there).write_text("mine")
    with pytest.raises(FlipError, match=f"{there} is there already. Nothing was written.") as caught:
        flip.new("my_study", folder=tmp_path)
    assert caught.value.code == "name-taken"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_a_cohort_that_is_there_is_used_as_it_is(tmp_path):
    first = flip.new("first", folder=tmp_path)
    before = first.cohort.read_bytes()
    second = flip.new("second", template="totals", folder=tmp_path, cohort="first.cohort.json")
    assert second.cohort == first.cohort and first.cohort.read_bytes() == before
    assert read_plan(second.plan).cohort == "first.cohort.json"
    assert not (tmp_path / "second.cohort.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "../out"}, "bad-name"),
        ({"name": ""}, "bad-name"),
        ({"name": "a b"}, "bad-name"),
        ({"name": "a\n"}, "bad-name"),
        ({"name": "a", "template": "nothing"}, "no-template"),
        ({"name": "a", "cohort": "missing.cohort.json"}, "no-cohort"),
        ({"name": "a", "cohort": "elsewhere/other.cohort.json"}, "no-cohort"),
        *(({"name": "a", "cohort": odd}, "no-cohort") for odd in ("", ".", "..", "x\0.cohort.json")),
    ],
)
def test_what_can_not_be_made_is_refused_by_name(arguments, code, tmp_path):
    name, *_ = arguments.values()
    rest = {key: value for key, value in arguments.items() if key != "name"}
    with pytest.raises(FlipError) as caught:
        flip.new(name, folder=tmp_path, **rest)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [b"\xff.cohort.json", "x\u202eftfo.cohort.json".encode()])
def test_a_cohort_file_whose_name_no_plan_can_say_makes_nothing(name, tmp_path):
    """The plan was half written, and the notebook was left, where its name is no text."""
    cohort = os.fsdecode(name)
    flip.new("b", folder=tmp_path).cohort.rename(tmp_path / cohort)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FlipError) as caught:
        flip.new("a", folder=tmp_path, cohort=cohort)
    assert caught.value.code == "bad-name"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["x\u202ey", "a\nb", os.fsdecode(b"\xff"), "e" + "\u0301" * 20])
def test_a_notebook_whose_name_no_plan_can_say_gets_none(name, tmp_path):
    notebook = tmp_path / f"{name}.ipynb"
    notebook.write_text("{}")
    with pytest.raises(FlipError) as caught:
        make_plan(notebook)
    assert caught.value.code == "bad-name"
    assert list(tmp_path.iterdir()) == [notebook]


def test_a_symlink_that_leads_nowhere_is_a_name_that_is_taken(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "a.flip.json").symlink_to(elsewhere)
    with pytest.raises(FlipError, match=r"^a\.flip\.json is there already\. Nothing was written\."):
        flip.new("a", folder=tmp_path)
    assert not elsewhere.exists() and [path.name for path in tmp_path.iterdir()] == ["a.flip.json"]


def test_a_notebook_without_a_plan_gets_one_and_keeps_what_is_there(tmp_path):
    made = flip.new("my_study", folder=tmp_path)
    notebook, cohort = made.notebook.read_bytes(), made.cohort.read_bytes()
    made.plan.unlink()
    assert make_plan(made.notebook).plan == made.plan
    assert (made.notebook.read_bytes(), made.cohort.read_bytes()) == (notebook, cohort)
    assert read_plan(made.plan).cohort == "my_study.cohort.json"
    with pytest.raises(FlipError, match=r"my_study\.flip\.json is there already"):
        make_plan(made.notebook)


@pytest.mark.slow
def test_the_regression_out_of_totals_is_that_of_all_records_in_one_table(tmp_path):
    made = flip.new("my_study", template="totals", folder=tmp_path)
    found = flip.rehearse(made.notebook).reports[-1]
    frame = flip.data(made.plan).train.frame()
    y = frame["cholesterol"].to_numpy()
    male = frame["sex"] == 8507
    x = np.column_stack([np.ones(len(y)), (frame["age"] - 54) / 9, male, (frame["pressure"] - 132) / 19]).astype(float)
    effect, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = ((y - x @ effect) ** 2).sum() / (len(y) - 4)
    error = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * residual)
    terms = ("intercept", "age", "male", "pressure")
    assert [found[term] for term in terms] == pytest.approx(effect, abs=0.01)
    assert [found[f"{term}_error"] for term in terms] == pytest.approx(error, abs=0.01)
    assert (found["mean"], found["spread"]) == pytest.approx((y.mean(), y.std(ddof=1)), abs=0.01)


def test_follow_up_is_cut_into_intervals_as_a_life_table_has_them(tmp_path):
    """The template's own code on records: who is at risk in an interval, and who died in it."""
    made = flip.new("my_study", template="survival", folder=tmp_path)
    cells = {cell.id: cell.source for cell in freeze_notebook(made.notebook).cells}
    here = {"data": _Followed()}
    for name in ("data", "follow-up", "features"):
        source = cells[name].replace("data = flip.data()", "")
        exec(source.split("\ntrain_x, ")[0], here)
    _, at_risk, events, days, died = here["tensors"](here["data"].train)
    assert days.tolist() == [10, 90, 400, 730, 730, 0] and died.tolist() == [True, False, True, True, False, False]
    assert events.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert at_risk.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]


class _Followed:
    """Records of six people, with the cohort and death tables that a hospital freezes."""

    is_twin = False

    def __init__(self):
        self.train = self

    def frame(self):
        import pandas as pd

        columns = ("age", "pressure", "cholesterol", "heart_rate", "sex")
        return pd.DataFrame({name: [1.0] * 6 for name in columns})

    def sql(self, query):
        import duckdb

        stays = [(1, 10), (2, 90), (3, 500), (4, 730), (5, 730), (6, 0)]
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE cohort (subject_id BIGINT, cohort_start_date DATE, cohort_end_date DATE)")
            connection.execute("CREATE TABLE death (person_id BIGINT, death_date DATE)")
            for person, days in stays:
                connection.execute(
                    "INSERT INTO cohort SELECT ?, DATE '2020-01-01', DATE '2020-01-01' + ?", [person, days]
                )
            for person, days in ((1, 10), (3, 400), (4, 730), (5, 900)):
                connection.execute("INSERT INTO death SELECT ?, DATE '2020-01-01' + ?", [person, days])
            return connection.execute(query).df()


def test_a_template_needs_no_home_and_no_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("FLIP_HOME", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    assert flip.new("a").notebook.name == "a.ipynb"
