"""The coordinator over the real hub: exact arithmetic, refusals by name, lost quorum, and kill -9 at any moment."""

import json
import math
import shutil
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest
from round_scenario import OUTPUTS, PEOPLE, RATE, SPEC, People, federation, initial_weights
from safetensors.numpy import load, save

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.document import sha256
from flipnb.contracts.envelope import ROUND_REPLY, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.federation.safetensors_file import SafetensorsWriter
from flipnb.federation.update_layout import update_entries

EXACT = 1e-6


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    with federation(tmp_path_factory.mktemp("federation")) as made:
        yield made
        assert [error for trust in made.trusts for error in trust.errors] == []


def distance(weights, weight, bias):
    return max(float(np.abs(weights["weight"] - weight).max()), float(np.abs(weights["bias"] - bias).max()))


def follow(fed, run, *, everybody=None):
    """Largest difference from pooled gradient descent over each round's members, after every round.

    ``everybody``: these Trusts are pooled in every round instead, whoever took part.
    """
    weight, bias = (initial_weights()[name].astype(float) for name in ("weight", "bias"))
    differences = []
    view = fed.view(run)
    summaries = fed.rounds(run)
    following = [summary.weights for summary in summaries[1:]]
    for summary, digest in zip(summaries[:-1], following, strict=True):
        members = [trust for trust in fed.trusts if trust.key_id in summary.members]
        pooled = People.pooled([trust.people for trust in everybody or members])
        by_weight, by_bias = pooled.gradient(weight, bias)
        weight, bias = weight - RATE * by_weight, bias - RATE * by_bias
        differences.append(distance(fed.weights(digest), weight, bias))
    assert following[-1] == view.final_weights
    return differences


def test_rounds_equal_pooled_gradient_descent_after_every_round(fed):
    fed.trusts[0].tells_metrics = True
    run = fed.submit(4, Plan(rounds=10, clip_norm=10.0), minimum=4)
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    differences = follow(fed, run)
    assert len(differences) == 10
    assert max(differences) < EXACT
    with sqlite3.connect(f"file:{fed.directory}/hub.sqlite?mode=ro", uri=True) as database:
        (updates,) = database.execute("SELECT count(*) FROM blobs WHERE run=? AND reach='update'", (run,)).fetchone()
        granted = {name for (name,) in database.execute("SELECT sha256 FROM blobs")}
    # What is in the sum is on the hub's disk no more.
    assert updates == 0
    assert {path.name for path in (fed.directory / "blobs").glob("??/*")} <= granted
    final = fed.weights(view.final_weights)
    assert int(final["steps"]) == 10
    assert {name: (a.dtype.name, a.shape) for name, a in final.items()} == {
        "weight": ("float32", (1, 5)), "bias": ("float32", (1,)), "steps": ("int64", ()),
    }  # fmt: skip
    summaries = fed.rounds(run)
    assert [(s.round, s.training) for s in summaries] == [(n, n <= 10) for n in range(1, 12)]
    assert summaries[0].weights == sha256(save(initial_weights()))
    for summary in (summaries[0], summaries[-1]):
        weights = fed.weights(summary.weights)
        reports = [trust.people.report(weights) for trust in fed.trusts[:4]]
        for name in ("loss", "accuracy"):
            decimals = next(output.decimals for output in OUTPUTS if output.name == name)
            average = np.average([report[name] for report in reports], weights=PEOPLE[:4])
            assert summary.metrics[name] == pytest.approx(average, abs=10**-decimals)
        assert list(summary.trust_metrics) == [fed.trusts[0].key_id]
    assert summaries[-1].metrics["loss"] < summaries[0].metrics["loss"]


def test_a_plan_without_training_rounds_evaluates(fed):
    run = fed.submit(4, Plan(rounds=0, clip_norm=10.0), minimum=4)
    view = fed.ended(run)
    assert (view.state, view.final_weights) == ("succeeded", sha256(save(initial_weights())))
    (summary,) = fed.rounds(run)
    assert (summary.round, summary.training) == (1, False)


def test_single_updates_give_the_median_and_leave_no_file(fed):
    strategy = Strategy(name="FedMedian")
    run = fed.submit(5, Plan(rounds=3, clip_norm=10.0, strategy=strategy, aggregation="individual"), minimum=5)
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    weights = initial_weights()
    for summary, following in zip(fed.rounds(run)[:-1], [s.weights for s in fed.rounds(run)[1:]], strict=True):
        steps = [trust.step(weights) for trust in fed.trusts[:5]]
        expected = {name: weights[name] + np.median([step[name] for step in steps], axis=0) for name in weights}
        weights = fed.weights(following)
        for name, array in expected.items():
            np.testing.assert_allclose(weights[name], array, atol=EXACT, err_msg=f"{summary.round} {name}")
    assert summary.metrics["accuracy"] > 0
    assert int(weights["steps"]) == 3


def test_a_run_ends_when_all_agree_in_a_row(fed):
    """Trust 1 disagrees in rounds 1 and 3: the two rounds in a row are 4 and 5. A killed coordinator counts on."""
    plan = Plan(rounds=50, clip_norm=10.0, consensus=Consensus(threshold=0.9))
    fed.trusts[0].tells_metrics = True
    fed.trusts[1].agreement = lambda context: 0.5 if context.round in (1, 3) else 0.95
    fed.trusts[1].pause = 0.1
    run = fed.submit(3, plan, minimum=3)
    fed.until_round(run, 4)
    fed.coordinator(run).kill()
    view = fed.ended(run)
    fed.trusts[1].pause = 0.0
    assert (view.state, view.code, view.reason) == ("succeeded", "agreed", "Agreed at round 5."), fed.log(run)
    assert view.rounds_done == 5
    summaries = fed.rounds(run)
    assert [(s.round, s.training, s.votes, s.voters) for s in summaries] == [
        (1, True, 2, 3), (2, True, 3, 3), (3, True, 2, 3), (4, True, 3, 3), (5, True, 3, 3), (6, False, None, None),
    ]  # fmt: skip
    told = fed.trusts[0].key_id
    assert [s.agreements for s in summaries] == [{told: 1.0}] * 5 + [{}]
    assert summaries[5].weights == view.final_weights


def test_a_run_that_never_agrees_ends_at_its_round_limit(fed):
    fed.trusts[1].agreement = lambda context: 0.5
    view = fed.ended(fed.submit(2, Plan(rounds=2, clip_norm=10.0, consensus=Consensus()), minimum=2))
    assert (view.state, view.code, view.rounds_done) == ("succeeded", "round-limit", 2)
    assert view.reason == "The round limit, 2, was reached without agreement."


def test_a_run_whose_weights_leave_the_plans_radius_ends_by_name(fed):
    """No Trust is given them: it would refuse them."""
    near = fed.ended(fed.submit(2, Plan(rounds=2, clip_norm=10.0, radius=20.0), minimum=2))
    assert near.state == "succeeded"
    run = fed.submit(2, Plan(rounds=4, clip_norm=10.0, radius=0.2), minimum=2)
    view = fed.ended(run)
    assert (view.state, view.code) == ("failed", "too-far"), fed.log(run)
    assert "The global weights lie" in view.reason
    assert "from those of round 1; the plan's radius is 0.2." in view.reason
    assert len(fed.rounds(run)) == view.rounds_done


def array(name, **changes):
    return DeclaredArray(**{"name": name, "minimum": 0, "maximum": 1000, "decimals": 0, **changes})


def test_totals_are_added_once_and_given_to_all_who_are_in_them(fed):
    """One before the first round, one within round 2, in which Trust 3 sends what no honest Trust can."""
    steps = (TotalStep(arrays=(array("n"),)), TotalStep(arrays=(array("labels", shape=(2,)),), round=2))
    for number, trust in enumerate(fed.trusts[:4]):
        labels = (number, 10 * number) if number != 3 else (5000, 1)
        trust.totals = lambda context, n=PEOPLE[number], labels=labels: (
            {"n": (n,)} if context.step == 1 else {"labels": labels}
        )
        trust.summed.clear()
        trust.asked.clear()
    fed.trusts[0].pause = 0.2
    run = fed.submit(4, Plan(rounds=3, clip_norm=10.0), minimum=3, totals=steps)
    fed.until_round(run, 1)
    fed.coordinator(run).kill()
    view = fed.ended(run)
    fed.trusts[0].pause = 0.0
    assert view.state == "succeeded", fed.log(run)
    everybody = tuple(sorted(trust.key_id for trust in fed.trusts[:4]))
    for number, trust in enumerate(fed.trusts[:4]):
        first, *second = trust.summed
        assert (first.context.step, first.members, first.values) == (1, everybody, {"n": (sum(PEOPLE[:4]),)})
        assert [result.values for result in second] == ([{"labels": (3, 30)}] if number != 3 else [])
        assert [context.step for context in trust.asked] == [1, 2]
    (reason,) = (part.reason for part in view.trusts if part.trust == fed.trusts[3].key_id)
    assert reason == "total 2: wrong-total: Trust 3 totals impossible values of 'labels'."
    assert [len(summary.members) for summary in fed.rounds(run)] == [4, 3, 3, 3]


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_total_of_the_final_evaluation_is_added_after_the_last_round(fed, rounds):
    """The coordinator is killed once it has asked, and asks once all the same. These Trusts end without the sum."""
    steps = (TotalStep(arrays=(array("n"),)), TotalStep(arrays=(array("bins", shape=(2,)),), final=True))
    for number, trust in enumerate(fed.trusts[:3]):
        trust.totals = lambda context, number=number: {"n": (1,)} if context.step == 1 else {"bins": (number, 1)}
        trust.summed.clear()
        trust.asked.clear()
    run = fed.submit(3, Plan(rounds=rounds, clip_norm=10.0), minimum=3, totals=steps)
    while not any(context.step == 2 for context in fed.trusts[2].asked):
        time.sleep(0.01)
    fed.coordinator(run).kill()
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    for trust in fed.trusts[:3]:
        assert trust.summed[0].values == {"n": (3,)}
        assert [context.step for context in trust.asked] == [1, 2]
    assert '"step": 2, "members": 3' in fed.log(run)
    assert [summary.training for summary in fed.rounds(run)] == [True] * rounds + [False]


def test_no_total_of_fewer_than_the_bundle_demands_is_given_out(fed):
    for trust in fed.trusts[:2]:
        trust.summed.clear()
    run = fed.submit(
        2,
        Plan(rounds=1, clip_norm=10.0, round_seconds=8, start_seconds=0),
        minimum=2,
        set_up=lambda run: fed.trusts[1].silent.add((run, -1)),
        totals=(TotalStep(arrays=(array("n"),)),),
    )
    view = fed.ended(run)
    assert (view.state, view.code) == ("failed", "quorum-lost")
    assert "Total 1 has 1 of at least 2 Trusts. Trust 1: no total within 8 s" in view.reason
    assert fed.trusts[0].summed == []


# What a Trust may do wrong in a round. Each gets (trust, task, its honest reply) and returns what is sent instead.


def stale(trust, task, reply):
    before = trust.answered[task.run, task.context.round - 1]
    return before[1]


def other_weights(trust, task, reply):
    context = reply.context.model_copy(update={"weights": "0" * 64})
    return seal(reply.model_copy(update={"context": context}), ROUND_REPLY, trust.principal.key)


def not_finite(trust, task, reply):
    change = {name: np.full_like(a, math.nan) if a.dtype.kind == "f" else a for name, a in initial_weights().items()}
    trust.update(task.context, change, initial_weights())
    raise AssertionError("NaN was encoded")


def with_numbers(trust, task, reply, **changes):
    """Its honest update with other numbers in it."""
    path = trust.directory / f"{trust.name}-{task.run[:8]}-{task.context.round}"
    arrays = load(path.read_bytes()) | {name: np.array(value) for name, value in changes.items()}
    entries = update_entries(SPEC, Plan(rounds=1, clip_norm=10.0), OUTPUTS, training=True)
    with SafetensorsWriter(path, entries) as file:
        for name, _, _ in entries:
            file.add([arrays[name].reshape(-1).view(np.uint8)])
    update = path.read_bytes()
    trust.put(task.run, update)
    hostile = reply.model_copy(update={"update": sha256(update), "update_size": len(update)})
    return seal(hostile, ROUND_REPLY, trust.principal.key)


def overflowing(trust, task, reply):
    return with_numbers(trust, task, reply, **{"update/steps": 2**62})


def another_key(trust, task, reply):
    return seal(reply, ROUND_REPLY, SigningKey.generate())


def undeclared_metrics(trust, task, reply):
    return seal(reply.model_copy(update={"metrics": {"people_born_in_may": 17.0}}), ROUND_REPLY, trust.principal.key)


def absent_update(trust, task, reply):
    return seal(reply.model_copy(update={"update": "0" * 64}), ROUND_REPLY, trust.principal.key)


def test_who_misbehaves_is_left_out_by_name_and_the_others_go_on_exactly(fed):
    # Trust 8 - n misbehaves in round n + 2; the first two Trusts stay honest.
    wrongs = [
        (stale, "stale-reply"),
        (other_weights, "stale-reply"),
        (not_finite, "'weight' holds NaN"),
        (overflowing, "'steps'"),
        (another_key, "unknown-key"),
        (undeclared_metrics, "people_born_in_may"),
        (absent_update, "missing-blob"),
    ]

    def set_up(run):
        for number, (wrong, _) in enumerate(wrongs):
            fed.trusts[8 - number].misbehave[run, number + 2] = wrong

    run = fed.submit(9, Plan(rounds=len(wrongs) + 2, clip_norm=10.0), minimum=2, set_up=set_up)
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    summaries = fed.rounds(run)
    assert summaries[0].left_out == {}
    for number, (wrong, says) in enumerate(wrongs):
        ((key, reason),) = summaries[number + 1].left_out.items()
        assert key == fed.trusts[8 - number].key_id, wrong
        assert says in reason, reason
        assert key not in summaries[number + 1].members
        assert len(summaries[number + 1].members) == 8 - number
    assert max(follow(fed, run)) < EXACT
    # The check of exactness means something: pooled over everybody it fails once a Trust is dropped.
    against_all = follow(fed, run, everybody=fed.trusts)
    assert against_all[0] < EXACT
    assert min(against_all[1:]) > 1000 * EXACT


def test_a_trust_has_no_more_weight_than_the_plan_allows_and_its_share_is_shown_as_a_band(fed):
    """Trust 3 says that 2^20 people trained, where the plan counts 50 at most; Trust 2 moves a counter by 2^36."""
    cap = 50

    def set_up(run):
        fed.trusts[3].misbehave[run, 2] = lambda *sent: with_numbers(*sent, **{"people/train": [2**20]})
        fed.trusts[2].misbehave[run, 3] = lambda *sent: with_numbers(*sent, **{"update/steps": 2**36})

    run = fed.submit(4, Plan(rounds=3, clip_norm=10.0, weight_cap=cap, integer_clip=100), minimum=2, set_up=set_up)
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    summaries = fed.rounds(run)
    keys = [trust.key_id for trust in fed.trusts]
    assert [len(summary.members) for summary in summaries] == [4, 3, 2, 2]
    assert "an impossible number of people, which the plan caps at 50" in summaries[1].left_out[keys[3]]
    assert "exceeds the clip at 'steps'" in summaries[2].left_out[keys[2]]
    # 202, 7, 31 and 86 people count as 50, 7, 31 and 50.
    assert summaries[0].shares == {
        keys[0]: "25-to-50", keys[1]: "under-10", keys[2]: "10-to-25", keys[3]: "25-to-50",
    }  # fmt: skip
    assert summaries[1].shares == {keys[0]: "over-50", keys[1]: "under-10", keys[2]: "25-to-50"}
    assert summaries[2].shares == summaries[3].shares == {keys[0]: "over-50", keys[1]: "10-to-25"}
    start = initial_weights()
    counted = [min(people, cap) for people in PEOPLE[:4]]
    steps = [trust.people.gradient(start["weight"], start["bias"])[0] for trust in fed.trusts[:4]]
    expected = start["weight"] - RATE * np.average(steps, axis=0, weights=counted)
    assert np.abs(fed.weights(summaries[1].weights)["weight"] - expected).max() < EXACT


def test_lost_quorum_names_trust_and_round(fed):
    run = fed.submit(
        4,
        Plan(rounds=5, clip_norm=10.0, round_seconds=8),
        minimum=4,
        set_up=lambda run: fed.trusts[2].silent.add((run, 3)),
    )
    view = fed.ended(run)
    assert (view.state, view.code, view.rounds_done) == ("failed", "quorum-lost", 2)
    assert "Trust 2: round 3: no reply within" in view.reason
    assert "3 of at least 4 Trusts" in view.reason


def test_who_is_late_is_named_and_comes_back(fed):
    """The deadline is the plan's floor once a round has shown that rounds are quick; the late reply is refused."""
    late = fed.trusts[3]
    hold = threading.Event()
    plan = Plan(rounds=12, clip_norm=10.0, round_seconds=600, patience_seconds=4)
    fed.trusts[0].pause = 0.3
    try:
        run = fed.submit(4, plan, minimum=3, set_up=lambda run: late.held.update({(run, 2): hold}))
        fed.until_round(run, 3)
        part = next(part for part in fed.view(run).trusts if part.trust == late.key_id)
        assert (part.state, part.code) == ("left-out", "late")
        hold.set()
        view = fed.ended(run)
    finally:
        hold.set()
        fed.trusts[0].pause = 0.0
    assert view.state == "succeeded", fed.log(run)
    assert late.late == [(2, "late-reply")]
    summaries = fed.rounds(run)
    second = summaries[1]
    assert second.late == (late.key_id,)
    assert second.left_out[late.key_id].startswith("no reply within")
    there = [late.key_id in summary.members for summary in summaries]
    assert there[:3] == [True, False, False]
    assert there[-1]
    assert there == sorted(there[:1], reverse=True) + sorted(there[1:])
    assert max(follow(fed, run)) < EXACT
    said = [event for event in fed.events(run) if event.trust == late.key_id and event.code in ("late", "late-reply")]
    assert [(event.trust_state, event.code) for event in said] == [("left-out", "late"), ("running", "late-reply")]
    assert "round 2: no reply within" in said[0].reason
    assert "Trust 3 to round 2 came after the deadline" in said[1].reason
    assert next(part for part in fed.view(run).trusts if part.trust == late.key_id).state == "finished"


def test_who_stays_away_is_sent_home_when_the_run_is_over(fed):
    away = fed.trusts[2]
    plan = Plan(rounds=2, clip_norm=10.0, patience_seconds=2)
    run = fed.submit(3, plan, minimum=2, set_up=lambda run: away.silent.add((run, 2)))
    view = fed.ended(run)
    assert view.state == "succeeded", fed.log(run)
    until = time.monotonic() + 30
    while (part := next(p for p in fed.view(run).trusts if p.trust == away.key_id)).state != "stopped":
        assert time.monotonic() < until, part
        time.sleep(0.1)


PLAN = Plan(rounds=6, clip_norm=10.0, strategy=Strategy(name="FedAdam", parameters={"eta": 0.05}))


def test_kill_9_changes_no_bit(fed):
    """FedAdam, whose moments must survive; killed at random moments, ended by SIGTERM once.

    That other strategies end with other weights is seen in tests/conformance/test_flower_strategies.py.
    """
    steady = fed.submit(4, PLAN, minimum=4)
    steady_view = fed.ended(steady)
    assert steady_view.state == "succeeded", fed.log(steady)

    random = np.random.default_rng(3)
    fed.trusts[1].pause = 0.15
    try:
        run = fed.submit(4, PLAN, minimum=4)
        died = []
        for after, number in ((1, signal.SIGKILL), (3, signal.SIGTERM), (5, signal.SIGKILL)):
            fed.until_round(run, after)
            time.sleep(random.uniform(0, 0.15))
            process = fed.coordinator(run)
            if process is not None:
                process.send_signal(number)
                died.append(process.pid)
        view = fed.ended(run)
    finally:
        fed.trusts[1].pause = 0.0
    assert view.state == "succeeded", fed.log(run)
    assert len(set(died)) == 3
    assert view.final_weights == steady_view.final_weights
    assert untimed(fed.rounds(run)) == untimed(fed.rounds(steady))
    assert all(json.loads(line)["event"] for line in fed.log(run).splitlines())


def untimed(summaries):
    return [summary.model_copy(update={"seconds": 0.0}) for summary in summaries]


def test_a_lost_checkpoint_ends_the_run_by_name(fed):
    """No enclave answers another context for a round that was begun, so beginning again would only hang."""
    fed.trusts[1].pause = 0.15
    try:
        run = fed.submit(2, PLAN, minimum=2)
        fed.until_round(run, 2)
        fed.coordinator(run).kill()
        shutil.rmtree(fed.directory / "runs" / run / "work" / "checkpoints")
        view = fed.ended(run)
    finally:
        fed.trusts[1].pause = 0.0
    assert (view.state, view.code) == ("failed", "checkpoint-lost")
