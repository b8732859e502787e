"""Our cohorts have the rows of OHDSI's own generated SQL: 59 definitions of its PhenotypeLibrary, two populations."""

from __future__ import annotations

import pytest
from ohdsi_reference import PHENOTYPES, definition, definition_ids, generated, reference_rows, synthea

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort import compile_cohort

ERAS = {"724", "754"}
"""Definitions that read tables of eras, which an estate does not hold yet."""


@pytest.fixture(scope="module")
def populations():
    return {"synthea": synthea(), "generated": generated()}


def test_definitions_are_there():
    assert len(definition_ids()) == 59, f"public test data are missing: {PHENOTYPES}"


@pytest.mark.parametrize("name", [name for name in definition_ids() if name not in ERAS])
def test_same_rows(name, populations):
    sql = compile_cohort(CohortExpression.parse(definition(name)))
    for population, connection in populations.items():
        ours = sorted(connection.cursor().execute(sql).fetchall())
        assert ours == reference_rows(connection, name), population


def test_populations_are_telling(populations):
    """Equal but empty proves little."""
    filled: dict[str, list[str]] = {population: [] for population in populations}
    for name in definition_ids():
        if name not in ERAS:
            sql = compile_cohort(CohortExpression.parse(definition(name)))
            for population, connection in populations.items():
                if connection.cursor().execute(sql).fetchone():
                    filled[population].append(name)
    assert len(filled["synthea"]) == 4, filled["synthea"]
    assert len(filled["generated"]) >= 50, filled["generated"]
