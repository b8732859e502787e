"""Refusals that a hub causes as often as it likes: the audit log has all of them in number, and stays small."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from enclave_scenario import Study
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.audit import AuditEntry, AuditKind
from flipnb.contracts.document import parse
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.refusals import HOUR_S, MOST_ABOUT_ONE, MOST_OF_A_KIND, Refusals
from flipnb.enclave.stores.store import Store


class Paper:
    """A log on paper, and a clock."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.now = 1_000_000.0
        self.refusals = Refusals(self.append, lambda: self.now)

    def append(self, kind: AuditKind, **details: Any) -> AuditEntry:
        entry = AuditEntry(
            index=len(self.entries), at="2026-11-30T12:00:00Z", trust="0" * 64, kind=kind, details=details
        )
        self.entries.append(entry)
        return entry

    def numbers(self) -> int:
        """How many refusals the log tells of: entries, and the last number of each hour and entry."""
        entries = sum(entry.kind != "refused-again" for entry in self.entries)
        last: dict[tuple[Any, ...], int] = {}
        for entry in self.entries:
            if entry.kind == "refused-again":
                last[entry.details["of"], entry.details["like"], entry.details["since"]] = entry.details["more"]
        return entries + sum(last.values())


def test_the_same_again_and_again_is_one_entry_and_its_number() -> None:
    paper = Paper()
    for _ in range(100_000):
        paper.refusals.add("round-refused", "r", run="r", round=1)
        paper.now += 0.001
    told = [entry.details["more"] for entry in paper.entries[1:]]
    assert told == [10, 100, 1000, 10_000]
    paper.refusals.close()
    assert paper.entries[-1].details["more"] == 99_999
    assert paper.entries[-1].details["like"] == 0
    assert paper.numbers() == 100_000


def test_ever_new_ones_are_a_few_entries_and_a_number() -> None:
    paper = Paper()
    for number in range(5000):
        paper.refusals.add("round-refused", f"run {number % 3}", round=number)
    for number in range(5000):
        paper.refusals.add("total-refused", f"run {number}", step=number)
    paper.refusals.close()
    kinds = [entry.kind for entry in paper.entries]
    assert kinds.count("round-refused") == 3 * MOST_ABOUT_ONE
    assert kinds.count("total-refused") == MOST_OF_A_KIND
    assert paper.numbers() == 10_000
    assert len(paper.entries) < 300


def test_after_an_hour_it_is_told_and_begins_anew() -> None:
    paper = Paper()
    for _ in range(3):
        for _ in range(5):
            paper.refusals.add("round-refused", "r", round=1)
        paper.now += HOUR_S
        paper.refusals.tell()
    assert [entry.kind for entry in paper.entries] == ["round-refused", "refused-again"] * 3
    paper.now -= 10 * HOUR_S  # a clock that is set back holds nothing up
    paper.refusals.add("round-refused", "r", round=1)
    assert paper.numbers() == 16


@given(
    said=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(1, 30), st.sampled_from([0.0, 1.0, 1900.0])),
        max_size=300,
    )
)
def test_every_refusal_is_in_the_log_in_number(said: list[tuple[int, int, int, float]]) -> None:
    paper = Paper()
    for number, run, times, seconds in said:
        paper.refusals.add("task-refused", f"{run}", times=times, round=number)
        paper.now += seconds
    paper.refusals.close()
    assert paper.numbers() == sum(times for _, _, times, _ in said)


def test_in_a_real_log_from_many_threads(tmp_path: Path) -> None:
    study, store = Study(), Store(tmp_path / "state.sqlite")
    audit = AuditLog(tmp_path / "audit.jsonl", study.node, store.anchor)

    def refuse() -> None:
        for number in range(50):
            audit.refusals.add("round-refused", "r", run="r", round=number % 2)

    threads = [threading.Thread(target=refuse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit.close()
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    entries = [parse(AuditEntry, line, "An entry") for line in lines]
    assert [entry.kind for entry in entries].count("round-refused") == 2
    more = {entry.details["like"]: entry.details["more"] for entry in entries if entry.kind == "refused-again"}
    assert sum(more.values()) == 198
    assert AuditLog.verify(tmp_path / "audit.jsonl", study.node, store.anchor) == len(lines)
    store.close()
