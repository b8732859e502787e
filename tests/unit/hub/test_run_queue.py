"""The line of runs that wait for slots: in whatever order Trusts approve, accept, start and end, every run succeeds."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from enclave_scenario import Study
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.run import SLOT_RELEASED, TrustReport
from flipnb.contracts.task import TaskAnswer
from flipnb.contracts.trust_card import Allowance, TrustCard
from flipnb.hub import run_life, run_queue
from flipnb.hub.configuration import HubConfiguration
from flipnb.hub.presence import Presence
from flipnb.hub.run_queue import RunQueue
from flipnb.hub.runs import become
from flipnb.hub.store.database import Database
from flipnb.hub.store.tables import BundleRow, PartRow, RunRow, StudyRow, TaskRow

STUDY = Study()
KEYS = sorted(SigningKey.generate().key_id for _ in range(6))
CONFIGURATION = HubConfiguration(
    name="hub", audience="hub", certificate=Path("c"), key=Path("k"), ca=Path("a"), principals=(), gather_seconds=30
)
ALLOWANCE = Allowance(
    per_trust_metrics=False,
    individual_updates=False,
    minimum_trusts=2,
    minimum_train=10,
    maximum_clip_norm=10.0,
    maximum_rounds=100,
    bits_per_run=1000,
)


@dataclass
class Kernels:
    """One Trust's: how many there may be, and which runs have one. What it is asked waits in ``asked``."""

    slots: int
    asked: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)


class Scene:
    """A hub's database with runs that wait, Trusts that answer when a test has them, and no other process."""

    def __init__(self, slots: list[int]) -> None:
        self.database = Database(Path(":memory:"))
        self.presence = Presence()
        self.line = RunQueue(CONFIGURATION, self.presence)
        self.trusts = {key: Kernels(number) for key, number in zip(KEYS, slots, strict=False)}
        self.reports: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.asked: dict[str, list[str]] = {}
        with self.session() as session:
            roster = STUDY.roster
            session.add(
                StudyRow(
                    name="heart", roster=roster.digest(), envelope=STUDY.roster_envelope(), created=0.0, purpose="None"
                )
            )
        for trust in self.trusts:
            self.there(trust)

    def there(self, trust: str) -> None:
        card = TrustCard(
            trust=trust, made=datetime.now(UTC), data=None, gpus=0, slots=self.trusts[trust].slots, environments=(),
            allowance=ALLOWANCE,
        )  # fmt: skip
        self.presence.take_card(card, "sealed")
        self.presence.hear(trust)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self.database.transaction() as session:
            yield session

    def submit(self, trusts: list[str], minimum: int | None = None) -> str:
        """A run that every one of these Trusts was told of."""
        bundle = STUDY.bundle(trusts=tuple(trusts), minimum_trusts=minimum or len(trusts))
        run, sealed = f"{len(self.asked):032x}", STUDY.bundle_envelope(bundle)
        with self.session() as session:
            session.merge(
                BundleRow(digest=bundle.digest(), content="", study="heart", envelope=sealed, signer="", created=0.0)
            )
            row = RunRow(
                id=run, study="heart", bundle=bundle.digest(), request=b"", researcher="", title="", point="{}",
                choices="{}", rounds=2, state="waiting", submitted=float(len(self.asked)), rounds_done=0, last_event=0,
            )  # fmt: skip
            session.add(row)
            for trust in trusts:
                session.add(
                    PartRow(run=run, trust=trust, name=trust[:4], state="notified", member=False, last_report=0)
                )
        self.asked[run] = trusts
        return run

    @property
    def runs(self) -> list[str]:
        return list(self.asked)

    def report(self, run: str, trust: str, state: str) -> None:
        self.reports[run, trust] += 1
        said = TrustReport.model_validate({"run": run, "sequence": self.reports[run, trust], "state": state})
        with self.session() as session:
            part = session.get_one(PartRow, (run, trust))
            run_life.report(session, CONFIGURATION, session.get_one(RunRow, run), part, said)

    def open(self, trust: str) -> list[tuple[str, str, str]]:
        """Id, kind and run of what a Trust has not answered."""
        with self.session() as session:
            tasks = select(TaskRow).where(TaskRow.trust == trust, TaskRow.state == "open").order_by(TaskRow.sequence)
            return [(task.id, task.kind, task.run or "") for task in session.scalars(tasks)]

    def answer(self, task: str, **said: str) -> None:
        with self.session() as session:
            run_life.answer(session, CONFIGURATION, session.get_one(TaskRow, task), TaskAnswer(**said))

    def look(self) -> None:
        with self.session() as session:
            self.line.start_what_can(session)

    def state(self, run: str) -> str:
        with self.session() as session:
            return session.get_one(RunRow, run).state

    def part(self, run: str, trust: str) -> tuple[str, str | None]:
        with self.session() as session:
            part = session.get_one(PartRow, (run, trust))
            return part.state, part.code

    def members(self, run: str) -> set[str]:
        with self.session() as session:
            return set(session.scalars(select(PartRow.trust).where(PartRow.run == run, PartRow.member)))

    # A Trust's steps

    def take(self, trust: str) -> bool:
        """Answer everything that the Trust was asked; a start is a kernel in one of its slots, or waits for one."""
        asked = self.open(trust)
        for task, kind, run in asked:
            if kind == "start":
                accepted = {self.part(run, member)[0] for member in self.members(run)}
                assert accepted <= {"queued", "starting", "running"}, "a run starts that a Trust has not accepted"
                assert run not in self.trusts[trust].asked
                self.trusts[trust].asked.append(run)
                self.report(run, trust, "starting")
            self.answer(task)
        return bool(asked)

    def begin_kernel(self, trust: str) -> bool:
        kernels = self.trusts[trust]
        if not kernels.asked or len(kernels.running) >= kernels.slots:
            return False
        run = kernels.asked.pop(0)
        kernels.running.add(run)
        self.report(run, trust, "running")
        return True

    def end(self, run: str) -> bool:
        """End a run whose members all have kernels: none of them gets anywhere before."""
        members = self.members(run)
        if not members or any(run not in self.trusts[trust].running for trust in members):
            return False
        with self.session() as session:
            become(session, session.get_one(RunRow, run), "succeeded")
        for trust in members:
            self.trusts[trust].running.discard(run)
            self.report(run, trust, "finished")
        return True


def play(scene: Scene, chance: random.Random, steps: int) -> None:
    """So many steps of any kind in any order, then all that is left to be done; a deadlock of the first would stay."""
    approvals = [(run, trust) for run, asked in scene.asked.items() for trust in asked]
    chance.shuffle(approvals)
    for _ in range(steps):
        trust = chance.choice(list(scene.trusts))
        match chance.randrange(6):
            case 0 | 1 if approvals:
                scene.report(*approvals.pop(), "approved")
            case 2:
                scene.take(trust)
            case 3:
                scene.begin_kernel(trust)
            case 4:
                scene.end(chance.choice(scene.runs))
            case _:
                scene.look()
    for approval in approvals:
        scene.report(*approval, "approved")
    progress = True
    while progress:
        scene.look()
        took = [scene.take(trust) for trust in scene.trusts]
        began = [scene.begin_kernel(trust) for trust in scene.trusts for _ in range(4)]
        progress = any([*took, *began, *(scene.end(run) for run in scene.runs)])


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(9, [2] * 6), (12, [1, 2, 1, 2, 2, 1]), (12, [1] * 6), (9, [3, 1, 2, 2, 2, 2])]),
)
def test_every_run_of_a_sweep_succeeds_in_every_order(seed: int, sweep: tuple[int, list[int]]) -> None:
    """Whoever approves, accepts, starts and ends first: no two runs wait for each other's slots."""
    number, slots = sweep
    scene = Scene(slots)
    for _ in range(number):
        scene.submit(KEYS)
    play(scene, random.Random(seed), 250)
    assert [scene.state(run) for run in scene.runs] == ["succeeded"] * number
    scene.database.close()


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_runs_over_some_of_the_trusts_succeed_too(seed: int) -> None:
    chance = random.Random(seed)
    scene = Scene([1, 2, 1, 2, 1, 1])
    for _ in range(8):
        scene.submit(sorted(chance.sample(KEYS, chance.randint(2, 6))))
    play(scene, chance, 200)
    assert [scene.state(run) for run in scene.runs] == ["succeeded"] * 8
    scene.database.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Three Trusts with a slot each."""
    made = Scene([1, 1, 1])
    yield made
    made.database.close()


def approve(scene: Scene, run: str, trusts: list[str]) -> None:
    for trust in trusts:
        scene.report(run, trust, "approved")


def accept(scene: Scene, run: str, trust: str, **said: str) -> None:
    (task,) = (task for task, kind, of in scene.open(trust) if (kind, of) == ("accept", run))
    scene.answer(task, **said)


def kinds(scene: Scene, trust: str, run: str) -> list[str]:
    return [kind for _, kind, of in scene.open(trust) if of == run]


def test_nothing_starts_before_the_last_has_accepted(scene: Scene) -> None:
    three = KEYS[:3]
    run = scene.submit(three)
    approve(scene, run, three)
    scene.look()
    assert scene.state(run) == "queued"
    for trust in three[:2]:
        accept(scene, run, trust)
    scene.look()
    assert scene.state(run) == "queued"
    assert [kinds(scene, trust, run) for trust in three] == [[], [], ["accept"]]
    accept(scene, run, three[2])
    scene.look()
    assert scene.state(run) == "starting"
    assert [kinds(scene, trust, run) for trust in three] == [["start"]] * 3


def test_who_waits_for_a_slot_is_seen_and_nobody_overtakes(scene: Scene) -> None:
    one, two, three = KEYS[:3]
    first, second, third = scene.submit([one, two]), scene.submit([two, three]), scene.submit([one, three])
    for run, trusts in ((first, [one, two]), (second, [two, three]), (third, [one, three])):
        approve(scene, run, trusts)
    scene.look()
    for trust in (one, two):
        scene.take(trust)
    scene.look()
    for trust in (one, two):
        scene.take(trust)
        assert scene.begin_kernel(trust)
    scene.look()
    assert [scene.state(run) for run in scene.runs] == ["running", "queued", "queued"]
    assert scene.part(second, two) == ("queued", "no-slot")
    assert scene.part(second, three) == ("queued", "others")  # its slot is set aside: the third run does not get it
    assert {code for _, code in (scene.part(third, one), scene.part(third, three))} == {"no-slot"}
    assert scene.end(first)
    scene.look()
    assert kinds(scene, three, second) == ["accept"]
    assert kinds(scene, three, third) == []


def test_a_trust_that_is_away_keeps_nobody_and_is_named(scene: Scene) -> None:
    one, two, three = KEYS[:3]
    scene.presence._heard.pop(three)
    lacking, other = scene.submit([one, two, three]), scene.submit([one, two])
    approve(scene, lacking, [one, two, three])
    approve(scene, other, [one, two])
    scene.look()
    assert scene.part(lacking, three) == ("queued", "away")
    assert scene.part(lacking, one) == ("queued", "others")
    assert kinds(scene, one, lacking) == []
    assert kinds(scene, one, other) == ["accept"]
    scene.there(three)
    accept(scene, other, one, code="policy-refuses", reason="no")
    assert scene.state(other) == "failed"
    scene.look()
    assert kinds(scene, three, lacking) == ["accept"]


def test_after_the_time_for_gathering_a_quorum_goes_without_who_is_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = KEYS[:3]
    run = scene.submit([one, two, three], minimum=2)
    approve(scene, run, [one, two, three])
    scene.presence._heard.pop(three)
    scene.look()
    assert kinds(scene, one, run) == []
    now = time.time()
    monkeypatch.setattr(run_queue.time, "time", lambda: now + CONFIGURATION.gather_seconds + 1)
    for trust in (one, two):
        scene.there(trust)
    scene.look()
    for trust in (one, two):
        accept(scene, run, trust)
    scene.look()
    assert scene.members(run) == {one, two}
    assert scene.part(run, three) == ("left-out", "not-accepted")


def later(monkeypatch: pytest.MonkeyPatch, scene: Scene, seconds: float) -> None:
    """So many seconds from now on, with all agents there."""
    now = time.time() + seconds
    monkeypatch.setattr(run_queue.time, "time", lambda: now)
    for trust in scene.trusts:
        scene.there(trust)


def test_who_does_not_accept_in_time_is_named_keeps_nobody_and_is_asked_anew_with_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that polls and answers nothing: it kept the slots of all others for ever."""
    one, two, three = KEYS[:3]
    run, behind = scene.submit([one, two]), scene.submit([one, three])
    approve(scene, run, [one, two])
    approve(scene, behind, [one, three])
    scene.look()
    accept(scene, run, one)
    scene.look()
    assert kinds(scene, one, behind) == []
    later(monkeypatch, scene, run_queue.ACCEPT_SECONDS + 1)
    scene.look()
    assert scene.part(run, two) == ("queued", "silent")
    assert scene.part(run, one) == ("queued", "others")
    assert [kinds(scene, trust, run) for trust in (one, two)] == [[], ["accept"]]
    assert [kinds(scene, trust, behind) for trust in (one, three)] == [["accept"]] * 2
    accept(scene, run, two)
    scene.look()
    assert scene.state(run) == "queued", "what one accepted long ago holds no longer, and its slot is another's now"
    assert scene.part(run, one) == ("queued", "no-slot")
    for trust in (one, three):
        scene.take(trust)
    scene.look()
    for trust in (one, three):
        scene.take(trust)
        assert scene.begin_kernel(trust)
    assert scene.end(behind)
    scene.look()
    assert [kinds(scene, trust, run) for trust in (one, two)] == [["accept"]] * 2


def test_a_quorum_goes_without_who_does_not_accept_in_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = KEYS[:3]
    run = scene.submit([one, two, three], minimum=2)
    approve(scene, run, [one, two, three])
    scene.look()
    for trust in (one, two):
        accept(scene, run, trust)
    scene.look()
    assert scene.state(run) == "queued"
    later(monkeypatch, scene, run_queue.ACCEPT_SECONDS + 1)
    scene.look()
    assert (scene.state(run), scene.members(run)) == ("starting", {one, two})
    assert scene.part(run, three) == ("left-out", "not-accepted")
    assert kinds(scene, three, run) == ["stop"]


def test_who_declines_while_others_are_asked_is_not_waited_for(scene: Scene) -> None:
    one, two, three = KEYS[:3]
    run = scene.submit([one, two, three], minimum=2)
    approve(scene, run, [one, two, three])
    scene.look()
    scene.report(run, three, "declined")
    for trust in (one, two):
        accept(scene, run, trust)
    scene.look()
    assert (scene.state(run), scene.members(run)) == ("starting", {one, two})


def test_a_hub_that_was_away_for_longer_than_trusts_may_take_waits_for_their_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed while they are asked, and started again: nobody could answer meanwhile."""
    one, two, three = KEYS[:3]
    run = scene.submit([one, two, three], minimum=2)
    approve(scene, run, [one, two, three])
    scene.look()
    for trust in (one, two):
        accept(scene, run, trust)
    later(monkeypatch, scene, run_queue.ACCEPT_SECONDS + 1)
    scene.presence = Presence(since=time.time())
    scene.line = RunQueue(CONFIGURATION, scene.presence)
    scene.look()
    assert scene.state(run) == "queued"
    for trust in (one, two, three):
        scene.there(trust)
    accept(scene, run, three)
    scene.look()
    assert (scene.state(run), scene.members(run)) == ("starting", {one, two, three})


def test_a_run_that_comes_back_into_the_line_takes_no_slot_from_those_that_are_asked(scene: Scene) -> None:
    one, two, three = KEYS[:3]
    scene.presence._heard.pop(three)
    lacking, asked = scene.submit([one, three]), scene.submit([one, two])
    approve(scene, lacking, [one, three])
    approve(scene, asked, [one, two])
    scene.look()
    for trust in (one, two):
        accept(scene, asked, trust)
    scene.there(three)
    scene.look()
    assert scene.state(asked) == "starting"
    assert kinds(scene, one, lacking) == []
    assert scene.part(lacking, one) == ("queued", "no-slot")


def test_what_was_accepted_before_a_decision_was_withdrawn_starts_nothing(scene: Scene) -> None:
    """Its slots were not set aside meanwhile, and another run has them."""
    one, two, three = KEYS[:3]
    run, other = scene.submit([one, two]), scene.submit([one, three])
    approve(scene, run, [one, two])
    scene.look()
    for trust in (one, two):
        accept(scene, run, trust)
    scene.report(run, two, "waiting")
    assert scene.state(run) == "waiting"
    approve(scene, other, [one, three])
    scene.look()
    for trust in (one, three):
        scene.take(trust)
    scene.report(run, two, "approved")
    scene.look()
    assert [scene.state(which) for which in (run, other)] == ["queued", "starting"]
    assert scene.part(run, one) == ("queued", "no-slot")


def test_all_who_wait_are_told_for_what_though_every_slot_is_in_use(scene: Scene) -> None:
    three = KEYS[:3]
    first = scene.submit(three)
    approve(scene, first, three)
    scene.look()
    for _ in range(2):
        for trust in three:
            scene.take(trust)
            scene.begin_kernel(trust)
        scene.look()
    assert scene.state(first) == "running"
    second = scene.submit(three)
    approve(scene, second, three)
    scene.look()
    assert {scene.part(second, trust) for trust in three} == {("queued", "no-slot")}


def test_a_decision_that_is_withdrawn_takes_the_run_out_of_the_line(scene: Scene) -> None:
    one, two = KEYS[:2]
    run = scene.submit([one, two])
    approve(scene, run, [one, two])
    scene.look()
    accept(scene, run, one)
    scene.report(run, two, "waiting")
    assert scene.state(run) == "waiting"
    scene.report(run, two, "approved")
    assert scene.state(run) == "queued"
    scene.look()
    for trust in (one, two):
        scene.take(trust)
    scene.look()
    assert scene.state(run) == "starting"


def test_a_slot_that_was_given_back_is_free_for_others(scene: Scene) -> None:
    one, two = KEYS[:2]
    first, second = scene.submit([one, two]), scene.submit([one, two])
    for run in (first, second):
        approve(scene, run, [one, two])
    scene.look()
    for trust in (one, two):
        scene.take(trust)
    scene.look()
    for trust in (one, two):
        scene.take(trust)
        scene.begin_kernel(trust)
    scene.look()
    assert scene.state(second) == "queued"
    for trust in (one, two):
        with scene.session() as session:
            said = TrustReport(run=first, sequence=9, state="queued", code=SLOT_RELEASED, reason="waits")
            part = session.get_one(PartRow, (first, trust))
            run_life.report(session, CONFIGURATION, session.get_one(RunRow, first), part, said)
    scene.look()
    assert kinds(scene, one, second) == ["accept"]
