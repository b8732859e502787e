"""The audit log: what is written stays as it is, or the agent does not start."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from enclave_scenario import Study

from flipnb.contracts.audit import AuditEntry, leaf_hash, tree_head
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def key() -> SigningKey:
    return Study().node


def write(directory: Path, key: SigningKey, entries: int) -> Store:
    store = Store(directory / "state.sqlite")
    log = AuditLog(directory / "audit.jsonl", key, store.anchor)
    for number in range(entries):
        log.append("round-released", round=number)
    log.close()
    return store


def broken(directory: Path, key: SigningKey, store: Store) -> str:
    with pytest.raises(FlipError) as caught:
        AuditLog(directory / "audit.jsonl", key, store.anchor)
    assert caught.value.code == "audit-broken"
    return caught.value.message


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 7, 8, 100])
def test_the_head_is_that_of_rfc_6962(tmp_path: Path, key: SigningKey, entries: int) -> None:
    store = write(tmp_path, key, entries)
    log = AuditLog(tmp_path / "audit.jsonl", key, store.anchor)
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    page = log.page(0)
    assert page.size == len(lines) == entries
    assert page.head == tree_head([leaf_hash(line) for line in lines]).hex()
    assert [entry.encode() for entry in page.entries] == lines


def test_every_way_of_tampering_is_found(tmp_path: Path, key: SigningKey) -> None:
    store = write(tmp_path, key, 10)
    path = tmp_path / "audit.jsonl"
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    cases = {
        "one of its first 10 lines": good.replace(b'"round":3', b'"round":4'),
        "it has 9 entries, 10 were written": b"".join(lines[:9]),
        "line 1 has index 1": b"".join([*lines[1:], lines[0]]),
        "line 2": lines[0] + b"{}\n" + b"".join(lines[2:]),
        "canonical": good.replace(b'"round":3', b'"round": 3'),
    }
    for words, content in cases.items():
        path.write_bytes(content)
        assert words in broken(tmp_path, key, store), words
    path.unlink()
    assert "it has 0 entries" in broken(tmp_path, key, store)
    path.write_bytes(good)
    assert AuditLog(path, key, store.anchor).size == 10


def test_a_rewritten_head_needs_the_nodes_key(tmp_path: Path, key: SigningKey) -> None:
    store = write(tmp_path, key, 3)
    store.anchor.sign(0, tree_head([]).hex(), SigningKey.generate())
    assert "signed head" in broken(tmp_path, key, store)


def test_a_line_that_a_power_cut_tore_is_dropped(tmp_path: Path, key: SigningKey) -> None:
    store = write(tmp_path, key, 3)
    path = tmp_path / "audit.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + b'{"at":"2026')
    log = AuditLog(path, key, store.anchor)
    assert log.size == 3
    log.append("agent-started")
    log.close()
    assert path.read_bytes().startswith(good)
    assert AuditLog(path, key, store.anchor).size == 4


def test_what_is_changed_while_the_agent_runs_is_found_by_a_check_and_turns_approvals_off(
    tmp_path: Path, key: SigningKey
) -> None:
    store = write(tmp_path, key, 5)
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, key, store.anchor)
    whole = path.read_bytes()
    assert (log.check().size, log.check().problem) == (5, None)
    log.require_whole()
    path.write_bytes(whole.replace(b'"round":3', b'"round":4'))
    assert "is not the one that was written" in (log.check().problem or "")
    path.write_bytes(whole)
    assert log.check().problem is not None, "restoring the file does not undo what was found"
    with pytest.raises(FlipError, match="Approvals are off"):
        log.require_whole()


@pytest.mark.slow
def test_a_page_reads_its_own_entries_of_a_log_of_100_000_and_no_more(tmp_path: Path, key: SigningKey) -> None:
    """The bytes that the system counts for this thread; a cache of ours would not hide a longer reading."""
    leaves, path, store = 100_000, tmp_path / "audit.jsonl", Store(tmp_path / "state.sqlite")
    lines = [
        AuditEntry(index=n, at=AT, trust=key.key_id, kind="round-released", details={"round": n}).to_bytes()
        for n in range(leaves)
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    log = AuditLog(path, key, store.anchor)
    assert log.size == leaves
    assert store.anchor.signed(key, path) == {leaves: tree_head([leaf_hash(line) for line in lines]).hex()}
    for after in (0, 1, 50_000, leaves - 1000, leaves - 3, leaves, leaves + 1, 10**30):
        before = _bytes_read()
        page = log.page(after)
        read = _bytes_read() - before
        expected = lines[after : after + 1000]
        assert [entry.encode() for entry in page.entries] == expected
        assert read <= sum(len(line) + 1 for line in expected) + 1000, "what /proc itself costs is within the 1000"
    log.append("round-released", round=leaves)
    assert json.loads(log.page(leaves).entries[0])["index"] == leaves
    log.close()


def _bytes_read() -> int:
    counted = Path("/proc/thread-self/io").read_text().split()
    return int(counted[counted.index("rchar:") + 1])


def test_entries_of_any_size_come_in_pages_of_bounded_bytes(tmp_path: Path, key: SigningKey) -> None:
    store = Store(tmp_path / "state.sqlite")
    log = AuditLog(tmp_path / "audit.jsonl", key, store.anchor)
    for number in range(5):
        log.append("total-released", values="9" * (5 << 20 if number in (1, 2) else 9 << 20 if number == 3 else 10))
    pages, seen = [], 0
    while seen < log.size:
        page = log.page(seen)
        pages.append(len(page.entries))
        assert page.size == 5
        seen += len(page.entries)
    assert pages == [2, 1, 1, 1]
    assert log.page(5).entries == ()
    log.close()


def test_pages_are_read_while_entries_are_written(tmp_path: Path, key: SigningKey) -> None:
    store = Store(tmp_path / "state.sqlite")
    log = AuditLog(tmp_path / "audit.jsonl", key, store.anchor)
    writing = threading.Thread(target=lambda: [log.append("round-released", round=n) for n in range(100)])
    writing.start()
    seen: list[str] = []
    while len(seen) < 100:
        page = log.page(len(seen))
        seen += page.entries
        assert page.head == tree_head([leaf_hash(entry.encode()) for entry in seen]).hex()
        assert page.size == len(seen)
    writing.join()
    assert [json.loads(entry)["index"] for entry in seen] == list(range(100))
    log.close()
