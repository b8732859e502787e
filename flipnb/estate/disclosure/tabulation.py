"""Exact numbers of people for a question, for disclosure control alone: one table of cells per number and chart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.chart import (
    FEMALE,
    MALE,
    OLDEST,
    AgeChart,
    Chart,
    MissingChart,
    SexChart,
    VariableChart,
    YearChart,
)
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Variable
from flipnb.estate.cohort.generation import compiled_for
from flipnb.estate.database import DuckDBDatabase, EstateDatabase, incomplete
from flipnb.estate.disclosure.release import Cell
from flipnb.estate.versions import Bounds, Estate
from flipnb.records.variable import has_value, of_person, table_of, taken, within_window

if TYPE_CHECKING:
    import duckdb

_TABLE = {"measurement": "measurement", "observation": "observation", "condition": "condition_occurrence"}


@dataclass(frozen=True)
class Tabulation:
    """A question's statements. ``sizes`` and ``people`` count, or list, those with each of ``rules`` inclusion rules;
    ``member`` makes the table of members, of which each of ``charts`` (a query, and its number of bars) asks."""

    rules: int
    sizes: str
    people: str
    member: str
    charts: tuple[tuple[str, int], ...]

    @classmethod
    def of(
        cls, database: EstateDatabase, expression: CohortExpression, rules: Sequence[int], charts: Sequence[Chart]
    ) -> Tabulation:
        """Of ``database`` the vocabulary alone is read, which holds no patient.

        Raises FlipError ``unsupported-cohort``, ``estate-incomplete``.
        """
        compiled = compiled_for(database, expression, rules)
        member = (
            "CREATE TEMP TABLE member AS SELECT person_id, min(start_date) AS since, "
            f"arg_min(end_date, start_date) AS until FROM ({compiled.rows()}) GROUP BY 1"
        )
        drawn = tuple((_bars(chart), len(chart.labels)) for chart in charts)
        return cls(len(rules), compiled.sizes(), compiled.members(), member, drawn)

    def run(self, connection: duckdb.DuckDBPyConnection, *, members: bool) -> list[list[Cell]]:
        """One cell for each of the rules, then each chart's bars; see ``tabulate``."""
        tables: list[list[Cell]] = []
        if self.rules and members:
            tables = _people(connection, self.people, self.rules)
        elif self.rules:
            tables = [[Cell(int(people))] for _, people in _rows(connection, self.sizes)]
        if self.charts:
            _rows(connection, self.member)
            tables += [_cells(connection, query, bars, members) for query, bars in self.charts]
        return tables

    def bind(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Run the statements, over an empty database: what fails there fails by the question's text alone.

        ``people`` is ``sizes`` but for what it shows of the same rows. Where nothing is counted the members are found.
        """
        if self.rules:
            _rows(connection, self.sizes)
        if self.charts or not self.rules:
            _rows(connection, self.member)
        for query, bars in self.charts:
            for members in (False, True):
                _cells(connection, query, bars, members)


def tabulate(
    estate: Path,
    version: str,
    expression: CohortExpression,
    *,
    rules: Sequence[int],
    charts: Sequence[Chart],
    members: bool = False,
    bounds: Bounds | None = None,
) -> list[list[Cell]]:
    """One cell for each of ``rules`` (the people with the first so many inclusion rules), then each chart's bars.

    ``members`` adds to each cell a digest of who is in it. Everything is compiled before any data is touched, and
    every statement is defined for every value that a column can hold: an error is the question's or the machine's.
    Raises FlipError ``unsupported-cohort``, ``unknown-version``, ``estate-incomplete``.
    """
    with Estate.open(estate, bounds).reading(version) as connection:
        made = Tabulation.of(DuckDBDatabase(connection, version), expression, rules, charts)
        return made.run(connection, members=members)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    """Raises FlipError ``estate-incomplete``."""
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise incomplete(error) from None


def _cells(connection: duckdb.DuckDBPyConnection, query: str, bars: int, members: bool) -> list[Cell]:
    """``query`` gives each person once, with the number of the bar that they are in."""
    if not members:
        found = dict(_rows(connection, f"SELECT bar, count(*) FROM ({query}) GROUP BY 1"))
        return [Cell(int(found.get(bar, 0))) for bar in range(bars)]
    return [cell for (cell,) in _people(connection, f"SELECT bar, person_id FROM ({query})", bars)]


def _people(connection: duckdb.DuckDBPyConnection, query: str, cells: int) -> list[list[Cell]]:
    """``query`` gives the number of a cell and a person who is in it; a table of its own for each cell."""
    people: list[list[int]] = [[] for _ in range(cells)]
    for number, person in _rows(connection, query):
        people[number].append(int(person))
    return [[Cell(len(one), _digest(one))] for one in people]


def _digest(people: list[int]) -> str:
    return hashlib.sha256(",".join(map(str, sorted(people))).encode()).hexdigest()


def _bars(chart: Chart) -> str:
    """A query of person_id and bar over ``member`` (person_id, since, until), each member once."""
    if isinstance(chart, AgeChart):
        age = _age("m.since")
        last = OLDEST // chart.width
        return f"SELECT m.person_id, CASE {_within(f'CAST(floor({age} / {chart.width}) AS INTEGER)', last)} {_PERSON}"
    if isinstance(chart, SexChart):
        return f"SELECT m.person_id, {_one_of('p.gender_concept_id', (FEMALE, MALE), 2)} AS bar {_PERSON}"
    if isinstance(chart, YearChart):
        year = f"CAST(EXTRACT(YEAR FROM m.since) AS INTEGER) - {chart.first - 1}"
        return f"SELECT m.person_id, CASE {_within(year, len(chart.labels) - 1)} FROM member m"
    if isinstance(chart, MissingChart):
        value = "" if chart.source == "condition" else _HAS_VALUE
        recorded = _recorded(chart.source, chart.concept_id, value)
        return f"SELECT m.person_id, CASE WHEN {recorded} THEN 0 ELSE 1 END AS bar FROM member m"
    return _variable(chart)


def _variable(chart: VariableChart) -> str:
    variable = chart.variable
    missing = len(chart.labels) - 1
    if variable.source == "condition":
        found = of_person(variable, "m.person_id", "m.since", "m.until")
        return f"SELECT m.person_id, 1 - {found} AS bar FROM member m"
    if variable.source == "age":
        return f"SELECT m.person_id, {_over_edges(_age('m.since'), chart.edges, missing)} AS bar {_PERSON}"
    codes = chart.codes
    if variable.source == "sex":
        return f"SELECT m.person_id, {_one_of('p.gender_concept_id', codes, missing - 1)} AS bar {_PERSON}"
    value = _values(variable)
    if variable.value == "concept":
        bar = f"CASE WHEN v.value IS NULL THEN {missing} ELSE {_one_of('v.value', codes, missing - 1)} END"
    else:
        number = "coalesce(v.value, 0)" if variable.take == "count" else "v.value"
        bar = _over_edges(number, chart.edges, missing)
    return f"SELECT m.person_id, {bar} AS bar FROM member m LEFT JOIN ({value}) v ON v.person_id = m.person_id"


_PERSON = "FROM member m JOIN person p ON p.person_id = m.person_id"
_HAS_VALUE = " AND (t.value_as_number IS NOT NULL OR t.value_as_concept_id IS NOT NULL)"


def _age(day: str) -> str:
    return f"(EXTRACT(YEAR FROM {day}) - p.year_of_birth)"


def _within(number: str, last: int) -> str:
    """The rest of a CASE: a number cut to 0 … ``last``, as ``bar``."""
    return f"WHEN {number} < 0 THEN 0 WHEN {number} > {last} THEN {last} ELSE {number} END AS bar"


def _one_of(column: str, codes: Sequence[int], other: int) -> str:
    whens = " ".join(f"WHEN {column} = {code} THEN {bar}" for bar, code in enumerate(codes))
    return f"CASE {whens} ELSE {other} END" if whens else str(other)


def _over_edges(value: str, edges: Sequence[float], missing: int) -> str:
    """How many edges a value has reached; without edges, whether there is one. No value is the last bar."""
    reached = " + ".join(f"CASE WHEN {value} >= {edge!r} THEN 1 ELSE 0 END" for edge in edges) or "0"
    return f"CASE WHEN {value} IS NULL THEN {missing} ELSE {reached} END"


def _recorded(source: str, concept: int, value: str) -> str:
    table = _TABLE[source]
    day = "condition_start_date" if source == "condition" else f"{table}_date"
    column = "condition_concept_id" if source == "condition" else f"{table}_concept_id"
    return (
        f"EXISTS (SELECT 1 FROM {table} t WHERE t.person_id = m.person_id AND t.{column} = {concept} "
        f"AND t.{day} <= m.until{value})"
    )


def _values(variable: Variable) -> str:
    """Each member's value in the variable's window, in the declared unit; what is in others counts as missing."""
    unit = ""
    if variable.unit is not None and variable.value == "number":
        code = variable.unit.replace("'", "''")
        unit = f" JOIN concept u ON u.concept_id = t.unit_concept_id AND u.concept_code = '{code}'"
    return (
        f"SELECT t.person_id, {taken(variable)} AS value FROM {table_of(variable)} t JOIN member m "
        f"ON m.person_id = t.person_id AND {within_window(variable, 'm.since', 'm.until')}{unit} "
        f"WHERE {has_value(variable)} GROUP BY 1"
    )
