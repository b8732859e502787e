"""Splits by folds, by a variable and by date: what they promise, and an estate's against plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import date
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_estate import EVERYBODY, Person, fill, has

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Shares, Split, SplitByDate, SplitByVariable, Stratify, Variable
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.window import Window
from flipnb.estate import freeze, split_people
from flipnb.records import Records
from flipnb.twin import make

CENTRE, ILL = 50, 7
PARTS = ("train", "validation", "test")
CHANCE = Random(11)
PEOPLE = [
    Person(
        number,
        gender=CHANCE.choice((8507, 8532)),
        born=CHANCE.randint(1930, 1990),
        since=date(CHANCE.randint(2010, 2019), CHANCE.randint(1, 12), 9),
        conditions=frozenset({ILL} if CHANCE.random() < 0.3 else ()),
        values={CENTRE: float(CHANCE.randint(1, 5))} if CHANCE.random() < 0.9 else {},
    )
    for number in range(1, 121)
]
AT_INDEX = Window(start_days=0, end_days=0)
DATASET = Dataset(
    variables=(
        Variable(name="centre", source="measurement", concept_id=CENTRE, window=AT_INDEX, minimum=1, maximum=5),
        Variable(name="ill", source="condition", concept_id=ILL, value="flag", window=AT_INDEX),
        Variable(name="sex", source="sex"),
        Variable(name="age", source="age", minimum=30, maximum=60),
    )
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(1, 500), st.integers(0, 1), max_size=60),
    st.integers(2, 12),
    st.integers(0, 2**31 - 1),
    st.integers(0, 3),
)
def test_over_all_folds_each_member_is_in_test_once(classes, folds, seed, validation):
    people = sorted(classes)
    splits = [
        split_people(
            people,
            classes,
            Split(seed=seed, shares=Shares(train=2, validation=validation), folds=folds, fold=fold),
        )
        for fold in range(folds)
    ]
    assert Counter(p for parts in splits for p, part in parts.items() if part == "test") == dict.fromkeys(people, 1)
    for parts in splits:
        assert sorted(parts) == people
        for label in (0, 1):
            group = [parts[person] for person in people if classes[person] == label]
            assert len(group) // folds <= group.count("test") <= -(-len(group) // folds)
            others = len(group) - group.count("test")
            assert group.count("validation") == others * validation // (2 + validation)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(1, 5), st.integers(0, 5), st.integers(0, 5))
def test_shares_alone_mean_what_they_meant(members, train, validation, test):
    split = Split(seed=0, shares=Shares(train=train, validation=validation, test=test))
    found = Counter(split.part_of(rank, members) for rank in range(members))
    total = train + validation + test
    assert found["test"] == members * test // total and found["validation"] == members * validation // total


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("estate") / "e"
    return directory, fill(directory, PEOPLE)


BY = {
    "centre": SplitByVariable(variable="centre", validation=(4,), test=(5,)),
    "condition": SplitByVariable(variable="ill", test=(1,)),
    "sex": SplitByVariable(variable="sex", test=(8507,)),
    "age": SplitByVariable(variable="age", test=tuple(range(20, 45))),
}
VALUES = {
    "centre": lambda one: one.values.get(CENTRE),
    "condition": lambda one: float(ILL in one.conditions),
    "sex": lambda one: one.gender,
    "age": lambda one: one.since.year - one.born,
}


def sizes(records):
    return {part: len(getattr(records, part)) for part in PARTS}


@pytest.mark.parametrize("by", BY)
def test_a_split_by_a_variable_goes_by_its_value(estate, tmp_path, by):
    rule = BY[by]
    share = 0 if rule.validation else 1
    split = Split(seed=5, shares=Shares(train=3, validation=share), by_variable=rule)
    freeze(*estate, EVERYONE, DATASET, split, b"k" * 32, tmp_path / "f")
    records = Records(tmp_path / "f")
    placed = Counter(rule.part(VALUES[by](one)) for one in PEOPLE)
    rest = placed.pop(None)
    validation = placed["validation"] + rest * share // (3 + share)
    assert sizes(records) == {
        "test": placed["test"], "validation": validation, "train": len(PEOPLE) - placed["test"] - validation
    }  # fmt: skip
    assert placed["test"] > 0
    column = {"condition": "ill"}.get(by, by)
    assert set(records.test.frame()[column]) <= set(rule.test)
    assert not set(records.train.frame()[column]) & set(rule.test)


def test_a_split_by_date_goes_by_the_index_date(estate, tmp_path):
    rule = SplitByDate(validation_from=date(2015, 1, 1), test_from=date(2017, 6, 9))
    freeze(*estate, EVERYONE, DATASET, Split(seed=5, shares=Shares(train=1), by_date=rule), b"k" * 32, tmp_path / "f")
    records = Records(tmp_path / "f")
    years = {part: getattr(records, part).sql("SELECT cohort_start_date AS day FROM cohort")["day"] for part in PARTS}
    starts = [one.since for one in PEOPLE]
    before = {
        "train": [day for day in starts if day < date(2015, 1, 1)],
        "validation": [day for day in starts if date(2015, 1, 1) <= day < date(2017, 6, 9)],
        "test": [day for day in starts if day >= date(2017, 6, 9)],
    }
    for part in PARTS:
        assert sorted(day.date() for day in years[part]) == sorted(before[part])


def test_folds_of_an_estate_are_stratified_and_those_of_another_fold_are_others(estate, tmp_path):
    found = []
    cohort = CohortExpression.parse(has([ILL]))
    for fold in range(3):
        split = Split(seed=5, shares=Shares(train=1), folds=3, fold=fold)
        freeze(*estate, cohort, DATASET, split, b"k" * 32, tmp_path / str(fold))
        found.append(set(Records(tmp_path / str(fold)).test.frame().index))
    ill = sum(ILL in one.conditions for one in PEOPLE)
    assert sum(map(len, found)) == len(set.union(*found)) == ill


EVERYONE = CohortExpression.parse(has([EVERYBODY]))


@pytest.mark.parametrize(
    "split",
    [
        Split(seed=0, shares=Shares(train=3, validation=1), folds=4, fold=2),
        Split(seed=0, shares=Shares(train=3, validation=1), by_date=SplitByDate(test_from=date(2024, 1, 1))),
        Split(seed=0, shares=Shares(train=3), by_date=SplitByDate(validation_from=date(2019, 1, 1),
                                                                  test_from=date(2024, 1, 1))),
        Split(seed=0, shares=Shares(train=3), by_variable=BY["centre"]),
        Split(seed=0, shares=Shares(train=3, validation=1), by_variable=BY["sex"]),
        Split(seed=0, shares=Shares(train=3, validation=1), by_variable=BY["condition"]),
    ],
)  # fmt: skip
def test_a_twin_is_split_by_the_same_rule(tmp_path, split):
    make(DATASET, split, tmp_path / "twin", people=80)
    records = Records(tmp_path / "twin")
    assert min(sizes(records).values()) > 0 and sum(sizes(records).values()) == 80
    days = records.test.sql("SELECT cohort_start_date AS day FROM cohort")["day"]
    if split.by_date is not None:
        assert {split.by_date.part(day.date()) for day in days} == {"test"}
        assert not records.test.frame().isna().any().any(), "windows are around each person's own day"
    if split.by_variable is not None:
        assert set(records.test.frame()[split.by_variable.variable]) <= set(split.by_variable.test)
    assert (tmp_path / "twin" / DATABASE).is_file()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folds": 3, "fold": 3}, "no fold 3 of 3"),
        ({"fold": 1}, "no fold 1 of none"),
        ({"folds": 3, "shares": {"train": 1, "test": 1}}, "who is in test: its share is 0"),
        ({"by_date": {"test_from": "2020-01-01"}, "shares": {"train": 1, "test": 1}}, "who is in test"),
        ({"by_date": {"test_from": "2020-01-01", "validation_from": "2020-01-01"}}, "the first before the second"),
        ({"by_date": {}}, "needs validation_from or test_from"),
        ({"by_variable": {"variable": "x"}}, "needs values"),
        ({"by_variable": {"variable": "x", "test": [1], "validation": [1]}}, "both in validation and in test"),
        ({"by_variable": {"variable": "x", "test": [1]}, "folds": 2}, "not by two of them"),
    ],
)
def test_a_split_without_sense_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        Split.model_validate({"seed": 0, "shares": {"train": 1}} | changes)


def test_a_stratified_split_of_what_a_rule_leaves(estate, tmp_path):
    """Classes are among the rest; who is placed by a value is of none."""
    people, classes = list(range(1, 41)), {person: person % 2 for person in range(1, 41)}
    split = Split(seed=1, shares=Shares(train=1, validation=1), stratify=Stratify(variable="centre", above=2),
                  by_variable=SplitByVariable(variable="centre", test=(5,)))  # fmt: skip
    parts = split_people(people, classes, split, dict.fromkeys(range(1, 11), "test"))
    assert Counter(parts.values()) == {"test": 10, "validation": 14, "train": 16}
    assert {parts[person] for person in range(1, 11)} == {"test"}


def test_a_split_stratified_by_a_condition_has_as_many_of_the_ill_in_each_part(estate, tmp_path):
    """Everybody has a value of a condition. It was refused when the cohort was frozen, after rehearsal and approval."""
    directory, version = estate
    split = Split(seed=1, shares=Shares(train=2, test=1), stratify=Stratify(variable="ill", above=0))
    frozen = tmp_path / "frozen"
    freeze(directory, version, EVERYONE, DATASET, split, b"k" * 32, frozen)
    records = Records(frozen)
    ill = sum(ILL in one.conditions for one in PEOPLE)
    found = {part: int(getattr(records, part).frame()["ill"].sum()) for part in PARTS}
    assert found == {"train": ill - ill // 3, "validation": 0, "test": ill // 3}
