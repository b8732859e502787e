"""What a cohort expression may not say, and how it is refused."""

from __future__ import annotations

import copy

import pytest

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.problem import FlipError

GROUP = {"Type": "ALL", "CriteriaList": [], "DemographicCriteriaList": [], "Groups": []}
BASE = {
    "ConceptSets": [{"id": 0, "name": "n", "expression": {"items": [{"concept": {"CONCEPT_ID": 1}}]}}],
    "PrimaryCriteria": {"CriteriaList": [{"Measurement": {"CodesetId": 0}}]},
}


def refused(change) -> FlipError:
    expression = copy.deepcopy(BASE)
    change(expression)
    with pytest.raises(FlipError) as error:
        CohortExpression.parse(expression)
    return error.value


def primary(expression: dict) -> dict:
    return expression["PrimaryCriteria"]["CriteriaList"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda e: e["PrimaryCriteria"].update(CriteriaList=[{"TextMention": {"CodesetId": 0}}]),
            "TextMention at PrimaryCriteria.CriteriaList[0] is not supported",
        ),
        (
            lambda e: primary(e)["Measurement"].update(ValueAsString={"Text": "a", "Op": "eq"}),
            "ValueAsString at PrimaryCriteria.CriteriaList[0].Measurement is not supported",
        ),
        (
            lambda e: e["PrimaryCriteria"].update(CriteriaList=[{"FlipText": {"Text": {"Text": "a", "Op": "eq"}}}]),
            "Text at PrimaryCriteria.CriteriaList[0].FlipText is not supported",
        ),
        (
            lambda e: e["PrimaryCriteria"].update(CriteriaList=[{"FlipText": {"TermTemporal": "Ruritania"}}]),
            "TermTemporal 'Ruritania' at PrimaryCriteria.CriteriaList[0].FlipText is not supported",
        ),
        (lambda e: e.update(Exposure={}), "Exposure at the top is not supported"),
        (
            lambda e: e.update(InclusionRules=[{"name": "r", "expression": {**GROUP, "Type": "NONE"}}]),
            "Type 'NONE' at InclusionRules[0].expression is not supported",
        ),
        (
            lambda e: primary(e)["Measurement"].update(ValueAsNumber={"Op": "like", "Value": 1}),
            "Op 'like' at PrimaryCriteria.CriteriaList[0].Measurement.ValueAsNumber is not supported",
        ),
        (
            lambda e: e.update(CollapseSettings={"CollapseType": "NO_COLLAPSE", "EraPad": 0}),
            "CollapseType 'NO_COLLAPSE' at CollapseSettings is not supported",
        ),
    ],
)
def test_not_supported_by_name_and_place(change, words):
    error = refused(change)
    assert error.code == "unsupported-cohort"
    assert words in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.pop("PrimaryCriteria"), "PrimaryCriteria"),
        (lambda e: primary(e)["Measurement"].update(CodesetId=7), "no concept set 7, which PrimaryCriteria"),
        (lambda e: e["ConceptSets"].append(e["ConceptSets"][0]), "same id"),
        (
            lambda e: e["PrimaryCriteria"].update(CriteriaList=[{"FlipImage": {"Features": [{"CodesetId": 7}]}}]),
            "no concept set 7, which PrimaryCriteria.CriteriaList[0].FlipImage.Features[0]",
        ),
        (lambda e: primary(e).update(Death={}), "exactly one domain"),
        (lambda e: primary(e).clear(), "exactly one domain"),
        (lambda e: primary(e)["Measurement"].update(ValueAsNumber={"Op": "bt", "Value": 1}), "needs an Extent"),
        (
            lambda e: e["ConceptSets"][0]["expression"]["items"][0]["concept"].update(CONCEPT_ID="1) OR (1=1"),
            "CONCEPT_ID",
        ),
        (lambda e: e.update(AdditionalCriteria={**GROUP, "Type": "AT_LEAST"}), "needs a Count"),
    ],
)
def test_invalid(change, words):
    error = refused(change)
    assert error.code == "invalid-cohort"
    assert words in str(error)


def test_lengths_in_days_by_another_name():
    def parsed(offset: dict, collapse: dict) -> CohortExpression:
        return CohortExpression.parse(
            {**BASE, "EndStrategy": {"DateOffset": {"DateField": "EndDate", **offset}}, "CollapseSettings": collapse}
        )

    said = parsed({"OffsetUnit": "day", "OffsetUnitValue": 31}, {"EraPad": 3, "EraPadUnit": "day"})
    assert said == parsed({"Offset": 31}, {"EraPad": 3})
    assert parsed({"OffsetUnit": "hour", "OffsetUnitValue": 0}, {"EraPadUnit": "minute"}) == parsed({"Offset": 0}, {})
    with pytest.raises(FlipError, match="EraPadUnit at CollapseSettings is not supported"):
        parsed({"Offset": 31}, {"EraPad": 3, "EraPadUnit": "hour"})
    with pytest.raises(FlipError, match="Offset and OffsetUnitValue differ"):
        parsed({"Offset": 1, "OffsetUnit": "day", "OffsetUnitValue": 31}, {})


def test_empty_correlated_criteria_are_none():
    def parsed(**more) -> CohortExpression:
        primary = {**BASE["PrimaryCriteria"], "CriteriaList": [{"ConditionOccurrence": more}]}
        return CohortExpression.parse({**BASE, "PrimaryCriteria": primary})

    assert parsed(CorrelatedCriteria={"Type": "ALL", "CriteriaList": [], "Groups": []}) == parsed()


def test_continuous_exposure_in_days_by_another_name():
    def parsed(**era) -> CohortExpression:
        return CohortExpression.parse({**BASE, "EndStrategy": {"CustomEra": {"DrugCodesetId": 0, **era}}})

    said = parsed(GapUnit="day", GapUnitValue=60, OffsetUnit="day", OffsetUnitValue=7)
    assert said == parsed(GapDays=60, Offset=7)
    with pytest.raises(FlipError, match=r"GapUnit at EndStrategy\.CustomEra is not supported"):
        parsed(GapUnit="hour", GapUnitValue=60)


def test_deep_nesting_is_refused_and_null_is_absent():
    group = dict(GROUP)
    for _ in range(200):
        group = {**GROUP, "Groups": [group]}
    error = refused(lambda e: e.update(AdditionalCriteria=group))
    assert error.code == "unsupported-cohort" and "nested deeper" in str(error)
    expression = {**BASE, "EndStrategy": None, "Title": None, "Unknown": None}
    assert CohortExpression.parse(expression).end_strategy is None
