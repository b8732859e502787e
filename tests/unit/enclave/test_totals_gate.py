"""A total is answered once, in integers, at its place, and with the bytes that are on disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import Chamber, Study, update

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.envelope import TOTAL_REPLY, unseal
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.total import DeclaredArray, TotalContext, TotalReply, TotalStep, TotalSum

BEFORE = TotalStep(
    arrays=(
        DeclaredArray(name="sums", shape=(2,), minimum=-10, maximum=10, decimals=2),
        DeclaredArray(name="n", minimum=0, maximum=100, decimals=0),
    )
)
WITHIN = TotalStep(arrays=(DeclaredArray(name="labels", shape=(3,), minimum=0, maximum=100, decimals=0),), round=1)
AFTER = TotalStep(arrays=(DeclaredArray(name="bins", shape=(2,), minimum=0, maximum=100, decimals=0),), final=True)
VALUES = {"sums": (1.005, -0.25), "n": (40.0,)}


@pytest.fixture
def chamber(tmp_path: Path) -> Chamber:
    return Chamber(Study(), tmp_path, totals=(BEFORE, WITHIN, AFTER))


def context(chamber: Chamber, step: int = 1, **changes: Any) -> TotalContext:
    plain: dict[str, Any] = {
        "run": chamber.run, "bundle": chamber.bundle.digest(), "step": step, "members": chamber.study.members(),
    }  # fmt: skip
    return TotalContext(**(plain | changes))


def result(given: TotalContext, **values: tuple[int, ...]) -> TotalSum:
    return TotalSum(context=given, members=given.members, values=values)


def opened(chamber: Chamber, envelope: bytes | None) -> TotalReply:
    assert envelope is not None
    keys = {chamber.study.node.key_id: chamber.study.node.public_key}
    return unseal(envelope, TOTAL_REPLY, keys, "The total").parse(TotalReply, "The total")


def refused(call: Any, *arguments: Any) -> FlipError:
    with pytest.raises(FlipError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("hub_first", [True, False])
def test_a_total_is_answered_when_hub_and_notebook_have_both_come(chamber: Chamber, hub_first: bool) -> None:
    gate = chamber.airlock.totals
    given = context(chamber)
    steps = [lambda: gate.take(given), lambda: gate.submit(VALUES, chamber.airlock.place)]
    for step in steps if hub_first else reversed(steps):
        assert gate.reply(1) is None
        step()
    reply = opened(chamber, gate.reply(1))
    assert reply.context == given
    assert reply.values == {"sums": (100, -25), "n": (40,)}
    assert chamber.kinds() == ["total-released"]
    assert gate.result(1, 0.01) is None
    gate.give(result(given, sums=(250, 0), n=(70,)))
    assert gate.result(1, 0.01) == {"sums": [2.5, 0.0], "n": [70.0]}


def test_other_values_change_nothing_once_it_is_answered_also_after_a_restart(chamber: Chamber) -> None:
    given = context(chamber)
    chamber.airlock.totals.take(given)
    chamber.airlock.totals.submit(VALUES, 0)
    before = chamber.airlock.totals.reply(1)
    chamber.give(1)
    for airlock in (chamber.airlock, chamber.open()):
        gate = airlock.totals
        gate.take(given)
        assert gate.submit({"sums": (9.0, 9.0), "n": (1.0,)}, airlock.place) == 1
        assert gate.reply(1) == before
        assert "another context" in refused(gate.take, context(chamber, members=chamber.study.members()[:1])).message
    gate.give(result(given, sums=(101, 2), n=(43,)))
    gate.give(result(given, sums=(7, 7), n=(47,)))
    assert chamber.open().totals.result(1, 0.01) == {"sums": [1.01, 0.02], "n": [43.0]}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"sums": (1.0, 2.0)}, "undeclared-total"),
        ({**VALUES, "patient": (1.0,)}, "undeclared-total"),
        ({**VALUES, "n": (101.0,)}, "wrong-total"),
        ({**VALUES, "n": (float("nan"),)}, "wrong-total"),
        ({**VALUES, "sums": (1.0, 2.0, 3.0)}, "wrong-total"),
        ({"labels": (1.0, 2.0, 3.0)}, "wrong-place"),
        ({"bins": (1.0, 2.0)}, "wrong-place"),
    ],
)
def test_only_what_is_declared_is_totalled(chamber: Chamber, values: dict[str, Any], code: str) -> None:
    chamber.airlock.totals.take(context(chamber))
    assert refused(chamber.airlock.totals.submit, values, chamber.airlock.place).code == code
    assert chamber.airlock.totals.reply(1) is None


def test_a_total_within_a_round_waits_for_that_round(chamber: Chamber) -> None:
    chamber.give(1)
    chamber.airlock.totals.take(context(chamber, 2))
    assert chamber.airlock.totals.submit({"labels": (1.0, 2.0, 3.0)}, chamber.airlock.place) == 2
    chamber.airlock.submit(1, {"loss": 0.5, "accuracy": 0.5}, update((1, 2, 3)), None, leave=False)
    assert chamber.kinds() == ["total-released", "round-released"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bundle": "0" * 64}, "another run or bundle"),
        ({"step": 4}, "has 3 totals"),
        ({"members": ("f" * 64,)}, "did not start"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(chamber: Chamber, changes: dict[str, Any], words: str) -> None:
    error = refused(chamber.airlock.totals.take, context(chamber, **changes))
    assert error.code == "total-refused"
    assert words in error.message
    assert chamber.kinds() == ["total-refused"]


def test_a_total_of_the_final_evaluation_waits_for_it(chamber: Chamber) -> None:
    gate, bins = chamber.airlock.totals, {"bins": (3.0, 4.0)}
    gate.take(context(chamber, 3))
    chamber.give(1)
    error = refused(gate.submit, bins, chamber.airlock.place)
    assert error.code == "wrong-place"
    assert "in the final evaluation, and the notebook asks for it within round 1" in error.message
    chamber.answer(1)
    chamber.give(2)
    chamber.answer(2)
    chamber.give(3)
    assert gate.submit(bins, chamber.airlock.place) == 3
    assert opened(chamber, gate.reply(3)).values == {"bins": (3, 4)}
    again = chamber.open()
    assert again.place == "final"
    assert again.totals.submit({"bins": (9.0, 9.0)}, again.place) == 3, "a kernel started anew is given the same"
    assert again.totals.reply(3) == gate.reply(3)


@pytest.mark.parametrize(
    ("rounds", "allowed", "minimum", "taken"),
    [(0, True, 1, True), (0, False, 1, False), (1, True, 1, False), (0, True, 2, False)],
)
def test_one_trust_alone_is_for_runs_without_training_where_the_policy_allows_it(
    tmp_path: Path, rounds: int, allowed: bool, minimum: int, taken: bool
) -> None:
    """Its sum is its own part, and no other is taken for it."""
    policy = Policy(one_trust_runs=allowed)
    plan = Plan(rounds=rounds, clip_norm=1.0)
    chamber = Chamber(Study(), tmp_path, totals=(BEFORE,), policy=policy, plan=plan, minimum_trusts=minimum)
    alone = context(chamber, members=(chamber.study.node.key_id,))
    if not taken:
        assert "fewer than" in refused(chamber.airlock.totals.take, alone).message
        return
    policy.refuse_bundle(chamber.bundle)
    gate = chamber.airlock.totals
    gate.take(alone)
    gate.submit(VALUES, 0)
    assert "is none that 1 Trusts can have sent" in refused(gate.give, result(alone, sums=(101, -25), n=(40,))).message
    chamber.close()


def test_a_policy_demands_a_number_of_trusts(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, totals=(BEFORE,), policy=Policy(minimum_trusts=3))
    assert "fewer than" in refused(chamber.airlock.totals.take, context(chamber)).message


FITS: dict[str, tuple[int, ...]] = {"sums": (1100, -1025), "n": (140,)}
"""This Trust's own part, and as much as one other can have sent."""


@pytest.mark.parametrize(
    ("changes", "values", "words"),
    [
        ({}, {"sums": (1,)}, "'sums' has another shape"),
        ({}, {"sums": (1101, 0)}, "'sums' is none that 2 Trusts can have sent within [-10.0, 10.0]"),
        ({}, {"sums": (0, -1026)}, "'sums' is none"),
        ({}, {"sums": (2**60, 0)}, "'sums' is none"),
        ({}, {"n": (39,)}, "'n' is none"),
        ({}, {"n": (141,)}, "'n' is none"),
        ({}, {"patient": (1,)}, "other arrays"),
        ({"members": slice(0, 1)}, {}, "fewer than bundle and policy demand"),
        ({"members": slice(None, None, -1)}, {}, "not sorted"),
        ({"context": {"step": 2}}, {}, "not answered here"),
        ({"context": {"members": ("f" * 64,)}}, {}, "not answered here"),
    ],
)
def test_a_sum_that_the_members_cannot_have_sent_is_refused(
    chamber: Chamber, changes: dict[str, Any], values: dict[str, tuple[int, ...]], words: str
) -> None:
    gate, given = chamber.airlock.totals, context(chamber)
    gate.take(given)
    gate.submit(VALUES, 0)
    own = chamber.study.node.key_id
    members = [key for key in given.members if key == own] if "members" in changes else list(given.members)
    if "members" in changes and changes["members"].step:
        members = list(given.members[::-1])
    said = given.model_copy(update=changes.get("context", {}))
    error = refused(gate.give, TotalSum(context=said, members=tuple(members), values=FITS | values))
    assert (error.code, words in error.message) == ("total-refused", True), error.message
    assert chamber.kinds() == ["total-released", "total-refused"]
    assert chamber.store.totals.get(chamber.run, 1).result is None  # type: ignore[union-attr]


def test_a_kernel_is_told_that_its_sum_was_refused_and_need_not_wait(chamber: Chamber) -> None:
    gate, given = chamber.airlock.totals, context(chamber)
    gate.take(given)
    gate.submit(VALUES, 0)
    assert not gate.settled(1)
    refused(gate.give, result(given, sums=(0, 0), n=(10**9,)))
    assert gate.settled(1)
    assert refused(gate.result, 1, 30.0).code == "total-refused"


def test_a_sum_that_came_too_early_is_refused_for_good(chamber: Chamber) -> None:
    """By ever new sums a hub that asks again and again would learn when the notebook asks."""
    gate, given = chamber.airlock.totals, context(chamber)
    gate.take(given)
    before = refused(gate.give, result(given, **FITS)).message
    gate.submit(VALUES, 0)
    assert refused(gate.give, result(given, **FITS)).message == before
    assert refused(gate.give, result(given, sums=(0, 0), n=(10**9,))).message == before
    assert refused(gate.result, 1, 30.0).message == before


def test_a_sum_at_the_edge_of_what_the_members_can_have_sent_is_taken(chamber: Chamber) -> None:
    gate, given = chamber.airlock.totals, context(chamber)
    gate.take(given)
    gate.submit(VALUES, 0)
    gate.give(result(given, **FITS))
    assert gate.result(1, 0.01) == {"sums": [11.0, -10.25], "n": [140.0]}


def test_closing_frees_who_waits(chamber: Chamber) -> None:
    done: list[object] = []
    waiting = threading.Thread(target=lambda: done.append(chamber.airlock.totals.result(1, 30.0)))
    waiting.start()
    chamber.airlock.close()
    waiting.join(10)
    assert done == [None]


def test_bits_of_totals_count_against_the_policy(chamber: Chamber) -> None:
    bundle: Bundle = chamber.bundle
    bits = sum(array.bits for step in bundle.totals for array in step.arrays)
    assert bits == 2 * 11 + 7 + 3 * 7 + 2 * 7
    free = bundle.model_copy(update={"totals": ()})
    assert bundle.report_bits == free.report_bits + bits
    Policy(bits_per_run=free.report_bits + bits).refuse_bundle(bundle)
    assert (
        f"carries {bundle.report_bits} bits"
        in refused(Policy(bits_per_run=free.report_bits + bits - 1).refuse_bundle, bundle).message
    )
