"""Random cohorts over random people: the compiler and a plain-Python evaluator find the same rows."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest
from cohort_evaluator import Event, Person, cohort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort import compile_cohort
from flipnb.estate.omop.cdm import tables

CONCEPTS = (1, 2, 3, 4)
DAY_ONE = date(2010, 1, 1)
USED = ("person", "observation_period", "measurement", "observation", "condition_occurrence", "concept",
        "concept_ancestor", "visit_occurrence")  # fmt: skip
LENGTH = 60

days = st.integers(0, LENGTH)
concept = st.sampled_from(CONCEPTS).map(lambda c: {"CONCEPT_ID": c})
genders = st.lists(st.sampled_from([8507, 8532]).map(lambda c: {"CONCEPT_ID": c}), min_size=1, max_size=2)


@st.composite
def ranges(draw, low, high):
    op = draw(st.sampled_from(["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]))
    first, second = draw(st.integers(low, high)), draw(st.integers(low, high))
    return {"Value": first, "Op": op, **({"Extent": second} if op in ("bt", "!bt") else {})}


@st.composite
def criteria(draw):
    domain = draw(st.sampled_from(["Measurement", "Observation", "ConditionOccurrence"]))
    one = {"CodesetId": draw(st.integers(0, 1))}
    if draw(st.booleans()):
        one["First"] = draw(st.booleans())
    if domain != "ConditionOccurrence" and draw(st.booleans()):
        one["ValueAsNumber"] = draw(ranges(0, 3))
    if draw(st.integers(0, 3)) == 0:
        one["Age"] = draw(ranges(20, 60))
    if draw(st.integers(0, 3)) == 0:
        one["Gender"] = draw(genders)
    return {domain: one}


@st.composite
def windows(draw, event_end):
    def side(coeff):
        return {"Coeff": coeff, **({"Days": draw(st.integers(0, 30))} if draw(st.booleans()) else {})}

    return {
        "Start": side(draw(st.sampled_from([-1, 1]))),
        "End": side(draw(st.sampled_from([-1, 1, 1]))),
        "UseIndexEnd": draw(st.booleans()),
        "UseEventEnd": draw(event_end),
    }


@st.composite
def correlated(draw):
    one = {
        "Criteria": draw(criteria()),
        "StartWindow": draw(windows(st.booleans())),
        "Occurrence": {
            "Type": draw(st.integers(0, 2)),
            "Count": draw(st.integers(0, 2)),
            "IsDistinct": draw(st.booleans()),
        },
        "IgnoreObservationPeriod": draw(st.booleans()),
    }
    if draw(st.booleans()):
        one["EndWindow"] = draw(windows(st.sampled_from([None, True, False])))
    return one


@st.composite
def groups(draw, depth=0):
    kind = draw(st.sampled_from(["ALL", "ANY", "AT_LEAST", "AT_MOST"]))
    result = {
        "Type": kind,
        "CriteriaList": draw(st.lists(correlated(), max_size=2)),
        "DemographicCriteriaList": [],
        "Groups": draw(st.lists(groups(depth=depth + 1), max_size=1)) if depth < 2 else [],
    }
    if draw(st.booleans()):
        result["DemographicCriteriaList"] = [{"Age": draw(ranges(20, 60)), "Gender": draw(genders)}]
    if kind.startswith("AT_"):
        result["Count"] = draw(st.integers(0, 2))
    return result


@st.composite
def expressions(draw):
    limit = st.sampled_from(["All", "First", "Last"]).map(lambda kind: {"Type": kind})
    items = st.lists(
        st.builds(lambda c, x: {"concept": c, "isExcluded": x}, concept, st.sampled_from([False, False, True])),
        min_size=1, max_size=4,
    )  # fmt: skip
    result = {
        "ConceptSets": [{"id": n, "name": "", "expression": {"items": draw(items)}} for n in (0, 1)],
        "PrimaryCriteria": {
            "CriteriaList": draw(st.lists(criteria(), min_size=1, max_size=2, unique_by=lambda c: next(iter(c)))),
            "ObservationWindow": {"PriorDays": draw(st.integers(0, 4)), "PostDays": draw(st.integers(0, 4))},
            "PrimaryCriteriaLimit": draw(limit),
        },
        "QualifiedLimit": draw(limit),
        "ExpressionLimit": draw(limit),
        "InclusionRules": [{"name": "r", "expression": g} for g in draw(st.lists(groups(), max_size=1))],
        "CensoringCriteria": draw(st.lists(criteria(), max_size=1)),
        "CollapseSettings": {"CollapseType": "ERA", "EraPad": draw(st.integers(0, 10))},
    }
    if draw(st.integers(0, 2)) == 0:
        result["AdditionalCriteria"] = draw(groups())
    if draw(st.booleans()):
        field = draw(st.sampled_from(["StartDate", "EndDate"]))
        result["EndStrategy"] = {"DateOffset": {"DateField": field, "Offset": draw(st.integers(-3, 20))}}
    return result


@st.composite
def populations(draw):
    people = []
    number = 0
    for _ in range(draw(st.integers(3, 7))):
        cut = draw(st.integers(10, LENGTH))
        periods = [(DAY_ONE, DAY_ONE + timedelta(days=cut))]
        if cut < LENGTH - 5 and draw(st.booleans()):
            periods.append((DAY_ONE + timedelta(days=cut + 3), DAY_ONE + timedelta(days=LENGTH)))
        events = []
        for _ in range(draw(st.integers(3, 9))):
            number += 1
            domain = draw(st.sampled_from(["Measurement", "Observation", "ConditionOccurrence"]))
            start = DAY_ONE + timedelta(days=draw(days))
            length = draw(st.integers(1, 15)) if domain == "ConditionOccurrence" else 1
            value = None if domain == "ConditionOccurrence" else draw(st.sampled_from([None, 0.0, 1.0, 2.0, 3.0]))
            end = start + timedelta(days=length)
            events.append(Event(number, domain, draw(st.sampled_from(CONCEPTS)), start, end, value))
        gender, born = draw(st.sampled_from([8507, 8532])), draw(st.integers(1950, 1990))
        people.append(Person(gender, born, tuple(periods), tuple(events)))
    return people


@pytest.fixture(scope="module")
def connection():
    connection = duckdb.connect(":memory:")
    for name in USED:
        connection.execute(tables()[name].ddl())
    for one in CONCEPTS:
        connection.execute(
            "INSERT INTO concept VALUES (?, 'c', 'd', 'v', 'k', NULL, 'x', DATE '1970-01-01', DATE '2099-12-31', NULL)",
            [one],
        )
    return connection


def fill(connection, people):
    for name in ("person", "observation_period", "measurement", "observation", "condition_occurrence"):
        connection.execute(f"DELETE FROM {name}")
    period = 0
    for person_id, person in enumerate(people, 1):
        connection.execute(
            "INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) "
            "VALUES (?, ?, ?, 0, 0)",
            [person_id, person.gender, person.born],
        )
        for start, end in person.periods:
            period += 1
            connection.execute("INSERT INTO observation_period VALUES (?, ?, ?, ?, 0)", [period, person_id, start, end])
        for event in person.events:
            if event.domain == "ConditionOccurrence":
                connection.execute(
                    "INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, "
                    "condition_start_date, condition_end_date, condition_type_concept_id) VALUES (?, ?, ?, ?, ?, 0)",
                    [event.number, person_id, event.concept, event.start, event.end],
                )
            else:
                table = event.domain.lower()
                connection.execute(
                    f"INSERT INTO {table} ({table}_id, person_id, {table}_concept_id, {table}_date, "
                    f"{table}_type_concept_id, value_as_number) VALUES (?, ?, ?, ?, 0, ?)",
                    [event.number, person_id, event.concept, event.start, event.value],
                )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                                                               HealthCheck.function_scoped_fixture])  # fmt: skip
@given(expression=expressions(), people=populations())
def test_compiler_and_plain_python_agree(connection, expression, people):
    fill(connection, people)
    sql = compile_cohort(CohortExpression.parse(expression))
    expected = [(n, *row) for n, person in enumerate(people, 1) for row in cohort(expression, person)]
    assert sorted(connection.execute(sql).fetchall()) == expected
