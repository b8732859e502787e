"""A person's approval, and the executions that it is worth."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import ESTATE, Study
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.controller import Controller
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Progress, TrustReport
from flipnb.enclave.approvals.approvals import Approvals, Terms, VerifiedApproval, refuse_own, verify_approval
from flipnb.enclave.approvals.executions import SPENT, deal, keep_approval, take_execution
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredApproval

POLICY = Policy().digest()


class Office:
    """A store with one bundle put before the controllers, and runs of it."""

    def __init__(self, directory: Path) -> None:
        self.study, self.directory = Study(), directory
        self.demanded = 1
        self.anna, self.ben, self.carl = self.study.controller, SigningKey.generate(), SigningKey.generate()
        self.controllers = tuple(
            Controller(name=name, public_key=key.public_key)
            for name, key in (("anna", self.anna), ("ben", self.ben), ("carl", self.carl))
        )
        self.bundle = self.study.bundle()
        self.store = Store(directory / "state.sqlite")
        self.store.requests.add(
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
        self.store.runs.add(run, bundle=self.bundle.digest(), study="heart", title="t", point={})
        return run

    def verify(self, by: SigningKey | None = None, **changes: Any) -> VerifiedApproval:
        self.study.controller = by or self.anna
        return verify_approval(
            self.study.approval(self.bundle.digest(), POLICY, **changes),
            controllers=self.controllers,
            own_key=self.study.node.key_id,
            policy=POLICY,
            estate_version=ESTATE,
        )

    def approve(self, by: SigningKey | None = None, **changes: Any) -> VerifiedApproval:
        verified = self.verify(by, **changes)
        keep_approval(self.store, verified, self.terms())
        return verified

    def terms(self, *, policy: str = POLICY, estate_version: str = ESTATE) -> Terms:
        keys = frozenset(controller.key_id for controller in self.controllers)
        return Terms(policy, estate_version, keys, self.demanded)

    def approvals(self) -> Approvals:
        return Approvals(self.store.approvals.of(self.bundle.digest()), self.terms())

    def given(self) -> list[str]:
        return [approval.controller for approval in self.approvals().given]

    def state(self) -> str:
        request = self.store.requests.get(self.bundle.digest())
        assert request is not None
        return request.state

    def states(self) -> list[str]:
        """Of the bundle's runs, in the order of their ids."""
        return [run.state for run in sorted(self.store.runs.of(self.bundle.digest()), key=lambda run: run.run)]

    def deal(self, **changes: str) -> None:
        deal(self.store, self.bundle.digest(), self.terms(**changes))

    def reports(self, run: str) -> list[TrustReport]:
        with sqlite3.connect(self.directory / "state.sqlite") as db:
            rows = db.execute("SELECT body FROM reports WHERE run=? ORDER BY number", (run,)).fetchall()
        db.close()
        return [TrustReport.model_validate_json(body) for (body,) in rows]

    def consume(self, run: str, **changes: str) -> bool:
        return take_execution(self.store, run, self.study.members(), self.terms(**changes))


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
    assert code(office.verify, SigningKey.generate()) == "unknown-key"


def test_the_nodes_own_key_can_not_approve(office: Office) -> None:
    assert code(office.verify, office.study.node) == "unknown-key"


def test_nobody_approves_what_they_ask_for_themselves(office: Office) -> None:
    verified = office.verify(office.ben)
    assert code(refuse_own, verified, office.ben.key_id) == "own-request"
    refuse_own(verified, office.study.researcher.key_id)


def test_an_execution_is_taken_once(office: Office) -> None:
    first, second = office.run(1), office.run(2)
    assert code(office.consume, first) == "not-approved"
    office.approve(executions=1)
    assert office.consume(first)
    assert not office.consume(first)
    assert code(office.consume, second) == "executions-spent"
    run = office.store.runs.get(first)
    assert run is not None
    assert (run.state, run.estate_version, run.members) == ("starting", ESTATE, office.study.members())


def test_the_same_approval_again_renews_nothing(office: Office) -> None:
    verified = office.approve(executions=1)
    assert office.consume(office.run(1))
    assert not keep_approval(office.store, verified, office.terms())
    assert code(office.consume, office.run(2)) == "executions-spent"


def test_runs_beyond_the_executions_wait_and_say_why(office: Office) -> None:
    runs = [office.run(number) for number in (1, 2, 3)]
    office.approve(executions=2)
    assert (office.states(), office.state()) == (["approved", "approved", "waiting"], "waiting")
    last = office.store.runs.get(runs[2])
    assert last is not None
    assert (last.code, last.reason) == SPENT
    assert office.consume(runs[0])
    assert office.consume(runs[1])
    assert (office.states(), office.state()) == (["starting", "starting", "waiting"], "waiting")
    office.approve(executions=1, approved=datetime.now(UTC) + timedelta(seconds=1))
    assert (office.states(), office.state()) == (["starting", "starting", "approved"], "approved")
    assert office.consume(runs[2])
    assert code(office.consume, office.run(4)) == "executions-spent"


def test_more_runs_than_executions_are_left_wait_when_they_come(office: Office) -> None:
    office.approve(executions=1)
    for number in (2, 1, 3):
        office.run(number)
        office.deal()
    assert office.states() == ["approved", "waiting", "waiting"], "one order at all Trusts, whatever came first"


def test_what_is_promised_is_no_more_once_the_terms_are_others(office: Office) -> None:
    run = office.run(1)
    office.approve(executions=1)
    assert office.states() == ["approved"]
    office.deal(policy="0" * 64)
    stored = office.store.runs.get(run)
    assert stored is not None
    assert (stored.state, stored.code, office.state()) == ("waiting", "policy-changed", "waiting")
    assert "approve anew" in (stored.reason or "")
    office.deal()
    assert (office.states(), office.state()) == (["approved"], "approved")


def test_the_hub_hears_how_many_executions_are_left_for_more_runs(office: Office) -> None:
    run = office.run(1)
    office.deal()
    office.approve(executions=3)
    assert office.reports(run)[-1].executions_left == 2, "three, less the one that is promised"
    office.consume(run)
    office.approve(executions=2, approved=datetime.now(UTC) + timedelta(seconds=1))
    assert office.reports(run)[-1].executions_left == 4


def test_what_changed_since_is_named(office: Office) -> None:
    office.approve(executions=5)
    assert code(office.consume, office.run(1), policy="0" * 64) == "policy-changed"
    assert code(office.consume, office.run(1), estate_version="v2") == "estate-changed"
    office.store.approvals.withdraw(office.bundle.digest())
    assert code(office.consume, office.run(1)) == "executions-spent"


def test_four_eyes_are_those_of_two_controllers(office: Office) -> None:
    office.demanded = 2
    first, second = office.run(1), office.run(2)
    office.store.runs.advance(first, "waiting")
    office.approve(executions=1)
    office.approve(executions=5)
    assert (office.given(), office.state(), office.approvals().executions_left) == (["anna"], "waiting", 0)
    assert code(office.consume, first) == "not-approved"
    office.approve(office.ben, executions=1)
    assert (office.given(), office.state(), office.approvals().executions_left) == (["anna", "ben"], "waiting", 1)
    assert office.states() == ["approved", "waiting"]
    assert office.consume(first)
    assert office.given() == ["anna"]
    assert code(office.consume, second) == "executions-spent"


def test_the_same_words_by_another_controller_are_another_approval(office: Office) -> None:
    office.demanded = 2
    now = datetime.now(UTC)
    for controller in (office.anna, office.ben):
        office.approve(controller, approved=now, expires=now + timedelta(days=1))
    assert office.state() == "approved"


def test_executions_are_those_that_two_controllers_can_give(office: Office) -> None:
    office.demanded = 2
    for controller, executions in ((office.anna, 1), (office.ben, 2), (office.carl, 3)):
        office.approve(controller, executions=executions)
    assert office.approvals().executions_left == 3
    for number in range(3):
        assert office.consume(office.run(number))
    assert code(office.consume, office.run(3)) == "executions-spent"
    assert office.approvals().why_none[0] == "executions-spent"


@given(st.lists(st.integers(0, 5), max_size=4), st.integers(1, 2))
def test_executions_left_are_those_that_can_be_taken(executions: list[int], demanded: int) -> None:
    expires = datetime.now(UTC) + timedelta(days=1)
    approvals = [
        StoredApproval(f"{key}", f"c{key}", f"{key}", POLICY, ESTATE, left, expires, expires)
        for key, left in enumerate(executions)
    ]
    terms = Terms(POLICY, ESTATE, frozenset(map(str, range(4))), demanded)
    taken = 0
    with suppress(FlipError):
        while used := Approvals(approvals, terms).usable():
            assert len({approval.controller_key for approval in used}) == demanded
            approvals = [replace(a, executions_left=a.executions_left - (a in used)) for a in approvals]
            taken += 1
    fresh = [replace(a, executions_left=left) for a, left in zip(approvals, executions, strict=True)]
    assert taken == Approvals(fresh, terms).executions_left


def test_an_approval_given_anew_waits_for_the_second(office: Office) -> None:
    office.demanded = 2
    for controller in (office.anna, office.ben):
        office.approve(controller)
    assert office.consume(office.run(1))
    office.approve(office.ben, executions=2)
    assert (office.given(), office.state()) == (["ben"], "waiting")
    office.approve(office.anna, executions=2)
    assert office.consume(office.run(2))


def test_a_decline_withdraws_what_the_first_has_approved(office: Office) -> None:
    office.demanded = 2
    office.approve(executions=3)
    office.store.approvals.withdraw(office.bundle.digest())
    office.store.requests.decide(office.bundle.digest(), "declined", code="declined", reason="No.")
    office.approve(office.ben, executions=3)
    assert (office.given(), office.state()) == (["ben"], "waiting")


def test_who_is_no_controller_any_more_has_not_approved(office: Office) -> None:
    office.demanded = 2
    for controller in (office.anna, office.ben):
        office.approve(controller)
    office.controllers = office.controllers[:1]
    assert office.given() == ["anna"]
    assert code(office.consume, office.run(1)) == "not-approved"


def test_approvals_outlive_the_agent(office: Office, tmp_path: Path) -> None:
    office.demanded = 2
    office.approve()
    office.store.close()
    office.store = Store(tmp_path / "state.sqlite")
    assert (office.given(), office.state()) == (["anna"], "waiting")
    office.approve(office.ben)
    assert office.state() == "approved"


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
    store.runs.advance(run, "waiting")
    for cell in range(1, 50):
        store.runs.progress(run, Progress(cell=cell, cells=50))
    store.runs.advance(run, "approved")
    sent = []
    while (report := store.outbox.next()) is not None:
        sent.append(report.body)
        store.outbox.sent(report.number)
    import json

    bodies = [json.loads(body) for body in sent]
    assert [body["sequence"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert bodies[0]["state"] == "waiting"
    assert bodies[-1]["state"] == "approved"
    assert bodies[-2]["progress"]["cell"] == 49
    assert len(bodies) <= 4
