"""Reading a frozen cohort: one frame per part, any table, any SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.dataset import Dataset, Variable
from flipnb.contracts.frozen import KIND_TWIN, META_DATASET, META_KIND, TABLES
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_PERSON_COLUMN = {"cohort": "subject_id"}


class Records:
    """A frozen cohort, or its twin. ``train``, ``validation`` and ``test`` are the plan's split."""

    def __init__(self, path: Path) -> None:
        import duckdb

        if not path.exists():
            raise FlipError("no-cohort", f"There is no frozen cohort at {path}.")
        self._connection = duckdb.connect(
            ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        self._connection.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS frozen (READ_ONLY)")
        meta = dict(self._connection.execute("SELECT key, value FROM frozen.meta").fetchall())
        self.dataset = Dataset.model_validate_json(meta[META_DATASET])
        self.is_twin: bool = meta[META_KIND] == KIND_TWIN

    @property
    def train(self) -> PartRecords:
        return PartRecords(self, "train")

    @property
    def validation(self) -> PartRecords:
        return PartRecords(self, "validation")

    @property
    def test(self) -> PartRecords:
        return PartRecords(self, "test")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        return self._connection

    def __repr__(self) -> str:
        kind = "a twin: synthetic people, none of them real" if self.is_twin else "a frozen cohort"
        names = ", ".join(variable.name for variable in self.dataset.variables)
        return f"<flip records of {kind}; variables {names}>"


class PartRecords:
    """The people of one part of the split."""

    def __init__(self, records: Records, part: Part) -> None:
        self._records = records
        self.part = part
        connection = records.connection
        self._schema = f"part_{part}"
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        members = f"(SELECT subject_id FROM frozen.cohort WHERE split = '{part}')"
        for table in TABLES:
            if table != "meta":
                column = _PERSON_COLUMN.get(table, "person_id")
                connection.execute(
                    f"CREATE OR REPLACE VIEW {self._schema}.{table} AS "
                    f"SELECT * FROM frozen.{table} WHERE {column} IN {members}"
                )

    def __len__(self) -> int:
        (count,) = self._cursor().execute("SELECT count(*) FROM cohort").fetchone() or (0,)
        return int(count)

    def sql(self, query: str, parameters: list[Any] | None = None) -> pd.DataFrame:
        """The result of a query over this part's tables: cohort, person, measurement, observation, …"""
        return self._cursor().execute(query, parameters or []).df()

    def table(self, name: str) -> pd.DataFrame:
        """One whole table of this part. Raises FlipError ``no-table`` that names those there are."""
        names = sorted(set(TABLES) - {"meta"})
        if name not in names:
            raise FlipError("no-table", f"A frozen cohort has no table {name!r}; it has {', '.join(names)}.")
        return self.sql(f"SELECT * FROM {name} ORDER BY ALL")

    def frame(self) -> pd.DataFrame:
        """One row per person, ordered by pseudonym (the index, ``person_id``), one column per variable of the dataset.

        Missing values are NaN. Column rules are those of ``contracts.dataset.Variable``.
        """
        columns = ["c.subject_id AS person_id"]
        columns += [f'{_expression(variable)} AS "{variable.name}"' for variable in self._records.dataset.variables]
        query = f"SELECT {', '.join(columns)} FROM cohort c JOIN person p ON p.person_id = c.subject_id ORDER BY 1"
        return self.sql(query).set_index("person_id")

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._records.connection.cursor()
        cursor.execute(f"SET schema = '{self._schema}'")
        return cursor


def _expression(variable: Variable) -> str:
    if variable.source == "age":
        return "year(c.cohort_start_date) - p.year_of_birth"
    if variable.source == "sex":
        return "p.gender_concept_id"
    if variable.source == "condition":
        return (
            "EXISTS (SELECT 1 FROM condition_occurrence t WHERE t.person_id = c.subject_id "
            f"AND t.condition_concept_id = {variable.concept_id} AND t.condition_start_date <= c.cohort_end_date)::INT"
        )
    table, column = variable.source, "value_as_number" if variable.value == "number" else "value_as_concept_id"
    return (
        f"(SELECT arg_max(t.{column}, (t.{table}_date, t.{table}_id)) FROM {table} t "
        f"WHERE t.person_id = c.subject_id AND t.{table}_concept_id = {variable.concept_id} "
        f"AND t.{column} IS NOT NULL AND t.{table}_date <= c.cohort_end_date)"
    )
