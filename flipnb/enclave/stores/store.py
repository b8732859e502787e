"""What an agent must still know after a crash: one SQLite file, every commit on disk before it returns.

Reports to the hub are written in the same transaction as the state that they tell of, so that neither is without the
other. All methods may be called from any thread.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flipnb.contracts.desk import RequestState
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import FINAL_TRUST_STATES, TRUST_TRANSITIONS, Failure, Progress, TrustReport, TrustState
from flipnb.enclave.approvals.approvals import Approvals, Terms, VerifiedApproval
from flipnb.enclave.stores.stored import (
    OutgoingReport,
    StoredApproval,
    StoredRequest,
    StoredRound,
    StoredRun,
    StoredTotal,
)

_SCHEMA_VERSION = 3
_HELD = timedelta(seconds=60)
_SCHEMA = """
CREATE TABLE requests (
  bundle TEXT PRIMARY KEY, study TEXT NOT NULL, title TEXT NOT NULL, researcher TEXT NOT NULL,
  researcher_key TEXT NOT NULL, state TEXT NOT NULL, code TEXT, reason TEXT, received TEXT NOT NULL,
  envelope BLOB NOT NULL) STRICT;
CREATE TABLE approvals (
  approval TEXT NOT NULL, bundle TEXT NOT NULL REFERENCES requests, controller TEXT NOT NULL,
  controller_key TEXT NOT NULL, policy TEXT NOT NULL, estate_version TEXT NOT NULL,
  executions_left INTEGER NOT NULL CHECK (executions_left >= 0), approved TEXT NOT NULL, expires TEXT NOT NULL,
  envelope BLOB NOT NULL, PRIMARY KEY (approval, controller_key)) STRICT;
CREATE TABLE runs (
  run TEXT PRIMARY KEY, bundle TEXT NOT NULL, study TEXT NOT NULL, title TEXT NOT NULL, point TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT, reason TEXT, progress TEXT, failure TEXT, received TEXT NOT NULL,
  started TEXT, ended TEXT, approvals TEXT, estate_version TEXT, members TEXT, frozen TEXT) STRICT;
CREATE TABLE rounds (
  run TEXT NOT NULL REFERENCES runs, round INTEGER NOT NULL, context BLOB NOT NULL, digest TEXT NOT NULL,
  update_sha256 TEXT, update_path TEXT, state_path TEXT, reply BLOB, delivered INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, round)) STRICT;
CREATE TABLE totals (
  run TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL, context TEXT NOT NULL, reply BLOB, result BLOB,
  PRIMARY KEY (run, step)) STRICT;
CREATE TABLE counts (
  request TEXT PRIMARY KEY, nonce TEXT NOT NULL UNIQUE, expires TEXT NOT NULL, reply BLOB NOT NULL) STRICT;
CREATE TABLE reports (
  number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
  progress_only INTEGER NOT NULL, held_until TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, sequence)) STRICT;
CREATE INDEX reports_waiting ON reports (number) WHERE sent=0;
CREATE TABLE audit_anchor (
  one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, head TEXT NOT NULL, signature BLOB NOT NULL) STRICT;
"""


class Store:
    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._sending = 0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
        self._db.row_factory = sqlite3.Row
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        elif version != _SCHEMA_VERSION:
            raise FlipError(
                "newer-store", f"{path} was written by another version of FLIP (schema {version}).", status=500
            )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # Requests and approvals

    def add_request(
        self,
        bundle: str,
        envelope: bytes,
        *,
        study: str,
        title: str,
        researcher: str,
        researcher_key: str,
        state: RequestState,
        code: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """True where the bundle was not known before; a known one stays as it is."""
        with self._transaction() as db:
            done = db.execute(
                "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (bundle, study, title, researcher, researcher_key, state, code, reason, _now(), envelope),
            )
            return done.rowcount == 1

    def request(self, bundle: str) -> StoredRequest | None:
        row = self._one("SELECT * FROM requests WHERE bundle=?", bundle)
        return StoredRequest.of(row) if row is not None else None

    def requests(self) -> list[StoredRequest]:
        return [StoredRequest.of(row) for row in self._all("SELECT * FROM requests ORDER BY received DESC, bundle")]

    def approved(self, study: str) -> list[StoredRequest]:
        """Requests of a study that were ever approved, the last approved first."""
        return [
            StoredRequest.of(row)
            for row in self._all(
                "SELECT r.* FROM requests r JOIN approvals a USING (bundle) "
                "WHERE r.study=? AND r.state='approved' "
                "GROUP BY r.bundle ORDER BY max(a.approved) DESC, r.bundle",
                study,
            )
        ]

    @property
    def revision(self) -> int:
        """Rises with every row that this process writes."""
        return self._db.total_changes

    def set_request(self, bundle: str, state: RequestState, code: str | None, reason: str | None) -> None:
        with self._transaction() as db:
            db.execute("UPDATE requests SET state=?, code=?, reason=? WHERE bundle=?", (state, code, reason, bundle))

    def add_approval(self, verified: VerifiedApproval, terms: Terms) -> bool:
        """True where it is new; the same approval again does not renew its executions.

        The bundle's request and the runs that wait for it are ``approved`` once it may run under ``terms``.
        """
        approval = verified.approval
        with self._transaction() as db:
            done = db.execute(
                "INSERT INTO approvals VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (
                    verified.digest,
                    approval.bundle,
                    verified.controller.name,
                    verified.controller.key_id,
                    approval.policy,
                    approval.estate_version,
                    approval.executions,
                    _text(approval.approved),
                    _text(approval.expires),
                    verified.envelope,
                ),
            )
            if done.rowcount != 1:
                return False
            may_run = Approvals(self.approvals(approval.bundle), terms).executions_left > 0
            self.set_request(approval.bundle, "approved" if may_run else "waiting", None, None)
            if may_run:
                for run in self.runs(bundle=approval.bundle):
                    if run.state == "waiting":
                        self._advance(db, run.run, "approved")
            return True

    def approvals(self, bundle: str) -> list[StoredApproval]:
        """All that were ever given."""
        return [StoredApproval.of(row) for row in self._all("SELECT * FROM approvals WHERE bundle=?", bundle)]

    def withdraw_approvals(self, bundle: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE approvals SET executions_left=0 WHERE bundle=?", (bundle,))

    def consume(self, run: str, members: tuple[str, ...], terms: Terms) -> bool:
        """Take one execution from each approval that is demanded and make the run ``starting``, all or nothing.

        False where the run had started before. Raises FlipError as ``Approvals.usable``, and ``wrong-state``.
        """
        with self._transaction() as db:
            row = db.execute("SELECT state, bundle FROM runs WHERE run=?", (run,)).fetchone()
            if row is None:
                raise FlipError("unknown-run", f"The run {run} was never admitted here.", status=404)
            if row["state"] in ("starting", "running"):
                return False
            if row["state"] in FINAL_TRUST_STATES or row["state"] == "left-out":
                raise FlipError("wrong-state", f"The run {run} is {row['state']} here.", status=409)
            used = [(a.approval, a.controller_key) for a in Approvals(self.approvals(row["bundle"]), terms).usable()]
            db.executemany(
                "UPDATE approvals SET executions_left=executions_left-1 WHERE approval=? AND controller_key=?", used
            )
            db.execute(
                "UPDATE runs SET state='approved', approvals=?, estate_version=?, members=?, started=? WHERE run=?",
                (json.dumps(used), terms.estate_version, json.dumps(members), _now(), run),
            )
            self._advance(db, run, "starting")
            return True

    # Runs

    def add_run(self, run: str, *, bundle: str, study: str, title: str, point: dict[str, Scalar]) -> bool:
        """True where the run was not known before."""
        with self._transaction() as db:
            done = db.execute(
                "INSERT INTO runs (run, bundle, study, title, point, state, received)"
                " VALUES (?,?,?,?,?,'notified',?) ON CONFLICT DO NOTHING",
                (run, bundle, study, title, json.dumps(point), _now()),
            )
            return done.rowcount == 1

    def run(self, run: str) -> StoredRun | None:
        row = self._one("SELECT * FROM runs WHERE run=?", run)
        return StoredRun.of(row) if row is not None else None

    def runs(self, *, bundle: str | None = None) -> list[StoredRun]:
        if bundle is None:
            return [StoredRun.of(row) for row in self._all("SELECT * FROM runs ORDER BY received DESC, run")]
        return [
            StoredRun.of(row) for row in self._all("SELECT * FROM runs WHERE bundle=? ORDER BY received, run", bundle)
        ]

    def advance(
        self,
        run: str,
        to: TrustState,
        *,
        code: str | None = None,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> bool:
        """Make the run ``to`` and put the report of it into the outbox; False where the run can't become ``to``."""
        with self._transaction() as db:
            return self._advance(db, run, to, code=code, reason=reason, failure=failure)

    def progress(self, run: str, progress: Progress) -> None:
        """Keep and report where a run is; of reports of progress that wait unsent, only the newest is kept."""
        with self._transaction() as db:
            db.execute("UPDATE runs SET progress=? WHERE run=?", (progress.model_dump_json(), run))
            waiting = db.execute(
                "SELECT number, sequence FROM reports WHERE run=? AND sent=0 AND progress_only=1"
                " AND sequence=(SELECT max(sequence) FROM reports WHERE run=?)"
                " AND number<>?",
                (run, run, self._sending),
            ).fetchone()
            if waiting is None:
                self._report(db, TrustReport(run=run, sequence=1, progress=progress))
            else:
                body = TrustReport(run=run, sequence=waiting["sequence"], progress=progress).to_bytes()
                db.execute("UPDATE reports SET body=? WHERE number=?", (body, waiting["number"]))

    def tell_death(self, run: str, failure: Failure, code: str, reason: str) -> None:
        """Report that the run's kernel died; its state stays as it is, for it is started anew."""
        with self._transaction() as db:
            self._report(db, TrustReport(run=run, sequence=1, failure=failure, code=code, reason=reason[:400]))

    def report_refused(self, run: str, code: str, reason: str) -> None:
        """Report the refusal of a run that was not admitted, once."""
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM reports WHERE run=?", (run,)).fetchone() is None:
                self._report(db, TrustReport(run=run, sequence=1, state="refused", code=code, reason=reason))

    def set_frozen(self, run: str, frozen: dict[str, Any]) -> None:
        with self._transaction() as db:
            db.execute("UPDATE runs SET frozen=? WHERE run=?", (json.dumps(frozen), run))

    # Rounds

    def give_round(self, run: str, number: int, context: bytes, digest: str) -> None:
        """Pin the context of a round; raises sqlite3.IntegrityError where the round has one."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO rounds (run, round, context, digest) VALUES (?,?,?,?)", (run, number, context, digest)
            )

    def answer_round(
        self, run: str, number: int, reply: bytes, *, update_sha256: str, update_path: str, state_path: str | None
    ) -> None:
        with self._transaction() as db:
            done = db.execute(
                "UPDATE rounds SET reply=?, update_sha256=?, update_path=?, state_path=?"
                " WHERE run=? AND round=? AND reply IS NULL",
                (reply, update_sha256, update_path, state_path, run, number),
            )
            if done.rowcount != 1:
                raise FlipError("round-refused", f"Round {number} was answered before.", status=409)

    def round_delivered(self, run: str, number: int) -> None:
        """The hub has the answer of the round, or wants none."""
        with self._transaction() as db:
            db.execute("UPDATE rounds SET delivered=1 WHERE run=? AND round=?", (run, number))

    def round(self, run: str, number: int) -> StoredRound | None:
        row = self._one("SELECT * FROM rounds WHERE run=? AND round=?", run, number)
        return StoredRound.of(row) if row is not None else None

    def last_round(self, run: str) -> StoredRound | None:
        row = self._one("SELECT * FROM rounds WHERE run=? ORDER BY round DESC LIMIT 1", run)
        return StoredRound.of(row) if row is not None else None

    def answered_before(self, run: str, number: int) -> StoredRound | None:
        """The last answered round below ``number``."""
        row = self._one(
            "SELECT * FROM rounds WHERE run=? AND round<? AND reply IS NOT NULL ORDER BY round DESC LIMIT 1",
            run, number,
        )  # fmt: skip
        return StoredRound.of(row) if row is not None else None

    # Totals

    def give_total(self, run: str, step: int, digest: str) -> None:
        """Pin the context of a total; raises sqlite3.IntegrityError where the step has one."""
        with self._transaction() as db:
            db.execute("INSERT INTO totals (run, step, context) VALUES (?,?,?)", (run, step, digest))

    def answer_total(self, run: str, step: int, reply: bytes) -> None:
        with self._transaction() as db:
            db.execute("UPDATE totals SET reply=? WHERE run=? AND step=? AND reply IS NULL", (reply, run, step))

    def sum_total(self, run: str, step: int, result: bytes) -> None:
        with self._transaction() as db:
            db.execute("UPDATE totals SET result=? WHERE run=? AND step=? AND result IS NULL", (result, run, step))

    def total(self, run: str, step: int) -> StoredTotal | None:
        row = self._one("SELECT context, reply, result FROM totals WHERE run=? AND step=?", run, step)
        if row is None:
            return None
        reply, result = (bytes(row[name]) if row[name] is not None else None for name in ("reply", "result"))
        return StoredTotal(row["context"], reply, result)

    # Counts

    def count_reply(self, request: str) -> bytes | None:
        row = self._one("SELECT reply FROM counts WHERE request=?", request)
        return bytes(row["reply"]) if row is not None else None

    def nonce_seen(self, nonce: str) -> bool:
        return self._one("SELECT 1 FROM counts WHERE nonce=?", nonce) is not None

    def add_count(self, request: str, nonce: str, expires: datetime, reply: bytes) -> bool:
        """Keep a reply with its request's nonce; False where the request or the nonce was there already."""
        with self._transaction() as db:
            db.execute("DELETE FROM counts WHERE expires<?", (_now(),))
            done = db.execute(
                "INSERT INTO counts VALUES (?,?,?,?) ON CONFLICT DO NOTHING", (request, nonce, _text(expires), reply)
            )
            return done.rowcount == 1

    # Outbox

    def next_report(self) -> OutgoingReport | None:
        """The first that waits; an end waits, for a while, until the hub has the run's last answered round.

        A hub that hears of the end first would give up the round whose reply is on its way.
        """
        row = self._one(
            "SELECT number, run, body FROM reports AS r WHERE sent=0"
            " AND NOT (held_until>? AND EXISTS ("
            "  SELECT 1 FROM rounds WHERE run=r.run AND reply IS NOT NULL AND delivered=0))"
            " AND NOT EXISTS (SELECT 1 FROM reports WHERE run=r.run AND sent=0 AND number<r.number)"
            " ORDER BY number LIMIT 1",
            _now(),
        )
        self._sending = int(row["number"]) if row is not None else 0
        return OutgoingReport(row["number"], row["run"], bytes(row["body"])) if row is not None else None

    def report_sent(self, number: int) -> None:
        with self._transaction() as db:
            db.execute("UPDATE reports SET sent=1 WHERE number=?", (number,))

    def untold(self, run: str) -> bool:
        """Whether reports of the run wait to be sent."""
        return self._one("SELECT 1 FROM reports WHERE run=? AND sent=0 LIMIT 1", run) is not None

    # Audit log

    def audit_anchor(self) -> tuple[int, str, bytes] | None:
        row = self._one("SELECT size, head, signature FROM audit_anchor")
        return (int(row["size"]), str(row["head"]), bytes(row["signature"])) if row is not None else None

    def set_audit_anchor(self, size: int, head: str, signature: bytes) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO audit_anchor VALUES (1,?,?,?)", (size, head, signature))

    def _advance(
        self,
        db: sqlite3.Connection,
        run: str,
        to: TrustState,
        *,
        code: str | None = None,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> bool:
        row = db.execute("SELECT state FROM runs WHERE run=?", (run,)).fetchone()
        if row is None or to not in TRUST_TRANSITIONS[row["state"]]:
            return False
        over = to in FINAL_TRUST_STATES
        reason = reason[:400] if reason is not None else None
        db.execute(
            "UPDATE runs SET state=?, code=?, reason=?, failure=?, ended=? WHERE run=?",
            (to, code, reason, failure.model_dump_json() if failure else None, _now() if over else None, run),
        )
        self._report(db, TrustReport(run=run, sequence=1, state=to, code=code, reason=reason, failure=failure))
        return True

    def _report(self, db: sqlite3.Connection, report: TrustReport) -> None:
        (last,) = db.execute("SELECT coalesce(max(sequence), 0) FROM reports WHERE run=?", (report.run,)).fetchone()
        body = report.model_copy(update={"sequence": last + 1}).to_bytes()
        held = _text(datetime.now(UTC) + _HELD) if report.state in ("finished", "failed", "left-out") else ""
        db.execute(
            "INSERT INTO reports (run, sequence, body, progress_only, held_until) VALUES (?,?,?,?,?)",
            (report.run, last + 1, body, report.state is None and report.failure is None, held),
        )

    def together(self) -> AbstractContextManager[object]:
        """Several changes as one: on disk at the end of the block, or undone. Raises FlipError ``disk-full``."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """On disk at its end, or undone; part of the one that is open. Raises FlipError ``disk-full``."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if is_full(error):
                    raise disk_full("this Trust's") from None
                raise

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        with self._lock:
            row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
            return row

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    """Sorts as the moments do: always UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
