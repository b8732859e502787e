"""What a window says to people, what may leak the future, and that a new plan file can't leave it open."""

import json

import pytest
from pydantic import ValidationError

from flipnb.contracts.dataset import Dataset, Variable, leakage
from flipnb.contracts.document import canonical_bytes, parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.window import Window
from flipnb.workbench.plan_file import read_plan

OLD = "until-cohort-end"


def variable(name, window=OLD, concept=1, **more):
    if isinstance(window, tuple):
        window = Window(start_days=window[0], end_days=window[1])
    return Variable(name=name, source="measurement", concept_id=concept, window=window, **more)


@pytest.mark.parametrize(
    ("window", "words", "later"),
    [
        ((-365, 0), "from 365 days before the index date to the index date", False),
        ((None, 0), "up to the index date", False),
        ((None, -1), "up to 1 day before the index date", False),
        ((0, 0), "on the index date", False),
        ((1, 30), "from 1 day after the index date to 30 days after the index date", True),
        ((-7, None), "from 7 days before the index date on, without end", True),
        ((None, None), "at any time, before or after the index date", True),
        (OLD, "up to the cohort's end, which may lie after the index date", True),
    ],
)
def test_a_window_in_words(window, words, later):
    one = variable("hr", window)
    assert one.window_words == f"the last value {words}"
    assert one.may_be_later == later


def test_what_is_taken_in_words():
    assert variable("hr", (0, 0), take="count").window_words == "how many values there are on the index date"
    stroke = Variable(name="s", source="condition", concept_id=1, value="flag")
    assert stroke.window_words.startswith("whether one starts up to the cohort's end")
    age = Variable(name="age", source="age")
    assert (age.window_words, age.may_be_later) == ("at the index date", False)


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ([variable("hr", (-365, 0))], []),
        ([variable("hr")], ["hr may lie after the index date: it is read up to the cohort's end."]),
        ([variable("hr", (-365, 30))], ["hr may lie after the index date (window from 365 days before"]),
        ([variable("hr", (None, None))], ["hr may lie after the index date (window at any time"]),
        ([variable("died", role="outcome")], []),
        ([variable("hr", (None, 0)), variable("died", (0, 30), 2, role="outcome")], []),
        ([variable("hr", (None, 0)), variable("died", (0, 30), 1, role="outcome")], ["The window of hr shares days"]),
        ([variable("hr", (None, 0)), variable("died", (1, 30), 1, role="outcome")], []),
        (
            [variable("hr", (-5, 5)), variable("died", (1, 30), 2, role="outcome")],
            ["hr may lie after the index date", "The window of hr shares days with that of the outcome died"],
        ),
    ],
)
def test_what_may_know_what_comes_after(variables, warned):
    found = leakage(Dataset(variables=tuple(variables)))
    assert len(found) == len(warned)
    for (name, sentence), start in zip(found, warned, strict=True):
        assert name == "hr" and sentence.startswith(start)


def test_what_was_signed_without_a_window_means_what_it_meant():
    plain = {"variables": [{"name": "hr", "source": "measurement", "concept_id": 1}]}
    old = Dataset.model_validate(plain)
    assert old == Dataset(variables=(variable("hr"),)) and old.variables[0].window == OLD
    written = json.loads(old.to_bytes())["variables"][0]
    assert not {"window", "take", "role"} & set(written)
    stated = Dataset(variables=(variable("hr", (None, 0), take="first", role="outcome"),))
    assert parse(Dataset, stated.to_bytes(), "The dataset") == stated
    assert json.loads(canonical_bytes(json.loads(stated.to_bytes())))["variables"][0]["window"] == {
        "start_days": None,
        "end_days": 0,
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "age", "concept_id": None, "window": {"start_days": None, "end_days": 0}}, "age is of the index"),
        ({"window": {"start_days": 1, "end_days": 0}}, "starts on day 1 and ends before"),
        ({"window": {"start_days": 0}}, "end_days"),
        ({"take": "mean", "value": "concept", "categories": [{"concept_id": 2, "label": "x"}]}, "the mean is of"),
        ({"take": "first", "source": "condition", "value": "flag"}, "has no first value"),
    ],
)
def test_a_window_without_sense_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        Variable.model_validate({"name": "hr", "source": "measurement", "concept_id": 1} | changes)


def test_a_plan_file_states_the_window_of_each_variable(tmp_path):
    variables = [
        {"name": "age", "source": "age"},
        {"name": "hr", "source": "measurement", "concept_id": 1},
        {"name": "stroke", "source": "condition", "concept_id": 2, "value": "flag"},
    ]
    plan = {
        "title": "x",
        "cohort": "c.json",
        "dataset": {"variables": variables},
        "split": {"seed": 0, "shares": {"train": 1}},
        "outputs": [{"name": "loss", "minimum": 0, "maximum": 1, "decimals": 2}],
        "plan": {"rounds": 1, "clip_norm": 1},
    }
    file = tmp_path / "n.flip.json"
    file.write_text(json.dumps(plan))
    with pytest.raises(FlipError) as caught:
        read_plan(file)
    assert caught.value.code == "invalid-document"
    assert "field dataset: hr, stroke: the window is not stated" in caught.value.message
    assert '"window": {"start_days": null, "end_days": 0}' in caught.value.message
    for one in variables[1:]:
        one["window"] = OLD
    file.write_text(json.dumps(plan))
    assert [one.window for one in read_plan(file).dataset.variables] == [OLD] * 3
