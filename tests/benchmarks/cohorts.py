"""Cohorts: our count against OHDSI's own SQL, on the same DuckDB and on PostgreSQL; a changed question; memory."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import duckdb
from conformance.ohdsi_reference import definition, definition_ids, reference_statements
from public_data import PHENOTYPES

from benchmarks.figures import Figures
from benchmarks.population import read_definitions, write_population
from benchmarks.processes import own_peak
from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort.by_concept import add_by_concept
from flipnb.estate.cohort.generation import count_people
from flipnb.estate.database import DuckDBDatabase
from flipnb.files.whole import writing

PEOPLE = int(os.environ.get("PEOPLE", "1000000"))
"""People in DuckDB; PostgreSQL gets a tenth."""
SAMPLE = 20
AGAIN = 3
MEMORY = "4GB"
RIVAL_S = 10.0
"""How long OHDSI's SQL may take on PostgreSQL for a definition; what takes longer counts as if it had taken so long."""
_TARGET = (
    "CREATE TEMP TABLE reference_cohort (cohort_definition_id BIGINT, subject_id BIGINT, cohort_start_date DATE, "
    "cohort_end_date DATE)"
)


def sample() -> list[str]:
    """Every third definition."""
    return definition_ids()[::3][:SAMPLE]


def others() -> list[str]:
    """Definitions that are not in the sample, to begin with."""
    return definition_ids()[1::3][: SAMPLE // 2]


def measure_duckdb(figures: Figures) -> None:
    """Counts of 20 definitions, ours and OHDSI's in turn, over the same file; then each question a little changed.

    Seconds of a core are what a busy machine does not change.
    """
    path = estate(PEOPLE)
    ours, theirs, changed = Times(), Times(), Times()
    with _opened(path) as connection:
        for name in sample():
            database = DuckDBDatabase(connection, path.name)
            reference_statements(name)
            people = ours.add(_count, database, definition(name))
            found = theirs.add(_ohdsi, connection, name)
            assert people == found, f"definition {name}: {people} people, {found} by OHDSI's SQL"
            changed.add(_count, database, _changed(name))
    rival = "OHDSI's SQL on the same DuckDB"
    label = f"count of a cohort, median of {SAMPLE} definitions, {PEOPLE} people"
    figures.add(label, "s", ours.wall, theirs.wall, rival)
    figures.add(f"{label}, seconds of a core", "s", ours.core, theirs.core, rival)
    print(f"           median of the ratios: {_ratio(ours.wall, theirs.wall):.3g}", flush=True)
    figures.add(f"count of a slightly changed question, {PEOPLE} people", "s", changed.wall)
    figures.add(f"slowest count of a slightly changed question, {PEOPLE} people", "s", [max(changed.wall)])


def measure_postgresql(figures: Figures) -> None:
    """Ours on DuckDB, OHDSI's on PostgreSQL with the CDM's usual indices, over the same tenth of the people.

    All questions in turn to the one side, then to the other: each side has answered others just before, so that what is
    compared is not how long a processor takes to wake. The first time is compared, and the median of three more. A
    script is broken off after RIVAL_S, and not run again, so that its time, and the ratio, are at least what is said.
    """
    import psycopg
    from postgresql_server import serving

    people = PEOPLE // 10
    path = estate(people)
    settings = {"shared_buffers": "2GB", "work_mem": "256MB", "maintenance_work_mem": "512MB", "max_wal_size": "8GB"}
    for name in (*others(), *sample()):
        reference_statements(name, "postgres")
    with serving(settings) as server:
        address = server.new_database()
        with _opened(path) as connection, psycopg.connect(address, autocommit=True) as other:
            _copy(connection, other)
            database = DuckDBDatabase(connection, path.name)
            ours = _Asked(_count, lambda name: (database, definition(name)))
            theirs = _Asked(_ohdsi_on_postgresql, lambda name: (other, name))
            for side in (ours, theirs):
                side.ask()
    for name in sample():
        count, found = ours.people[name], theirs.people[name]
        assert found in (count, None), f"definition {name}: {count} people, {found} by OHDSI's SQL"
    label = f"count of a cohort, median of {SAMPLE} definitions, {people} people, beside a server"
    for when, mine, other_s in (
        (", first asked", ours.first, theirs.first),
        (", asked again", ours.again, theirs.again),
    ):
        figures.add(label + when, "s", mine, other_s, "OHDSI's SQL on PostgreSQL")
        print(f"           median of the ratios: {_ratio(mine, other_s):.3g}", flush=True)
    broken = sum(found is None for found in theirs.people.values())
    print(f"           {broken} of {SAMPLE} were broken off after {RIVAL_S:.0f} s", flush=True)


def measure_memory(figures: Figures) -> None:
    """The most memory that a process held for all counts of the sample, while data grow tenfold."""
    for people in (PEOPLE // 10, PEOPLE):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.cohorts", str(estate(people))],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        figures.add(f"peak memory of counting, {people} people", "B", [float(done.stdout)])


@dataclass
class Times:
    """Seconds by the clock, and seconds of a core in this process, of each run."""

    wall: list[float] = field(default_factory=list)
    core: list[float] = field(default_factory=list)

    def add(self, run: Callable[..., int | None], *arguments: object) -> int | None:
        # As timeit does: the collector would look through what sqlglot left, in whichever run it happens to be.
        gc.disable()
        began, core = time.perf_counter(), time.process_time()
        result = run(*arguments)
        self.core.append(time.process_time() - core)
        self.wall.append(time.perf_counter() - began)
        gc.enable()
        return result


class _Asked:
    """Questions to one side: people and seconds, of the first time and of the median of those after it."""

    def __init__(self, count: Callable[..., int | None], arguments: Callable[[str], tuple[object, ...]]) -> None:
        self._count, self._arguments = count, arguments
        self.people: dict[str, int | None] = {}
        self.first: list[float] = []
        self.again: list[float] = []

    def ask(self) -> None:
        for name in others():
            self._count(*self._arguments(name))
        first = Times()
        for name in sample():
            self.people[name] = first.add(self._count, *self._arguments(name))
        self.first = first.wall
        for name, before in zip(sample(), self.first, strict=True):
            times = Times()
            for _ in range(AGAIN if self.people[name] is not None else 0):
                times.add(self._count, *self._arguments(name))
            self.again.append(statistics.median(times.wall or [before]))


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


@cache
def estate(people: int) -> Path:
    """A file with the population, by person and by concept, as ``flip estate load`` leaves it.

    It takes about 3 kB a person. Where ``BENCH_SCRATCH`` names a folder, it stays there for the next run.
    """
    kept = os.environ.get("BENCH_SCRATCH")
    folder = Path(kept or tempfile.mkdtemp(prefix="flip-bench-"))
    if not kept:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{people}.duckdb"
    if path.exists():
        return path
    config = {"memory_limit": MEMORY, "temp_directory": str(folder / "spill"), "preserve_insertion_order": False}
    with writing(path) as partial:
        with duckdb.connect(str(partial), config=config) as connection:
            write_population(connection, people, read_definitions(PHENOTYPES.directory(), definition_ids()))
        add_by_concept(partial, config, lambda stage, rows: print(f"           {stage}: {rows}", flush=True))
        shutil.rmtree(folder / "spill", ignore_errors=True)
    print(f"           {people} people: {path.stat().st_size / 1e9:.2f} GB", flush=True)
    return path


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY})


def _count(database: DuckDBDatabase, expression: dict) -> int:
    """From the JSON to the number."""
    return count_people(database, CohortExpression.parse(expression))


def _ohdsi(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    cursor = connection.cursor()
    cursor.execute(_TARGET)
    for statement in reference_statements(name):
        cursor.execute(statement)
    return cursor.execute("SELECT count(DISTINCT subject_id) FROM reference_cohort").fetchone()[0]


def _ohdsi_on_postgresql(connection: object, name: str) -> int | None:
    """None where it was broken off."""
    from psycopg.errors import QueryCanceled

    end = time.perf_counter() + RIVAL_S
    with connection.cursor() as cursor:
        cursor.execute("DISCARD TEMP")
        cursor.execute(_TARGET)
        for statement in reference_statements(name, "postgres"):
            left = max(1, round((end - time.perf_counter()) * 1000))
            cursor.execute(f"SET statement_timeout = {left}")
            try:
                cursor.execute(statement)
            except QueryCanceled:
                return None
        return cursor.execute("SELECT count(DISTINCT subject_id) FROM reference_cohort").fetchone()[0]


def _changed(name: str) -> dict:
    """The definition with another observation window: as a person tries it out."""
    expression = definition(name)
    window = expression["PrimaryCriteria"]["ObservationWindow"]
    window["PriorDays"] += 30
    return expression


_COPIED = (
    "person", "observation_period", "visit_occurrence", "condition_occurrence", "drug_exposure", "measurement",
    "observation", "procedure_occurrence", "death", "condition_era", "concept", "concept_ancestor",
    "concept_relationship",
)  # fmt: skip


def _copy(source: duckdb.DuckDBPyConnection, target: object) -> None:
    """The tables, with an index on the person and one on the concept, as OHDSI's own index script has them.

    The server has nothing left to clean or to write when this returns, so that it disturbs neither side.
    """
    from flipnb.estate.omop.cdm import tables

    for name in _COPIED:
        table = tables()[name]
        target.execute(table.ddl("postgres", checked=False))
        columns = ", ".join(table.columns)
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_SCRATCH")) as folder:
            file = Path(folder) / "table.csv"
            source.execute(f"COPY (SELECT {columns} FROM {name}) TO '{file}' (HEADER false)")
            with file.open("rb") as stream, target.cursor().copy(f"COPY {name} ({columns}) FROM STDIN CSV") as copy:
                while piece := stream.read(1 << 20):
                    copy.write(piece)
        indexed = {"person_id", "ancestor_concept_id", f"{name.split('_')[0]}_concept_id"}
        for column in indexed & set(table.columns):
            target.execute(f"CREATE INDEX ON {name} ({column})")
        target.execute(f"VACUUM ANALYZE {name}")
    target.execute("CHECKPOINT")


def _count_all(path: Path) -> int:
    with _opened(path) as connection:
        for name in sample():
            _count(DuckDBDatabase(connection, path.name), definition(name))
    return own_peak()


if __name__ == "__main__":
    print(_count_all(Path(sys.argv[1])))
