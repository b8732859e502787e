"""A copy of an enclave's stores as today's code fills them, for tomorrow's: ``python tests/freeze_stores.py DIR``.

``DIR ledger`` makes one of the ledger alone, whose schemas have numbers of their own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from enclave_scenario import ESTATE, Study

from flipnb.contracts.choices import Choices
from flipnb.contracts.controller import Controller
from flipnb.contracts.document import Document
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import CountPolicy, Policy
from flipnb.contracts.run import Failure, Progress
from flipnb.enclave.approvals.approvals import Approvals, Terms, verify_approval
from flipnb.enclave.approvals.executions import keep_approval, take_execution
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.ledger import Ledger, Took
from flipnb.enclave.stores.store import Store

EARLY, FAR = datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
POLICY = Policy().digest()
RUNS = {name: f"{number:032x}" for number, name in enumerate(("finished", "running", "failed", "left", "waits"), 1)}


def key_of(name: str) -> SigningKey:
    """The same key for the same name, on every machine."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def plain(stored: Any) -> dict[str, Any]:
    """What a row means, as JSON has it."""
    return {name: _plain(value) for name, value in dataclasses.asdict(stored).items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return value.decode()
        case Document():
            return value.model_dump(mode="json", exclude_defaults=True)
        case tuple():
            return list(value)
    return value


def dump_of(path: Path) -> str:
    """All of a SQLite file as SQL, its schema's number at the end."""
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    text = "\n".join([*db.iterdump(), f"PRAGMA user_version={version};"]) + "\n"
    db.close()
    return text


def freeze(directory: Path) -> None:
    held = _fill_state(directory) | {"budget": _fill_ledger(directory)}
    (directory / "held.json").write_text(json.dumps(held, indent=1) + "\n")
    for name in ("state", "ledger"):
        (directory / f"{name}.sql").write_text(dump_of(directory / f"{name}.sqlite"))
        (directory / f"{name}.sqlite").unlink()


def _fill_state(directory: Path) -> dict[str, Any]:
    study = Study(**{name: key_of(name) for name in ("researcher", "node", "other", "controller")})
    terms = Terms(POLICY, ESTATE, frozenset([study.controller.key_id]), 1)
    store = Store(directory / "state.sqlite")
    audit = AuditLog(directory / "audit.jsonl", study.node, store.anchor)
    audit.append("agent-started")
    bundles = {}
    for name in ("approved", "waiting", "declined"):
        bundle = study.bundle(title=f"A {name} bundle", not_before=EARLY, expires=FAR)
        bundles[name] = bundle.digest()
        store.requests.add(
            bundle.digest(),
            study.bundle_envelope(bundle),
            study="heart",
            title=bundle.title,
            researcher="R. Esearcher",
            researcher_key=study.researcher.key_id,
            state="waiting",
        )
    for name, run in RUNS.items():
        bundle_of = bundles["waiting" if name == "waits" else "approved"]
        store.runs.add(
            run,
            bundle=bundle_of,
            study="heart",
            title="t",
            point={"lr": 0.01},
            choices=Choices(seed=3 if name == "waits" else None),
            requested=EARLY,
        )
        store.runs.advance(run, "waiting")
    verified = verify_approval(
        study.approval(bundles["approved"], POLICY, executions=6, approved=EARLY, expires=FAR),
        controllers=[Controller(name="anna", public_key=study.controller.public_key)],
        own_key=study.node.key_id,
        policy=POLICY,
        estate_version=ESTATE,
    )
    keep_approval(store, verified, terms)
    store.requests.decide(bundles["declined"], "declined", code="declined", reason="Not this one.")
    audit.append("declined", bundle=bundles["declined"], reason="Not this one.")
    for name in ("finished", "running", "failed"):
        take_execution(store, RUNS[name], study.members(), terms)
        store.runs.advance(RUNS[name], "running")
    _fill_runs(store)
    assert all(_send_one(store) for _ in range(9))
    page = audit.page(0)
    held = {
        "policy": POLICY,
        "estate_version": ESTATE,
        "bundles": bundles,
        "names": RUNS,
        "requests": [plain(stored) | {"envelope": None} for stored in store.requests.all()],
        "runs": [plain(stored) for stored in store.runs.all()],
        "rounds": [
            {"run": run, **plain(stored)}
            for run in RUNS.values()
            for number in (1, 2)
            if (stored := store.rounds.get(run, number)) is not None
        ],
        "totals": [plain(store.totals.get(RUNS["running"], step)) for step in (1, 2)],
        "count": "seven",
        "executions_left": Approvals(store.approvals.of(bundles["approved"]), terms).executions_left,
        "audit": {"size": page.size, "head": page.head},
    }
    audit.close()
    store.close()
    with sqlite3.connect(directory / "state.sqlite") as db:
        waiting = db.execute("SELECT number, run, sequence, body FROM reports WHERE sent=0 ORDER BY number").fetchall()
    db.close()
    return held | {"reports": [[number, run, sequence, body.decode()] for number, run, sequence, body in waiting]}


def _fill_runs(store: Store) -> None:
    finished, running, failed = (RUNS[name] for name in ("finished", "running", "failed"))
    store.runs.set_frozen(running, {"people": {"train": 40}}, {})
    store.runs.progress(running, Progress(cell=1, cells=2))
    for number in (1, 2):
        context = json.dumps({"round": number, "training": number == 1}).encode()
        for run in (finished, running):
            store.rounds.give(run, number, context, hashlib.sha256(context).hexdigest())
            if (run, number) == (running, 2):
                continue
            store.rounds.answer(
                run,
                number,
                b"reply %d" % number,
                update_sha256="ab" * 32,
                update_path=f"runs/{run}/round-{number}.safetensors",
                state_path=f"runs/{run}/state-{number}.bin",
            )
            store.rounds.delivered(run, number)
    store.totals.give(running, 1, "cd" * 32)
    store.totals.answer(running, 1, b"units")
    store.totals.sum(running, 1, b"sum")
    store.totals.give(running, 2, "ef" * 32)
    store.runs.advance(finished, "finished")
    failure = Failure(error_class="ValueError", cell=2, line=1)
    store.runs.advance(failed, "failed", code="notebook-failed", reason="cell 2", failure=failure)
    store.counts.add("01" * 32, "02" * 16, FAR, b"seven")


def _send_one(store: Store) -> bool:
    report = store.outbox.next()
    if report is not None:
        store.outbox.sent(report.number)
    return report is not None


def _fill_ledger(directory: Path) -> dict[str, Any]:
    ledger, policy, noon = Ledger(directory / "ledger.sqlite"), CountPolicy(), EARLY + timedelta(hours=3)
    ledger.charge("heart", "v1", {"11" * 32: 3, "22" * 32: 4}, policy, now=noon)
    ledger.charge("lung", "v1", {"33" * 32: 5}, policy, now=noon + timedelta(hours=1))
    ledger.keep("v1", "44" * 32, "55" * 32, b"answer", Took(noon, 0.25, True, 2.0))
    at = noon + timedelta(days=1)
    left = {study: ledger.budget(study, policy, now=at).model_dump(mode="json") for study in ("heart", "lung", "new")}
    ledger.close()
    return {"at": at.isoformat(), "policy": policy.model_dump(mode="json"), **left}


def freeze_ledger(directory: Path) -> None:
    (directory / "held.json").write_text(json.dumps({"budget": _fill_ledger(directory)}, indent=1) + "\n")
    (directory / "ledger.sql").write_text(dump_of(directory / "ledger.sqlite"))
    (directory / "ledger.sqlite").unlink()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    (freeze_ledger if sys.argv[2:] == ["ledger"] else freeze)(target)
