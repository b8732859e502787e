"""A hub that has turned: it holds every envelope that it ever relayed, and a real agent with a real kernel.

It may ask anything. It must get neither code run that no person approved, nor a second answer to a round, nor a number
for a stranger.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enclave_federation import until
from enclave_scenario import COHORT, WEIGHTS, sha, signed_count
from hostile_hub import Scene, opened
from safetensors.numpy import save

from flipnb.contracts.choices import Choices, Choosable
from flipnb.contracts.count import CountReply, SignedCount
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.envelope import COUNT_REPLY, ROUND_REPLY, RUN_REQUEST, peek, seal, unseal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.plan import Plan
from flipnb.contracts.round import RoundReply
from flipnb.contracts.run import RunRequest, run_id
from flipnb.contracts.task import TaskAnswer
from flipnb.contracts.total import DeclaredArray, TotalContext, TotalStep, TotalSum

OTHER = save({"weight": np.full((1, 2), 3, np.float32), "bias": np.full(1, 3, np.float32)})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("hostile")) as scene:
        yield scene


def test_an_invented_researcher_gets_nothing(scene: Scene) -> None:
    stranger = SigningKey.generate()
    bundle = scene.study.bundle(title="Invented")
    scene.hub.bundles[bundle.digest()] = scene.study.bundle_envelope(bundle, stranger)
    asked = scene.study.request(bundle.digest(), key=stranger)
    answer = scene.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())
    assert answer.code == "unknown-key"
    asked = scene.study.request(bundle.digest())
    answer = scene.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())
    assert answer.code == "unknown-key"
    assert scene.trust.get("/requests?all=1")["requests"] == []
    assert scene.hub.ask("start", run=asked.run, members=scene.study.members()).code == "unknown-run"


def test_a_study_that_nobody_joined_gets_nothing(scene: Scene) -> None:
    bundle = scene.bundle(title="Another study")
    asked = scene.study.request(bundle.digest())
    answer = scene.hub.ask("run", study="other", run=asked.run, run_request=asked.envelope.decode())
    assert answer.code == "not-joined"


def test_a_bundle_under_anothers_name_gets_nothing(scene: Scene) -> None:
    good, other = scene.bundle(title="Good"), scene.bundle(title="Other")
    scene.hub.bundles[good.digest()] = scene.hub.bundles[other.digest()]
    _, answer = scene.put(good, "5")
    assert answer.code == "wrong-bundle"


def test_a_bundle_with_boundless_bounds_is_refused_once(scene: Scene) -> None:
    """Signed by a researcher of the study. It raised OverflowError, and the agent tried it again for ever."""
    content = json.loads(scene.study.bundle(title="Boundless").to_bytes())
    content["outputs"][0] |= {"minimum": -1e308, "maximum": 1e308}
    data = canonical_bytes(content)
    scene.hub.bundles[sha(data)] = scene.study.bundle_envelope(data)
    asked = scene.study.request(sha(data))
    answer = scene.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())
    assert answer.code == "invalid-document"
    assert "output loss has bounds too wide for its decimals" in (answer.reason or "")
    assert "fewer decimals" in (answer.reason or "")


TOTALLING = """
import numpy as np
import flipnb as flip
sums = flip.total({"sums": np.array([1.0, -0.5])})["sums"]
model = {"weight": np.zeros((1, 2), np.float32) + sums[0], "bias": np.zeros(1, np.float32)}
for rnd in flip.rounds(model):
    rnd.report(loss=0.5, accuracy=0.75)
"""


def test_a_sum_that_the_trusts_cannot_have_sent_reaches_no_kernel(scene: Scene) -> None:
    """With a sum of its choice a hub would choose what approved code does: here, where training starts."""
    step = TotalStep(arrays=(DeclaredArray(name="sums", shape=(2,), minimum=-10, maximum=10, decimals=2),))
    parameters = Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",))
    code = Cell(id="b", type="code", source=TOTALLING.strip())
    bundle = scene.bundle(title="Totals", totals=(step,), notebook=FrozenNotebook(cells=(parameters, code)))
    run, _ = scene.put(bundle, "7")
    assert scene.trust.approve(bundle.digest()).is_success
    members = scene.study.members()
    assert scene.hub.ask("start", run=run, members=members).code is None
    context = TotalContext(run=run, bundle=bundle.digest(), step=1, members=members)
    assert scene.hub.ask("total", run=run, total=context).code is None
    lie = TotalSum(context=context, members=members, values={"sums": (10**15, 0)})
    answer = scene.hub.ask("summed", run=run, summed=lie)
    assert answer.code == "total-refused"
    assert "'sums' is none that 2 Trusts can have sent within [-10.0, 10.0]" in (answer.reason or "")
    until(lambda: scene.trust.run_state(run) == "failed")
    failure = until(
        lambda: next(
            (said["failure"] for said in scene.hub.reports if said["run"] == run and said.get("failure")), None
        )
    )
    assert (failure["error_class"], failure["cell"], failure["line"], failure["refusal"]) == (
        "FlipError", 2, 3, "total-refused",
    )  # fmt: skip
    until(lambda: "run-ended" in scene.trust.audited(run))
    kinds = [kind for kind in scene.trust.audited(run) if kind.startswith(("run-", "total-", "round-"))]
    assert kinds == ["run-started", "total-released", "total-refused", "run-ended"]


def test_nothing_starts_unapproved(scene: Scene) -> None:
    bundle = scene.bundle(title="Unapproved")
    run, answer = scene.put(bundle, "1")
    assert answer.code is None
    assert scene.trust.run_state(run) == "waiting"
    answer = scene.hub.ask("start", run=run, members=scene.study.members())
    assert answer.code == "not-approved"
    assert scene.trust.run_state(run) == "waiting"
    assert scene.round(scene.context(run, bundle, 1)).code is not None
    assert scene.trust.run_state(run) == "waiting"
    assert not (scene.trust.enclave.runs / run).exists()


def test_rounds_are_answered_once_and_in_order(scene: Scene) -> None:
    bundle = scene.bundle(title="Approved")
    run, _ = scene.put(bundle, "2")
    assert scene.trust.approve(bundle.digest()).is_success
    own, members = scene.study.node.key_id, scene.study.members()
    assert scene.hub.ask("start", run=run, members=members).code is None
    other = scene.context(run, bundle, 1, OTHER)
    scene.hub.blobs[sha(OTHER)] = OTHER
    assert scene.round(other).code == "round-refused"  # round 1 has the bundle's own weights
    assert scene.round(scene.context(run, bundle, 1, members=(own,))).code == "round-refused"

    first = scene.context(run, bundle, 1)
    scene.hub.blobs[first.weights] = OTHER  # other bytes under the good name
    assert scene.round(first).code == "wrong-weights"
    scene.hub.sent_along[first.weights] = OTHER
    assert scene.round(first).code == "wrong-weights"
    scene.hub.blobs[first.weights] = WEIGHTS
    del scene.hub.sent_along[first.weights]
    answer = scene.round(first)
    assert answer.envelope is not None
    keys = {own: scene.study.node.public_key}
    reply = unseal(answer.envelope.encode(), ROUND_REPLY, keys, "The reply").parse(RoundReply, "The reply")
    assert reply.context == first
    assert answer.update is not None
    assert sha(answer.update) == reply.update
    assert reply.metrics is None

    assert scene.round(first) == answer  # the same question, the same bytes
    assert scene.round(scene.context(run, bundle, 1, config={"mu": 1.0})).code == "round-refused"
    second = scene.context(run, bundle, 2, OTHER)
    assert scene.round(second).envelope is not None
    assert scene.round(scene.context(run, bundle, 2, WEIGHTS)).code == "round-refused"
    assert scene.round(scene.context(run, bundle, 1, OTHER)).code == "round-refused"
    assert scene.round(scene.context(run, bundle, 3, OTHER)).envelope is not None
    until(lambda: scene.trust.run_state(run) == "finished")
    assert scene.round(scene.context(run, bundle, 4, OTHER, training=False)).code == "run-ended"
    assert scene.round(second).envelope is not None
    assert scene.round(scene.context(run, bundle, 2, WEIGHTS)).code == "round-refused"

    log = [entry for entry in scene.trust.audit() if entry["details"].get("run") == run]
    assert [entry["kind"] for entry in log].count("round-released") == 3
    assert [entry["kind"] for entry in log].count(
        "round-refused"
    ) == 7  # twice the same wrong weights: one entry, and a number
    # Once is once: neither the same run nor another one of this bundle starts again.
    # (Of the same run the hub hears nothing here: that it is over its report said, on a tick.)
    assert scene.hub.ask("start", run=run, members=members).code is None
    assert scene.trust.run_state(run) == "finished"
    again, answer = scene.put(bundle, "3")
    assert (answer.code, scene.trust.run_state(again)) == (None, "waiting")
    assert scene.hub.ask("start", run=again, members=members).code == "executions-spent"
    assert scene.trust.run_state(again) == "waiting"
    assert scene.trust.status().running == 0


def test_rounds_may_be_skipped_but_none_is_gone_back_to(scene: Scene) -> None:
    """They went on without this Trust; what it was never asked it is never asked later."""
    bundle = scene.bundle(title="Skipped", plan=Plan(rounds=6, clip_norm=10.0))
    run, _ = scene.put(bundle, "7")
    assert scene.trust.approve(bundle.digest()).is_success
    assert scene.hub.ask("start", run=run, members=scene.study.members()).code is None
    scene.hub.blobs[sha(OTHER)] = OTHER
    first = scene.context(run, bundle, 1)
    answer = scene.round(first)
    assert answer.envelope is not None
    fourth = scene.context(run, bundle, 4, OTHER)
    assert scene.round(fourth).envelope is not None
    for number in (1, 2, 3, 4):  # never asked before, or with another context
        refused = scene.round(scene.context(run, bundle, number, OTHER, config={"mu": 1.0}))
        assert refused.code == "round-refused", number
    assert scene.round(scene.context(run, bundle, 3, OTHER)).code == "round-refused"
    assert scene.round(first).envelope in (answer.envelope, None)
    last = scene.context(run, bundle, 7, OTHER)
    assert scene.round(last).envelope is not None
    assert scene.round(scene.context(run, bundle, 5, OTHER)).code in ("round-refused", "run-ended")
    until(lambda: scene.trust.run_state(run) == "finished")
    log = [entry["details"] for entry in scene.trust.audit() if entry["kind"] == "round-released"]
    assert [entry["round"] for entry in log if entry["run"] == run] == [1, 4, 7]


def test_other_members_than_the_bundles_do_not_start(scene: Scene) -> None:
    bundle = scene.bundle(title="Members")
    run, _ = scene.put(bundle, "4")
    assert scene.trust.approve(bundle.digest()).is_success
    own = scene.study.node.key_id
    answer = scene.hub.ask("start", run=run, members=(own, SigningKey.generate().key_id))
    assert answer.code == "wrong-members"
    run, _ = scene.put(bundle, "6")
    assert scene.hub.ask("start", run=run, members=(own,)).code == "quorum-missing"


def test_accepting_takes_nothing_and_a_start_counts_once_whatever_was_accepted(scene: Scene) -> None:
    own, members = scene.study.node.key_id, scene.study.members()
    assert scene.hub.ask("accept", run="0" * 32, members=members).code == "unknown-run"
    bundle = scene.bundle(title="Accepted")
    run, _ = scene.put(bundle, "1")
    assert scene.hub.ask("accept", run=run, members=members).code == "not-approved"
    assert scene.trust.run_state(run) == "waiting"
    assert scene.trust.approve(bundle.digest()).is_success
    accept = {"kind": "accept", "run": run, "members": members}
    assert [answer.code for answer in scene.hub.ask_all(*[accept] * 20)] == [None] * 20
    assert scene.trust.run_state(run) == "approved"
    assert not (scene.trust.enclave.runs / run).exists()
    assert "run-started" not in scene.trust.audited(run)
    start = {"kind": "start", "run": run, "members": members}
    answers = scene.hub.ask_all(accept, start, start, start | {"members": (own,)}, accept)
    assert [answer.code for answer in answers] == [None] * 5
    started = [entry["details"] for entry in scene.trust.audit() if entry["kind"] == "run-started"]
    assert [tuple(entry["members"]) for entry in started if entry["run"] == run] == [members]
    assert scene.round(scene.context(run, bundle, 1, members=(own,))).code == "round-refused"
    assert scene.round(scene.context(run, bundle, 1)).envelope is not None
    assert scene.hub.ask("stop", run=run).code is None
    assert scene.hub.ask("accept", run=run, members=members).code == "stopped"


def test_other_members_than_the_bundles_are_not_accepted(scene: Scene) -> None:
    bundle = scene.bundle(title="Accepted with others")
    own = scene.study.node.key_id
    for nonce, others, code in (
        ("1", (own, SigningKey.generate().key_id), "wrong-members"),
        ("2", (own,), "quorum-missing"),
    ):
        run, _ = scene.put(bundle, nonce)
        assert scene.trust.approve(bundle.digest(), executions=2).is_success
        assert scene.hub.ask("accept", run=run, members=others).code == code
        assert scene.hub.ask("start", run=run, members=scene.study.members()).code == code


def test_a_run_that_waits_is_not_accepted_and_never_starts_beside_those_before_it(scene: Scene) -> None:
    """One execution, two runs. Which of them has it a hub may choose; that both have it, it may not."""
    bundle, members = scene.bundle(title="One of two"), scene.study.members()
    first, _ = scene.put(bundle, "1")
    second, _ = scene.put(bundle, "2")
    assert scene.trust.approve(bundle.digest()).is_success
    assert [scene.trust.run_state(run) for run in (first, second)] == ["approved", "waiting"]
    assert scene.hub.ask("accept", run=second, members=members).code == "executions-spent"
    assert [scene.trust.run_state(run) for run in (first, second)] == ["approved", "waiting"]
    assert scene.hub.ask("accept", run=first, members=members).code is None
    both = [{"kind": "start", "run": run, "members": members} for run in (second, first)]
    assert sorted(answer.code or "" for answer in scene.hub.ask_all(*both)) == ["", "executions-spent"]
    kinds = [scene.trust.audited(run).count("run-started") for run in (first, second)]
    assert sorted(kinds) == [0, 1]
    for run in (first, second):
        assert scene.hub.ask("stop", run=run).code is None


def test_what_a_run_chooses_beyond_the_approved_bundle_gets_nothing(scene: Scene) -> None:
    """A researcher's signature is no approval: rounds, seeds, folds and weights are as approved, at every step."""
    plan = Plan(rounds=3, clip_norm=10.0)
    bundle = scene.bundle(title="Chosen", plan=plan, choosable=Choosable(minimum_rounds=1, seeds=(2, 3)))

    def put(nonce: str, **chosen: Any) -> tuple[str, TaskAnswer]:
        request = RunRequest(
            study="heart", bundle=bundle.digest(), point={"lr": 0.01}, choices=Choices(**chosen),
            requested=datetime.now(UTC), nonce=nonce * 32,
        )  # fmt: skip
        run, sealed = run_id(request.to_bytes()), seal(request, RUN_REQUEST, scene.study.researcher)
        return run, scene.hub.ask("run", run=run, run_request=sealed.decode())

    good, answer = put("1", rounds=1, seed=2)
    assert answer.code is None
    assert scene.trust.approve(bundle.digest(), executions=9).is_success
    for code, chosen in (
        ("out-of-bounds", {"rounds": 4}),
        ("out-of-bounds", {"rounds": 0}),
        ("out-of-bounds", {"seed": 4}),
        ("not-choosable", {"fold": 1}),
        ("not-choosable", {"initial_weights": sha(OTHER)}),
    ):
        bad, answer = put("2", **chosen)
        assert (chosen, answer.code) == (chosen, code)
        assert scene.hub.ask("start", run=bad, members=scene.study.members()).code == "unknown-run"
    assert scene.hub.ask("start", run=good, members=scene.study.members()).code is None
    scene.hub.blobs[sha(OTHER)] = OTHER
    assert scene.round(scene.context(good, bundle, 1)).code == "round-refused"  # of three rounds: it chose one
    assert scene.round(scene.context(good, bundle, 1, of=1)).envelope is not None
    assert scene.round(scene.context(good, bundle, 2, OTHER, of=3)).code == "round-refused"
    assert scene.round(scene.context(good, bundle, 2, OTHER, of=1)).code == "round-refused"  # it trains no more
    assert scene.round(scene.context(good, bundle, 2, OTHER, of=1, training=False)).envelope is not None
    until(lambda: scene.trust.run_state(good) == "finished")


def test_an_agent_that_is_killed_after_it_accepted_or_while_a_run_waits_for_a_slot_goes_on(tmp_path: Path) -> None:
    """One slot, two runs: neither starts twice, nor is lost, nor are there ever two kernels."""
    with opened(tmp_path, slots=1) as scene:
        members = scene.study.members()
        bundle = scene.bundle(title="Killed", plan=Plan(rounds=3, clip_norm=10.0))
        first, _ = scene.put(bundle, "1")
        second, _ = scene.put(bundle, "2")
        until(lambda: scene.trust.approve(bundle.digest(), executions=2).is_success)  # its estate is being read

        def killed() -> None:
            scene.trust.end(signal.SIGKILL)
            scene.trust.start()
            scene.trust.ready()

        for run in (first, second):
            assert scene.hub.ask("accept", run=run, members=members).code is None
        killed()
        assert [scene.trust.run_state(run) for run in (first, second)] == ["approved", "approved"]
        for run in (first, second):
            assert scene.hub.ask("start", run=run, members=members).code is None
        assert scene.round(scene.context(first, bundle, 1)).envelope is not None
        until(lambda: scene.trust.run_state(second) == "queued")
        killed()
        assert scene.hub.ask("start", run=second, members=members).code is None
        scene.hub.blobs[sha(OTHER)] = OTHER
        context = scene.context(first, bundle, 2, OTHER)
        assert scene.hub.ask("round", run=first, context=context, seconds=120).envelope is not None
        assert (scene.trust.run_state(second), scene.trust.status().running) == ("queued", 1)
        assert scene.hub.ask("stop", run=first).code is None
        context = scene.context(second, bundle, 1)
        assert scene.hub.ask("round", run=second, context=context, seconds=120).envelope is not None
        assert [scene.trust.audited(run).count("run-started") for run in (first, second)] == [1, 1]


def people(scene: Scene, answer: TaskAnswer) -> CountReply:
    assert answer.envelope is not None
    keys = {scene.study.node.key_id: scene.study.node.public_key}
    return unseal(answer.envelope.encode(), COUNT_REPLY, keys, "The reply").parse(CountReply, "The reply")


def test_counts_are_for_researchers_and_answered_once(scene: Scene) -> None:
    good = signed_count(scene.study, COHORT)
    first = scene.hub.ask("count", count=good)
    told = people(scene, first)
    assert told.suppressed or abs(told.people - 45) <= 6 * told.noise + 5
    assert told.budget.cost == 1
    assert scene.hub.ask("count", count=good) == first
    now = datetime.now(UTC)
    nonce = json.loads(peek(good.request.encode(), "The request"))["nonce"]
    cases = {
        "unknown-key": signed_count(scene.study, COHORT, researcher=SigningKey.generate()),
        "expired": signed_count(scene.study, COHORT, expires=now - timedelta(minutes=1)),
        "wrong-membership": signed_count(scene.study, COHORT, membership="0" * 64),
        "replayed": signed_count(scene.study, COHORT, nonce=nonce, requested=now - timedelta(minutes=1)),
        "bad-envelope": SignedCount(certificate=good.certificate, request="{}"),
    }
    for code, signed in cases.items():
        answer = scene.hub.ask("count", count=signed)
        assert answer.code == code
        reply = people(scene, answer)
        assert reply.people is None
        assert reply.problem is not None


def test_nonsense_from_the_hub_ends_nothing(scene: Scene) -> None:
    assert scene.hub.ask("count").code == "bad-task"
    assert scene.hub.ask("start").code == "bad-task"
    assert scene.hub.ask("round", run="0" * 32).code == "bad-task"
    assert scene.hub.ask("stop", run="0" * 32).code is None
    assert scene.hub.ask("run", run="0" * 32, run_request="{}").code == "bad-envelope"
    assert scene.hub.ask("run", run="0" * 32, run_request="[" * 100_000).code == "not-json"
    assert scene.trust.status().hub_reachable


def test_a_kind_that_a_newer_hub_knows_hides_none_of_the_other_tasks(scene: Scene) -> None:
    stop = {"kind": "stop", "run": "0" * 32}
    unknown = {"kind": "secure-keys", "run": "0" * 32, "keys": {"of": [1, 2]}}
    before, strange, unfit, after = scene.hub.ask_all(stop, unknown, stop | {"more": 1}, stop)
    assert (before.code, strange.code, unfit.code, after.code) == (None, "bad-task", "bad-task", None)
    assert strange.reason is not None
    assert "secure-keys" in strange.reason
    assert scene.trust.status().hub_reachable
