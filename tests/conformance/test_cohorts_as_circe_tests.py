"""The cases that OHDSI tests its own compiler with give the rows that it expects."""

from __future__ import annotations

import duckdb
import pytest
from circe_cases import VOCABULARY, Case, as_dates, cases

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.generation import compiled_for
from flipnb.estate.database import DuckDBDatabase
from flipnb.estate.omop.cdm import tables

CASES = cases()


def filled(case: Case):
    """The tables that a case reads; columns may be empty, which 5.4 requires."""
    connection = duckdb.connect()
    for name, rows in {**VOCABULARY, **case.tables}.items():
        connection.execute(tables()[name].ddl(checked=False))
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    return connection


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rows_that_ohdsi_expects(case):
    with filled(case) as connection:
        database = DuckDBDatabase(connection)
        for number, (definition, rows) in enumerate(case.cohorts, 1):
            compiled = compiled_for(database, CohortExpression.parse(definition))
            assert sorted(database.rows(compiled.rows())) == as_dates(rows), f"cohort {number}"


def test_occurrence_of_no_known_type_is_refused():
    definition, _ = CASES[1].cohorts[-1]
    definition["AdditionalCriteria"]["CriteriaList"][0]["Occurrence"]["Type"] = -99
    with pytest.raises(FlipError) as error:
        CohortExpression.parse(definition)
    assert "Occurrence" in error.value.message


def test_exit_without_a_concept_set_of_drugs_is_refused():
    definition, _ = next(case for case in CASES if case.name == "exits/continuousExposure").cohorts[0]
    del definition["EndStrategy"]["CustomEra"]["DrugCodesetId"]
    with pytest.raises(FlipError) as error:
        CohortExpression.parse(definition)
    assert "DrugCodesetId" in error.value.message
