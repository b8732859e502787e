"""The runs that a Trust was asked for: their states, each change together with the report of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flipnb.contracts.choices import Choices
from flipnb.contracts.images import FrozenShare
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.run import FINAL_TRUST_STATES, TRUST_TRANSITIONS, Failure, Progress, TrustReport, TrustState
from flipnb.contracts.text import Identifier
from flipnb.enclave.stores.database import Database, exact_now, text_now, text_of
from flipnb.enclave.stores.outbox import Outbox
from flipnb.enclave.stores.stored import RunOfBundle, StoredApproval, StoredRun

NONE = Choices()


class RunTable:
    """``admitted``: how many runs this process has added, ``ended``: how many of them, or of those before, it has seen
    end; ``revision`` rises with each change, progress too."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database, self._outbox = database, outbox
        self.admitted = self.ended = self.revision = 0

    def add(
        self,
        run: str,
        *,
        bundle: str,
        study: str,
        title: str,
        point: dict[str, Scalar],
        choices: Choices = NONE,
        requested: datetime | None = None,
    ) -> bool:
        """True where the run was not known before. ``requested`` is when its researcher asked for it, by their word."""
        with self._database.transaction() as db:
            done = db.execute(
                "INSERT INTO runs (run, bundle, study, title, point, choices, requested, state, received)"
                " VALUES (?,?,?,?,?,?,?,'notified',?) ON CONFLICT DO NOTHING",
                (
                    run,
                    bundle,
                    study,
                    title,
                    json.dumps(point),
                    choices.model_dump_json(exclude_none=True),
                    text_of(requested) if requested is not None else None,
                    text_now(),
                ),
            )
            self.admitted += done.rowcount
            self.revision += done.rowcount
            return done.rowcount == 1

    def get(self, run: str) -> StoredRun | None:
        """A run by its id; None where this Trust was not asked for it."""
        row = self._database.one("SELECT * FROM runs WHERE run=?", run)
        return StoredRun.of(row) if row is not None else None

    def was_started(self, run: str) -> bool:
        """Whether an execution was ever taken for the run."""
        return self._database.one("SELECT 1 FROM runs WHERE run=? AND started IS NOT NULL", run) is not None

    def add_lost(self, run: str, *, bundle: str, reason: str) -> None:
        """A run that started here and is known of it no more: it is over, and never starts again."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO runs (run, bundle, study, title, point, state, code, reason, received, started, ended)"
                " VALUES (?,?,'','','{}','stopped','state-lost',?,?,?,?) ON CONFLICT (run) DO UPDATE SET"
                " started=coalesce(started, excluded.started)",
                (run, bundle, reason, text_now(), text_now(), text_now()),
            )
            self.revision += 1

    def all(self) -> list[StoredRun]:
        """The last received first."""
        return [StoredRun.of(row) for row in self._database.all("SELECT * FROM runs ORDER BY received DESC, run")]

    def of(self, bundle: str) -> list[StoredRun]:
        """Those of a bundle, the first received first."""
        rows = self._database.all("SELECT * FROM runs WHERE bundle=? ORDER BY received, run", bundle)
        return [StoredRun.of(row) for row in rows]

    def by_bundle(self) -> dict[str, list[RunOfBundle]]:
        """Those of every bundle that has any, the first received first."""
        found: dict[str, list[RunOfBundle]] = {}
        for row in self._database.all("SELECT run, bundle, state FROM runs ORDER BY received, run"):
            found.setdefault(row["bundle"], []).append(RunOfBundle(row["run"], row["state"]))
        return found

    def advance(
        self,
        run: str,
        to: TrustState,
        *,
        code: str | None = None,
        reason: str | None = None,
        failure: Failure | None = None,
        due: float | None = None,
        executions_left: int | None = None,
    ) -> bool:
        """Make the run ``to`` and put the report of it into the outbox; False where the run can't become ``to``.

        ``due`` as in ``Outbox``; ``executions_left`` as in ``TrustReport``.
        """
        with self._database.transaction() as db:
            row = db.execute("SELECT state FROM runs WHERE run=?", (run,)).fetchone()
            if row is None or to not in TRUST_TRANSITIONS[row["state"]]:
                return False
            over = to in FINAL_TRUST_STATES
            reason = reason[:400] if reason is not None else None
            db.execute(
                "UPDATE runs SET state=?, code=?, reason=?, failure=?, ended=? WHERE run=?",
                (to, code, reason, failure.model_dump_json() if failure else None, text_now() if over else None, run),
            )
            self.ended += over
            self.revision += 1
            report = TrustReport(run=run, sequence=1, state=to, code=code, reason=reason, failure=failure)
            self._outbox.add(report.model_copy(update={"executions_left": executions_left}), due=due)
            return True

    def explain(self, run: str, code: str | None, reason: str | None, *, executions_left: int) -> None:
        """Say why the run is in the state that it is in."""
        with self._database.transaction() as db:
            db.execute("UPDATE runs SET code=?, reason=? WHERE run=?", (code, reason, run))
            self.revision += 1
            (state,) = db.execute("SELECT state FROM runs WHERE run=?", (run,)).fetchone()
            report = TrustReport(run=run, sequence=1, state=state, code=code, reason=reason)
            self._outbox.add(report.model_copy(update={"executions_left": executions_left}))

    def tell_left(self, run: str, bundle: str, executions_left: int) -> None:
        """Report how many more runs of the bundle are covered, on ``run``, unless that was said last of any of them."""
        with self._database.transaction() as db:
            last = db.execute(
                "SELECT json_extract(CAST(body AS TEXT), '$.executions_left') AS said FROM reports"
                " WHERE run IN (SELECT run FROM runs WHERE bundle=?) AND said IS NOT NULL ORDER BY number DESC LIMIT 1",
                (bundle,),
            ).fetchone()
            if last is None or last["said"] != executions_left:
                self._outbox.add(TrustReport(run=run, sequence=1, executions_left=executions_left))

    def start(
        self, run: str, approvals: Iterable[StoredApproval], *, estate_version: str, members: tuple[str, ...]
    ) -> None:
        """Make the run ``starting``, and keep by which approvals, on what estate and with whom."""
        used = json.dumps([(approval.approval, approval.controller_key) for approval in approvals])
        with self._database.transaction() as db:
            db.execute(
                "UPDATE runs SET state='approved', approvals=?, estate_version=?, members=?, started=? WHERE run=?",
                (used, estate_version, json.dumps(members), exact_now(), run),
            )
            self.advance(run, "starting")

    def tell_estate(self, run: str, estate: str) -> None:
        """Report on which version of its estate the run runs, by the name that its study is told."""
        self._outbox.add(TrustReport(run=run, sequence=1, estate=estate))

    def progress(self, run: str, progress: Progress, *, due: float | None = None) -> None:
        """Keep and report where a run is; ``due`` as in ``Outbox``."""
        with self._database.transaction() as db:
            db.execute("UPDATE runs SET progress=? WHERE run=?", (progress.model_dump_json(), run))
            self.revision += 1
            self._outbox.add_progress(run, progress, due=due)

    def tell_death(self, run: str, failure: Failure, code: str, reason: str, *, due: float | None = None) -> None:
        """Report that the run's kernel died; its state stays as it is, for it is started anew."""
        self._outbox.add(TrustReport(run=run, sequence=1, failure=failure, code=code, reason=reason[:400]), due=due)

    def set_frozen(self, run: str, frozen: dict[str, Any], images: dict[Identifier, FrozenShare]) -> None:
        """Keep what is known of the run's frozen cohort, for when the agent starts again; report how much of its images
        could be used, where it has any."""
        with self._database.transaction() as db:
            db.execute("UPDATE runs SET frozen=? WHERE run=?", (json.dumps(frozen), run))
            self.revision += 1
            if images:
                self._outbox.add(TrustReport(run=run, sequence=1, images=images))
