"""A Trust whose policy demands that two data controllers approve, with a real agent, its page and the terminal."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_tab import ApprovalTab
from enclave_federation import CONTROLLER, PASSPHRASE, Federation, Trust, until
from typer.testing import CliRunner, Result

from flipnb.cli.main import app
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.plan import Plan
from flipnb.enclave.setup import add_controller
from flipnb.link.key_files import load_key

BENS = "battery staple"
PLAN = Plan(rounds=0, clip_norm=1.0)


@pytest.fixture(scope="module")
def north(federation: Federation) -> Iterator[Trust]:
    """The first Trust, which demands two approvals while these tests run; its agent is not told of either change."""
    trust = federation.trusts[0]
    add_controller(trust.enclave, "ben", BENS)
    policy = trust.enclave.policy_file.read_bytes()
    trust.enclave.policy_file.write_text(json.dumps(json.loads(policy) | {"approvals": 2}))
    yield trust
    trust.enclave.policy_file.write_bytes(policy)


def ben_of(trust: Trust) -> SigningKey:
    return load_key(trust.enclave.keys / "controller-ben.pem", BENS)


def standing(trust: Trust, bundle: str) -> tuple[str, list[str]]:
    """The request's state, and who has approved."""
    summary = trust.get(f"/requests/{bundle}")["summary"]
    assert summary["approvals_demanded"] == 2
    return summary["state"], [given["controller"] for given in summary["approvals"]]


def test_nothing_runs_before_two_controllers_have_approved(federation: Federation, north: Trust) -> None:
    bundle, run = federation.submit(nonce="1", place="pass  # four eyes", plan=PLAN)
    digest = bundle.digest()
    south = federation.trusts[1]
    until(lambda: north.waits_for(digest) and south.waits_for(digest))
    assert south.approve(digest, executions=2).is_success
    assert north.approve(digest).is_success
    assert north.approve(digest, executions=3).is_success
    assert standing(north, digest) == ("waiting", [CONTROLLER])
    assert north.run_state(run.run) == "waiting"

    north.end(signal.SIGKILL)
    north.start()
    north.ready()
    assert standing(north, digest) == ("waiting", [CONTROLLER])

    page = ApprovalTab(north, digest, controller="ben")
    shown = until(page.look).text
    assert "1 of 2 approvals (anna)" in shown
    assert [f"<option>{name}</option>" in shown for name in (CONTROLLER, "ben")] == [True, True]  # who have read it
    assert page.press(PASSPHRASE).status_code == 403
    nobody = ApprovalTab(north, digest)
    nobody.controller = "../node"
    assert nobody.press(BENS).status_code == 422
    assert standing(north, digest) == ("waiting", [CONTROLLER])
    assert "2 of 2 approvals (anna, ben)" in page.press(BENS).text
    assert standing(north, digest) == ("approved", [CONTROLLER, "ben"])

    federation.reaches(run.run, "succeeded")
    audited = [e["details"] for e in north.audit() if e["kind"] == "approved" and e["details"]["bundle"] == digest]
    assert [(entry["controller"], entry["demanded"]) for entry in audited] == [(CONTROLLER, 2)] * 2 + [("ben", 2)]
    assert audited[-1]["controller_key"] == ben_of(north).key_id

    # What anna approved beyond ben's one execution is worth nothing without him.
    second = federation.run_again(bundle, "2")
    until(lambda: standing(north, digest) == ("waiting", [CONTROLLER]))
    assert north.run_state(second.run) == "waiting"
    federation.ask("POST", f"/v1/runs/{second.run}/stop")


def test_either_controller_declines(federation: Federation, north: Trust) -> None:
    bundle, run = federation.submit(nonce="3", place="pass  # declined by one", plan=PLAN)
    digest = bundle.digest()
    until(lambda: north.waits_for(digest))
    assert north.approve(digest, key=ben_of(north)).is_success
    assert north.decline(digest, "Too wide a cohort.").is_success
    federation.reaches(run.run, "failed")
    assert standing(north, digest) == ("declined", [])


def test_who_asks_does_not_approve(federation: Federation, north: Trust) -> None:
    """The researcher's own key is a controller's, too; nobody decides on what they ask for themselves."""
    bundle, run = federation.submit(nonce="5", place="pass  # one's own", plan=PLAN)
    until(lambda: north.waits_for(bundle.digest()))
    file = north.enclave.directory / "enclave.json"
    before = file.read_bytes()
    rosa = {"name": "rosa", "public_key": federation.study.researcher.public_key}
    enclave = json.loads(before)
    file.write_text(json.dumps(enclave | {"controllers": [*enclave["controllers"], rosa]}))
    try:
        answer = north.approve(bundle.digest(), key=federation.study.researcher)
    finally:
        file.write_bytes(before)
    assert answer.json()["code"] == "own-request"
    assert standing(north, bundle.digest()) == ("waiting", [])
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_the_terminal_says_who_has_approved(federation: Federation, north: Trust, tmp_path: Path) -> None:
    (tmp_path / "ben").write_text(BENS)
    (tmp_path / "anna").write_text(PASSPHRASE)

    def flip(*arguments: object) -> Result:
        where = ("--enclave", north.enclave.directory)
        return CliRunner().invoke(app, ["enclave", *map(str, (*arguments, *where))])

    assert [entry["name"] for entry in json.loads(flip("controllers", "--json").stdout)] == [CONTROLLER, "ben"]
    bundle, run = federation.submit(nonce="4", place="pass  # in a terminal", plan=PLAN)
    digest = bundle.digest()
    until(lambda: north.waits_for(digest))
    nameless = flip("approve", digest, "--yes", "--passphrase-file", tmp_path / "ben")
    assert nameless.exit_code != 0
    assert "--controller NAME" in nameless.output
    unread = flip("approve", digest, "--yes", "--controller", "ben", "--passphrase-file", tmp_path / "ben")
    assert "ben has not read this request yet" in unread.output
    for name in ("ben", CONTROLLER):
        assert flip("show", digest, "--controller", name).exit_code == 0
    first = flip("approve", digest, "--yes", "--controller", "ben", "--passphrase-file", tmp_path / "ben")
    assert "1 of 2 approvals (ben)" in first.output
    shown = flip("show", digest)
    assert "1 of 2 approvals (ben)" in shown.output and "Who has read it?" in shown.output
    second = flip("approve", digest, "--yes", "--controller", CONTROLLER, "--passphrase-file", tmp_path / "anna")
    assert "has approved" in second.output
    assert standing(north, digest) == ("approved", [CONTROLLER, "ben"])
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_a_controller_is_added_and_removed_in_the_terminal(federation: Federation, north: Trust) -> None:
    """What they had approved counts no more, without a word to the agent."""
    trust = federation.trusts[1]
    enclave = trust.enclave
    typed = f"{BENS}\n{BENS}\n"
    answer = CliRunner().invoke(app, ["enclave", "add-controller", "carl", "--enclave", str(enclave.directory)], typed)
    assert answer.exit_code == 0, answer.output
    assert BENS not in answer.output
    assert [controller.name for controller in enclave.controllers()] == [CONTROLLER, "carl"]
    carl = load_key(enclave.keys / "controller-carl.pem", BENS)
    bundle, run = federation.submit(nonce="6", place="pass  # by one who left", plan=PLAN)
    digest = bundle.digest()
    until(lambda: trust.waits_for(digest))
    assert trust.approve(digest, key=carl).is_success
    assert trust.get(f"/requests/{digest}")["summary"]["state"] == "approved"

    removed = CliRunner().invoke(app, ["enclave", "remove-controller", "carl", "--enclave", str(enclave.directory)])
    assert removed.exit_code == 0 and "carl decides here no more" in removed.output, removed.output
    assert "join again" not in removed.output
    assert trust.get(f"/requests/{digest}")["summary"]["approvals"] == []
    assert trust.approve(digest, key=carl).json()["code"] == "unknown-key"
    until(lambda: north.waits_for(digest))
    assert north.approve(digest).is_success and north.approve(digest, key=ben_of(north)).is_success
    until(lambda: "has not approved the bundle" in json.dumps(federation.ask("GET", f"/v1/runs/{run.run}")))
    assert trust.run_state(run.run) == "waiting"  # for somebody who decides here now
    assert trust.approve(digest).is_success
    assert federation.reaches(run.run, "succeeded", "failed").state == "succeeded"
