"""Seven Trusts with real processes: whatever is killed or cut off, the run goes on by itself, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest
from enclave_federation import until
from fault_campaign import Follower, disturbed, rounds_for, undisturbed
from fault_federation import IMPATIENT, NAMES, NARROW, SevenTrusts, plan
from fault_invariants import answers, whole
from fault_kinds import kinds

pytestmark = pytest.mark.timeout(1200)
SEED = 5


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SevenTrusts]:
    federation = SevenTrusts(tmp_path_factory.mktemp("seven"))
    try:
        federation.start()
        yield federation
    finally:
        federation.close()
    whole(federation)


def test_a_run_goes_on_by_itself_bit_for_bit(federation: SevenTrusts) -> None:
    """A fault of each kind, one after another in one run; the first strikes while the Trusts freeze their cohorts."""
    named = kinds(network_seconds=8)
    order = ["estate worker", "kernel", "runner", "coordinator", "agent", "hub", "network"]
    bundle = federation.bundle_for(plan(rounds_for(len(order))))
    steady = undisturbed(federation, bundle, executions=2)
    struck = disturbed(federation, bundle, [(kind, named[kind]) for kind in order], steady, random.Random(SEED))
    assert [one.kind for one in struck] == order
    assert all(one.same for one in struck)


def test_all_runs_of_a_sweep_succeed_though_there_are_fewer_slots(federation: SevenTrusts) -> None:
    """Four runs at seven Trusts, one of which has one slot and the others two: they wait, by name, and none fails."""
    bundle = federation.bundle_for(plan(1))
    runs = federation.sweep(bundle, 4, random.Random(SEED))
    followers = [Follower(federation, run) for run in runs]
    for follower in followers:
        follower.to_the_end()
    assert [follower.state for follower in followers] == ["succeeded"] * 4
    narrow = federation.trusts[NAMES.index(NARROW)].node.key_id
    told = [event for follower in followers for _, event in follower.heard if event.trust == narrow]
    assert "no-slot" in {event.code for event in told if event.trust_state == "queued"}
    until(lambda: all(federation.finished(run) for run in runs), 60)


def test_a_trust_that_stays_away_comes_back_and_slots_are_lent(federation: SevenTrusts) -> None:
    """One agent is silent past the deadline; meanwhile another Trust's kernel waits too long and gives up its slot."""
    away = next(name for name in NAMES if name != IMPATIENT)
    bundle = federation.bundle_for(plan(500, patience_seconds=12), minimum=2)
    follower = Follower(federation, federation.run(bundle, executions=1))
    follower.until_round(2)
    process = federation.daemon(away)
    key = federation.trusts[NAMES.index(away)].node.key_id
    os.kill(process.pid, signal.SIGSTOP)
    try:
        while not any(key in summary.late for summary in follower.rounds):
            follower.until_round(len(follower.rounds) + 1)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    missed = next(summary.round for summary in follower.rounds if key in summary.late)
    while key not in follower.rounds[-1].members or not lent_and_given_back(federation, follower.run):
        follower.until_round(len(follower.rounds) + 1)
    back = next(s.round for s in follower.rounds if s.round > missed and key in s.members)
    assert back > missed + 1
    told = [event for _, event in follower.heard if event.trust == key and event.code in ("late", "late-reply")]
    assert [(event.trust_state, event.code) for event in told[:2]] == [("left-out", "late"), ("running", "late-reply")]
    federation.ask("POST", f"/v1/runs/{follower.run}/stop")
    until(lambda: not federation.alive(follower.run), 60)
    follower.to_the_end()
    assert follower.state == "stopped"
    numbers = sorted(number for name, number in answers(federation, follower.run) if name == away)
    assert missed in numbers
    assert not set(range(missed + 1, back)) & set(numbers)


def lent_and_given_back(federation: SevenTrusts, run: str) -> bool:
    """Whether the impatient Trust's kernel gave up its slot, got one again, and answered a round after that."""
    kinds_of = federation.trusts[NAMES.index(IMPATIENT)].audited(run)
    return "slot-released" in kinds_of and "round-released" in kinds_of[kinds_of.index("slot-released") :]
