"""Cohorts written in Python are the JSON that ATLAS would write, and the compiler takes them."""

from __future__ import annotations

import json
from datetime import date

import duckdb
import pytest

import flipnb as flip
from flipnb import cohorts as build
from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort import compile_cohort
from flipnb.estate.omop.cdm import tables

DIABETES = build.concepts("Diabetes", 201826, excluding=[201254])
METFORMIN = build.concepts("Metformin", 1503297, descendants=False, mapped=True)
HBA1C = build.concepts("HbA1c", 3004410)


def whole() -> build.Definition:
    high = build.measurement(HBA1C).value(above=6.5).unit(8554).at_age(at_least=18, at_most=80)
    return (
        build.enter(build.condition(DIABETES).first().at_visit(9201), high, prior_days=365, limit="first")
        .require("Adult women", build.age(at_least=18), build.sex("female"))
        .require("Treated", build.drug(METFORMIN).within(0, 90).at_least(2).different("day").ending(None, 120))
        .require(
            "One of",
            build.any_of(
                build.procedure().within(-30, None).none(),
                build.at_least(2, build.death().any_time(), build.visit().any_time().at_most(3).in_the_same_visit()),
                build.at_most(1, build.observation().any_time().exactly(1).from_index_end().outside_observation()),
            ),
        )
        .keep("last")
        .leave_when_drug_stops(METFORMIN, gap_days=30, more_days=7)
        .leave_on(build.death(), build.condition_era(DIABETES).starting(since=date(2015, 1, 1)))
        .join_stays(10)
        .between(date(2010, 1, 1), date(2020, 12, 31))
    )


def test_json_is_what_atlas_writes():
    definition = build.enter(build.condition(DIABETES).first(), prior_days=365).require(
        "Measured", build.measurement(HBA1C).value(at_least=4, at_most=9).within(-30, 0)
    )
    assert definition.leave_after(30, of="end").expression() == {
        "ConceptSets": [
            {
                "id": 0,
                "name": "Diabetes",
                "expression": {
                    "items": [
                        {"concept": {"CONCEPT_ID": 201826}, "isExcluded": False, "includeDescendants": True,
                         "includeMapped": False},
                        {"concept": {"CONCEPT_ID": 201254}, "isExcluded": True, "includeDescendants": True,
                         "includeMapped": False},
                    ]
                },
            },
            {
                "id": 1,
                "name": "HbA1c",
                "expression": {
                    "items": [
                        {"concept": {"CONCEPT_ID": 3004410}, "isExcluded": False, "includeDescendants": True,
                         "includeMapped": False}
                    ]
                },
            },
        ],
        "PrimaryCriteria": {
            "CriteriaList": [{"ConditionOccurrence": {"First": True, "CodesetId": 0}}],
            "ObservationWindow": {"PriorDays": 365, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": "All"},
        },
        "QualifiedLimit": {"Type": "All"},
        "ExpressionLimit": {"Type": "All"},
        "InclusionRules": [
            {
                "name": "Measured",
                "expression": {
                    "Type": "ALL",
                    "CriteriaList": [
                        {
                            "Criteria": {
                                "Measurement": {"ValueAsNumber": {"Value": 4, "Extent": 9, "Op": "bt"}, "CodesetId": 1}
                            },
                            "StartWindow": {
                                "Start": {"Days": 30, "Coeff": -1},
                                "End": {"Days": 0, "Coeff": 1},
                                "UseIndexEnd": False,
                            },
                            "Occurrence": {"Type": 2, "Count": 1, "IsDistinct": False},
                            "RestrictVisit": False,
                            "IgnoreObservationPeriod": False,
                        }
                    ],
                    "DemographicCriteriaList": [],
                    "Groups": [],
                },
            }
        ],
        "CensoringCriteria": [],
        "CollapseSettings": {"CollapseType": "ERA", "EraPad": 0},
        "CensorWindow": {},
        "EndStrategy": {"DateOffset": {"DateField": "EndDate", "Offset": 30}},
    }  # fmt: skip


def test_everything_round_trips_and_compiles():
    expression = json.loads(json.dumps(whole().expression()))
    parsed = CohortExpression.parse(expression)
    again = json.loads(parsed.model_dump_json(by_alias=True, exclude_unset=True))
    assert CohortExpression.parse(again) == parsed and set(again) == set(expression)
    with duckdb.connect(":memory:") as connection:
        for table in tables().values():
            connection.execute(table.ddl())
        assert connection.execute(compile_cohort(parsed)).fetchall() == []


def test_a_correlated_criterion():
    definition = build.enter(build.visit().when(build.condition(DIABETES).within(0, 3)))
    (criterion,) = definition.expression()["PrimaryCriteria"]["CriteriaList"]
    assert criterion["VisitOccurrence"]["CorrelatedCriteria"]["CriteriaList"][0]["StartWindow"]["End"]["Days"] == 3


def test_texts_and_images():
    pain, ct, slices = build.concepts("Chest pain", 77670), build.concepts("CT", 1), build.concepts("Thickness", 2)
    definition = build.enter(
        build.text(pain).asserted().in_time("present").in_notes(3).first(),
        build.image(ct).at_site(4).feature(slices, at_most=3, unit=8588).feature(pain),
    )
    expression = definition.expression()
    assert expression["PrimaryCriteria"]["CriteriaList"] == [
        {"FlipText": {"TermExists": "Y", "TermTemporal": "present", "NoteClass": [{"CONCEPT_ID": 3}], "First": True,
                      "CodesetId": 0}},
        {"FlipImage": {"AnatomicSite": [{"CONCEPT_ID": 4}], "CodesetId": 1, "Features": [
            {"CodesetId": 2, "ValueAsNumber": {"Value": 3, "Op": "lte"}, "Unit": [{"CONCEPT_ID": 8588}]},
            {"CodesetId": 0}]}},
    ]  # fmt: skip
    assert CohortExpression.parse(expression).beyond_atlas == ("FlipImage", "FlipText")
    assert CohortExpression.parse(whole().expression()).beyond_atlas == ()
    denied = build.enter(build.text(pain).negated()).expression()
    assert denied["PrimaryCriteria"]["CriteriaList"] == [{"FlipText": {"TermExists": "N", "CodesetId": 0}}]


def test_a_notebook_takes_it():
    assert flip.cohort(whole()).expression == whole().expression()


def test_one_limit():
    with pytest.raises(ValueError, match="one limit"):
        build.age()
    with pytest.raises(ValueError, match="one limit"):
        build.measurement().value(above=1, below=2)
