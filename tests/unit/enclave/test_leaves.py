"""What leaves for a hub: when a report is due, and the leaf that comes before everything."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import Chamber, Study

from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Failure, Progress
from flipnb.enclave.agent import hub_link
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.agent.leaves import Leaves
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.grid import Grid
from flipnb.enclave.stores.refusals import MOST_ABOUT_ONE


@pytest.fixture
def chamber(tmp_path: Path) -> Chamber:
    return Chamber(Study(), tmp_path)


def entries(chamber: Chamber) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in chamber.audit.page(0).entries]


def test_points_of_a_grid_by_any_clock() -> None:
    now = [10.0]
    grid = Grid.from_now(2.0, lambda: now[0])
    seen = []
    for at in (10.0, 11.9, 12.0, 17.0):
        now[0] = at
        seen.append((grid.point, grid.next, round(grid.wait, 3)))
    assert seen == [(0, 12.0, 2.0), (0, 12.0, 0.1), (1, 14.0, 2.0), (3, 18.0, 1.0)]


def test_a_report_does_not_leave_before_it_is_due_nor_hold_another_runs(chamber: Chamber) -> None:
    store, other = chamber.store, "f" * 32
    store.runs.add(other, bundle=chamber.bundle.digest(), study="heart", title="t", point={"lr": 0.01})
    due = time.monotonic() + 0.4
    store.runs.tell_death(chamber.run, Failure(error_class="KernelDied", cell=1), "recovering", "again", due=due)
    store.runs.progress(chamber.run, Progress(cell=1))
    store.runs.advance(other, "waiting")
    first = store.outbox.next()
    assert first is not None and first.run == other
    store.outbox.sent(first.number)
    assert store.outbox.next() is None
    time.sleep(max(0.0, due - time.monotonic()))
    order = []
    while (report := store.outbox.next()) is not None:
        order.append(report.progress_only)
        store.outbox.sent(report.number)
    assert order == [False, True]


def test_what_a_room_entered_itself_needs_no_second_leaf(chamber: Chamber) -> None:
    chamber.give(1)
    envelope = chamber.answer(1)
    size = chamber.audit.size
    leaves = Leaves(chamber.audit)
    leaves.of_bytes(envelope, "reply")
    (released,) = [entry["details"] for entry in entries(chamber) if entry["kind"] == "round-released"]
    leaves.of_digest(released["update"], released["bytes"], "update")
    assert chamber.audit.size == size
    for _ in range(3):
        leaves.of_words({"code": "run-ended"}, "answer")
    assert chamber.audit.size == size + 1
    told = entries(chamber)[-1]
    assert told["kind"] == "told"
    assert told["details"]["sha256"] == sha256(canonical_bytes(told["details"]["content"]))
    again = AuditLog(chamber.directory / "audit.jsonl", chamber.study.node, chamber.store.anchor)
    for digest in (sha256(envelope), released["update"], told["details"]["sha256"]):
        assert again.names(digest)
    assert not again.names(sha256(b"other"))
    again.close()


def test_answers_to_what_a_hub_asks_in_vain_are_no_flood(chamber: Chamber) -> None:
    """The first have a leaf each, all of them are in the log by their number."""
    leaves = Leaves(chamber.audit)
    for number in range(500):
        leaves.of_words({"code": "bad-task", "reason": f"No such kind: {number}."}, "answer")
    chamber.audit.refusals.close()
    told = [entry for entry in entries(chamber) if entry["kind"] == "told"]
    assert len(told) == MOST_ABOUT_ONE
    again = [entry["details"] for entry in entries(chamber) if entry["kind"] == "refused-again"]
    assert again[-1]["of"] == "told"
    assert again[-1]["more"] == 500 - MOST_ABOUT_ONE


def test_long_content_has_its_digest_alone(chamber: Chamber) -> None:
    Leaves(chamber.audit).of_bytes(b"x" * 5000, "card", content={"much": "x"})
    assert set(entries(chamber)[-1]["details"]) == {"what", "sha256", "bytes"}


def test_nothing_is_sent_whose_leaf_is_not_on_disk(chamber: Chamber, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Client:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def ask(self, method: str, target: str, *_: object, **__: object) -> bytes:
            asked.append(target)
            return b""

    def full(_: bytes) -> None:
        raise FlipError("disk-full", "This Trust's disk is full; nothing was changed.", status=507)

    monkeypatch.setattr(hub_link, "AsyncSignedClient", Client)
    monkeypatch.setattr(hub_link, "Access", lambda *_: None)
    link = HubLink("https://hub", audience="a", ca=Path("ca"), key=chamber.study.node, leaves=Leaves(chamber.audit))
    chamber.store.runs.advance(chamber.run, "waiting")
    report = chamber.store.outbox.next()
    assert report is not None
    written = chamber.audit._write
    monkeypatch.setattr(chamber.audit, "_write", full)
    with pytest.raises(FlipError, match="disk is full"):
        asyncio.run(link.report(report))
    assert asked == []
    monkeypatch.setattr(chamber.audit, "_write", written)
    asyncio.run(link.report(report))
    assert asked == [f"/v1/runs/{chamber.run}/reports"]
    assert entries(chamber)[-1]["details"]["sha256"] == sha256(report.body)


def test_progress_of_an_earlier_version_says_nothing_of_epochs() -> None:
    assert Progress.model_validate({"cell": 1, "epoch": 3, "epochs": 5}) == Progress(cell=1)
