"""Engines with a small vocabulary to find random cohorts in, and people put into their tables."""

from __future__ import annotations

import duckdb
import psycopg
from cohort_cases import PROVIDERS, TABLES, VOCABULARY, rows_of

from flipnb.estate.cohort.by_concept import copied
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
