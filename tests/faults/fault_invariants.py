"""What must hold whatever happened, read from the enclaves' disks and audit logs and from the hub's database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict

from fault_federation import NAMES, SevenTrusts

from flipnb.contracts.document import sha256
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

Answers = dict[tuple[str, int], set[str]]
"""By Trust and round: SHA-256 of every encoded update that was released for it."""


def answers(federation: SevenTrusts, run: str) -> Answers:
    """Every update that any enclave released in a run. Raises AssertionError where a round has two.

    The audit log has a leaf before each release; store and hub must agree with it.
    """
    released: Answers = defaultdict(set)
    for name, trust in zip(NAMES, federation.trusts, strict=True):
        federation.daemon(name)  # it may be coming up again
        for entry in trust.audit():
            if entry["kind"] == "round-released" and entry["details"]["run"] == run:
                released[name, entry["details"]["round"]].add(entry["details"]["update"])
        store = _rows(
            trust.enclave.state, "SELECT round, update_sha256 FROM rounds WHERE run=? AND reply IS NOT NULL", run
        )
        for number, update in store:
            assert released[name, number] == {update}, f"{name} answered round {number} more than once"
    sent = defaultdict(set)
    tasks = _rows(
        federation.directory / "hub" / "hub.sqlite",
        "SELECT trust, round, envelope FROM tasks WHERE run=? AND kind='round' AND envelope IS NOT NULL",
        run,
    )
    for trust_key, number, envelope in tasks:
        sent[trust_key, number].add(sha256(envelope.encode()))
    assert all(len(envelopes) == 1 for envelopes in sent.values())
    return dict(released)


def differing(some: Answers, others: Answers) -> list[tuple[str, int]]:
    """Trusts and rounds whose updates are not the same in two runs."""
    return sorted(place for place in some.keys() | others.keys() if some.get(place) != others.get(place))


def whole(federation: SevenTrusts) -> None:
    """No file is torn or left behind: audit logs are what was written, databases are sound, no cohort lies about.

    All runs and the daemons must have ended.
    """
    for trust in federation.trusts:
        store = Store(trust.enclave.state)
        try:
            assert AuditLog.verify(trust.enclave.audit, trust.node, store.anchor) > 0
        finally:
            store.close()
        assert _rows(trust.enclave.state, "PRAGMA integrity_check") == [("ok",)]
    assert _rows(federation.directory / "hub" / "hub.sqlite", "PRAGMA integrity_check") == [("ok",)]
    for trust in federation.trusts:
        assert list(trust.enclave.frozen.iterdir()) == []
        for pattern in ("cohort*", "state-*.bin", "*.partial", ".executed-*"):
            assert list(trust.enclave.runs.glob(f"*/{pattern}")) == []
    for blob in (federation.directory / "hub" / "blobs").glob("??/*"):
        assert sha256(blob.read_bytes()) == blob.name


def _rows(path: object, query: str, *values: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()
