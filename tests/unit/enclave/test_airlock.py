"""Each round is answered once, from sealed memory, with what is on disk first; all else is refused by name."""

from __future__ import annotations

import itertools
import json
import mmap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enclave_scenario import WEIGHTS, Chamber, Study, sealed, sha, update
from safetensors.numpy import load_file, save

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.dataset import Shares, Split
from flipnb.contracts.envelope import ROUND_REPLY, unseal
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.strategy import Strategy
from flipnb.enclave.airlock.airlock import Airlock
from flipnb.enclave.airlock.lease import Lease

OTHER = save({"weight": np.ones((1, 2), np.float32), "bias": np.ones(1, np.float32)})


@pytest.fixture
def chamber(tmp_path: Path) -> Chamber:
    return Chamber(Study(), tmp_path)


def refused(call: Any, *arguments: Any, **named: Any) -> FlipError:
    with pytest.raises(FlipError) as caught:
        call(*arguments, **named)
    return caught.value


def opened(chamber: Chamber, envelope: bytes) -> RoundReply:
    keys = {chamber.study.node.key_id: chamber.study.node.public_key}
    return unseal(envelope, ROUND_REPLY, keys, "The reply").parse(RoundReply, "The reply")


def decoded(chamber: Chamber, arrays: dict[str, np.ndarray]) -> list[float]:
    """The change of the tensor ``weight`` in an update file."""
    bits = chamber.bundle.plan.fraction_bits - int(arrays["shift"][0])
    return [float(value) for value in arrays["update/weight"].ravel() / 2.0**bits]


def test_a_whole_run(chamber: Chamber) -> None:
    for number in (1, 2, 3):
        context = chamber.give(number, WEIGHTS if number == 1 else OTHER)
        reply = opened(chamber, chamber.answer(number))
        assert reply.context == context
        assert reply.metrics is None
        file = chamber.directory / "run" / f"round-{number}.safetensors"
        assert sha(file.read_bytes()) == reply.update
        assert file.stat().st_size == reply.update_size
        arrays = load_file(file)
        assert arrays["people/train"] == [40]
        assert arrays["metric/loss"] == [500 * 40]
        assert arrays["metric/accuracy"] == [75 * 20]
        if number <= 2:
            assert decoded(chamber, arrays) == [1.0, 2.0]
        else:
            assert "update/weight" not in arrays
    assert chamber.airlock.finished
    assert chamber.kinds() == ["round-released"] * 3
    # Two rounds back, nobody asks any more.
    assert not (chamber.directory / "run" / "round-1.safetensors").exists()


def test_the_change_is_clipped(chamber: Chamber) -> None:
    chamber.give(1)
    chamber.answer(1, (300.0, 400.0, 0.0))
    arrays = load_file(chamber.directory / "run" / "round-1.safetensors")
    np.testing.assert_allclose(decoded(chamber, arrays), [6.0, 8.0], rtol=1e-8)


def test_the_same_context_gets_the_same_bytes_also_after_a_restart(chamber: Chamber) -> None:
    context = chamber.give(1)
    envelope = chamber.answer(1)
    for airlock in (chamber.airlock, chamber.open()):
        reply = airlock.take(context)
        assert reply is not None
        assert reply.envelope == envelope
        assert sha(reply.update.read_bytes()) == reply.update_sha256


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (4, {"training": False}, "ends with round 3"),
        (1, {"weights": sha(OTHER)}, "initial weights"),
        (1, {"of": 3}, "2 rounds, not 3"),
        (1, {"training": False}, "mixed up"),
        (1, {"tensors": "0" * 64}, "tensor spec"),
        (1, {"bundle": "0" * 64}, "another run or bundle"),
        (1, {"weights_size": 1 << 40}, "larger"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(
    chamber: Chamber, number: int, changes: dict[str, Any], words: str
) -> None:
    error = refused(chamber.airlock.take, chamber.context(number, **changes))
    assert error.code == "round-refused"
    assert words in error.message
    assert chamber.kinds() == ["round-refused"]
    assert chamber.store.rounds.last(chamber.run) is None
    assert chamber.airlock.take(chamber.context(1)) is None


def test_members_must_be_those_who_started_and_enough(chamber: Chamber) -> None:
    own, stranger = chamber.study.node.key_id, "f" * 64
    cases: list[tuple[tuple[str, ...], str]] = [
        ((own,), "fewer than"),
        (tuple(sorted((own, stranger))), "did not start"),
        (tuple(sorted((own, chamber.study.other.key_id), reverse=True)), "not sorted"),
        ((chamber.study.other.key_id,), "not among"),
    ]
    for members, words in cases:
        assert words in refused(chamber.airlock.take, chamber.context(1, members=members)).message


def test_a_round_is_pinned_before_it_is_answered(chamber: Chamber) -> None:
    """A hub that changes its mind while the kernel trains, or after a restart, is found out."""
    chamber.give(1)
    chamber.answer(1)
    first = chamber.give(2, OTHER)
    for airlock in (chamber.airlock, chamber.open()):
        error = refused(airlock.take, chamber.context(2, WEIGHTS))
        assert "another context before" in error.message
        assert "another context before" in refused(airlock.take, chamber.context(2, OTHER, config={"mu": 1.0})).message
        assert "round 2 is not answered yet" in refused(airlock.take, chamber.context(3)).message
        assert airlock.take(first) is None
    assert "another context before" in refused(chamber.airlock.take, chamber.context(1, config={"lr": 2.0})).message


def test_rounds_end_at_the_bundles_limit(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=0, clip_norm=1))
    chamber.give(1)
    chamber.answer(1)
    assert chamber.airlock.finished
    assert "ends with round 1" in refused(chamber.airlock.take, chamber.context(2, training=False)).message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_does_not_leave(chamber: Chamber, value: float) -> None:
    chamber.give(1)
    error = refused(
        chamber.airlock.submit, 1, {"loss": 0.5, "accuracy": 0.5}, update((1.0, value, 0.0)), None, leave=False
    )
    assert error.code == "not-finite"
    assert "weight" in error.message
    assert chamber.kinds() == ["report-refused"]
    assert list((chamber.directory / "run").glob("round-*")) == []
    chamber.answer(1)


def test_a_report_is_what_was_declared(chamber: Chamber) -> None:
    chamber.give(1)
    good = {"loss": 0.5, "accuracy": 0.5}
    cases: list[tuple[dict[str, object], str]] = [
        ({"loss": 0.5}, "missing-output"),
        ({**good, "patient": 1.0}, "undeclared-output"),
        ({**good, "accuracy": 1.5}, "output-out-of-bounds"),
        ({**good, "loss": float("nan")}, "not-a-number"),
        ({**good, "loss": "0.5"}, "not-a-number"),
    ]
    for report, code in cases:
        assert refused(chamber.airlock.submit, 1, report, update((1, 1, 1)), None, leave=False).code == code
    assert refused(chamber.airlock.submit, 1, good, None, None, leave=False).code == "update-missing"
    assert refused(chamber.airlock.submit, 2, good, update((1, 1, 1)), None, leave=False).code == "wrong-round"


def test_memory_that_the_kernel_still_maps_is_not_read(chamber: Chamber) -> None:
    chamber.give(1)
    change = update((1, 2, 3))
    with mmap.mmap(change.descriptor, change.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as held:
        error = refused(chamber.airlock.submit, 1, {"loss": 0.5, "accuracy": 0.5}, change, None, leave=False)
        assert error.code == "still-mapped"
        held[:4] = b"\0\0\0\0"
    chamber.airlock.submit(1, {"loss": 0.5, "accuracy": 0.5}, change, None, leave=False)
    with pytest.raises(PermissionError):
        mmap.mmap(change.descriptor, change.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def test_a_trusts_own_numbers_leave_only_by_policy(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, policy=Policy(per_trust_metrics=True))
    chamber.give(1)
    assert opened(chamber, chamber.answer(1)).metrics == {"loss": 0.5, "accuracy": 0.75}


def test_a_saved_state_comes_back_after_a_restart(chamber: Chamber) -> None:
    chamber.give(1)
    chamber.airlock.submit(1, {"loss": 0.5, "accuracy": 0.5}, update((1, 2, 3)), sealed(b"optimiser"), leave=False)
    airlock = chamber.open()
    chamber.give(2, OTHER, airlock)
    given = airlock.next_round(1.0)
    assert given is not None
    assert given.state is not None
    assert given.state.read_bytes() == b"optimiser"


def test_a_returning_trust_skips_rounds_and_goes_back_to_none(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=5, clip_norm=10.0))
    first = chamber.give(1)
    chamber.airlock.submit(1, {"loss": 0.5, "accuracy": 0.5}, update((1, 2, 3)), sealed(b"optimiser"), leave=False)
    chamber.give(4, OTHER)
    given = chamber.airlock.next_round(1.0)
    assert given is not None
    assert given.state is not None
    assert given.state.read_bytes() == b"optimiser"  # the state goes on from the last answered round
    for airlock in (chamber.airlock, chamber.open()):
        assert "round 4 is not answered yet" in refused(airlock.take, chamber.context(2, OTHER)).message
    chamber.answer(4)
    for airlock in (chamber.airlock, chamber.open()):
        for number in (2, 3):
            assert "round 4 was given before" in refused(airlock.take, chamber.context(number, OTHER)).message
        assert airlock.take(first) is not None
    assert not (chamber.directory / "run" / "round-1.safetensors").exists()


def test_after_leaving_nothing_is_taken(chamber: Chamber) -> None:
    chamber.give(1)
    chamber.airlock.submit(1, {"loss": 0.5, "accuracy": 0.5}, update((1, 2, 3)), None, leave=True)
    assert chamber.airlock.finished
    assert "left" in refused(chamber.airlock.take, chamber.context(2, OTHER)).message


def test_two_contexts_at_once_pin_one(tmp_path: Path) -> None:
    """Threads bring as many contexts of one round, each of which would do; exactly one is taken."""
    own = {"a": 1.0, "b": 2.0, "c": 3.0}
    plan = Plan(rounds=2, clip_norm=1, strategy=Strategy(name="lab.Own", parameters=own))
    chamber = Chamber(Study(), tmp_path, plan=plan)
    outcomes: list[str] = []

    def take(airlock: Airlock, context: RoundContext) -> None:
        try:
            airlock.take(context)
            outcomes.append("taken")
        except FlipError as error:
            outcomes.append(error.code)

    told = [{name: own[name] for name in names} for size in range(4) for names in itertools.combinations(own, size)]
    contexts = [chamber.context(1, config=config) for config in told]
    threads = [threading.Thread(target=take, args=(chamber.airlock, context)) for context in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["round-refused"] * 7 + ["taken"]


def test_every_release_is_a_leaf(chamber: Chamber) -> None:
    context = chamber.give(1)
    reply = opened(chamber, chamber.answer(1))
    (entry,) = (json.loads(line) for line in chamber.audit.page(0).entries)
    assert entry["details"]["update"] == reply.update
    assert entry["details"]["context"] == context.digest()
    assert entry["details"]["report"] == {"loss": "500", "accuracy": "75"}


def test_a_lease_can_be_neither_cut_nor_grown() -> None:
    import os

    lease = Lease(4096)
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(lease.descriptor, size)
    with pytest.raises(FlipError, match="can still write"), lease.view():
        pass


def test_a_single_update_is_clipped_but_not_weighted(tmp_path: Path) -> None:
    plan = Plan(rounds=2, clip_norm=10, strategy=Strategy(name="FedMedian"), aggregation="individual")
    chamber = Chamber(Study(), tmp_path, plan=plan, policy=Policy(individual_updates=True))
    chamber.give(1)
    chamber.answer(1, (300.0, 400.0, 0.0))
    arrays = load_file(chamber.directory / "run" / "round-1.safetensors")
    np.testing.assert_allclose(decoded(chamber, arrays), [6.0, 8.0], rtol=1e-8)
    assert arrays["people/train"] == [40]


CONSENSUS: dict[str, Any] = {
    "plan": Plan(rounds=9, clip_norm=10, consensus=Consensus(threshold=0.9, rounds=1)),
    "split": Split(seed=1, shares=Shares(train=2, validation=1, test=1)),
}


def agreeing(chamber: Chamber, number: int, agreement: float | None) -> RoundReply:
    report = {"loss": 0.5, "accuracy": 0.5}
    reply = chamber.airlock.submit(number, report, update((1, 2, 3)), None, leave=False, agreement=agreement)
    return opened(chamber, reply.envelope)


@pytest.mark.parametrize(("agreement", "vote"), [(0.9, 1), (0.89996, 1), (0.8999, 0), (0.0, 0)])
def test_the_vote_is_made_in_the_airlock(tmp_path: Path, agreement: float, vote: int) -> None:
    chamber = Chamber(Study(), tmp_path, **CONSENSUS)
    chamber.give(1)
    assert agreeing(chamber, 1, agreement).agreement is None
    arrays = load_file(chamber.directory / "run" / "round-1.safetensors")
    assert (arrays["consensus/votes"].tolist(), arrays["consensus/voters"].tolist()) == ([vote], [1])


@pytest.mark.parametrize(
    ("agreement", "code"), [(None, "no-agreement"), (1.01, "wrong-agreement"), (-0.1, "wrong-agreement")]
)
def test_a_vote_needs_an_agreement_within_its_bounds(tmp_path: Path, agreement: float | None, code: str) -> None:
    chamber = Chamber(Study(), tmp_path, **CONSENSUS)
    chamber.give(1)
    assert refused(agreeing, chamber, 1, agreement).code == code
    assert chamber.kinds() == ["report-refused"]


def test_the_agreement_itself_leaves_only_by_policy(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, **CONSENSUS, policy=Policy(per_trust_metrics=True))
    chamber.give(1)
    assert agreeing(chamber, 1, 0.123456).agreement == 0.1235


def test_consensus_may_end_a_run_before_its_limit_but_once(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, **CONSENSUS)
    assert "mixed up" in refused(chamber.airlock.take, chamber.context(1, training=False)).message
    chamber.give(1)
    agreeing(chamber, 1, 1.0)
    assert not chamber.airlock.finished
    context = chamber.context(2, OTHER, training=False)
    chamber.airlock.take(context)
    chamber.airlock.offer(context, sealed(OTHER))
    chamber.airlock.submit(2, {"loss": 0.5, "accuracy": 0.5}, None, None, leave=False)
    assert chamber.airlock.finished
    assert "evaluated already" in refused(chamber.airlock.take, chamber.context(3, OTHER)).message


def test_a_trust_with_nobody_in_validation_abstains(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, **CONSENSUS)
    chamber.airlock.facts = replace(chamber.airlock.facts, people={"train": 40, "validation": 0, "test": 20})
    chamber.give(1)
    agreeing(chamber, 1, None)
    arrays = load_file(chamber.directory / "run" / "round-1.safetensors")
    assert (arrays["consensus/votes"].tolist(), arrays["consensus/voters"].tolist()) == ([0], [0])
