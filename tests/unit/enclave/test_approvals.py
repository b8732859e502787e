"""A person's approval, and the executions that it is worth."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import ESTATE, Study

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Progress
from flipnb.enclave.agent.approvals import VerifiedApproval, verify_approval
from flipnb.enclave.agent.store import Store

POLICY = Policy().digest()


class Office:
    """A store with one bundle put before the controller, and runs of it."""

    def __init__(self, directory: Path) -> None:
        self.study = Study()
        self.bundle = self.study.bundle()
        self.store = Store(directory / "state.sqlite")
        self.store.add_request(
            self.bundle.digest(),
            self.study.bundle_envelope(self.bundle),
            study="heart",
            title="t",
            researcher="r",
            researcher_key=self.study.researcher.key_id,
            state="waiting",
        )

    def run(self, number: int) -> str:
        run = f"{number:032x}"
        self.store.add_run(run, bundle=self.bundle.digest(), study="heart", title="t", point={})
        return run

    def verify(self, **changes: Any) -> VerifiedApproval:
        return verify_approval(
            self.study.approval(self.bundle.digest(), POLICY, **changes),
            controller_public_key=self.study.controller.public_key,
            own_key=self.study.node.key_id,
            policy=POLICY,
            estate_version=ESTATE,
        )

    def approve(self, **changes: Any) -> VerifiedApproval:
        verified = self.verify(**changes)
        self.store.add_approval(verified.digest, verified.approval, verified.envelope)
        return verified

    def consume(self, run: str, *, policy: str = POLICY, estate_version: str = ESTATE) -> bool:
        return self.store.consume(run, self.study.members(), policy=policy, estate_version=estate_version)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def code(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(FlipError) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_an_approval_must_fit_exactly(office: Office) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    assert code(office.verify, trust=office.study.other.key_id) == "other-trust"
    assert code(office.verify, policy="0" * 64) == "policy-changed"
    assert code(office.verify, estate_version="v2") == "estate-changed"
    assert code(office.verify, expires=past) == "approval-expired"
    office.study.controller = SigningKey.generate()
    signed = office.study.approval(office.bundle.digest(), POLICY)
    office.study.controller = SigningKey.generate()
    assert (
        code(
            verify_approval,
            signed,
            controller_public_key=office.study.controller.public_key,
            own_key=office.study.node.key_id,
            policy=POLICY,
            estate_version=ESTATE,
        )
        == "unknown-key"
    )


def test_the_nodes_own_key_can_not_approve(office: Office) -> None:
    office.study.controller, controller = office.study.node, office.study.controller
    signed = office.study.approval(office.bundle.digest(), POLICY)
    named = {"own_key": office.study.node.key_id, "policy": POLICY, "estate_version": ESTATE}
    assert code(verify_approval, signed, controller_public_key=controller.public_key, **named) == "unknown-key"


def test_an_execution_is_taken_once(office: Office) -> None:
    first, second = office.run(1), office.run(2)
    assert code(office.consume, first) == "not-approved"
    office.approve(executions=1)
    assert office.consume(first)
    assert not office.consume(first)
    assert code(office.consume, second) == "executions-spent"
    run = office.store.run(first)
    assert run is not None
    assert (run.state, run.estate_version, run.members) == ("starting", ESTATE, office.study.members())


def test_the_same_approval_again_renews_nothing(office: Office) -> None:
    verified = office.approve(executions=1)
    assert office.consume(office.run(1))
    assert not office.store.add_approval(verified.digest, verified.approval, verified.envelope)
    assert code(office.consume, office.run(2)) == "executions-spent"


def test_what_changed_since_is_named(office: Office) -> None:
    office.approve(executions=5)
    assert code(office.consume, office.run(1), policy="0" * 64) == "policy-changed"
    assert code(office.consume, office.run(1), estate_version="v2") == "estate-changed"
    office.store.withdraw_approvals(office.bundle.digest())
    assert code(office.consume, office.run(1)) == "executions-spent"


def test_ten_runs_at_once_take_three_executions(office: Office) -> None:
    office.approve(executions=3)
    runs = [office.run(number) for number in range(10)]
    outcomes: list[str] = []

    def start(run: str) -> None:
        try:
            outcomes.append(str(office.consume(run)))
        except FlipError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=start, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["True"] * 3 + ["executions-spent"] * 7


def test_reports_keep_their_order_and_progress_is_thinned(office: Office) -> None:
    run = office.run(1)
    store = office.store
    store.advance(run, "waiting")
    for cell in range(1, 50):
        store.progress(run, Progress(cell=cell, cells=50))
    store.advance(run, "approved")
    sent = []
    while (report := store.next_report()) is not None:
        sent.append(report.body)
        store.report_sent(report.number)
    import json

    bodies = [json.loads(body) for body in sent]
    assert [body["sequence"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert bodies[0]["state"] == "waiting"
    assert bodies[-1]["state"] == "approved"
    assert bodies[-2]["progress"]["cell"] == 49
    assert len(bodies) <= 4
