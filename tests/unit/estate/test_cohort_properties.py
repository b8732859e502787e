"""Random cohorts over random people: DuckDB, PostgreSQL and a plain-Python evaluator find the same rows."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from cohort_cases import VOCABULARY, expressions, populations
from cohort_engines import Duck, Postgres, filling
from cohort_evaluator import Evaluator
from hypothesis import HealthCheck, event, given, settings

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort import compiler, met
from flipnb.estate.cohort.by_concept import write_by_concept
from flipnb.estate.cohort.compiler import compile_cohort, compile_steps
from flipnb.estate.cohort.subqueries import in_dialect
from flipnb.estate.cohort.vocabulary import concepts_of
from flipnb.estate.database import Copies, DuckDBDatabase


@pytest.fixture(scope="module")
def engines(postgresql_server):
    both = (Duck(), Postgres(postgresql_server.new_database()))
    yield both
    for engine in both:
        engine.connection.close()


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(expression=expressions(), people=populations())
def test_engines_and_plain_python_agree(engines, expression, people):
    evaluator = Evaluator(expression, VOCABULARY)
    expected = [(n, *row) for n, person in enumerate(people, 1) for row in evaluator.rows(person)]
    event(f"{'some' if expected else 'no'} rows")
    parsed = CohortExpression.parse(expression)
    concepts = {number: tuple(sorted(found)) for number, found in evaluator.sets.items()}
    for engine in engines:
        known = compile_steps(parsed, concepts, dialect=engine.dialect)
        engine.run(filling(people))
        asked = compile_cohort(parsed, engine.dialect)
        assert sorted(engine.fetch(asked)) == expected, engine.dialect
        assert sorted(engine.fetch(in_dialect(known.rows(), engine.dialect))) == expected, engine.dialect
        ((people_counted,),) = engine.fetch(in_dialect(known.people(), engine.dialect))
        steps = engine.fetch(in_dialect(known.attrition(), engine.dialect))
        assert people_counted == steps[-1][1] == len({row[0] for row in expected}), engine.dialect
        assert steps[-1][2] == len(expected)
    connection = engines[0].connection
    assert concepts_of(DuckDBDatabase(connection), parsed.concept_sets) == concepts
    write_by_concept(connection)
    assert concepts_of(DuckDBDatabase(connection), parsed.concept_sets) == concepts
    for copies, stacked, few in (
        (DuckDBDatabase(connection).copies, 16, 0),
        (Copies.RECORDS, 0, 1),
        (Copies.NONE, 16, 2),
    ):
        event(f"copies: {copies.name}")
        # Without a stack, groups of few criteria are asked as those of many are; people with more events than few have
        # many, near which records are found in their order.
        with patch.object(met, "STACKED", stacked), patch.object(compiler, "FEW", few):
            by_concept = compile_steps(parsed, concepts, copies=copies)
        assert sorted(engines[0].fetch(by_concept.rows())) == expected, copies
        assert engines[0].fetch(by_concept.people()) == [(people_counted,)], copies
