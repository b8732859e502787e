"""A hub that starts runs and lets them wait holds nobody's place: not by silence, nor by weights that never come."""

from __future__ import annotations

from pathlib import Path

import pytest
from enclave_federation import until
from enclave_scenario import WEIGHTS, sha
from hostile_hub import opened

from flipnb.contracts.plan import Plan

pytestmark = pytest.mark.timeout(300)

PLAN = Plan(rounds=1, clip_norm=10.0)


def test_runs_that_a_hub_lets_wait_give_their_slot_to_those_that_it_does_not(tmp_path: Path) -> None:
    with opened(tmp_path, slots=1, waiting_seconds=2) as scene:
        bundle = scene.bundle(title="Held", plan=PLAN)
        members = scene.study.members()
        silent, starved, honest = (scene.put(bundle, nonce)[0] for nonce in "123")
        until(lambda: scene.trust.approve(bundle.digest(), executions=3).is_success)
        for run in (silent, starved, honest):
            assert scene.hub.ask("start", run=run, members=members).code is None

        content = scene.hub.blobs.pop(sha(WEIGHTS))
        context = scene.context(starved, bundle, 1)
        (task,) = scene.hub.hand_out({"kind": "round", "run": starved, "context": context})
        until(lambda: len(scene.hub.fetched) > 0)
        # The first has been sent no round, the second no weights of the one that it was sent.
        until(lambda: "slot-released" in scene.trust.audited(silent))
        until(lambda: "slot-released" in scene.trust.audited(starved))
        until(lambda: scene.trust.run_state(honest) == "running")
        assert scene.trust.status().running == 1

        scene.hub.blobs[sha(WEIGHTS)] = content
        for number in (1, 2):
            assert scene.round(scene.context(honest, bundle, number)).code is None
        until(lambda: scene.trust.run_state(honest) == "finished")
        until(lambda: task["id"] in scene.hub.answers, 60)
        assert scene.hub.answers[task["id"]].envelope is not None
        started = [entry["details"]["run"] for entry in scene.trust.audit() if entry["kind"] == "run-started"]
        assert started == [silent, starved, honest]
