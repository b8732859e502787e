"""Equal criteria once multiplied the records of one person, until the time of an answer told whose they were."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from small_estate import group, has, ruled

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort.by_concept import write_by_concept
from flipnb.estate.cohort.generation import compiled_for
from flipnb.estate.database import DuckDBDatabase
from flipnb.estate.omop.cdm import tables

DIALYSIS, JOHNS = 40, 300


@pytest.fixture(scope="module")
def database() -> Iterator[DuckDBDatabase]:
    """Two thousand people with one record of a condition, of whom John has three hundred more."""
    with duckdb.connect(":memory:") as connection:
        for table in tables().values():
            connection.execute(table.ddl().replace(" NOT NULL", ""))
        connection.execute(f"INSERT INTO concept (concept_id) VALUES ({DIALYSIS})")
        for table, columns, values in (
            ("person", "person_id, year_of_birth", "i, 1960"),
            ("observation_period", "observation_period_id, person_id, observation_period_start_date, "
             "observation_period_end_date", "i, i, '2000-01-01', '2030-01-01'"),
            ("condition_occurrence", "condition_occurrence_id, person_id, condition_concept_id, condition_start_date",
             f"i, i, {DIALYSIS}, '2015-06-01'"),
        ):  # fmt: skip
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM range(1, 2001) t(i)")
        connection.execute(
            "INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, "
            f"condition_start_date) SELECT 10000 + i, 1, {DIALYSIS}, DATE '2001-01-01' + 2 * i::INTEGER "
            f"FROM range({JOHNS}) t(i)"
        )
        write_by_concept(connection)
        yield DuckDBDatabase(connection)


def asked(entries: int, equal: int, windows: int, rules: int) -> dict[str, Any]:
    """So many equal entry events, and in each of so many equal rules equal criteria over so many windows."""
    made = has([DIALYSIS])
    made["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "All"}
    made["PrimaryCriteria"]["CriteriaList"] *= entries
    around = [
        {"Start": {"Coeff": 1, "Days": 2 * n + 1}, "End": {"Coeff": 1, "Days": 2 * n + 1}} for n in range(windows)
    ]
    found = {"Criteria": {"ConditionOccurrence": {"CodesetId": 0}}, "Occurrence": {"Type": 2, "Count": 1}}
    near = [found | {"StartWindow": window} for window in around]
    none = group(kind="AT_MOST") | {"CriteriaList": near * equal, "Count": equal - 1}
    return ruled(made, *[none] * rules)


def seconds(database: DuckDBDatabase, cohort: dict[str, Any]) -> float:
    """The shortest of five times."""
    expression, took = CohortExpression.parse(cohort), []
    for _ in range(5):
        began = time.perf_counter()
        list(database.rows(compiled_for(database, expression).people()))
        took.append(time.perf_counter() - began)
    return min(took)


def test_equal_criteria_are_found_once_and_take_the_time_of_one(database: DuckDBDatabase) -> None:
    plain, multiplied = asked(1, 1, 4, 1), asked(10, 4, 4, 4)
    texts = [compiled_for(database, CohortExpression.parse(cohort)).people() for cohort in (plain, multiplied)]
    scans = [text.count("by_concept.condition_occurrence") for text in texts]
    assert scans[0] == scans[1]
    joins = [text.count("primary_events q JOIN") for text in texts]
    assert joins == [4, 4], "a join for each window"
    # Counted as often as they stand there, they took many times as long.
    assert seconds(database, multiplied) < 5 * seconds(database, plain)


def test_equal_criteria_mean_what_they_say(database: DuckDBDatabase) -> None:
    """John alone has a record two days before another; two equal criteria are two that he meets."""
    before = {"Start": {"Coeff": -1, "Days": 2}, "End": {"Coeff": -1, "Days": 2}}
    one = {
        "Criteria": {"ConditionOccurrence": {"CodesetId": 0}},
        "StartWindow": before,
        "Occurrence": {"Type": 2, "Count": 1},
    }
    never = one | {"Occurrence": {"Type": 2, "Count": JOHNS + 2}}
    for kind, listed, count, people in (
        ("AT_LEAST", [one, one, never], 2, 1),
        ("AT_LEAST", [one, never], 2, 0),
        ("AT_LEAST", [one, one, never, never], 3, 0),
        ("AT_MOST", [one, one, never], 1, 2000),
        ("AT_MOST", [one, one, never], 2, 2000),
        ("ALL", [one, one], None, 1),
        ("ANY", [never, one, one], None, 1),
    ):
        made = has([DIALYSIS])
        made["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "All"}
        criteria = group(kind=kind) | {"CriteriaList": listed} | ({} if count is None else {"Count": count})
        expression = CohortExpression.parse(ruled(made, criteria, criteria))
        found = list(database.rows(compiled_for(database, expression).people()))
        assert found == [(people,)], (kind, count)
