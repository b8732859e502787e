"""Four hospitals' extracts, each of another shape, give back the published values."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.frozen import DATABASE
from flipnb.demo.hospitals import HOSPITALS
from flipnb.demo.hospitals.make_extracts import COLUMNS
from flipnb.estate import Estate, count, freeze, load
from flipnb.estate.freezing import commitment_to
from flipnb.records import Records

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
PEOPLE = {"Cleveland": (303, 303), "Hungary": (294, 261), "Switzerland": (123, 46), "Long Beach VA": (200, 130)}
NUMBERS = {"trestbps": 2000000101, "chol": 2000000102, "thalach": 2000000105, "oldpeak": 2000000107, "num": 2000000109}
CODED = {
    "fbs": (2000000103, {0: 2000000191, 1: 2000000190}),
    "restecg": (2000000104, {0: 2000000140, 1: 2000000141, 2: 2000000142}),
    "exang": (2000000106, {0: 2000000191, 1: 2000000190}),
    "cp": (2000000108, {1: 2000000181, 2: 2000000182, 3: 2000000183, 4: 2000000184}),
}


@pytest.fixture(scope="module")
def estates(tmp_path_factory):
    root = tmp_path_factory.mktemp("estates")
    return {h.title: (h, root / h.name, load(h.extract, h.mapping, root / h.name)) for h in HOSPITALS}


@pytest.fixture(scope="module")
def study():
    plan = json.loads((NOTEBOOKS / "heart_disease.flip.json").read_text())
    cohort = json.loads((NOTEBOOKS / "heart_disease.cohort.json").read_text())
    return (
        CohortExpression.parse(cohort),
        Dataset.model_validate(plan["dataset"]),
        Split.model_validate(plan["split"]),
    )


def published(hospital) -> list[dict[str, float | None]]:
    with hospital.original.open(newline="") as stream:
        return [
            {name: None if text == "?" else float(text) for name, text in zip(COLUMNS, row, strict=True)}
            for row in csv.reader(stream)
        ]


@pytest.mark.parametrize("title", PEOPLE)
def test_values_survive_the_round_trip(estates, title):
    """Every recorded value is there to 1e-6 of it, and nothing where nothing was recorded."""
    hospital, directory, report = estates[title]
    with Estate.open(directory).reading(report.version) as connection:
        people = connection.execute(
            "SELECT p.person_id, gender_concept_id, year(observation_period_start_date) - year_of_birth "
            "FROM person p JOIN observation_period USING (person_id) ORDER BY 1"
        ).fetchall()
        found = {
            (person, concept): (number, code)
            for table in ("measurement", "observation")
            for person, concept, number, code in connection.execute(
                f"SELECT person_id, {table}_concept_id, value_as_number, value_as_concept_id FROM {table}"
            ).fetchall()
        }
    records = published(hospital)
    assert len(people) == len(records) == PEOPLE[title][0]
    for (person, gender, age), record in zip(people, records, strict=True):
        assert age == record["age"]
        assert gender == {0: 8532, 1: 8507}[int(record["sex"])]
        for name, concept in NUMBERS.items():
            number = found.get((person, concept), (None, None))[0]
            assert (number is None) == (record[name] is None), (person, name)
            assert number is None or math.isclose(number, record[name], rel_tol=1e-6, abs_tol=1e-9), (person, name)
        for name, (concept, codes) in CODED.items():
            code = found.get((person, concept), (None, None))[1]
            assert code == (None if record[name] is None else codes[int(record[name])]), (person, name)


def test_cholesterol_of_zero_is_kept_and_flagged(estates):
    for title, (hospital, directory, report) in estates.items():
        zeros = sum(record["chol"] == 0 for record in published(hospital))
        assert report.flagged == zeros, title
        with Estate.open(directory).reading(report.version) as connection:
            (linked,) = connection.execute(
                "SELECT count(*) FROM observation o JOIN measurement m ON o.observation_event_id = m.measurement_id "
                "AND o.person_id = m.person_id WHERE m.measurement_concept_id = 2000000102 "
                "AND m.value_as_number = 0 AND o.observation_source_value = 'measurement.measurement_id'"
            ).fetchone()
        assert linked == zeros, title
    assert estates["Switzerland"][2].flagged == 123


@pytest.mark.parametrize("title", PEOPLE)
def test_the_tutorials_cohort_is_flambys(estates, study, title):
    """303, 261, 46 and 130 people with all ten measurements; a third of each class, rounded down, in test."""
    hospital, directory, report = estates[title]
    expression, dataset, split = study
    assert count(directory, report.version, expression) == PEOPLE[title][1]
    path = directory / "frozen"
    frozen = freeze(directory, report.version, expression, dataset, split, b"k" * 32, path)
    wanted = [name for name in COLUMNS if name not in ("slope", "ca", "thal")]
    complete = [r for r in published(hospital) if all(r[name] is not None for name in wanted)]
    positive = sum(record["num"] > 0 for record in complete)
    assert frozen.test == positive // 3 + (len(complete) - positive) // 3
    assert frozen.train == len(complete) - frozen.test
    records = Records(path)
    train, test = records.train.frame(), records.test.frame()
    assert (len(train), len(test), len(records.validation)) == (frozen.train, frozen.test, 0)
    assert not train.isna().any().any() and not test.isna().any().any()
    assert sorted([*train["chol"], *test["chol"]]) == pytest.approx(sorted(r["chol"] for r in complete), rel=1e-6)
    assert not records.is_twin


def test_frozen_file_says_nothing_more(estates, study, tmp_path):
    _hospital, directory, report = estates["Hungary"]
    expression, dataset, split = study
    frozen = freeze(directory, report.version, expression, dataset, split, b"a" * 32, tmp_path / "a")
    again = freeze(directory, report.version, expression, dataset, split, b"a" * 32, tmp_path / "b")
    other = freeze(directory, report.version, expression, dataset, split, b"b" * 32, tmp_path / "c")
    first, second, third = (Records(tmp_path / name) for name in ("a", "b", "c"))
    assert first.train.frame().equals(second.train.frame())
    assert not set(first.train.frame().index) & set(third.train.frame().index)
    assert sorted(first.train.frame()["chol"]) == sorted(third.train.frame()["chol"])
    assert len({frozen.commitment, again.commitment, other.commitment}) == 3
    people = [row[0] for row in _members(directory, report.version, expression)]
    assert commitment_to(report.version, people, bytes.fromhex(frozen.salt)) == frozen.commitment
    assert set(first.train.table("measurement")["unit_source_value"]) == {"mm[Hg]", "mg/dL", "/min", "mm", "1"}
    flags = first.train.sql("SELECT count(*) AS n FROM observation WHERE observation_concept_id NOT BETWEEN 2000000103 "
                            "AND 2000000108")["n"][0]  # fmt: skip
    assert flags == 0
    raw = (tmp_path / "a" / DATABASE).read_bytes()
    assert b"person_source_value" not in raw
    assert oct((tmp_path / "a" / DATABASE).stat().st_mode & 0o777) == "0o444"
    assert [file.name for file in (tmp_path / "a").iterdir()] == [DATABASE]


def _members(directory, version, expression):
    from flipnb.estate.cohort import compile_cohort

    with Estate.open(directory).reading(version) as connection:
        return connection.execute(
            f"SELECT DISTINCT person_id FROM ({compile_cohort(expression)}) ORDER BY 1"
        ).fetchall()


def test_kept_extracts_are_what_the_script_makes(tmp_path):
    from flipnb.demo.hospitals import make_extracts

    for hospital in HOSPITALS:
        directory = tmp_path / hospital.name
        directory.mkdir()
        make_extracts.SHAPES[hospital.name](make_extracts.read(hospital), directory)
        assert {p.name: p.read_bytes() for p in directory.iterdir()} == {
            p.name: p.read_bytes() for p in hospital.extract.iterdir()
        }
