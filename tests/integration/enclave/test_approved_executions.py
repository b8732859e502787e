"""What people meet who approve a sweep, approve less than is asked, or leave seeds and rounds to the researcher."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from approval_tab import ApprovalTab
from enclave_federation import CONTROLLER, PASSPHRASE, Federation, notebook, until
from hostile_hub import opened
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices, Choosable
from flipnb.contracts.dataset import Dataset, Variable
from flipnb.contracts.envelope import RUN_REQUEST, seal
from flipnb.contracts.known_bundle import KnownBundles
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest, RunView

SHORT = Plan(rounds=0, clip_norm=1.0)


def ask_for(federation: Federation, bundle: Bundle, nonce: str, choices: Choices) -> RunView:
    request = RunRequest(
        study="heart",
        bundle=bundle.digest(),
        point={"lr": 0.01},
        choices=choices,
        requested=datetime.now(UTC),
        nonce=nonce * 32,
    )
    sealed = seal(request, RUN_REQUEST, federation.study.researcher)
    return RunView.model_validate(federation.ask("POST", "/v1/studies/heart/runs", sealed))


def waits(federation: Federation, bundle: Bundle, runs: int) -> None:
    """Until so many runs of the bundle wait at each Trust."""
    for trust in federation.trusts:
        until(lambda trust=trust: summary_of(trust, bundle).get("runs_waiting") == runs)


def summary_of(trust: Any, bundle: Bundle) -> dict[str, Any]:
    found = [r for r in trust.get("/requests?all=1")["requests"] if r["bundle"] == bundle.digest()]
    return dict(found[0]) if found else {}


def test_a_sweep_of_two_that_is_approved_as_the_page_and_the_terminal_preset_it_runs_whole(
    federation: Federation,
) -> None:
    north, south = federation.trusts
    bundle, first = federation.submit(nonce="1", place="pass  # sweep of two", plan=SHORT)
    second = federation.run_again(bundle, "2")
    waits(federation, bundle, 2)
    tab = ApprovalTab(north, bundle.digest())
    page = tab.look().text
    assert ">2 wait</span>" in page
    (preset,) = re.findall(r'name="executions" value="(\d+)"', page)
    assert tab.press(PASSPHRASE, executions=preset).status_code == 200
    south.read(bundle.digest())
    passphrase = federation.directory / "passphrase"
    passphrase.write_text(PASSPHRASE)
    typed = ["enclave", "approve", bundle.digest()[:12], "--yes", "--controller", CONTROLLER]
    typed += ["--enclave", str(south.enclave.directory), "--passphrase-file", str(passphrase)]
    done = CliRunner().invoke(app, typed)
    assert (done.exit_code, "for 2 runs" in done.stdout) == (0, True), done.output
    for run in (first, second):
        assert federation.reaches(run.run, "succeeded", "failed").state == "succeeded"


def test_of_three_runs_and_two_executions_two_run_and_one_waits_until_one_more_is_approved(
    federation: Federation,
) -> None:
    bundle, first = federation.submit(nonce="3", place="pass  # three, two", plan=SHORT)
    runs = [first.run, *(federation.run_again(bundle, nonce).run for nonce in "45")]
    waits(federation, bundle, 3)
    for trust in federation.trusts:
        assert trust.approve(bundle.digest(), executions=2).is_success
    until(lambda: sorted(federation.view(run).state for run in runs) == ["succeeded", "succeeded", "waiting"], 90)
    (left,) = (view for view in map(federation.view, runs) if view.state == "waiting")
    assert {(part.state, part.code, part.executions_left) for part in left.trusts} == {
        ("waiting", "executions-spent", 0)
    }
    assert [summary_of(trust, bundle)["state"] for trust in federation.trusts] == ["waiting", "waiting"]
    for trust in federation.trusts:
        assert trust.approve(bundle.digest(), executions=3).is_success
    assert federation.reaches(left.run, "succeeded", "failed").state == "succeeded"
    until(lambda: {part.executions_left for part in federation.view(left.run).trusts} == {2})
    known = federation.ask("GET", f"/v1/studies/heart/bundles?content={bundle.content_digest}")
    (found,) = KnownBundles.model_validate(known).bundles
    assert (found.bundle, set(found.executions_left.values())) == (bundle.digest(), {2})


def test_two_seeds_and_fewer_rounds_run_under_one_approval(federation: Federation) -> None:
    pressure = Variable(name="bp", source="measurement", concept_id=3004249)
    bundle, own = federation.submit(
        nonce="6",
        notebook=notebook("rnd.report(loss=data.train.frame()['bp'].mean(), accuracy=0.5); continue"),
        dataset=Dataset(variables=(pressure,)),
        outputs=(
            DeclaredOutput(name="loss", minimum=0, maximum=1000, decimals=3),
            DeclaredOutput(name="accuracy", minimum=0, maximum=1, decimals=2, over="test"),
        ),
        choosable=Choosable(minimum_rounds=1, seeds=(2, 3)),
    )
    chosen = [ask_for(federation, bundle, nonce, Choices(rounds=1, seed=seed)) for nonce, seed in (("7", 2), ("8", 3))]
    with pytest.raises(FlipError, match="Seed 4 can't be chosen"):
        ask_for(federation, bundle, "9", Choices(seed=4))
    waits(federation, bundle, 3)
    for trust in federation.trusts:
        detail = trust.get(f"/requests/{bundle.digest()}")
        assert "A run may choose the split's seed: 2, 3." in detail["what_leaves"]
        assert trust.approve(bundle.digest(), executions=3).is_success
    means = []
    for run, rounds in ((own, 2), *((run, 1) for run in chosen)):
        view = federation.reaches(run.run, "succeeded", "failed", seconds=120)
        assert (view.state, view.rounds, view.rounds_done) == ("succeeded", rounds, rounds), view
        record = federation.ask("GET", f"/v1/runs/{run.run}/record")
        assert len(record["rounds"]) == rounds + 1
        means.append(record["rounds"][0]["metrics"]["loss"])
    assert len(set(means)) == 3, f"each seed trains on other people: {means}"
    assert [federation.view(run.run).choices.seed for run in (own, *chosen)] == [None, 2, 3]


def test_a_run_whose_approval_does_not_hold_any_more_when_it_is_to_start_waits_for_another(tmp_path: Path) -> None:
    with opened(tmp_path) as scene:
        bundle, members = scene.bundle(title="Another policy by then"), scene.study.members()
        run, _ = scene.put(bundle, "1")
        assert scene.trust.approve(bundle.digest()).is_success
        assert scene.trust.run_state(run) == "approved"
        policy = scene.trust.enclave.policy_file
        policy.write_text(json.dumps(json.loads(policy.read_text()) | {"minimum_train": 11}))
        assert scene.hub.ask("start", run=run, members=members).code == "policy-changed"
        assert scene.trust.run_state(run) == "waiting"
        assert scene.trust.waits_for(bundle.digest())
        told = until(
            lambda: [said for said in scene.hub.reports if said["run"] == run and said["state"] == "waiting"][1:]
        )
        assert (
            told[0]["reason"] == "The Trust's policy changed after the approval; the data controller must approve anew."
        )
        assert scene.trust.approve(bundle.digest()).is_success
        assert scene.hub.ask("start", run=run, members=members).code is None
        until(lambda: scene.trust.run_state(run) == "running")
