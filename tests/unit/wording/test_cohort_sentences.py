"""No part of a cohort is without words: whatever is changed of an expression, its words change."""

import copy
import json
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from public_data import PHENOTYPES

sys.path.insert(0, str(Path(__file__).parents[1] / "estate"))
from cohort_cases import expressions

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.problem import FlipError
from flipnb.wording.cohort import cohort_sentence
from flipnb.wording.values import number, visible

OTHER_TEXTS = {
    "Op": ["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt", "startsWith", "!startsWith", "endsWith", "!endsWith",
           "contains", "!contains"],
    "Type": ["ALL", "ANY", "FIRST", "LAST", "AT_LEAST", "AT_MOST"],
    "StartWith": ["START_DATE", "END_DATE"],
    "EndWith": ["START_DATE", "END_DATE"],
    "DateField": ["StartDate", "EndDate"],
    "CountColumn": ["DOMAIN_CONCEPT", "DURATION", "START_DATE", "VISIT_ID"],
    "TermExists": ["Y", "N"],
    "TermTemporal": ["present", "past"],
    "StartDate": ["2011-02-03"], "EndDate": ["2011-02-03"], "Value": ["2011-02-03"], "Extent": ["2011-02-03"],
}  # fmt: skip
SAID_OTHERWISE = {"Coeff", "Type"}
"""Numbers that are words: before and after; exactly, at most, at least."""


def words(expression):
    return "\n".join(lines(cohort_sentence(expression)))


def lines(sentence):
    yield sentence.text
    for part in sentence.parts:
        yield from lines(part)


def leaves(part, place=()):
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list):
            yield from leaves(value, (*place, key))
        elif value is not None:
            yield (*place, key), value


def others(key, value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [-value] if key == "Coeff" else [value + 1, value + 2, 0, 1]
    return OTHER_TEXTS.get(key, [f"{value} x", "another"])


def at(expression, place, value):
    changed = copy.deepcopy(expression)
    part = changed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return changed


def parsed(expression):
    try:
        return CohortExpression.parse(expression)
    except FlipError:
        return None


def without_words(expression, some=None):
    """The changes of one leaf that mean something and can't be seen in the words."""
    before, meant = words(expression), parsed(expression)
    names = {leaf for place, leaf in leaves(expression) if place[-1] == "CONCEPT_NAME"}
    for place, value in leaves(expression):
        if some is not None and place not in some:
            continue
        for other in others(place[-1], value):
            changed = at(expression, place, other)
            understood = parsed(changed)
            a_name = place[-1] == "CONCEPT_NAME" and other not in names
            if understood is None or (understood == meant and not a_name):
                continue
            if words(changed) == before:
                yield place, value, other


def unsaid(expression):
    """Numbers and names of an expression that its words lack."""
    said = words(expression)
    for place, value in leaves(expression):
        key = place[-1]
        if isinstance(value, bool) or key in SAID_OTHERWISE:
            continue
        if isinstance(value, int | float) and number(value) not in said:
            yield place, value
        if key in ("CONCEPT_NAME", "name", "description", "Text") and visible(value) not in said:
            yield place, value


DEFINITIONS = sorted(name for name in PHENOTYPES.names() if name.endswith(".json"))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_number_and_name_of_ohdsis_definitions_is_in_the_words(name):
    expression = json.loads(PHENOTYPES.file(name).read_text())
    assert list(unsaid(expression)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFINITIONS)
def test_whatever_is_changed_of_ohdsis_definitions_their_words_change(name):
    expression = json.loads(PHENOTYPES.file(name).read_text())
    for concept_set in expression["ConceptSets"]:  # hundreds of concepts are said alike
        concept_set["expression"]["items"] = concept_set["expression"]["items"][:3]
    assert list(without_words(expression)) == []


@given(expressions(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_whatever_is_changed_of_an_expression_its_words_change(expression, source):
    assume(parsed(expression) is not None)
    assert list(unsaid(expression)) == []
    some = source.sample([place for place, _ in leaves(expression)], 12)
    assert list(without_words(expression, some)) == []


def test_a_name_closes_no_quotation_marks_and_hides_nothing():
    said = cohort_sentence(heart("Heart\u202e” (set 1), or “anything"))
    assert '“Heart\\u{202e}" (set 1), or "anything”' in said.text


def test_sets_of_one_name_are_told_apart_and_each_name_of_a_concept_is_said():
    expression = heart("Heart")
    expression["ConceptSets"].append({"id": 7, "name": "Heart", "expression": {"items": [item("Another name")]}})
    said = words(expression)
    assert "a condition of “Heart” (set 3)" in said
    assert "“Infarction” (44, also called “Another name”), with its descendants" in said


def heart(name):
    return {
        "ConceptSets": [{"id": 3, "name": name, "expression": {"items": [item("Infarction")]}}],
        "PrimaryCriteria": {"CriteriaList": [{"ConditionOccurrence": {"CodesetId": 3}}]},
    }


def item(name):
    return {"concept": {"CONCEPT_ID": 44, "CONCEPT_NAME": name}, "includeDescendants": True}
