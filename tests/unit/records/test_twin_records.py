"""A twin is a valid frozen cohort, says that it is none, and reads as the declared dataset."""

from __future__ import annotations

import pytest

from flipnb.contracts.dataset import Category, Dataset, Shares, Split, Variable
from flipnb.contracts.problem import FlipError
from flipnb.records import Records
from flipnb.twin import make

YES, NO = Category(concept_id=2000000190, label="yes"), Category(concept_id=2000000191, label="no")
DATASET = Dataset(
    variables=(
        Variable(name="age", source="age", minimum=30, maximum=40),
        Variable(name="sex", source="sex", value="concept"),
        Variable(name="chol", source="measurement", concept_id=2000000102, unit="mg/dL", minimum=100, maximum=300),
        Variable(name="st", source="measurement", concept_id=2000000107, unit="mm", minimum=-0.5, maximum=2),
        Variable(name="sugar", source="observation", concept_id=2000000103, value="concept", categories=(YES, NO)),
        Variable(name="stroke", source="condition", concept_id=2000000300, value="flag"),
    )
)
SPLIT = Split(seed=1, shares=Shares(train=2, validation=1, test=1))


def twin(path, **options) -> Records:
    make(DATASET, SPLIT, path, **options)
    return Records(path)


def test_shape(tmp_path):
    records = twin(tmp_path / "twin", people=100)
    assert records.is_twin and "twin" in repr(records)
    assert records.dataset == DATASET
    assert [len(part) for part in (records.train, records.validation, records.test)] == [50, 25, 25]
    frame = records.train.frame()
    assert list(frame.columns) == ["age", "sex", "chol", "st", "sugar", "stroke"]
    assert frame.index.name == "person_id" and frame.index.is_unique and not frame.isna().any().any()
    assert frame["age"].between(30, 40).all() and frame["chol"].between(100, 300).all()
    assert frame["st"].between(-0.5, 2).all() and set(frame["sugar"]) == {YES.concept_id, NO.concept_id}
    assert set(frame["sex"]) == {8507, 8532} and set(frame["stroke"]) == {0, 1}


def test_parts_do_not_see_each_other(tmp_path):
    records = twin(tmp_path / "twin", people=40)
    train, test = set(records.train.frame().index), set(records.test.frame().index)
    assert not train & test
    assert set(records.train.table("measurement")["person_id"]) == train
    assert set(records.test.sql("SELECT DISTINCT person_id FROM observation")["person_id"]) == test
    with pytest.raises(FlipError, match="no table 'death'"):
        records.train.table("death")


def test_same_seed_same_people(tmp_path):
    first = twin(tmp_path / "a", people=30, seed=5).train.frame()
    assert first.equals(twin(tmp_path / "b", people=30, seed=5).train.frame())
    assert not first.equals(twin(tmp_path / "c", people=30, seed=6).train.frame())


def test_absent_file(tmp_path):
    with pytest.raises(FlipError) as error:
        Records(tmp_path / "none")
    assert error.value.code == "no-cohort"
