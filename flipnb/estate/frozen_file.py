"""Writing a frozen cohort's file: the members' rows of what the dataset declares, under pseudonyms.

Of a variable with a window there are the rows within it and no others, so that a kernel can't read the future by SQL.

Rows go from the estate's file to the frozen one inside DuckDB. Every id of a row is its number in pseudonymous order,
so that it tells nothing of the estate's; references to visits follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flipnb.contracts.dataset import Dataset, Variable
from flipnb.contracts.frozen import KIND_REAL, META_DATASET, META_KIND, columns_of, definitions, key_of
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError
from flipnb.contracts.window import Window
from flipnb.records.variable import within_window

if TYPE_CHECKING:
    import duckdb

_OF_VARIABLES = {"measurement": "measurement", "observation": "observation", "condition": "condition_occurrence"}
_CONCEPT_OF = {
    "measurement": "measurement_concept_id",
    "observation": "observation_concept_id",
    "condition_occurrence": "condition_concept_id",
    "drug_exposure": "drug_concept_id",
    "procedure_occurrence": "procedure_concept_id",
    "visit_occurrence": "visit_concept_id",
}
_CONCEPT_COLUMNS = (
    "concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, standard_concept, concept_code"
)


class Member(NamedTuple):
    """One person of a cohort; ``name`` is the pseudonym."""

    person_id: int
    name: int
    start: date
    end: date
    part: Part


def write_frozen(
    target: duckdb.DuckDBPyConnection,
    estate: Path,
    dataset: Dataset,
    members: Sequence[Member],
    images: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
) -> None:
    """Fill an empty database with the frozen cohort of ``members`` out of an estate version's file.

    ``images`` fills the table of images, with the estate attached as ``estate`` and the temporary table ``member`` of
    ``Member``'s fields (person_id, name, first, last, split).
    Raises FlipError ``unit-differs`` where a variable's unit is not the one in which the estate holds its values.
    """
    place = str(estate).replace("'", "''")
    target.execute(f"ATTACH '{place}' AS estate (READ_ONLY)")
    try:
        _FrozenFile(target, dataset).write(members, images)
    finally:
        target.execute("DETACH estate")


def _of_variable(variable: Variable) -> str:
    found = f"t.{variable.source}_concept_id = {variable.concept_id}"
    if not isinstance(variable.window, Window):
        return found
    return f"({found} AND {within_window(variable, 'm.first', 'm.last')})"


class _FrozenFile:
    def __init__(self, target: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
        self._sql = target.execute
        self._target = target
        self._dataset = dataset
        self._declared = dataset.declared
        self._definitions = definitions(self._declared, images=bool(dataset.images))
        self._selected = {table.name: table.concepts for table in dataset.tables}

    def write(self, members: Sequence[Member], images: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        for table, columns in self._definitions.items():
            self._sql(f"CREATE TABLE {table} ({columns})")
        for key, value in ((META_DATASET, self._dataset.model_dump_json()), (META_KIND, KIND_REAL)):
            self._sql("INSERT INTO meta VALUES (?, ?)", [key, value])
        self._members(members)
        self._person()
        # Visits first: the other tables refer to them.
        self._sql("CREATE TEMP TABLE visit (old BIGINT, new BIGINT)")
        if "visit_occurrence" in self._declared:
            self._sql(
                "INSERT INTO visit SELECT t.visit_occurrence_id, "
                "row_number() OVER (ORDER BY m.name, t.visit_occurrence_id) "
                f"FROM {self._rows('visit_occurrence', (), '')}"
            )
            self._events("visit_occurrence", ())
        for kind, table in _OF_VARIABLES.items():
            variables = [variable for variable in self._dataset.variables if variable.source == kind]
            self._require_units(table, variables)
            self._events(table, variables)
        for table in self._declared:
            if table not in ("person", "visit_occurrence", *_OF_VARIABLES.values()):
                self._events(table, ())
        images(self._target)
        self._concepts()
        for name in ("member", "visit"):
            self._sql(f"DROP TABLE temp.{name}")

    def _members(self, members: Sequence[Member]) -> None:
        self._sql("CREATE TEMP TABLE member (person_id BIGINT, name BIGINT, first DATE, last DATE, split VARCHAR)")
        if members:
            columns = [list(column) for column in zip(*members, strict=True)]
            kinds = ("BIGINT", "BIGINT", "DATE", "DATE", "VARCHAR")
            self._sql(f"INSERT INTO member SELECT {', '.join(f'unnest(?::{kind}[])' for kind in kinds)}", columns)
        self._sql("INSERT INTO cohort SELECT name, first, last, split FROM member ORDER BY name")

    def _person(self) -> None:
        columns = [name for name in columns_of("person", self._declared) if name != "person_id"]
        self._sql(
            f"INSERT INTO person SELECT m.name, {', '.join(f't.{name}' for name in columns)} "
            "FROM estate.person t JOIN member m ON m.person_id = t.person_id ORDER BY m.name"
        )

    def _wanted(self, table: str, variables: Sequence[Variable]) -> str:
        """The condition on rows: of a variable's concept within its window, or of what is declared of the whole table.

        Of a variable that is read up to the cohort's end every row of the concept is there, as it always was.
        """
        wanted = [_of_variable(variable) for variable in variables]
        if table in self._declared:
            selected = self._selected[table]
            if not selected:
                return ""
            wanted.append(f"t.{_CONCEPT_OF[table]} IN ({', '.join(map(str, sorted(selected)))})")
        return f" WHERE ({' OR '.join(wanted)})" if wanted else " WHERE FALSE"

    def _rows(self, table: str, variables: Sequence[Variable], joins: str) -> str:
        return f"estate.{table} t JOIN member m ON m.person_id = t.person_id{joins}{self._wanted(table, variables)}"

    def _events(self, table: str, variables: Sequence[Variable]) -> None:
        key = key_of(table)
        columns: list[str] = []
        joins = ""
        for name in columns_of(table, self._declared):
            if name == key:
                columns.append(f"row_number() OVER (ORDER BY m.name, t.{key})")
            elif name == "person_id":
                columns.append("m.name")
            elif name == "visit_occurrence_id":
                joins += " LEFT JOIN visit v ON v.old = t.visit_occurrence_id"
                columns.append("v.new")
            elif name == "unit_source_value":
                # The unit that the number is in, which may not be the one that the source had.
                joins += " LEFT JOIN estate.concept u ON u.concept_id = t.unit_concept_id"
                columns.append("u.concept_code")
            else:
                columns.append(f"t.{name}")
        self._sql(
            f"INSERT INTO {table} SELECT {', '.join(columns)} FROM {self._rows(table, variables, joins)} ORDER BY 1"
        )

    def _require_units(self, table: str, variables: Sequence[Variable]) -> None:
        for variable in variables:
            if variable.value != "number" or variable.unit is None or table == "condition_occurrence":
                continue
            found = self._sql(
                f"SELECT u.concept_code FROM estate.{table} t JOIN member m ON m.person_id = t.person_id "
                f"LEFT JOIN estate.concept u ON u.concept_id = t.unit_concept_id "
                f"WHERE t.{_CONCEPT_OF[table]} = {variable.concept_id} AND t.value_as_number IS NOT NULL "
                "AND u.concept_code IS DISTINCT FROM ? LIMIT 1",
                [variable.unit],
            ).fetchone()
            if found is not None:
                raise FlipError(
                    "unit-differs",
                    f"The estate holds {variable.name} (concept {variable.concept_id}) in "
                    f"{found[0] or 'no known unit'}; the dataset asks for {variable.unit}.",
                    remedy="Change the dataset's unit, or let the mapping convert it.",
                )

    def _concepts(self) -> None:
        """The vocabulary's rows of all concepts that occur: what they are called, not who has them."""
        named = [
            f"SELECT {name} FROM {table}"
            for table in self._definitions
            if table != "concept"
            for name in columns_of(table, self._declared)
            if name.endswith("_concept_id")
        ]
        self._sql(
            f"INSERT INTO concept SELECT {_CONCEPT_COLUMNS} FROM estate.concept "
            f"WHERE concept_id IN ({' UNION '.join(named)}) ORDER BY 1"
        )
