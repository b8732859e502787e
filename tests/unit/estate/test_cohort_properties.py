"""Random cohorts over random people: DuckDB, PostgreSQL and a plain-Python evaluator find the same rows."""

from __future__ import annotations

from unittest.mock import patch

import duckdb
import psycopg
import pytest
from cohort_cases import PROVIDERS, TABLES, VOCABULARY, expressions, populations, rows_of
from cohort_evaluator import Evaluator
from hypothesis import HealthCheck, event, given, settings

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort import met
from flipnb.estate.cohort.by_concept import copied, write_by_concept
from flipnb.estate.cohort.compiler import compile_cohort, compile_steps
from flipnb.estate.cohort.subqueries import in_dialect
from flipnb.estate.cohort.vocabulary import concepts_of
from flipnb.estate.database import Copies, DuckDBDatabase
from flipnb.estate.omop.cdm import tables

_DAYS = "DATE '1970-01-01', DATE '2099-12-31'"


def vocabulary(dialect: str) -> list[str]:
    made = [tables()[name].ddl(dialect) for name in (*TABLES, "concept", "concept_ancestor", "concept_relationship")]
    for concept, valid in VOCABULARY.concepts.items():
        made.append(
            f"INSERT INTO concept VALUES ({concept}, 'c', 'd', 'v', 'k', NULL, 'x', {_DAYS}, "
            f"{'NULL' if valid else chr(39) + 'D' + chr(39)})"
        )
    made += [f"INSERT INTO concept_ancestor VALUES ({a}, {d}, 0, 0)" for a, d in sorted(VOCABULARY.ancestors)]
    made += [
        f"INSERT INTO concept_relationship VALUES ({source}, {target}, '{kind}', {_DAYS}, {invalid})"
        for source, target in sorted(VOCABULARY.mapped)
        for kind, invalid in (("Maps to", "NULL"), ("Mapped from", "NULL"))
    ]
    made.append(f"INSERT INTO concept_relationship VALUES (4, 1, 'Maps to', {_DAYS}, 'D')")
    made.append(tables()["provider"].ddl(dialect))
    values = ", ".join(f"({n}, {'NULL' if s is None else s})" for n, s in PROVIDERS.items())
    return [*made, f"INSERT INTO provider (provider_id, specialty_concept_id) VALUES {values}"]


class Duck:
    dialect = "duckdb"

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        for statement in vocabulary(self.dialect):
            self.connection.execute(statement)
        for name in set(copied()) - set(TABLES):
            self.connection.execute(tables()[name].ddl())

    def fetch(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def run(self, statements: list[str]) -> None:
        self.connection.execute("; ".join(statements))


class Postgres:
    dialect = "postgres"

    def __init__(self, address: str) -> None:
        self.connection = psycopg.connect(address, autocommit=True)
        for statement in vocabulary(self.dialect):
            self.connection.execute(statement)

    def fetch(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def run(self, statements: list[str]) -> None:
        self.connection.execute("; ".join(statements))


@pytest.fixture(scope="module")
def engines(postgresql_server):
    both = (Duck(), Postgres(postgresql_server.new_database()))
    yield both
    for engine in both:
        engine.connection.close()


def filling(people) -> list[str]:
    statements = []
    for table, rows in rows_of(people).items():
        statements.append(f"DELETE FROM {table}")
        columns = sorted({column for row in rows for column in row} | required(table)) if rows else []
        values = ", ".join("(" + ", ".join(literal(row.get(name, default(table, name))) for name in columns) + ")"
                           for row in rows)  # fmt: skip
        if rows:
            statements.append(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}")
    return statements


def required(table: str) -> set[str]:
    return {field.name for field in tables()[table].fields if field.required}


def default(table: str, column: str) -> int | str | None:
    if column not in required(table):
        return None
    return "2010-01-01" if tables()[table].field(column).type == "DATE" else 0


def literal(value) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(expression=expressions(), people=populations())
def test_engines_and_plain_python_agree(engines, expression, people):
    evaluator = Evaluator(expression, VOCABULARY)
    expected = [(n, *row) for n, person in enumerate(people, 1) for row in evaluator.rows(person)]
    event(f"{'some' if expected else 'no'} rows")
    parsed = CohortExpression.parse(expression)
    concepts = {number: tuple(sorted(found)) for number, found in evaluator.sets.items()}
    known = compile_steps(parsed, concepts)
    for engine in engines:
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
    for copies, stacked in ((DuckDBDatabase(connection).copies, 16), (Copies.RECORDS, 0)):
        event(f"copies: {copies.name}")
        # Without a stack, groups of few criteria are asked as those of many are.
        with patch.object(met, "STACKED", stacked):
            by_concept = compile_steps(parsed, concepts, copies=copies)
        assert sorted(engines[0].fetch(by_concept.rows())) == expected, copies
        assert engines[0].fetch(by_concept.people()) == [(people_counted,)], copies
