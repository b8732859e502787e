"""Reading a frozen cohort: one frame per part, any table, any SQL, FHIR resources, views of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.dataset import Dataset, Variable
from flipnb.contracts.frozen import DATABASE, KIND_TWIN, META_DATASET, META_KIND
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError
from flipnb.records.images import FrozenImage, images_of
from flipnb.records.variable import of_person

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from flipnb.records.fhir import Store

_PERSON_COLUMN = {"cohort": "subject_id"}
_FOR_ALL = ("concept", "meta")

# Nothing but the frozen file can be read: no other file, no network, no variable of the notebook.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}


class Tables:
    """The tables of some of a frozen cohort's people, read-only; ``len`` is the number of people."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: str, names: tuple[str, ...], store: Store
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._names = names
        self._store = store

    def __len__(self) -> int:
        (count,) = self._cursor().execute("SELECT count(*) FROM cohort").fetchone() or (0,)
        return int(count)

    def sql(self, query: str, parameters: list[Any] | None = None) -> pd.DataFrame:
        """The result of one SELECT over the tables: cohort, person, measurement, observation, …

        Raises FlipError ``no-select`` for anything that is not one reading statement, ``bad-sql`` for what the database
        refuses: other files, the network, settings.
        """
        import duckdb

        try:
            statements = duckdb.extract_statements(query)
            reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
            if len(statements) != 1 or statements[0].type not in reading:
                raise FlipError("no-select", "One SELECT is needed; the tables can't be changed.")
            cursor = self._cursor()
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            try:
                return cursor.execute(statements[0], parameters or []).df()
            finally:
                cursor.execute("ROLLBACK")
        except duckdb.Error as error:
            raise FlipError("bad-sql", str(error)) from None

    def table(self, name: str) -> pd.DataFrame:
        """One whole table. Raises FlipError ``no-table`` that names those there are."""
        names = sorted(set(self._names) - {"meta"})
        if name not in names:
            raise FlipError("no-table", f"A frozen cohort has no table {name!r}; it has {', '.join(names)}.")
        return self.sql(f"SELECT * FROM {name} ORDER BY ALL")

    def fhir(self, query: str) -> list[dict[str, Any]]:
        """FHIR R4 resources that a search finds: ``fhir("Observation?code=http://loinc.org|2093-3&date=ge2020")``.

        Everything found is given, with what ``_include`` adds at the end of each thousand. For a table, see ``view``.
        Raises FlipError ``unknown-resource``, ``unknown-parameter``, ``unknown-modifier``, ``bad-value``.
        """
        from flipnb.records.fhir.search import search_all

        return list(search_all(self._store, query))

    def view(self, definition: dict[str, Any] | str | Path) -> pd.DataFrame:
        """A SQL on FHIR 2 ViewDefinition over the resources: a dictionary, JSON, or a file's path.

        Raises FlipError ``invalid-view``, ``unknown-resource``.
        """
        from flipnb.records.fhir.search import search_all
        from flipnb.records.view_definition import ViewDefinition
        from flipnb.records.view_table import frame

        if isinstance(definition, Path):
            definition = definition.read_text(encoding="utf-8")
        if isinstance(definition, str):
            try:
                definition = json.loads(definition)
            except ValueError as error:
                raise FlipError("invalid-view", f"The ViewDefinition is no JSON: {error}") from None
        checked = ViewDefinition.read(definition)
        return frame(checked, search_all(self._store, checked.resource))

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        cursor.execute(f"SET schema = '{self._schema}'")
        return cursor


class Records(Tables):
    """A frozen cohort, or its twin: all its people; ``train``, ``validation`` and ``test`` are the plan's split.

        data.train.frame()                                  # a row per person, a column per variable
        data.validation.sql("SELECT * FROM measurement")
        data.fhir("Observation?code=3004249")

    ``dataset`` has the variables; ``is_twin`` says whether the people are invented; ``folder`` is where all of it lies.
    """

    def __init__(self, folder: Path) -> None:
        import duckdb

        self.folder = folder
        tables = folder / DATABASE
        if not tables.exists():
            raise FlipError("no-cohort", f"There is no frozen cohort at {folder}.")
        connection = duckdb.connect(":memory:", config={**_CONFIG, **_memory_limit()})
        connection.execute(f"ATTACH '{str(tables).replace(chr(39), chr(39) * 2)}' AS frozen (READ_ONLY)")
        meta = dict(connection.execute("SELECT key, value FROM frozen.meta").fetchall())
        self.dataset = Dataset.model_validate_json(meta[META_DATASET])
        self.is_twin: bool = meta[META_KIND] == KIND_TWIN
        found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'frozen'").fetchall()
        names = tuple(sorted(str(row[0]) for row in found))
        for schema, part in (("everyone", None), ("train", "train"), ("validation", "validation"), ("test", "test")):
            _make_views(connection, schema, part, names)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        updated = datetime.fromtimestamp(int(tables.stat().st_mtime), UTC)
        self._updated = updated
        super().__init__(connection, "everyone", names, _store(connection, "everyone", updated))
        self.train = self._part("train")
        self.validation = self._part("validation")
        self.test = self._part("test")

    def _part(self, part: Part) -> PartRecords:
        return PartRecords(*self._of_part(part))

    def _of_part(self, part: Part) -> tuple[duckdb.DuckDBPyConnection, Part, tuple[str, ...], Store, Dataset, Path]:
        """What a part is made of."""
        store = _store(self._connection, part, self._updated)
        return self._connection, part, self._names, store, self.dataset, self.folder

    def __repr__(self) -> str:
        kind = "a twin: synthetic people, none of them real" if self.is_twin else "a frozen cohort"
        names = ", ".join(variable.name for variable in self.dataset.variables)
        return f"<flip records of {kind}; variables {names}>"


class PartRecords(Tables):
    """The people of one part of the split, ``part``: train, validation or test."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        part: Part,
        names: tuple[str, ...],
        store: Store,
        dataset: Dataset,
        folder: Path,
    ) -> None:
        super().__init__(connection, part, names, store)
        self.part = part
        self._dataset = dataset
        self._folder = folder

    def frame(self) -> pd.DataFrame:
        """One row per person, ordered by pseudonym (the index, ``person_id``), one column per variable of the dataset.

        Missing values are NaN. Column rules are those of ``contracts.dataset.Variable``.
        """
        columns = ["c.subject_id AS person_id"]
        columns += [f'{_expression(variable)} AS "{variable.name}"' for variable in self._dataset.variables]
        query = f"SELECT {', '.join(columns)} FROM cohort c JOIN person p ON p.person_id = c.subject_id ORDER BY 1"
        return self.sql(query).set_index("person_id")

    def frozen_images(self, name: str) -> list[FrozenImage]:
        """The images of one of the dataset's sets, of these people, in the order of their numbers.

        Raises FlipError ``no-images`` that names the sets there are.
        """
        return images_of(self._cursor(), self._dataset.image_set(name).name, self._folder)


def _memory_limit() -> dict[str, str]:
    """Four fifths of the memory that ``/proc/meminfo`` says, as DuckDB takes by itself: in an enclave's kernel that is
    the run's limit, and the system call that DuckDB asks is denied."""
    try:
        total = int(Path("/proc/meminfo").read_text().partition("MemTotal:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        return {}  # another system than Linux, where DuckDB finds out by itself
    return {"memory_limit": f"{total * 4 // 5} KiB"}


def _make_views(connection: duckdb.DuckDBPyConnection, schema: str, part: str | None, names: tuple[str, ...]) -> None:
    connection.execute(f"CREATE SCHEMA {schema}")
    for table in names:
        where = ""
        if part is not None and table not in _FOR_ALL:
            column = _PERSON_COLUMN.get(table, "person_id")
            where = f" WHERE {column} IN (SELECT subject_id FROM frozen.cohort WHERE split = '{part}')"
        connection.execute(f"CREATE VIEW {schema}.{table} AS SELECT * FROM frozen.{table}{where}")


def _store(connection: duckdb.DuckDBPyConnection, schema: str, updated: datetime) -> Store:
    from flipnb.records.database import DuckDatabase
    from flipnb.records.fhir import Store

    return Store(DuckDatabase(connection, schema), updated=updated, ucum_units=True)


def _expression(variable: Variable) -> str:
    if variable.source == "age":
        return "year(c.cohort_start_date) - p.year_of_birth"
    if variable.source == "sex":
        return "p.gender_concept_id"
    return of_person(variable, "c.subject_id", "c.cohort_start_date", "c.cohort_end_date")
