"""Whose turn a count's is, what is refused before it, and what a fault is answered with: over a stand-in estate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import COHORT, Study, signed_count
from small_estate import aged, group, has, ruled

from flipnb.contracts.controller import Controller
from flipnb.contracts.count import CountReply, SignedCount
from flipnb.contracts.disk import disk_full
from flipnb.contracts.envelope import COUNT_REPLY, unseal
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.task import TaskAnswer
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.counting.counts import Counts
from flipnb.enclave.counting.pace import Pace
from flipnb.enclave.counting.questions import Questions
from flipnb.enclave.counting.turns import Turns
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.store import Store
from flipnb.estate.disclosure import Cell

TURN = 0.5
LOADED_S = 5.0
"""What a machine under load may add."""


class StandIn:
    """An estate of 120 people in every cell, which is ``broken`` by an error, or whose ``current`` is."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.closed: Exception | None = None
        self.asked = 0

    async def current(self) -> str:
        if self.closed is not None:
            raise self.closed
        return "v1"

    async def check(self, version: str, cohort: Any, *, rules: Any, charts: Any) -> None:
        if self.broken is not None:
            raise self.broken

    async def tabulate(self, version: str, cohort: Any, *, rules: Any, **_: Any) -> list[list[Cell]] | None:
        self.asked += 1
        return [[Cell(120)] for _ in rules]


class Place:
    """A Trust's counts over a stand-in estate, on real time."""

    def __init__(self, directory: Path, **policy: Any) -> None:
        self.study, self.estate = Study(), StandIn()
        self.policy = CountPolicy(**({"answer_seconds": TURN} | policy))
        memberships = Memberships(
            directory,
            controllers=lambda: [Controller(name="anna", public_key=self.study.controller.public_key)],
            own_key=self.study.node.key_id,
        )
        memberships.accept(self.study.membership())
        self.store = Store(directory / "state.sqlite")
        self.audit = AuditLog(directory / "audit.jsonl", self.study.node, self.store.anchor)
        self.ledger = Ledger(directory / "ledger.sqlite")
        pace = Pace()
        questions = Questions(
            secret=bytes(32), ledger=self.ledger, tabulator=self.estate, policy=lambda: self.policy, pace=pace
        )
        self.counts = Counts(
            key=self.study.node,
            store=self.store,
            audit=self.audit,
            memberships=memberships,
            questions=questions,
            pace=pace,
        )

    def sign(self, years: int = 40, **changes: Any) -> SignedCount:
        return signed_count(self.study, ruled(has([1]), group(aged("gte", years))), **changes)

    async def ask(self, signed: SignedCount) -> tuple[TaskAnswer, CountReply, float]:
        """The answer, what it says, and after how many seconds it came."""
        began = time.monotonic()
        answer = await self.counts.answer("heart", signed)
        seconds = time.monotonic() - began
        return answer, self.read(answer), seconds

    def read(self, answer: TaskAnswer) -> CountReply:
        assert answer.envelope is not None
        keys = {self.study.node.key_id: self.study.node.public_key}
        return unseal(answer.envelope.encode(), COUNT_REPLY, keys, "The reply").parse(CountReply, "The reply")

    def entries(self, kind: str) -> list[dict[str, Any]]:
        entries = [json.loads(entry) for entry in self.audit.page(0).entries]
        return [entry["details"] for entry in entries if entry["kind"] == kind]

    def close(self) -> None:
        self.audit.close()
        self.ledger.close()
        self.store.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def test_an_answer_is_the_same_bytes_at_the_same_time_whenever_it_is_asked_for(place: Place) -> None:
    async def asked() -> None:
        signed = place.sign()
        first, told, seconds = await place.ask(signed)
        again, _, later = await place.ask(signed)
        assert again == first
        known, _, latest = await place.ask(place.sign())
        assert place.read(known).people == told.people
        assert (told.answer_seconds, told.budget and told.budget.cost) == (TURN, 1)
        for each in (seconds, later, latest):
            assert TURN <= each < TURN + LOADED_S

    asyncio.run(asked())
    assert place.estate.asked == 1
    assert len(place.entries("count-released")) == 2


def test_the_same_request_twice_at_once_is_counted_once(place: Place) -> None:
    async def asked() -> None:
        signed = place.sign()
        first, second = await asyncio.gather(place.ask(signed), place.ask(signed))
        assert first[0] == second[0]

    asyncio.run(asked())
    assert place.estate.asked == len(place.entries("count-released")) == 1


def test_a_budget_and_a_refusal_by_who_asks_or_what_wait_for_no_turn(place: Place) -> None:
    async def asked() -> None:
        waits = asyncio.create_task(place.ask(place.sign()))
        await asyncio.sleep(0)
        _, budget, _ = await place.ask(place.sign(people=False))
        assert (budget.problem, budget.budget and budget.budget.cost) == (None, 0)
        text = has([1], StopReason={"Text": "Ruritania", "Op": "contains"})
        _, refused, _ = await place.ask(signed_count(place.study, text))
        assert refused.problem is not None
        assert refused.problem.code == "text-refused"
        assert not waits.done()
        await waits

    asyncio.run(asked())


def test_one_question_too_many_of_a_study_is_refused_at_once_and_others_have_their_turn(tmp_path: Path) -> None:
    place = Place(tmp_path, waiting_per_study=2, answer_seconds=2.0)  # thirty are refused within one turn

    async def asked() -> None:
        good = [asyncio.create_task(place.ask(place.sign(years))) for years in (40, 41, 42)]
        while place.counts._turns.waiting("heart") < 2:
            await asyncio.sleep(0.001)
        for _ in range(30):
            answer, reply, _ = await place.ask(place.sign(50))
            assert answer.code == "too-many-counts"
            assert reply.problem is not None
            assert reply.problem.code == "too-many-counts"
        assert not all(task.done() for task in good)
        replies = await asyncio.gather(*good)
        assert [reply.problem for _, reply, _ in replies] == [None] * 3
        gaps = [seconds for _, _, seconds in replies]
        assert gaps == sorted(gaps)

    asyncio.run(asked())
    assert place.ledger.budget("heart", place.policy).left == 100 - 3
    place.audit.refusals.close()
    refused, again = place.entries("count-refused"), place.entries("refused-again")
    assert {(entry["code"], entry["study"]) for entry in refused} == {("too-many-counts", "heart")}
    assert len(refused) + again[-1]["more"] == 30
    assert len(refused) + len(again) < 25
    place.close()


def test_a_request_that_expires_while_it_waits_is_dropped_from_the_queue(place: Place) -> None:
    async def asked() -> None:
        first = asyncio.create_task(place.ask(place.sign(40)))
        await asyncio.sleep(0.01)
        late = place.sign(41, expires=datetime.now(UTC) + timedelta(seconds=0.3))
        answer, reply, _ = await place.ask(late)
        assert answer.code == "expired"
        assert reply.problem is not None
        assert not first.done()
        assert place.counts._turns.waiting("heart") == 0
        await first

    asyncio.run(asked())
    assert place.estate.asked == 1


def test_studies_take_turns() -> None:
    """However many questions one study has, another's waits for one of them at most."""
    order = []

    async def one(turns: Turns, study: str) -> None:
        async with turns.turn(study, seconds=1.0, most=100, patience=60):
            order.append(study)

    time_now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal time_now
        time_now += seconds
        await asyncio.sleep(0)

    async def play() -> None:
        turns = Turns(Pace(lambda: time_now, sleep))
        tasks = [asyncio.create_task(one(turns, study)) for study in ("a", "a", "a", "a", "b", "c", "b")]
        await asyncio.gather(*tasks)

    asyncio.run(play())
    assert "".join(order) == "aabcaba"
    assert time_now == 7.0


def test_who_is_cancelled_gives_the_turn_on() -> None:
    async def one(turns: Turns, done: list[str], name: str) -> None:
        async with turns.turn("a", seconds=0.05, most=100, patience=60):
            done.append(name)
            if name == "first":
                await asyncio.sleep(60)

    async def play() -> list[str]:
        turns, done = Turns(Pace()), list[str]()
        tasks = [asyncio.create_task(one(turns, done, name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(play()) == ["first", "third"]


@pytest.mark.parametrize(
    "error",
    [
        FlipError("estate-worker-died", "It is gone.", status=503),
        FlipError("estate-failed", "It can't be opened.", status=409),
        disk_full("this Trust's"),
        OSError("a file is torn"),
    ],
)
@pytest.mark.parametrize("at", ["current", "check"])
def test_a_fault_is_answered_once_under_one_code(place: Place, error: Exception, at: str) -> None:
    setattr(place.estate, "closed" if at == "current" else "broken", error)

    async def asked() -> None:
        signed = place.sign()
        answer, reply, _ = await place.ask(signed)
        place.estate.closed = place.estate.broken = None
        again, _, _ = await place.ask(signed)
        assert again == answer
        assert reply.problem is not None
        assert reply.problem.code == "estate-failed"
        assert str(error) not in reply.problem.message
        assert reply.budget is not None
        assert (await place.ask(place.sign()))[1].problem is None, "asked anew, it is counted"

    asyncio.run(asked())
    assert [entry["code"] for entry in place.entries("count-refused")] == ["estate-failed"]


def test_a_disk_that_is_full_after_counting_lets_no_number_out(place: Place, monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise disk_full("this Trust's")

    monkeypatch.setattr(place.audit, "append", full)

    async def asked() -> None:
        answer, reply, seconds = await place.ask(place.sign())
        assert answer.code == "estate-failed"
        assert (reply.people, reply.suppressed) == (None, False)
        assert seconds >= TURN

    asyncio.run(asked())


def test_a_flood_of_refusals_is_a_number_of_the_audit_log(place: Place) -> None:
    stranger = Study()

    async def asked() -> None:
        for number in range(100):
            answer, _, _ = await place.ask(signed_count(stranger, COHORT))
            assert answer.code == "unknown-key"
            unknown = await place.counts.answer(f"study-{number}", place.sign())
            assert unknown.code == "not-joined"

    asyncio.run(asked())
    place.audit.refusals.close()
    refused, again = place.entries("count-refused"), place.entries("refused-again")
    assert {(entry["study"], entry["code"]) for entry in refused} == {("heart", "unknown-key"), ("", "not-joined")}
    assert len(refused) + again[-1]["more"] == 200
    assert len(refused) + len(again) < 50
