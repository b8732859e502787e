"""What a twin counts against the compiler over the same people in an estate; and what it can't say, by name."""

from __future__ import annotations

import json
from datetime import date

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_estate import FEMALE, MALE, Person, concept_set, fill, has

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort import generate
from flipnb.twin import make, preview

CHOL, STROKE, GOUT = 50, 7, 8
DATASET = Dataset(
    variables=(
        Variable(name="age", source="age", minimum=30, maximum=80),
        Variable(name="sex", source="sex"),
        Variable(name="chol", source="measurement", concept_id=CHOL, minimum=0, maximum=10),
        Variable(name="stroke", source="condition", concept_id=STROKE, value="flag"),
        Variable(name="gout", source="condition", concept_id=GOUT, value="flag"),
    )
)
SETS = [
    concept_set(0, [CHOL, 99]),
    concept_set(1, [STROKE]),
    concept_set(2, [STROKE, GOUT]),
    concept_set(3, [CHOL]),
]


@pytest.fixture(scope="module")
def twin_and_estate(tmp_path_factory):
    """A twin, and an estate that holds its people."""
    twin = tmp_path_factory.mktemp("twin") / "twin"
    make(DATASET, Split(seed=1, shares=Shares(train=1)), twin, people=120)
    with duckdb.connect(str(twin / DATABASE), read_only=True) as connection:
        people = connection.execute("SELECT person_id, gender_concept_id, year_of_birth FROM person").fetchall()
        values = dict(connection.execute("SELECT person_id, value_as_number FROM measurement").fetchall())
        conditions = connection.execute("SELECT person_id, condition_concept_id FROM condition_occurrence").fetchall()
    estate = tmp_path_factory.mktemp("estate")
    fill(estate, [
        Person(number, gender, born, date(2020, 1, 1), frozenset(c for p, c in conditions if p == number),
               {CHOL: values[number]})
        for number, gender, born in people
    ])  # fmt: skip
    return twin, estate


ranges = st.builds(
    lambda op, low, more: {"Op": op, "Value": low, **({"Extent": low + more} if "bt" in op else {})},
    st.sampled_from(["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]),
    st.integers(0, 10),
    st.integers(0, 5),
)
ages = ranges.map(lambda r: r | {"Value": 30 + 5 * r["Value"]} | ({"Extent": 100} if "Extent" in r else {}))
genders = st.lists(st.sampled_from([FEMALE, MALE]), max_size=1).map(lambda g: [{"CONCEPT_ID": one} for one in g])
criteria = st.one_of(
    st.builds(lambda r: {"Measurement": {"CodesetId": 0, "ValueAsNumber": r}}, ranges),
    st.builds(lambda n, a: {"ConditionOccurrence": {"CodesetId": n, "Age": a}}, st.sampled_from([1, 2]), ages),
    st.builds(lambda n, g: {"ConditionOccurrence": {"CodesetId": n, "Gender": g}}, st.sampled_from([1, 2]), genders),
)
correlated = st.builds(
    lambda one, kind, count: {
        "Criteria": one,
        "StartWindow": {"Start": {"Coeff": -1}, "End": {"Coeff": 1}},
        "Occurrence": {"Type": kind, "Count": count},
    },
    criteria,
    st.sampled_from([0, 1, 2]),
    st.integers(0, 2),
)
demographic = st.builds(lambda a, g: {"Age": a, "Gender": g}, ages, genders)


def groups(inner):
    return st.builds(
        lambda kind, count, listed, people, nested: {
            "Type": kind, "Count": count, "CriteriaList": listed, "DemographicCriteriaList": people, "Groups": nested,
        },
        st.sampled_from(["ALL", "ANY", "AT_LEAST", "AT_MOST"]),
        st.integers(0, 2),
        st.lists(correlated, max_size=2),
        st.lists(demographic, max_size=2),
        inner,
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(criteria, min_size=1, max_size=2), st.lists(groups(st.lists(groups(st.just([])), max_size=1)), max_size=2)
)
def test_a_twin_counts_as_the_compiler_does(twin_and_estate, start, rules):
    twin, estate = twin_and_estate
    cohort = {
        "ConceptSets": SETS,
        "PrimaryCriteria": {"CriteriaList": start},
        "InclusionRules": [{"name": "", "expression": rule} for rule in rules],
    }
    found = preview(twin, CohortExpression.parse(cohort))
    assert (found.people, found.of, found.twin) == (generate(cohort, estate).people, 120, True), json.dumps(cohort)


def test_texts_and_images_are_drawn(twin_and_estate):
    def people(criterion):
        definition = {**has([STROKE]), "ConceptSets": SETS, "PrimaryCriteria": {"CriteriaList": [criterion]}}
        return preview(twin_and_estate[0], CohortExpression.parse(definition)).people

    texts = [people({"FlipText": {"CodesetId": 1, **asked}}) for asked in (
        {}, {"TermExists": "Y"}, {"TermExists": "N"}, {"TermExists": "Y", "TermTemporal": "past"})]  # fmt: skip
    assert texts[0] == texts[1] + texts[2] and 0 < texts[3] < texts[1] and texts[2] > 0
    assert people({"FlipText": {"CodesetId": 2}}) > texts[0] == people({"FlipText": {"CodesetId": 1}})

    def images(most):
        wanted = {"CodesetId": 3, "ValueAsNumber": {"Op": "lte", "Value": most}}
        return people({"FlipImage": {"CodesetId": 1, "Features": [wanted]}})

    assert 0 == images(-1) < images(3) < images(6) < images(10) == people({"FlipImage": {"CodesetId": 1}}) < 120


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("DrugExposure", {}),
        ("ConditionOccurrence", {"ConditionType": [{"CONCEPT_ID": 3}]}),
        ("FlipText", {"NoteClass": [{"CONCEPT_ID": 3}]}),
        ("FlipImage", {"Features": [{"CodesetId": 0, "ValueAsNumber": {"Op": "gt", "Value": 1}}]}),
    ],
)
def test_what_a_twin_cannot_say_is_refused_by_name(twin_and_estate, domain, said):
    cohort = has([STROKE])
    cohort["PrimaryCriteria"]["CriteriaList"] = [{domain: {"CodesetId": 0, **said}}]
    with pytest.raises(
        FlipError, match="image's feature" if "Features" in said else next(iter(said), domain)
    ) as caught:
        preview(twin_and_estate[0], CohortExpression.parse(cohort))
    assert caught.value.code == "twin-cannot-say"
