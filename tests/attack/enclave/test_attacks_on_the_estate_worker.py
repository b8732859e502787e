"""Questions that once held a Trust's estate worker, or were tried for ever, against real jailed processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from enclave_scenario import Study
from small_estate import EVERYBODY, Person, aged, fill, group, has, ruled

from flipnb.contracts.chart import AgeChart, VariableChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.cohort_bounds import MAXIMUM_CRITERIA, MAXIMUM_PAIRED
from flipnb.contracts.dataset import Category, Variable
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.process import GRACE_S, EstateWorker
from flipnb.enclave.sandbox.uids import estate_worker_uid
from flipnb.estate.versions import Estate

DIALYSIS, PEOPLE, RECORDS = 40, 60, 30_000
PLAIN = ruled(has([EVERYBODY]), group(aged("gte", 18)))
LOADED_S = 10.0
"""What a machine under load may add to a start of a process; no bound of the product."""


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Sixty people, of whom one has thirty thousand records of one condition, on every other day."""
    directory = tmp_path_factory.mktemp("attacked")
    directory.chmod(0o755)
    version = fill(
        directory / "estate",
        [Person(number, conditions=frozenset({DIALYSIS} if number == 1 else ())) for number in range(1, PEOPLE + 1)],
    )
    file = Estate.open(directory / "estate").file(version)
    file.chmod(0o644)
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "INSERT INTO condition_occurrence BY NAME SELECT 1000000 + i AS condition_occurrence_id, 1 AS person_id, "
            f"{DIALYSIS} AS condition_concept_id, DATE '2001-01-01' + 2 * (i % 4500)::INTEGER AS condition_start_date, "
            f"DATE '2001-01-01' + 2 * (i % 4500)::INTEGER AS condition_end_date FROM range({RECORDS}) t(i)"
        )
    file.chmod(0o444)
    return directory, version


def play(estate: tuple[Path, str], scene: Callable[[EstateWorker, str], Awaitable[None]]) -> None:
    directory, version = estate
    worker = EstateWorker(
        directory / "estate",
        directory / "frozen",
        memory="512MB",
        uid=estate_worker_uid(directory),
        log=directory / "log",
    )

    async def whole() -> None:
        try:
            assert await worker.open() == version
            await scene(worker, version)
        finally:
            await worker.close()
        assert not list((directory / "frozen").glob(".spill*"))

    asyncio.run(whole())


async def people(
    worker: EstateWorker, version: str, cohort: dict[str, Any] = PLAIN, seconds: float = 5.0
) -> int | None:
    rules = (len(cohort["InclusionRules"]),)
    tables = await worker.tabulate(version, cohort, rules=rules, charts=(), members=False, seconds=seconds)
    return None if tables is None else tables[0][0].people


def near(days: int, **more: Any) -> dict[str, Any]:
    """That more records than there are follow within so many days after an event: all of them must be counted."""
    return {
        "Criteria": {"ConditionOccurrence": {"CodesetId": 0, **more}},
        "StartWindow": {"Start": {"Coeff": 1, "Days": 0}, "End": {"Coeff": 1, "Days": 9000 + days}},
        "Occurrence": {"Type": 2, "Count": RECORDS + 1},
    }


def slow_question() -> dict[str, Any]:
    """About start and end of records, of which each is held against each event."""
    window = {"Start": {"Coeff": 1, "Days": 0}, "End": {"Coeff": 1, "Days": 9999}}
    return any_of([near(days) | {"EndWindow": window} for days in range(MAXIMUM_PAIRED)])


def any_of(branches: list[dict[str, Any]], kind: str = "ANY") -> dict[str, Any]:
    made = has([DIALYSIS, EVERYBODY])
    made["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "All"}
    return ruled(made, group(kind=kind) | {"CriteriaList": branches, "Count": 1})


def held_the_worker() -> dict[str, Any]:
    """The count of 228 KB: a database joins its branches one over the other, in a time that grows with their cube."""
    return any_of([near(days, OccurrenceStartDate={"Value": "2001-01-01", "Op": "gte"}) for days in range(950)])


TOO_LARGE = {
    "a value of 1e30": ruled(has([EVERYBODY]), group(aged("gte", 1e30))),  # type: ignore[arg-type]
    "1,001 branches": ruled(has([EVERYBODY]), group(*(aged("gte", n) for n in range(1001)), kind="ANY")),
    "1,001 rules": ruled(has([EVERYBODY]), *(group(aged("gte", n)) for n in range(1001))),
    "1,001 entry events": has([EVERYBODY]) | {
        "PrimaryCriteria": {"CriteriaList": [{"Death": {"Age": {"Value": n, "Op": "gt"}}} for n in range(1001)]}
    },
    "a concept in ten thousand words": has(range(10_001)),
    "228 KB": held_the_worker(),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_refused_at_every_boundary(what: str) -> None:
    began = time.monotonic()
    with pytest.raises(FlipError) as caught:
        CohortExpression.parse(TOO_LARGE[what])
    assert caught.value.code in ("cohort-too-large", "invalid-cohort")
    assert time.monotonic() - began < LOADED_S / 4
    with pytest.raises((FlipError, ValueError)):
        Study().bundle(cohort=TOO_LARGE[what])


def test_edges_that_overflow_are_no_chart() -> None:
    with pytest.raises(ValueError, match="less than or equal to"):
        VariableChart(variable=Variable(name="x", source="age", minimum=-1e308, maximum=1e308))
    with pytest.raises(ValueError, match="less than"):
        Category(concept_id=1 << 70, label="none")


def test_what_held_the_worker_is_answered_in_time(estate: tuple[Path, str]) -> None:
    """The largest cohorts that are allowed are planned at once, however their branches are joined; a worker that is
    asked the old count all the same refuses it, and the next question is answered."""

    async def scene(worker: EstateWorker, version: str) -> None:
        assert len(canonical_bytes(held_the_worker())) > 150_000
        for kind in ("ANY", "ALL", "AT_LEAST", "AT_MOST"):
            largest = any_of([near(days) for days in range(MAXIMUM_CRITERIA - 5)], kind)
            began = time.monotonic()
            await worker.check(version, largest, rules=(0, 1), charts=(AgeChart(),))
            assert time.monotonic() - began < 5.0
        with pytest.raises(FlipError) as caught:
            await worker.check(version, held_the_worker(), rules=(1,), charts=())
        assert (caught.value.code, caught.value.status) == ("cohort-too-large", 400)
        assert await people(worker, version) == PEOPLE

    play(estate, scene)


def test_thirty_thousand_records_near_as_many_events_are_found_at_once(estate: tuple[Path, str]) -> None:
    """Each held against each, twenty times over, they took minutes."""

    async def scene(worker: EstateWorker, version: str) -> None:
        assert await people(worker, version, any_of([near(days) for days in range(20)]), LOADED_S) is not None

    play(estate, scene)


def test_a_statement_that_runs_long_is_interrupted_and_the_next_is_served(estate: tuple[Path, str]) -> None:
    async def scene(worker: EstateWorker, version: str) -> None:
        slow = slow_question()
        await worker.check(version, slow, rules=(1,), charts=())
        process = worker.questions.process
        for seconds in (0.5, 1.0):
            began = time.monotonic()
            assert await people(worker, version, slow, seconds) is None
            assert seconds <= time.monotonic() - began < seconds + GRACE_S + LOADED_S / 4
        began = time.monotonic()
        assert await people(worker, version) == PEOPLE
        assert time.monotonic() - began < LOADED_S / 4
        assert worker.questions.process is process, "it interrupted itself"

    play(estate, scene)


def test_a_worker_that_is_killed_meanwhile_is_as_one_that_was_too_slow(estate: tuple[Path, str]) -> None:
    async def scene(worker: EstateWorker, version: str) -> None:
        slow = slow_question()
        for signum in (signal.SIGKILL, signal.SIGSTOP):
            asking = asyncio.create_task(people(worker, version, slow, 3.0))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            for pid in inside(worker):
                os.kill(pid, signum)
            assert await asking is None
            assert time.monotonic() - began < 3.0 + GRACE_S + LOADED_S / 4
            await asyncio.sleep(0)
            assert await people(worker, version, seconds=LOADED_S) == PEOPLE, "a new one was started at once"

    play(estate, scene)


def inside(worker: EstateWorker) -> list[int]:
    """The processes that answer questions, in the jail."""
    assert worker.questions.process is not None
    found, left = [], [worker.questions.process.pid]
    while left:
        listed = subprocess.run(["pgrep", "-P", str(left.pop())], capture_output=True, text=True, check=False)
        left += map(int, listed.stdout.split())
        found += map(int, listed.stdout.split())
    return [pid for pid in found if b"flipnb.enclave.estate_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()][-1:]


def test_the_desk_and_a_freeze_wait_for_no_researcher(estate: tuple[Path, str]) -> None:
    async def scene(worker: EstateWorker, version: str) -> None:
        slow = slow_question()
        assert await worker.count(version, PLAIN) == PEOPLE
        asking = asyncio.create_task(people(worker, version, slow, 20.0))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        assert await worker.count(version, PLAIN) == PEOPLE
        assert await worker.current() == version
        await worker.check_bundle(version, Study().bundle(cohort=PLAIN))
        assert time.monotonic() - began < LOADED_S / 2
        facts = await worker.freeze(version, Study().bundle(cohort=PLAIN), b"k" * 32, "a" * 32)
        assert facts.train + facts.validation + facts.test == PEOPLE
        assert not asking.done()
        frozen = asyncio.create_task(worker.freeze(version, Study().bundle(cohort=slow), b"k" * 32, "b" * 32))
        await asyncio.sleep(1.0)
        frozen.cancel()
        began = time.monotonic()
        await asyncio.wait({frozen})
        assert frozen.cancelled()
        assert time.monotonic() - began < LOADED_S
        assert worker.freezing.process is None, "the run was stopped, and its freezing with it"
        assert not asking.done()
        asking.cancel()
        await asyncio.wait({asking})

    play(estate, scene)


def test_what_fails_before_a_record_is_read_has_one_code(tmp_path: Path) -> None:
    """No such version, and an estate that is no database: once and for all, without a word of why."""
    tmp_path.chmod(0o755)
    version = fill(tmp_path / "estate", [Person(1)])
    file = Estate.open(tmp_path / "estate").file(version)

    async def scene(worker: EstateWorker, version: str) -> None:
        for broken in (False, True):
            if broken:
                file.chmod(0o644)
                file.write_bytes(b"no database")
            for asked in (
                worker.check("f" * 32 if not broken else version, PLAIN),
                people(worker, "f" * 32 if not broken else version),
            ):
                with pytest.raises(FlipError) as caught:
                    await asked
                assert (caught.value.code, caught.value.status) == ("estate-failed", 409)
            if not broken:
                assert await people(worker, version) == 1
                await worker.questions.end()

    play((tmp_path, version), scene)


def test_a_new_version_is_open_before_anybody_asks(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    first = fill(tmp_path / "estate", [Person(1)])

    async def scene(worker: EstateWorker, version: str) -> None:
        keeping = asyncio.create_task(worker.keep_ready())
        second = fill(tmp_path / "estate", [Person(1), Person(2, since=date(2016, 1, 1) + timedelta(days=1))])
        await asyncio.sleep(3.0)
        assert await worker.current() == second
        began = time.monotonic()
        assert await people(worker, second) == 2
        assert time.monotonic() - began < LOADED_S / 4
        keeping.cancel()
        await asyncio.wait({keeping})

    play((tmp_path, first), scene)
