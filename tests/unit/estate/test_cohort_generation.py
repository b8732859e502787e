"""``flip estate cohort``: attrition, count and rows, over DuckDB and over PostgreSQL."""

from __future__ import annotations

import json
from datetime import date

import duckdb
import psycopg
import pytest
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate
from flipnb.estate.cohort import generate
from flipnb.estate.cohort.by_concept import write_by_concept
from flipnb.estate.cohort.compiler import compile_steps
from flipnb.estate.cohort.vocabulary import concepts_of
from flipnb.estate.database import Copies, DuckDBDatabase
from flipnb.estate.omop.cdm import tables

READ = ("person", "observation_period", "condition_occurrence", "measurement", "visit_occurrence", "concept",
        "concept_ancestor", "concept_relationship")  # fmt: skip
ALWAYS = {"Start": {"Coeff": -1}, "End": {"Coeff": 1}}


def definition() -> dict:
    """Condition 1 (or a descendant) in adults, with a measurement above 5 within 10 days; 30 days."""
    concept_sets = [
        {"id": n, "name": "", "expression": {"items": [{"concept": {"CONCEPT_ID": c}, "includeDescendants": True}]}}
        for n, c in ((0, 1), (1, 2))
    ]
    near = {"Start": {"Days": 0, "Coeff": -1}, "End": {"Days": 10, "Coeff": 1}}
    measured = {
        "Criteria": {"Measurement": {"CodesetId": 1, "ValueAsNumber": {"Value": 5, "Op": "gt"}}},
        "StartWindow": near,
        "Occurrence": {"Type": 2, "Count": 1},
    }
    adult = {"Age": {"Value": 18, "Op": "gte"}}
    return {
        "ConceptSets": concept_sets,
        "PrimaryCriteria": {
            "CriteriaList": [{"ConditionOccurrence": {"CodesetId": 0}}],
            "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": "All"},
        },
        "InclusionRules": [
            {"name": "adult", "expression": {"Type": "ALL", "DemographicCriteriaList": [adult]}},
            {"name": "measured", "expression": {"Type": "ALL", "CriteriaList": [measured]}},
        ],
        "ExpressionLimit": {"Type": "First"},
        "EndStrategy": {"DateOffset": {"DateField": "StartDate", "Offset": 30}},
    }


def statements() -> list[str]:
    made = [tables()[name].ddl() for name in READ]
    made += [
        f"INSERT INTO concept VALUES ({n}, 'c', 'd', 'v', 'k', NULL, 'x', DATE '1970-01-01', DATE '2099-12-31', NULL)"
        for n in (1, 2, 11)
    ]
    made.append("INSERT INTO concept_ancestor VALUES (1, 11, 1, 1), (1, 1, 0, 0), (2, 2, 0, 0)")
    for person, born, conditions, measured in (
        (1, 1950, ((1, "2020-01-01"), (11, "2020-05-01")), ((7, "2020-05-09"),)),
        (2, 1960, ((11, "2020-02-01"),), ((4, "2020-02-03"),)),
        (3, 2010, ((1, "2020-03-01"),), ((9, "2020-03-01"),)),
        (4, 1970, ((2, "2020-03-01"),), ()),
    ):
        made.append(
            "INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) "
            f"VALUES ({person}, 8507, {born}, 0, 0)"
        )
        made.append(f"INSERT INTO observation_period VALUES ({person}, {person}, '2019-01-01', '2020-05-20', 0)")
        for number, (concept, day) in enumerate(conditions):
            made.append(
                "INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, "
                f"condition_start_date, condition_type_concept_id) VALUES ({person}{number}, {person}, {concept}, "
                f"'{day}', 0)"
            )
        for value, day in measured:
            made.append(
                "INSERT INTO measurement (measurement_id, person_id, measurement_concept_id, measurement_date, "
                f"measurement_type_concept_id, value_as_number) VALUES ({person}, {person}, 2, '{day}', 0, {value})"
            )
    return made


@pytest.fixture(params=["duckdb", "by concept", pytest.param("postgresql", marks=pytest.mark.slow)])
def estate(request, tmp_path):
    if request.param == "postgresql":
        address = request.getfixturevalue("postgresql_server").new_database()
        with psycopg.connect(address) as connection:
            for statement in statements():
                connection.execute(statement.replace(" DOUBLE", " DOUBLE PRECISION"))
        return address

    def write(path):
        with duckdb.connect(str(path)) as connection:
            for statement in statements():
                connection.execute(statement)
            if request.param == "by concept":
                for name in set(tables()) - {*READ, "death"}:
                    connection.execute(tables()[name].ddl())
                write_by_concept(connection)
        return "0" * 32

    Estate.open(tmp_path / "estate").add(write)
    return str(tmp_path / "estate")


def test_command_prints_attrition_and_writes_rows(estate, tmp_path):
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(definition()))
    arguments = ["estate", "cohort", str(path), "--in", estate, "--rows", str(tmp_path / "rows.csv")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "The cohort: 1 people in 1 rows" in shown.output
    report = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert report == {
        "people": 1,
        "rows": 1,
        "attrition": [
            {"name": "Initial events", "people": 3, "events": 4},
            {"name": "adult", "people": 2, "events": 3},
            {"name": "measured", "people": 1, "events": 1},
            {"name": "First event", "people": 1, "events": 1},
        ],
    }
    text = (tmp_path / "rows.csv").read_text()
    assert text == "subject_id,cohort_start_date,cohort_end_date\n1,2020-05-01,2020-05-20\n"


def test_refusals(estate, tmp_path):
    path = tmp_path / "definition.json"
    for change, code in (
        ({"Exposure": {}}, "Exposure at the top is not supported"),
        ({"CensoringCriteria": [{"Death": {}}]}, "The estate has no death"),
    ):
        path.write_text(json.dumps({**definition(), **change}))
        shown = CliRunner().invoke(app, ["estate", "cohort", str(path), "--in", estate])
        assert shown.exit_code == 1 and code in shown.output, shown.output
    for text in ("[]", "{", '{"a": 1, "a": 2}'):
        path.write_text(text)
        assert CliRunner().invoke(app, ["estate", "cohort", str(path), "--in", estate]).exit_code == 1
    assert not (tmp_path / "rows.csv").exists()


def test_estate_that_is_not_there(tmp_path):
    with pytest.raises(FlipError) as error:
        generate(definition(), tmp_path / "none")
    assert error.value.code == "no-estate"
    with pytest.raises(FlipError) as error:
        generate(definition(), f"postgresql:///x?host={tmp_path}")
    assert error.value.code == "database-away"


def test_dates_are_dates(estate):
    assert generate(definition(), estate).people == 1
    later = {**definition(), "CensorWindow": {"StartDate": str(date(2020, 5, 21))}}
    assert generate(later, estate).people == 0


def test_overlapping_periods_count_as_without_copies():
    """A start in two periods makes two events, which copies with one period each could not tell."""
    connection = duckdb.connect()
    for statement in statements():
        connection.execute(statement)
    for name in set(tables()) - set(READ):
        connection.execute(tables()[name].ddl())
    expression = CohortExpression.parse(definition())
    seen = {}
    for period in (None, "(9, 1, '2020-04-01', '2020-05-25', 0)"):
        if period is not None:
            connection.execute(f"INSERT INTO observation_period VALUES {period}")
        write_by_concept(connection)
        copies = DuckDBDatabase(connection).copies
        found = [compile_steps(expression, {0: (1, 11), 1: (2,)}, copies=kind) for kind in (Copies.NONE, copies)]
        plain, copied = (connection.execute(one.attrition()).fetchall() for one in found)
        assert plain == copied
        seen[copies] = plain[0]
    assert seen == {Copies.WITH_PERIODS: (0, 3, 4), Copies.RECORDS: (0, 3, 5)}


@pytest.mark.parametrize(("others", "events"), [((1, 2), 5), ((1, 11), 4), ((1, 11, 11), 4)])
def test_a_record_that_several_criteria_find_is_one_event(others, events):
    """However many sets it is in, and whether they are asked as one or one after the other."""
    connection = duckdb.connect()
    for statement in statements():
        connection.execute(statement)
    for name in set(tables()) - set(READ):
        connection.execute(tables()[name].ddl())
    asked = definition()
    asked["ConceptSets"] = [
        {"id": n, "name": "", "expression": {"items": [{"concept": {"CONCEPT_ID": c}, "includeDescendants": True}]}}
        for n, c in enumerate(others)
    ]
    listed = [{"ConditionOccurrence": {"CodesetId": n}} for n in range(len(others))]
    asked["PrimaryCriteria"]["CriteriaList"] = listed
    asked["InclusionRules"] = []
    expression = CohortExpression.parse(asked)
    write_by_concept(connection)
    found = []
    for known in ({}, concepts_of(DuckDBDatabase(connection), expression.concept_sets)):
        for copies in (Copies.NONE, Copies.WITH_PERIODS):
            sql = compile_steps(expression, known, copies=copies).attrition()
            found.append(connection.execute(sql).fetchall()[0])
    assert {counts[2] for counts in found} == {events}
