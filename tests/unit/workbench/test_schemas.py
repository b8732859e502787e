"""Plan files and cohorts in an editor: the published schemas are the models', and what is wrong is said where it is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.workbench.json_places import Places, describe_mistake, find_mistake
from flipnb.workbench.schemas import find_text_issues, published, schema_of

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
PLAN = (NOTEBOOKS / "heart_disease.flip.json").read_text()
COHORT = (NOTEBOOKS / "heart_disease.cohort.json").read_text()

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("kind", ["plan", "cohort"])
def test_the_published_schema_is_that_of_the_model(kind):
    """Stale? ``python -m flipnb.lab.openapi`` writes it."""
    assert json.loads(published(kind).read_text()) == schema_of(kind)


def _paths(value, path=()):
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from _paths(item, (*path, step))


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_value_of_any_json_is_found_at_its_place(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    places = Places(text)
    for path, part in _paths(value):
        span = places.of(path)
        assert json.loads(text[span.start : span.end]) == part
        if path and isinstance(path[-1], str):
            key = places.key(path)
            assert json.loads(text[key.start : key.end]) == path[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n "a": 1\n "b": 2\n}', "line 2, a comma is missing"),
        ('{\n "a": [1\n 2]\n}', "line 2, a comma is missing"),
        ('{"a": 1,\n}', "line 1, a comma is one too many"),
        ("[1,\n]", "line 1, a comma is one too many"),
        ('{\n"a" 1}', "line 2, a colon is missing"),
        ('{"a: 1}\n', "line 1, a closing quotation mark is missing"),
        ('{"a": {"b": 1}\n', "line 1, it ends before it is whole"),
        ("{}\n{}", "line 2, something stands behind its end"),
        ("{a: 1}", "line 1, a name in double quotes is missing"),
        ("", "line 1, it is empty"),
        ('{"a": \n nope}', "line 2, a value is missing, or it is not written as JSON has it"),
    ],
)
def test_what_makes_a_text_no_json_is_said_in_words(text, said):
    assert describe_mistake(text) == said


@given(st.text(alphabet='{}[]",:1 a\n\\', max_size=30))
def test_any_text_is_json_or_has_a_mistake_within_it(text):
    mistake = find_mistake(text)
    if mistake is None:
        json.loads(text)
    else:
        assert 0 <= mistake.span.start < mistake.span.end <= max(len(text), 1)


def test_what_is_whole_has_no_issue():
    assert find_text_issues("plan", PLAN) == []
    assert find_text_issues("cohort", COHORT) == []


@pytest.mark.parametrize(
    ("kind", "text", "at", "said"),
    [
        ("plan", PLAN.replace('"title"', '"titel"'), '"titel"', "titel is not known here."),
        ("plan", PLAN.replace('"rounds": 20', '"rounds": -1'), "-1", "Input should be greater than or equal to 0."),
        ("cohort", COHORT.replace('"InclusionRules"', '"Inclusion"'), '"Inclusion"', "Inclusion is not known here."),
        ("cohort", COHORT.replace('"ERA"', '"ERAS"'), '"ERAS"', "Input should be 'ERA'."),
    ],
)
def test_what_is_wrong_is_said_at_its_place(kind, text, at, said):
    found = [issue for issue in find_text_issues(kind, text) if text[issue.start : issue.end] == at]
    assert [issue.message for issue in found] == [said]
    assert found[0].line == text[: text.index(at)].count("\n") + 1


def test_what_concerns_the_whole_is_said_too():
    (missing,) = find_text_issues("cohort", COHORT.replace('"CodesetId": 8', '"CodesetId": 88'))
    assert missing.message.startswith("The cohort has no concept set 88")
    assert find_text_issues("plan", "[]")[0].message == "This is no plan: an object, {…}, is needed."
