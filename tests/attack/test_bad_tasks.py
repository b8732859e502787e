"""A hub that hands out bad tasks: nothing is tried for ever, hides a stop, or makes the audit log large."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from enclave_federation import until
from enclave_scenario import signed_count
from hostile_hub import Scene, opened
from small_estate import aged, concept_set, group, has, ruled

from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.envelope import BUNDLE, seal
from flipnb.enclave.approvals.requests import MOST_WAITING

SECONDS = 10.0
"""A stop of a run that is not here is answered within; the machine may have much else to do."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("bad")) as scene:
        yield scene


def stop_is_answered(scene: Scene) -> None:
    began = time.monotonic()
    assert scene.hub.ask("stop", run="0" * 32).code is None
    assert time.monotonic() - began < SECONDS


def large_funnel() -> dict[str, Any]:
    """As many sets, concepts and rules as a cohort may have."""
    cohort = ruled(has([0]), *(group(aged("gt", years)) for years in range(199)))
    return cohort | {"ConceptSets": [concept_set(n, range(24 * n, 24 * n + 24)) for n in range(249)]}


def test_the_largest_funnel_holds_neither_stop_nor_desk(scene: Scene) -> None:
    """It took 38 s of the agent's only event loop, each time that it was asked, whatever the budget."""
    asked = signed_count(scene.study, large_funnel(), funnel=True)
    scene.hub.hand_out({"kind": "count", "count": asked})
    stop_is_answered(scene)
    began = time.monotonic()
    scene.trust.status()
    assert time.monotonic() - began < SECONDS
    until(lambda: scene.hub.tasks[-2]["id"] in scene.hub.answers, 120)


def test_a_bundle_with_bounds_that_overflow_is_refused_and_not_tried_again(scene: Scene) -> None:
    plain = json.loads(scene.study.bundle(title="Wide").to_bytes())
    plain["outputs"][0] |= {"minimum": -1e308, "maximum": 1e308}
    content = canonical_bytes(plain)
    scene.hub.bundles[sha256(content)] = seal(content, BUNDLE, scene.study.researcher)
    asked = scene.study.request(sha256(content), nonce="e" * 32)
    answer = scene.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())
    assert answer.code == "invalid-document"
    assert any(
        entry["kind"] == "request-refused" and entry["details"]["run"] == asked.run for entry in scene.trust.audit()
    )
    stop_is_answered(scene)


def test_millions_of_faults_in_one_list_hide_nothing(scene: Scene) -> None:
    """3 million wrong members were 16.8 s and 4.4 GB on the agent's only event loop."""
    scene.hub.hand_out({"kind": "start", "run": "1" * 32, "members": [1] * 1_000_000})
    stop_is_answered(scene)


def test_tasks_without_id_number_or_kind_hide_none_of_the_others(scene: Scene) -> None:
    scene.hub.hand_out({"id": None, "kind": "stop"}, {"kind": 7}, {"id": "x", "sequence": "y"})
    scene.hub.tasks = [task for task in scene.hub.tasks if isinstance(task["sequence"], int)]
    stop_is_answered(scene)


def test_more_tasks_of_every_kind_than_are_handled_at_once_leave_the_others(scene: Scene) -> None:
    context = scene.context("2" * 32, scene.bundle(title="None"), 1)
    count = {"certificate": "{}", "request": "{}"}
    for fields in (
        {"kind": "count", "count": count},
        {"kind": "round", "run": context.run, "context": context},
        {"kind": "start", "run": "2" * 32, "members": scene.study.members()},
        {"kind": "from-the-future", "run": "2" * 32},
    ):
        scene.hub.hand_out(*[fields] * 700)
    stop_is_answered(scene)
    # All are answered in the end, also those for which there was no room at first.
    wanted = {task["id"] for task in scene.hub.tasks if task.get("id")}
    until(lambda: len(scene.hub.answers) >= len(wanted) - 8, 240)


def test_what_is_refused_again_and_again_is_in_the_log_in_number(scene: Scene) -> None:
    context = scene.context("3" * 32, scene.bundle(title="None"), 1)
    asked = [{"kind": "summed", "run": "3" * 32, "summed": {"values": number}} for number in range(150)]
    asked += [{"kind": "round", "run": "3" * 32, "context": context}] * 150
    scene.hub.ask_all(*asked, seconds=120)
    log = scene.trust.audit()
    unreadable = [entry for entry in log if entry["kind"] == "task-refused"]
    again = [entry for entry in log if entry["kind"] == "refused-again"]
    assert sum("values" in entry["details"].get("fault", "") for entry in unreadable) <= 20
    assert len(unreadable) + len(again) < 60
    assert max(entry["details"]["more"] for entry in again if entry["details"]["of"] == "task-refused") >= 100


def test_starts_of_ever_new_runs_that_are_not_here_are_in_the_log_in_number(scene: Scene) -> None:
    """Each refusal is reported, too, and the report had an entry of its own."""
    before = len(scene.trust.audit())
    members = scene.study.members()
    unknown = [{"kind": "start", "run": secrets.token_hex(16), "members": members} for _ in range(120)]
    scene.hub.ask_all(*unknown, seconds=120)
    reported = {task["run"] for task in unknown}
    until(lambda: reported <= {report["run"] for report in scene.hub.reports}, 120)
    assert len(scene.trust.audit()) - before < 75


def test_a_member_who_submits_bundle_after_bundle_fills_neither_disk_nor_desk(scene: Scene) -> None:
    """Each was kept, up to 8 MiB of it, and listed before the data controller."""
    asked = []
    for number in range(MOST_WAITING + 20):
        request = scene.study.request(scene.bundle(title=f"Bundle {number}").digest())
        asked.append({"kind": "run", "run": request.run, "run_request": request.envelope.decode()})
    answers = scene.hub.ask_all(*asked, seconds=240)
    assert {answer.code for answer in answers} == {None, "too-many-requests"}
    taken = sum(answer.code is None for answer in answers)
    assert MOST_WAITING - 5 < taken < MOST_WAITING + 16  # so many are looked at at once
    stop_is_answered(scene)
