"""A question over an estate's tables without rows: what it says there, it says of any data."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest
from cohort_cases import expressions, populations
from cohort_engines import Duck, filling
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from small_estate import EVERYBODY, Person, aged, fill, group, has, ruled

from flipnb.contracts.chart import AgeChart, Chart, MissingChart, SexChart, VariableChart, YearChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Category, Variable
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.__main__ import Worker
from flipnb.enclave.estate_worker.order import Answer, Check, Tabulate
from flipnb.estate.cohort.by_concept import write_by_concept
from flipnb.estate.database import DuckDBDatabase
from flipnb.estate.disclosure import Tabulation
from flipnb.estate.empty import empty_copy
from flipnb.estate.versions import Bounds, Estate

CHARTS: tuple[Chart, ...] = (
    AgeChart(width=5),
    SexChart(),
    YearChart(first=2009, last=2011),
    MissingChart(source="measurement", concept_id=1),
    VariableChart(variable=Variable(name="n", source="measurement", concept_id=1, minimum=-1e15, maximum=1e15)),
    VariableChart(variable=Variable(name="m", source="observation", concept_id=2, minimum=0, maximum=5e-324)),
    VariableChart(
        variable=Variable(
            name="c",
            source="observation",
            concept_id=2,
            value="concept",
            unit="mg",
            categories=tuple(Category(concept_id=n, label=str(n)) for n in range(1000)),
        )
    ),
)
ODD = (0.00005, -1e15, 1e15, 2.5, -0.0, 999_999_999_999_999.0, 3e9, 1e-300)


@pytest.fixture(scope="module")
def duck():
    made = Duck()
    yield made
    made.connection.close()


def with_odd_numbers(value, numbers):
    """The expression, in whose ranges the largest and the smallest numbers stand that may."""
    if isinstance(value, dict):
        made = {key: with_odd_numbers(item, numbers) for key, item in value.items()}
        odd = isinstance(value.get("Op"), str) and isinstance(value.get("Value"), int | float)
        return made | {"Value": next(numbers)} if odd else made
    return [with_odd_numbers(item, numbers) for item in value] if isinstance(value, list) else value


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(expressions(), populations(), st.lists(st.sampled_from(ODD), min_size=4, max_size=4), st.booleans())
def test_what_can_be_asked_of_empty_tables_can_be_asked_of_full_ones(duck, expression, people, numbers, odd):
    bounds = ("MAXIMUM_CRITERIA", "MAXIMUM_NESTED", "MAXIMUM_PAIRED", "MAXIMUM_DISTINCT")
    with patch.multiple("flipnb.contracts.cohort_bounds", **dict.fromkeys(bounds, 1000)):
        parsed = CohortExpression.parse(with_odd_numbers(expression, cycle(numbers)) if odd else expression)
    duck.run(filling(people))
    write_by_concept(duck.connection)
    rules = tuple(range(len(parsed.inclusion_rules) + 1))
    asked = Tabulation.of(DuckDBDatabase(duck.connection), parsed, rules, CHARTS)
    with empty_copy(duck.connection) as empty:
        asked.bind(empty)
    for members in (False, True):
        with duck.connection.cursor() as full:
            tables = asked.run(full, members=members)
    event(f"{'some' if tables[-1] and sum(cell.people for cell in tables[0]) else 'no'} people")


def test_empty_tables_are_those_of_the_version_without_a_row(duck) -> None:
    write_by_concept(duck.connection)
    shape = (
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )
    with empty_copy(duck.connection) as empty:
        assert empty.execute(shape).fetchall() == duck.connection.execute(shape).fetchall()
        for schema, table in empty.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
            assert empty.execute(f"SELECT count(*) FROM {schema}.{table}").fetchall() == [(0,)]


@pytest.fixture
def worker(tmp_path: Path):
    version = fill(tmp_path / "estate", [Person(number) for number in range(1, 31)])
    return version, Worker(tmp_path / "estate", tmp_path / "frozen", Bounds("256MB", tmp_path / "spill"))


PLAIN = ruled(has([EVERYBODY]), group(aged("gte", 18)))


def test_what_no_database_takes_is_refused_by_its_text(worker) -> None:
    """The contracts let no such edges in any more, so that a chart is made that they have not seen."""
    version, one = worker
    wide = Variable.model_construct(name="x", source="age", value="number", minimum=-1e308, maximum=1e308)
    asked = Check(version=version, cohort=PLAIN, rules=(1,), cpu_seconds=5).model_copy(
        update={"charts": (VariableChart.model_construct(variable=wide),)}
    )
    with pytest.raises(FlipError) as caught:
        one.answer(asked)
    assert (caught.value.code, caught.value.status) == ("unanswerable-cohort", 400)
    assert one.answer(Check(version=version, cohort=PLAIN, rules=(0, 1), cpu_seconds=5)) == Answer()


def test_a_table_that_the_estate_has_not_is_named(worker) -> None:
    version, one = worker
    cohort = has([EVERYBODY])
    cohort["PrimaryCriteria"]["CriteriaList"] = [{"LocationRegion": {"CodesetId": 0}}]
    with pytest.raises(FlipError, match="location_history") as caught:
        one.answer(Check(version=version, cohort=cohort, rules=(0,), cpu_seconds=5))
    assert caught.value.code == "estate-incomplete"


def test_what_fails_over_a_record_is_told_to_nobody(worker, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A date that can't be moved so far: the text is well, the record isn't."""
    version, one = worker
    file = tmp_path / "estate" / "versions" / version / "estate.duckdb"
    file.chmod(0o644)
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE condition_occurrence SET condition_start_date = '5881580-07-10'::DATE")
        connection.execute("UPDATE observation_period SET observation_period_end_date = '5881580-07-10'::DATE")
    cohort = has([EVERYBODY]) | {"EndStrategy": {"DateOffset": {"DateField": "StartDate", "Offset": 100_000}}}
    one.answer(Check(version=version, cohort=cohort, rules=(0,), charts=CHARTS, cpu_seconds=5))
    found = one.answer(Tabulate(version=version, cohort=cohort, rules=(0,), charts=CHARTS, seconds=5))
    assert found == Answer(stopped=True)
    assert "failed over what it read" in caplog.text


def test_concept_sets_that_hold_a_vocabulary_over_and_over_are_refused(duck, monkeypatch) -> None:
    write_by_concept(duck.connection)
    monkeypatch.setattr("flipnb.estate.cohort.vocabulary._MOST", 3)
    items = [{"concept": {"CONCEPT_ID": n}, "includeDescendants": True} for n in (1, 2, 1, 2)]
    cohort = has([1]) | {"ConceptSets": [{"id": 0, "name": "", "expression": {"items": items}}]}
    with pytest.raises(FlipError) as caught:
        Tabulation.of(DuckDBDatabase(duck.connection), CohortExpression.parse(cohort), (0,), ())
    assert caught.value.code == "cohort-too-large"


@pytest.mark.parametrize("days", [2**31 - 1, -(2**31)])
def test_a_supply_for_millions_of_years_fails_nobodys_count(tmp_path: Path, days: int) -> None:
    """Else whether there is such a record shows: everybody's number is gone."""
    version = fill(tmp_path / "estate", [Person(number) for number in range(1, 31)])
    file = Estate.open(tmp_path / "estate").file(version)
    file.chmod(0o644)
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "INSERT INTO drug_exposure BY NAME SELECT person_id AS drug_exposure_id, person_id, 7 AS drug_concept_id, "
            "DATE '2015-01-01' AS drug_exposure_start_date, CASE WHEN person_id = 1 THEN $1 ELSE 10 END AS days_supply "
            "FROM person",
            [days],
        )
    asked = has([7])
    asked["PrimaryCriteria"]["CriteriaList"] = [
        {"DrugExposure": {"OccurrenceEndDate": {"Value": "2010-01-01", "Op": "gt"}}}
    ]
    asked["EndStrategy"] = {"CustomEra": {"DrugCodesetId": 0, "GapDays": 30}}
    worker = Worker(tmp_path / "estate", tmp_path / "frozen", Bounds("256MB", tmp_path / "spill"))
    answer = worker.answer(
        Tabulate(version=version, cohort=asked, rules=(0,), charts=(AgeChart(width=30),), seconds=60)
    )
    assert answer.tables is not None
    assert answer.tables[0][0].people == 30
