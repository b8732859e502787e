"""Rewording a cohort changes nothing; changing it does; and a question's price follows from its text."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from flipnb.contracts.asked import Asked
from flipnb.contracts.chart import AgeChart, SexChart, VariableChart, YearChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Variable
from flipnb.contracts.meaning import meaning, meanings

HEART = json.loads((Path(__file__).parents[3] / "notebooks" / "heart_disease.cohort.json").read_text())
EARLIER = "e1ac114826519bfee61b53633ba69778e30ef830240fc71ea0ff5c8a1f4d4f38"
ORDER_IS_OF_NO_MEANING = {"CriteriaList", "InclusionRules", "Groups", "ConceptSets", "items"}


def digest(expression):
    return meaning(CohortExpression.parse(expression))


def reworded(value, chance, key=""):
    """Lists shuffled, names changed, nulls for what is absent."""
    if isinstance(value, dict):
        return {
            name: f"other {chance.random()}" if name in ("name", "description", "CONCEPT_NAME") else
            reworded(item, chance, name)
            for name, item in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        items = [reworded(item, chance) for item in value]
        if key in ORDER_IS_OF_NO_MEANING:
            chance.shuffle(items)
        return items
    return value


def renumbered(expression, by):
    """Concept sets under other numbers."""
    text = json.dumps(expression)
    made = json.loads(text)
    for one in made["ConceptSets"]:
        one["id"] += by

    def visit(value):
        if isinstance(value, dict):
            for name, item in value.items():
                if name == "CodesetId" and item is not None:
                    value[name] = item + by
                else:
                    visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit({name: part for name, part in made.items() if name != "ConceptSets"})
    return made


def places(value, path=()):
    """Every number below what means something."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool) and path[-1] in ("Value", "Count", "Days"):
        yield path


@pytest.mark.parametrize("number", range(8))
def test_rewording_means_the_same(number):
    chance = random.Random(number)
    assert digest(renumbered(reworded(HEART, chance), number)) == digest(HEART)


def test_a_concept_set_that_nothing_uses_means_nothing():
    more = copy.deepcopy(HEART)
    more["ConceptSets"].append({"id": 99, "name": "", "expression": {"items": [{"concept": {"CONCEPT_ID": 5}}]}})
    assert digest(more) == digest(HEART)


def test_every_number_of_a_definition_means_something():
    found = list(places(HEART))
    assert len(found) >= 5
    for path in found:
        changed = copy.deepcopy(HEART)
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] += 1
        assert digest(changed) != digest(HEART), path


def test_another_concept_or_rule_is_another_question():
    changed = copy.deepcopy(HEART)
    changed["ConceptSets"][0]["expression"]["items"][0]["concept"]["CONCEPT_ID"] += 1
    assert digest(changed) != digest(HEART)
    fewer = copy.deepcopy(HEART)
    fewer["InclusionRules"].pop()
    assert digest(fewer) != digest(HEART)


def test_a_funnels_cohorts_mean_what_each_means_alone():
    def steps(expression):
        parsed = CohortExpression.parse(expression)
        numbers = range(len(parsed.inclusion_rules) + 1)
        alone = [parsed.model_copy(update={"inclusion_rules": parsed.inclusion_rules[:n]}) for n in numbers]
        assert meanings(parsed, numbers) == tuple(meaning(one) for one in alone)
        assert len(set(meanings(parsed, numbers))) == len(numbers)

    steps(HEART)
    large = copy.deepcopy(HEART)
    items = large["ConceptSets"][0]["expression"]["items"]
    items += [{"concept": {"CONCEPT_ID": 10**8 + n}, "includeDescendants": True} for n in range(5000)]
    steps(large)
    changed = copy.deepcopy(large)
    changed["ConceptSets"][0]["expression"]["items"][-1]["includeDescendants"] = False
    assert digest(changed) != digest(large)


def test_a_short_cohorts_digest_is_that_of_earlier_releases():
    """Else a question that was paid for is asked, and drawn, again."""
    assert digest(HEART) == EARLIER


def test_what_is_asked_of_texts_and_images_means_something():
    def asking(*criteria):
        primary = HEART["PrimaryCriteria"] | {"CriteriaList": list(criteria)}
        sets = [{"id": n, "expression": {"items": [{"concept": {"CONCEPT_ID": 70 + n}}]}} for n in range(3)]
        return digest({"ConceptSets": sets, "PrimaryCriteria": primary})

    thin = {"CodesetId": 1, "ValueAsNumber": {"Value": 3, "Op": "lte"}}
    written = (
        {},
        {"TermExists": "Y"},
        {"TermExists": "N"},
        {"TermTemporal": "past"},
        {"NoteClass": [{"CONCEPT_ID": 1}]},
    )
    texts = [asking({"FlipText": {"CodesetId": 0, **more}}) for more in written]
    in_mm, other = thin | {"Unit": [{"CONCEPT_ID": 8588}]}, {"CodesetId": 2}
    seen = ([], [thin], [in_mm], [thin, other], [other, thin])
    images = [asking({"FlipImage": {"CodesetId": 0, "Features": features}}) for features in seen]
    assert len(set(texts)) == 5 and len(set(images)) == 4 and images[3] == images[4]


def test_prices():
    years = YearChart(first=2000, last=2020)
    rules = len(HEART["InclusionRules"])

    def price(**what):
        return sum(Asked.of(HEART, **({"people": True, "funnel": False} | what)).costs.values())

    assert price() == 1
    assert price(funnel=True) == rules + 1
    assert price(charts=[AgeChart(), SexChart(), years, AgeChart()]) == 1 + 3 * 2
    assert price(people=False) == 0


def test_bars_follow_from_the_question():
    assert AgeChart(width=30).labels == ("0-29", "30-59", "60-89", "90+")
    assert YearChart(first=2001, last=2002).labels == ("before 2001", "2001", "2002", "after 2002")
    number = Variable(name="bp", source="measurement", concept_id=1, minimum=0, maximum=100)
    assert VariableChart(variable=number).labels[:2] == ("below 10", "10 to 20")
    assert len(VariableChart(variable=number).labels) == 11
    with pytest.raises(ValidationError):
        YearChart(first=2000, last=2100)
