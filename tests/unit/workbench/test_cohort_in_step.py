"""The Python object of a cohort and its screens hold the same definition: who may change it, what a screen is told."""

from __future__ import annotations

import threading

import pytest

import flipnb as flip
from flipnb import cohorts as build
from flipnb.contracts.problem import FlipError

ADULTS = build.enter(build.observation_period()).require("Adults", build.age(at_least=18))
WOMEN = ADULTS.require("Women", build.sex("female"))
STRANGE = {"PrimaryCriteria": {"CriteriaList": [{"ConditionOccurrence": {"Wizardry": True}}]}}


class Screen:
    """A front end's end of the comm: it asks as the widget's module does, and keeps what it is told."""

    def __init__(self, cohort):
        from flipnb.workbench.widgets.cohort_widget import CohortWidget

        self.widget = CohortWidget(cohort)
        self.told = []
        self.widget.send = self.told.append

    def give(self, expression, base):
        content = {
            "call": len(self.told),
            "act": "check",
            "body": {"question": {"expression": expression}, "base": base},
        }
        self.widget._handle_custom_msg(content, [])
        return self.told[-1]["answer"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLIP_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_change_in_python_reaches_the_screen_with_its_revision():
    cohort = flip.cohort(ADULTS)
    screen = Screen(cohort)
    assert screen.widget.held == {"definition": ADULTS.expression(), "revision": 1, "changed_in": ""}
    cohort.define(WOMEN)
    assert screen.widget.held == {"definition": WOMEN.expression(), "revision": 2, "changed_in": "Python"}
    cohort.define(WOMEN)
    assert cohort.revision == 2


def test_a_valid_change_on_the_screen_is_taken_and_other_screens_follow():
    cohort = flip.cohort(ADULTS)
    screen, other = Screen(cohort), Screen(cohort)
    answer = screen.give(WOMEN.expression(), base=1)
    assert answer["taken"] == 2 and answer["check"]["problem"] is None and answer["check"]["rules"] == 2
    assert cohort.expression == WOMEN.expression()
    assert other.widget.held["revision"] == 2 and other.widget.held["definition"] == WOMEN.expression()


def test_what_is_invalid_stays_on_the_screen():
    cohort = flip.cohort(ADULTS)
    screen = Screen(cohort)
    answer = screen.give(STRANGE, base=1)
    assert "Wizardry" in answer["check"]["problem"] and answer["taken"] is None
    assert cohort.expression == ADULTS.expression() and cohort.revision == 1
    with pytest.raises(FlipError, match="Wizardry"):
        cohort.define(STRANGE)
    assert cohort.revision == 1


def test_a_change_on_an_earlier_revision_is_not_taken():
    cohort = flip.cohort(ADULTS)
    screen = Screen(cohort)
    cohort.define(WOMEN)
    mine = ADULTS.require("Mine", build.age(at_most=60)).expression()
    assert screen.give(mine, base=1)["taken"] is None
    assert cohort.expression == WOMEN.expression()
    assert screen.give(mine, base=2)["taken"] == 3
    assert cohort.expression == mine


def test_a_copy_is_handed_out_and_kept():
    given = ADULTS.expression()
    cohort = flip.cohort(given)
    given["InclusionRules"].clear()
    cohort.expression["InclusionRules"].clear()
    assert cohort.expression == ADULTS.expression()


def test_it_shows_itself_as_the_widget_and_as_text(tmp_path, monkeypatch):
    cohort = flip.cohort(ADULTS)
    data, _ = cohort._repr_mimebundle_()
    again, _ = cohort._repr_mimebundle_()
    view = "application/vnd.jupyter.widget-view+json"
    assert data["text/plain"] == "<Cohort: 1 rule, revision 1>"
    assert data[view]["model_id"] == again[view]["model_id"]
    monkeypatch.setattr("flipnb.workbench.widgets.STATIC", tmp_path)
    assert flip.cohort(WOMEN)._repr_mimebundle_() == {"text/plain": "<Cohort: 2 rules, revision 1>"}


def test_an_unknown_study_is_a_problem_with_a_remedy(tmp_path):
    screen = Screen(flip.cohort(ADULTS))
    question = {"expression": ADULTS.expression()}
    content = {"call": 7, "act": "ask", "body": {"study": "nowhere", "question": question}}
    screen.widget._handle_custom_msg(content, [])
    for thread in threading.enumerate():
        if thread.name == "flip-ask":
            thread.join()
    assert screen.told == [
        {
            "call": 7,
            "problem": {
                "message": "There is no study 'nowhere' here.",
                "reason": "unknown-study",
                "remedy": "Make one with `flip study create`.",
            },
        }
    ]
