"""Stores of an enclave that earlier versions filled are opened by today's and hold what they held.

``old_stores/`` has each schema of the store as the code of its day filled it (``state.sql``, ``ledger.sql``,
``audit.jsonl``), and what that code said that it held (``held.json``). Two schemas were number 1: that of the first
day knew no delivery of rounds. ``freeze_stores.py`` makes such a copy with today's code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from freeze_stores import dump_of, freeze, key_of, plain

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse, sha256
from flipnb.contracts.envelope import peek, signer_of
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.approvals import Approvals, Terms
from flipnb.enclave.approvals.executions import take_execution
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.migrations import ledger as ledger_schema
from flipnb.enclave.stores.migrations import state as state_schema
from flipnb.enclave.stores.store import Store
from flipnb.files import migrations
from flipnb.link.key_files import load_key, save_key

OLD = Path(__file__).parent / "old_stores"
NAMES = sorted(path.name for path in OLD.iterdir())
LEDGERS = [*(OLD / name for name in NAMES), *sorted((OLD.parent / "old_ledgers").iterdir())]


class Thawed:
    """A copy of old stores in a directory of its own."""

    def __init__(self, old: Path, directory: Path) -> None:
        self.held: dict[str, Any] = json.loads((old / "held.json").read_text())
        self.state, self.ledger, self.audit = (
            directory / name for name in ("state.sqlite", "ledger.sqlite", "audit.jsonl")
        )
        for path in (self.state, self.ledger):
            script = old / f"{path.stem}.sql"
            if script.exists():
                with sqlite3.connect(path) as db:
                    db.executescript(script.read_text())
                db.close()
        shutil.copy(old / "audit.jsonl", self.audit)

    @property
    def terms(self) -> Terms:
        controllers = frozenset([key_of("controller").key_id])
        return Terms(self.held["policy"], self.held["estate_version"], controllers, 1)


def schema_of(path: Path) -> int:
    with sqlite3.connect(path) as db:
        return migrations.schema_of(db)


@pytest.fixture(params=[*NAMES, "today"])
def thawed(request: pytest.FixtureRequest, tmp_path: Path) -> Thawed:
    if request.param != "today":
        return Thawed(OLD / request.param, tmp_path)
    (tmp_path / "frozen").mkdir()
    freeze(tmp_path / "frozen")
    return Thawed(tmp_path / "frozen", tmp_path)


def test_every_schema_is_frozen_with_content() -> None:
    schemas = {int(name.split("-")[1]) for name in NAMES}
    assert schemas == set(range(1, len(state_schema.STEPS) + 1)), (
        "freeze the new schema: python tests/freeze_stores.py tests/unit/enclave/old_stores/schema-N"
    )
    ledgers = {int(path.name.split("-")[1]) for path in LEDGERS if path.parent.name == "old_ledgers"}
    assert ledgers == set(range(2, len(ledger_schema.STEPS) + 1)), (
        "freeze the new schema: python tests/freeze_stores.py tests/unit/enclave/old_ledgers/schema-N ledger"
    )


def test_requests_runs_rounds_totals_and_counts_are_kept(thawed: Thawed) -> None:
    store, held = Store(thawed.state), thawed.held
    kept = [store.requests.get(listed.bundle) for listed in store.requests.all()]
    assert [{**plain(stored), "envelope": None} for stored in kept] == [
        {**request, "envelope": None} for request in held["requests"]
    ]
    for stored in kept:
        assert stored is not None
        content = peek(stored.envelope, "The bundle")
        assert sha256(content) == stored.bundle
        assert parse(Bundle, content, "The bundle").title == stored.title
    assert [plain(stored) for stored in store.runs.all()] == [
        {"choices": {}, "requested": None} | run for run in held["runs"]
    ]
    rounds = [(run, number, store.rounds.get(run, number)) for run in held["names"].values() for number in (1, 2)]
    assert [{"run": run, **plain(stored)} for run, _, stored in rounds if stored is not None] == held["rounds"]
    running = held["names"]["running"]
    totals = [store.totals.get(running, step) for step in (1, 2)]
    assert [plain(total) for total in totals if total is not None] == held["totals"]
    assert store.counts.reply("01" * 32) == held["count"].encode()
    assert store.counts.nonce_seen("02" * 16)


def test_approvals_still_count_and_are_of_the_key_that_signed_them(thawed: Thawed) -> None:
    store, held = Store(thawed.state), thawed.held
    bundle = held["bundles"]["approved"]
    approvals = store.approvals.of(bundle)
    assert [approval.controller_key for approval in approvals] == [key_of("controller").key_id]
    with sqlite3.connect(thawed.state) as db:
        ((envelope,),) = db.execute("SELECT envelope FROM approvals").fetchall()
        used = {run: json.loads(by) for run, by in db.execute("SELECT run, approvals FROM runs WHERE approvals<>''")}
    db.close()
    assert signer_of(envelope, "The approval") == key_of("controller").key_id
    assert set(used) == {held["names"][name] for name in ("finished", "running", "failed")}
    assert all(by == [[approvals[0].approval, key_of("controller").key_id]] for by in used.values())
    left = held["executions_left"]
    assert Approvals(approvals, thawed.terms).executions_left == left == 3
    assert take_execution(store, held["names"]["left"], ("a", "b"), thawed.terms)
    assert Approvals(store.approvals.of(bundle), thawed.terms).executions_left == left - 1


def test_reports_that_waited_are_sent_in_their_order(thawed: Thawed) -> None:
    store = Store(thawed.state)
    for run in thawed.held["names"].values():
        for number in (1, 2):
            store.rounds.delivered(run, number)
    told = []
    while (report := store.outbox.next()) is not None:
        told.append([report.number, report.run, json.loads(report.body)["sequence"], report.body.decode()])
        store.outbox.sent(report.number)
    assert told == thawed.held["reports"]
    store.runs.advance(thawed.held["names"]["running"], "stopped")
    next_one = store.outbox.next()
    assert next_one is not None
    assert next_one.number == told[-1][0] + 1


def test_the_anchor_still_verifies_the_audit_log(thawed: Thawed) -> None:
    store, expected = Store(thawed.state), thawed.held["audit"]
    log = AuditLog(thawed.audit, key_of("node"), store.anchor)
    page = log.page(0)
    assert (page.size, page.head) == (expected["size"], expected["head"])
    log.append("agent-started")
    log.close()
    content = thawed.audit.read_bytes()
    thawed.audit.write_bytes(content.replace(b"Not this one.", b"Not this two."))
    with pytest.raises(FlipError, match="is not the one that was written"):
        AuditLog.verify(thawed.audit, key_of("node"), store.anchor)


@pytest.mark.parametrize("old", LEDGERS, ids=[f"{path.parent.name}-{path.name}" for path in LEDGERS])
def test_the_budget_is_still_spent(old: Path, tmp_path: Path) -> None:
    spent = json.loads((old / "held.json").read_text()).get("budget")
    path = tmp_path / "ledger.sqlite"
    if spent is None:  # the first days had no ledger
        assert not (old / "ledger.sql").exists()
        return
    with sqlite3.connect(path) as db:
        db.executescript((old / "ledger.sql").read_text())
    db.close()
    ledger, policy = Ledger(path), CountPolicy(**spent["policy"])
    for study in ("heart", "lung", "new"):
        budget = ledger.budget(study, policy, now=datetime.fromisoformat(spent["at"]))
        assert budget.model_dump(mode="json") == spent[study]
    assert ledger.answer("v1", "44" * 32, "55" * 32) == b"answer"
    free = ledger.charge("heart", "v1", {"11" * 32: 3}, policy, now=datetime.fromisoformat(spent["at"]))
    assert free.left == spent["heart"]["left"]


def test_an_upgrade_leaves_the_same_schema_as_a_new_store_and_a_copy_of_what_was(
    thawed: Thawed, tmp_path: Path
) -> None:
    before, was = dump_of(thawed.state), schema_of(thawed.state)
    Store(thawed.state).close()
    Store(tmp_path / "new.sqlite").close()
    assert schemas(thawed.state) == schemas(tmp_path / "new.sqlite")
    copies = sorted(tmp_path.glob("state.sqlite.*"))
    if was == len(state_schema.STEPS):
        assert copies == []
        return
    assert copies == [migrations.copy_of(thawed.state, was)]
    assert dump_of(copies[0]) == before
    assert copies[0].stat().st_mode & 0o777 == 0o600


def schemas(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
    db.close()
    return [str((*names, sql and " ".join(sql.replace('"', "").split()))) for *names, sql in rows]


def test_a_newer_store_is_refused_untouched_and_an_older_one_by_who_only_looks(tmp_path: Path) -> None:
    old = Thawed(OLD / "schema-2", tmp_path)
    before = dump_of(old.state)
    with pytest.raises(FlipError) as caught:
        Store(old.state, upgrade=False)
    assert caught.value.code == "older-store"
    assert "Start the agent" in caught.value.remedy
    assert dump_of(old.state) == before
    Store(old.state).close()
    with sqlite3.connect(old.state) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    newer = dump_of(old.state)
    for upgrade in (True, False):
        with pytest.raises(FlipError) as caught:
            Store(old.state, upgrade=upgrade)
        assert caught.value.code == "newer-store"
        assert "schema 99" in caught.value.message
    assert dump_of(old.state) == newer


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from flipnb.enclave.stores.migrations.state import STEPS
from flipnb.files.migrations import upgrade

old, directory = Path(sys.argv[1]), Path(sys.argv[2])
for statements in range(1000):
    path = directory / f"{statements}.sqlite"
    path.write_bytes(old.read_bytes())
    child = os.fork()
    if child == 0:
        left = statements
        def trace(statement):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.set_trace_callback(trace)
        upgrade(db, path, STEPS)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
"""


@pytest.mark.parametrize("name", ["schema-1-first-day", "schema-2"])
def test_a_process_that_is_killed_at_any_statement_leaves_a_whole_store(tmp_path: Path, name: str) -> None:
    """``kill -9`` of a real process before each statement of an upgrade in turn."""
    old = Thawed(OLD / name, tmp_path)
    whole = {}
    for schema in range(schema_of(old.state), len(state_schema.STEPS) + 1):
        path = tmp_path / f"whole-{schema}.sqlite"
        shutil.copy(old.state, path)
        with sqlite3.connect(path, isolation_level=None) as db:
            migrations.upgrade(db, path, state_schema.STEPS[:schema])
        db.close()
        whole[schema] = dump_of(path)
    (tmp_path / "killed").mkdir()
    subprocess.run([sys.executable, "-c", KILLED, os.fspath(old.state), os.fspath(tmp_path / "killed")], check=True)
    killed = list((tmp_path / "killed").glob("*.sqlite"))
    assert len(killed) > 10
    found = set()
    for path in killed:
        found.add(schema := schema_of(path))
        assert dump_of(path) == whole[schema]
        Store(path).close()
        assert dump_of(path) == whole[len(state_schema.STEPS)]
        assert not list(path.parent.glob(f"{path.name}.*.partial"))
    assert found == set(whole)


AT_ONCE = """
import os, sqlite3, sys
from pathlib import Path
from flipnb.enclave.stores.migrations.state import STEPS
from flipnb.files.migrations import upgrade

path = Path(sys.argv[1])
ready, go = os.pipe()
children = []
for _ in range(6):
    if (child := os.fork()) == 0:
        os.close(go)
        os.read(ready, 1)
        db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        upgrade(db, path, STEPS)
        os._exit(0)
    children.append(child)
os.close(go)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
"""


@pytest.mark.parametrize("attempt", range(4))
def test_processes_that_upgrade_at_once_leave_one_whole_copy_of_what_was(tmp_path: Path, attempt: int) -> None:
    old = Thawed(OLD / "schema-2", tmp_path)
    before = dump_of(old.state)
    subprocess.run([sys.executable, "-c", AT_ONCE, os.fspath(old.state)], check=True)
    assert schema_of(old.state) == len(state_schema.STEPS)
    assert dump_of(migrations.copy_of(old.state, 2)) == before
    assert not list(tmp_path.glob("*.partial"))


def test_a_step_that_loses_what_others_refer_to_is_undone(tmp_path: Path) -> None:
    old = Thawed(OLD / f"schema-{len(state_schema.STEPS)}", tmp_path)
    before = dump_of(old.state)
    db = sqlite3.connect(old.state, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="refer to nothing"):
        migrations.upgrade(db, old.state, (*state_schema.STEPS, "DELETE FROM requests;"))
    db.close()
    assert dump_of(old.state) == before


def test_an_enclave_of_one_controller_without_a_name_is_opened_as_one_of_a_controller(tmp_path: Path) -> None:
    """``enclave.json`` as it was before an enclave could have several data controllers."""
    key = key_of("controller")
    directory = tmp_path / "enclave"
    (directory / "keys").mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    save_key(key, directory / "keys" / "controller.pem", "correct horse")
    before = {
        "name": "north", "title": "North", "hub_url": "https://hub.test", "hub_audience": "hub", "hub_ca": "hub-ca.pem",
        "controller_public_key": key.public_key, "runtime_dir": str(tmp_path / "run"), "estate_dir": "estate",
        "environments_dir": "environments", "estate_memory": "1GB",
    }  # fmt: skip
    (directory / "enclave.json").write_text(json.dumps(before))
    for _ in range(2):
        (controller,) = EnclaveDirectory.open(directory).controllers()
        assert (controller.name, controller.key_id) == ("controller", key.key_id)
        assert load_key(directory / "keys" / controller.key_file, "correct horse").key_id == key.key_id
    assert [path.name for path in (directory / "keys").iterdir()] == [controller.key_file]
    assert dataclasses.asdict(EnclaveDirectory.open(directory))["directory"] == directory
