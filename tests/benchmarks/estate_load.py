"""How long an estate of invented people takes to load, what it weighs, and the memory that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from public_data import PHENOTYPES

from benchmarks.figures import Figures
from benchmarks.population import read_definitions, write_population
from flipnb.estate.omop.cdm import tables

SIZES = (10_000, 100_000)
MILLION = 1_000_000
MEMORY = "2GB"
_LOAD = """
import sys
from benchmarks.processes import own_peak
from flipnb.estate import load
load(sys.argv[1], 'omop-5.4', sys.argv[2], memory=sys.argv[3])
print(own_peak())
"""


def load_growing(figures: Figures) -> None:
    """Ten thousand and a hundred thousand people: time, bytes, and whether memory stays where it was."""
    for people in SIZES:
        _measure(figures, people, rival=True)


def load_million(figures: Figures) -> None:
    """A million people, about a hundred million rows, once. Needs 15 GB of disk."""
    _measure(figures, MILLION, rival=False)


def write_export(people: int, folder: Path) -> int:
    """The population as CSV, a file per table; returns the number of rows."""
    names = sorted(name.removesuffix(".json") for name in PHENOTYPES.names() if name.endswith(".json"))[:20]
    database = folder.with_suffix(".duckdb")
    rows = 0
    with duckdb.connect(str(database), config={"memory_limit": "4GB"}) as connection:
        connection.execute("SET enable_progress_bar=false")
        write_population(connection, people, read_definitions(PHENOTYPES.directory(), names))
        folder.mkdir()
        for name in tables():
            count = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            if count and count[0]:
                rows += count[0]
                connection.execute(f"COPY {name} TO '{folder / name}.csv' (HEADER)")
    database.unlink()
    return rows


def _measure(figures: Figures, people: int, *, rival: bool) -> None:
    with TemporaryDirectory(prefix="flip-bench-", dir=os.environ.get("FLIP_BENCH_DIR")) as name:
        place = Path(name)
        rows = write_export(people, place / "export")
        source = sum(path.stat().st_size for path in (place / "export").iterdir())
        seconds, cpu, memory = _timed(sys.executable, "-c", _LOAD, place / "export", place / "estate", MEMORY)
        weight = sum(path.stat().st_size for path in (place / "estate").rglob("*.duckdb"))
        shutil.rmtree(place / "estate")
        plain = [_timed(sys.executable, "-c", _PLAIN, place / "export", place / "plain.duckdb")[0]] if rival else None
    title = f"load {people:,} people ({rows:,} rows)"
    figures.add(
        f"{title}: time", "s", [seconds], plain, "DuckDB's own read_csv into the CDM's tables" if rival else None
    )
    figures.add(f"{title}: CPU time of the process", "s", [cpu])
    figures.add(f"{title}: rows per second", "rows/s", [rows / seconds])
    figures.add(f"{title}: estate, over the CSV it came of", "bytes", [float(weight)], [float(source)], "the CSV files")
    figures.add(f"{title}: peak memory of the process, memory={MEMORY}", "bytes", [memory])


_PLAIN = """
import sys, duckdb
from pathlib import Path
from benchmarks.processes import own_peak
from flipnb.estate.omop.cdm import tables
with duckdb.connect(sys.argv[2]) as connection:
    connection.execute("SET enable_progress_bar=false")
    for path in sorted(Path(sys.argv[1]).iterdir()):
        connection.execute(tables()[path.stem].ddl(checked=False))
        connection.execute(f"INSERT INTO {path.stem} BY NAME SELECT * FROM read_csv('{path}')")
print(own_peak())
"""


def _timed(*command: object) -> tuple[float, float, float]:
    """Seconds of a process, its CPU seconds, and its peak memory in bytes, which it printed last."""
    began = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read().split()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{command[:3]} ended with status {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, float(printed[-1])
