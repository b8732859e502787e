"""The audit log: what is written stays as it is, or the agent does not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from enclave_scenario import Study

from flipnb.contracts.audit import leaf_hash, tree_head
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store


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
    store.anchor.set(0, tree_head([]).hex(), SigningKey.generate().sign(b"anything"))
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
