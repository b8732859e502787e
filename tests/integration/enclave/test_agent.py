"""Real agents, a real hub, real kernels: a run from the request to its end, and what a controller decides."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from enclave_federation import COHORT, PEOPLE, Federation, Trust, notebook, until
from enclave_scenario import signed_count
from safetensors.numpy import load

from flipnb.contracts.approval import Approval
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.count import CountReply, CountStatus, SignedCount
from flipnb.contracts.dataset import Shares, Split
from flipnb.contracts.desk import RequestDetail, Signed
from flipnb.contracts.document import canonical_bytes, parse, sha256
from flipnb.contracts.envelope import APPROVAL, COUNT_REPLY, peek, seal, unseal
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.enclave.agent.doctor import examine
from flipnb.enclave.stores.ledger import Ledger, Took


def approved(federation: Federation, bundle: str) -> None:
    for trust in federation.trusts:
        until(lambda trust=trust: trust.waits_for(bundle))
        assert trust.approve(bundle).is_success


def ask_count(federation: Federation) -> tuple[str, CountStatus, SignedCount]:
    signed = signed_count(federation.study, COHORT)
    posted = federation.ask("POST", "/v1/studies/heart/counts", signed.model_dump_json().encode())
    status = federation.ask("GET", f"/v1/counts/{posted['count']}?wait=30")
    request = sha256(peek(signed.request.encode(), "The request"))
    return request, CountStatus.model_validate(status), signed


def test_counts_come_back_noisy_rounded_and_sealed(federation: Federation) -> None:
    request, status, _ = ask_count(federation)
    _, again, _ = ask_count(federation)
    keys = federation.study.roster.trust_keys()
    assert set(status.replies) == set(keys)
    for trust, envelope in status.replies.items():
        reply = unseal(envelope.encode(), COUNT_REPLY, {trust: keys[trust]}, "The reply").parse(CountReply, "The reply")
        assert reply.problem is None
        assert reply.request == request
        assert (reply.threshold, reply.rounding, reply.noise) == (10, 5, 10.0)
        assert reply.suppressed or (reply.people % 5 == 0 and abs(reply.people - PEOPLE) <= 6 * reply.noise + 5)
        repeated = unseal(again.replies[trust].encode(), COUNT_REPLY, {trust: keys[trust]}, "The reply").parse(
            CountReply, "The reply"
        )
        assert (repeated.people, repeated.budget.cost) == (reply.people, 0)
        assert reply.budget.left == repeated.budget.left < reply.budget.of


def test_a_whole_run(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="1")
    digest = bundle.digest()
    north = federation.trusts[0]
    until(lambda: north.waits_for(digest))
    detail = RequestDetail.model_validate(north.get(f"/requests/{digest}"))
    assert detail.content == bundle
    assert detail.count == 45
    assert any("clipped to an L2 norm of 10" in line for line in detail.what_leaves)
    approved(federation, digest)
    view = federation.reaches(run.run, "succeeded", "failed")
    assert view.state == "succeeded", view
    assert {part.state for part in view.trusts} <= {"finished", "running"}
    until(lambda: {part.state for part in federation.view(run.run).trusts} == {"finished"})
    for part in federation.view(run.run).trusts:
        assert part.progress is not None
        assert part.progress.memory_of_bytes is not None
        eighth = part.progress.memory_of_bytes // 8
        assert part.progress.memory_bytes in {k * eighth for k in range(1, 9)}
        assert part.progress.gpu_bytes is None
    weights = load(federation.ask("GET", f"/v1/blobs/{view.final_weights}"))
    np.testing.assert_allclose(weights["weight"], [[0.02, 0.02]], atol=1e-6)
    for trust in federation.trusts:
        kinds = trust.audited(run.run)
        assert kinds == ["run-started", "round-released", "round-released", "round-released", "run-ended"]
        place = trust.enclave.runs / run.run
        assert not list(place.glob("cohort*"))
        assert not list(trust.enclave.frozen.iterdir())
        executed = trust.get(f"/runs/{run.run}/notebook")
        assert "".join(executed["cells"][0]["source"]) == "lr = 0.1"
        assert trust.status().running == 0


AGREEING = """
import numpy as np
import flipnb as flip
data = flip.data()
before = flip.total({"people": np.array([len(data.train), 2.5]), "ones": np.ones((2, 2))})
assert before["ones"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
conclude = lambda: np.zeros(len(data.validation)) + (model["weight"][0, 0] > 1.5)
for rnd in flip.rounds(model):
    rnd.agree(conclude)
    if rnd.training:
        model["weight"] += 1
    if rnd.number == 2:
        within = flip.total({"step": model["weight"][0, :1]})["step"]
    rnd.report(loss=before["people"].sum(), accuracy=within[0] / 8 if rnd.number > 1 else 0)
"""


def test_totals_and_consensus_in_real_kernels(federation: Federation) -> None:
    """Conclusions change in round 2 (weight 1 to 2), then stay: agreed in rounds 3 and 4."""
    small = {"minimum": 0, "maximum": 100, "decimals": 1}
    bundle, run = federation.submit(
        nonce="9",
        plan=Plan(rounds=9, clip_norm=10.0, consensus=Consensus()),
        split=Split(seed=1, shares=Shares(train=2, validation=1, test=1)),
        outputs=(
            DeclaredOutput(name="loss", minimum=0, maximum=1000, decimals=1),
            DeclaredOutput(name="accuracy", minimum=0, maximum=1, decimals=2),
        ),
        totals=(
            TotalStep(
                arrays=(
                    DeclaredArray(name="people", shape=(2,), **small),
                    DeclaredArray(name="ones", shape=(2, 2), **small),
                )
            ),
            TotalStep(arrays=(DeclaredArray(name="step", shape=(1,), **small),), round=2),
        ),
        notebook=FrozenNotebook(
            cells=(
                Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
                Cell(id="b", type="code", source=AGREEING.strip()),
            )
        ),
    )
    north = federation.trusts[0]
    until(lambda: north.waits_for(bundle.digest()))
    leaves = RequestDetail.model_validate(north.get(f"/requests/{bundle.digest()}")).what_leaves
    assert any("a vote, 0 or 1" in line for line in leaves)
    assert any("in round 2: the array step, 1 numbers between 0 and 100" in line for line in leaves)
    approved(federation, bundle.digest())
    view = federation.reaches(run.run, "succeeded", "failed", seconds=120)
    assert (view.state, view.code, view.reason) == ("succeeded", "agreed", "Agreed at round 4."), view
    events = federation.ask("GET", f"/v1/runs/{run.run}/events?after=0")["events"]
    rounds = [RoundSummary.model_validate(event["round"]) for event in events if event["kind"] == "round"]
    assert [(r.votes, r.voters, r.training) for r in rounds] == [
        (2, 2, True), (0, 2, True), (2, 2, True), (2, 2, True), (None, None, False),
    ]  # fmt: skip
    assert [sorted(r.agreements.values()) for r in rounds] == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0], []]
    train = PEOPLE - 2 * (PEOPLE // 4)
    assert {r.metrics["loss"] for r in rounds} == {2 * train + 5.0}
    assert [r.metrics["accuracy"] for r in rounds] == [0.0, 0.5, 0.5, 0.5, 0.5]
    until(lambda: "run-ended" in north.audited(run.run))  # the run is over when all have answered, before they end
    assert north.audited(run.run) == [
        "run-started", "total-released", "round-released", "total-released", *["round-released"] * 4, "run-ended",
    ]  # fmt: skip


def test_a_bundle_of_an_earlier_version_is_approved_and_runs(federation: Federation) -> None:
    """Its bytes are not those that this version would write for what they say: digests are of bytes alone."""
    north = federation.trusts[0]
    content = json.loads(federation.study.bundle(notebook=notebook("pass  # then"), title="Earlier").to_bytes())
    content["plan"] |= {"epochs": None, "weight_cap": 2**20, "integer_clip": 2**20}
    data = canonical_bytes(content)
    digest = sha256(data)
    assert parse(Bundle, data, "The bundle").digest() != digest
    federation.ask("POST", "/v1/studies/heart/bundles", federation.study.bundle_envelope(data))
    asked = federation.study.request(digest, nonce="e" * 32)
    federation.ask("POST", "/v1/studies/heart/runs", asked.envelope)
    for trust in federation.trusts:
        until(lambda trust=trust: trust.waits_for(digest))
        detail = RequestDetail.model_validate(trust.get(f"/requests/{digest}"))
        trust.read(digest)
        given = Approval.of_request(detail, trust=trust.node.key_id, executions=1, days=1, now=datetime.now(UTC))
        sealed = seal(given, APPROVAL, trust.controller).decode()
        assert trust.post("/approvals", Signed(envelope=sealed)).is_success
    view = federation.reaches(asked.run, "succeeded", "failed")
    assert view.state == "succeeded", view
    again, _ = federation.submit(nonce="d", place="pass  # now")
    until(lambda: north.waits_for(again.digest()))
    assert RequestDetail.model_validate(north.get(f"/requests/{again.digest()}")).changes.since == digest
    for trust in federation.trusts:
        assert trust.decline(again.digest(), "only a test").is_success


def test_a_bundle_runs_as_often_as_a_person_said(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="2", place="pass  # once", plan=Plan(rounds=0, clip_norm=1.0))
    approved(federation, bundle.digest())
    federation.reaches(run.run, "succeeded")
    second = federation.run_again(bundle, "3")
    until(lambda: {part.code for part in federation.view(second.run).trusts} == {"executions-spent"})
    view = federation.view(second.run)
    assert (view.state, {part.state for part in view.trusts}) == ("waiting", {"waiting"})
    assert all("must approve more" in (part.reason or "") for part in view.trusts)
    # The same approval again renews nothing; a new one does.
    approved(federation, bundle.digest())
    assert federation.reaches(second.run, "failed", "succeeded").state == "succeeded"


def test_an_error_leaves_as_class_cell_and_line_and_no_more(federation: Federation) -> None:
    secret = "raise KeyError(f'patient {data.train.frame().index[0]} is ill')"
    bundle, run = federation.submit(nonce="5", place=secret)
    approved(federation, bundle.digest())
    view = federation.reaches(run.run, "failed")
    failures = [part.failure for part in view.trusts if part.failure is not None]
    assert failures
    assert {(f.error_class, f.cell, f.line) for f in failures} == {("KeyError", 2, 8)}
    assert "patient" not in view.model_dump_json()
    # The other one may have been stopped before it came so far.
    name = next(part.name for part in view.trusts if part.failure is not None)
    trust = next(trust for trust in federation.trusts if trust.enclave.configuration.name == name)
    assert "is ill" in json.dumps(trust.get(f"/runs/{run.run}/notebook"))


def test_a_dead_kernel_is_named_by_trust_round_cell_and_class(federation: Federation) -> None:
    """Its exit status stays in the enclave: a notebook could choose it."""
    bundle, run = federation.submit(nonce="c", place="if rnd.number == 2: __import__('os')._exit(77)")
    approved(federation, bundle.digest())
    view = federation.reaches(run.run, "failed")
    assert view.code == "quorum-lost"
    assert "KernelDied in cell 2" in (view.reason or "")
    dead = next(part for part in view.trusts if part.failure is not None)
    assert dead.failure is not None
    assert (dead.failure.error_class, dead.failure.cell, dead.failure.round) == ("KernelDied", 2, 2)
    assert "77" not in dead.model_dump_json(exclude={"trust", "progress"})
    trust = next(trust for trust in federation.trusts if trust.enclave.configuration.name == dead.name)
    (died,) = (e["details"] for e in trust.audit() if e["kind"] == "kernel-died" and e["details"]["run"] == run.run)
    assert (died["reason"], died["status"], died["round"]) == ("exit", 77, 2)


def test_what_an_airlock_refuses_is_said_by_trust_round_cell_line_and_reason(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="f", place="model['weight'] *= np.nan if rnd.number == 2 else 1")
    approved(federation, bundle.digest())
    view = federation.reaches(run.run, "failed")
    assert view.code == "quorum-lost"
    said = "failed with FlipError in cell 2, line 5, round 2: its update holds NaN or infinity"
    assert any(f"{name}: {said}" in (view.reason or "") for name in ("North", "South")), view.reason
    part = next(part for part in view.trusts if part.failure is not None)
    assert part.failure is not None
    assert (part.failure.refusal, part.reason) == ("not-finite", said.removeprefix("failed with "))


def test_a_decline_is_told_with_its_reason(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="6", place="pass  # declined")
    north, south = federation.trusts
    until(lambda: north.waits_for(bundle.digest()) and south.waits_for(bundle.digest()))
    assert north.decline(bundle.digest(), "Not in our interest.").is_success
    view = federation.reaches(run.run, "failed")
    assert view.code == "quorum-unreachable"
    part = next(part for part in view.trusts if part.name == "north")
    assert (part.state, part.reason) == ("declined", "Not in our interest.")


def test_who_may_approve_what(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="7", place="pass  # approvals")
    north, south = federation.trusts
    digest = bundle.digest()
    until(lambda: north.waits_for(digest))
    cases = {
        "unknown-key": {"key": north.node},
        "other-trust": {"trust": south.node.key_id},
        "policy-changed": {"policy": "0" * 64},
        "estate-changed": {"estate_version": "another"},
        "approval-expired": {"expires": datetime.now(UTC) - timedelta(minutes=1)},
        "unknown-request": {"bundle": "0" * 64},
    }
    for code, changes in cases.items():
        answer = north.approve(**({"bundle": digest} | changes))
        assert not answer.is_success
        assert answer.json()["code"] == code
    assert north.run_state(run.run) == "waiting"
    federation.ask("POST", f"/v1/runs/{run.run}/stop")
    until(lambda: north.run_state(run.run) == "stopped")


def test_a_stop_ends_the_kernel_within_five_seconds(federation: Federation) -> None:
    bundle, run = federation.submit(nonce="8", place="__import__('time').sleep(300)")
    approved(federation, bundle.digest())
    federation.reaches(run.run, "running")
    north, south = federation.trusts
    until(lambda: north.run_state(run.run) == south.run_state(run.run) == "running")
    started = time.monotonic()
    assert north.post(f"/runs/{run.run}/stop", b"").json()["state"] == "stopped"
    assert time.monotonic() - started < 5
    assert not list((north.enclave.runs / run.run).glob("cohort*"))
    view = federation.reaches(run.run, "failed")
    assert view.code == "quorum-lost"
    until(lambda: south.run_state(run.run) == "stopped", 10)


def kernels_of(trust: Trust) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(trust.enclave.directory) in (process / "cmdline").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_a_run_goes_on_after_its_agent_was_killed(federation: Federation) -> None:
    place = "__import__('time').sleep(3 if rnd.number == 2 else 0)"
    bundle, run = federation.submit(nonce="9", place=place)
    approved(federation, bundle.digest())
    north = federation.trusts[0]
    until(lambda: federation.view(run.run).rounds_done == 1)
    north.end(signal.SIGKILL)
    until(lambda: not kernels_of(north), 5)
    north.start()
    north.ready()
    view = federation.reaches(run.run, "succeeded", "failed")
    assert view.state == "succeeded", view
    released = [e for e in north.audit() if e["details"].get("run") == run.run and e["kind"] == "round-released"]
    assert [entry["details"]["round"] for entry in released] == [1, 2, 3]


def test_one_trust_evaluates_alone_and_totals_in_the_end_over_a_killed_kernel(federation: Federation) -> None:
    """The agent is killed, and its kernel with it, once the total is answered: the kernel that follows has its sum."""
    place = "flip.total({'people': len(data)}); __import__('time').sleep(3)"
    north = federation.trusts[0]
    people = DeclaredArray(name="people", minimum=0, maximum=1000, decimals=0)
    bundle, run = federation.submit(
        nonce="d",
        place=place,
        plan=Plan(rounds=0, clip_norm=1.0),
        trusts=(north.node.key_id,),
        minimum_trusts=1,
        totals=(TotalStep(arrays=(people,), final=True),),
    )
    until(lambda: north.waits_for(bundle.digest()))
    detail = north.get(f"/requests/{bundle.digest()}")
    assert detail["brief"]["flags"][0].startswith("This Trust may be alone in it")
    assert any("in the final evaluation: the array people" in line for line in detail["what_leaves"])
    assert all("where it is alone" in c["what"] for c in detail["channels"] if c["name"] in ("numbers", "totals"))
    assert north.approve(bundle.digest()).is_success
    until(lambda: "total-released" in north.audited(run.run))
    north.end(signal.SIGKILL)
    until(lambda: not kernels_of(north), 5)
    north.start()
    north.ready()
    view = federation.reaches(run.run, "succeeded", "failed")
    assert view.state == "succeeded", view
    assert north.audited(run.run).count("total-released") == 1
    told = (e["details"] for e in north.audit() if e["kind"] == "total-released")
    (released,) = (details for details in told if details["run"] == run.run)
    assert released["values"] == {"people": [str(PEOPLE)]}


def test_a_hub_that_is_down_loses_no_word(federation: Federation) -> None:
    """The kernel ends while the hub is away; its end is told when the hub is back."""
    place = "__import__('time').sleep(2); raise ValueError"
    bundle, run = federation.submit(nonce="b", place=place)
    approved(federation, bundle.digest())
    north = federation.trusts[0]
    until(lambda: north.run_state(run.run) == "running")
    assert federation.hub is not None
    federation.hub.terminate()
    federation.hub.wait(15)
    until(lambda: north.run_state(run.run) == "failed", 20)
    assert not north.status().hub_reachable
    federation.start_hub()
    until(federation.hub_there)
    view = federation.reaches(run.run, "failed")
    assert {part.failure.error_class for part in view.trusts if part.failure is not None} == {"ValueError"}


def test_an_agent_that_finds_its_log_changed_does_not_start(federation: Federation) -> None:
    north = federation.trusts[0]
    north.end()
    log = north.enclave.audit
    good = log.read_bytes()
    log.write_bytes(good.replace(b'"kind":"approved"', b'"kind":"declined"', 1))
    north.start()
    assert north.process is not None
    assert north.process.wait(20) == 1
    last = json.loads((north.enclave.logs / "agent.log").read_text().splitlines()[-1])
    assert "audit-broken" in last["event"]
    log.write_bytes(good)
    north.start()
    north.ready()


def test_the_doctor_says_what_to_mend(federation: Federation) -> None:
    enclave = federation.trusts[0].enclave
    # Whether questions are counted in time depends on what else the machine does.
    ill = {finding.what: finding for finding in examine(enclave.directory) if not finding.good}
    assert set(ill) <= {"answer time"}, ill
    _ask_one_that_takes_too_long(enclave.ledger)
    policy = enclave.policy_file.read_bytes()
    (enclave.keys / "node.pem").chmod(0o644)
    enclave.policy_file.write_text('{"slots": 0}')
    try:
        ill = {finding.what: finding for finding in examine(enclave.directory) if not finding.good}
    finally:
        enclave.policy_file.write_bytes(policy)
        (enclave.keys / "node.pem").chmod(0o600)
    assert "chmod 0600" in ill["keys"].remedy
    assert "slots" in ill["policy"].detail
    slow = next(finding for finding in examine(enclave.directory) if finding.what == "answer time")
    assert not slow.good
    assert "were answered as small numbers are" in slow.detail
    assert "counts.answer_seconds" in slow.remedy


def test_the_doctor_says_where_too_few_files_may_be_open(federation: Federation) -> None:
    """Where they are few, one run could keep the others from their rounds by descriptors that it never reads."""
    look = (
        "import pathlib, resource, sys; from flipnb.enclave.agent.doctor import examine;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024));"
        "print(*(f.remedy for f in examine(pathlib.Path(sys.argv[1])) if f.what == 'open files' and not f.good))"
    )
    directory = federation.trusts[0].enclave.directory
    said = subprocess.run([sys.executable, "-c", look, directory], capture_output=True, text=True, check=True)
    assert "LimitNOFILE=65536" in said.stdout


def _ask_one_that_takes_too_long(path: Path) -> None:
    ledger = Ledger(path, upgrade=False)
    ledger.keep("v0", "question", "policy", b"answer", Took(datetime.now(UTC), 0.7, False, 1.0))
    ledger.close()
