"""Reports that the hub must get, in their order, each once.

They are written in the same transaction as the state that they tell of, so that neither is without the other.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from flipnb.contracts.run import Progress, TrustReport
from flipnb.enclave.stores.database import Database, text_now, text_of
from flipnb.enclave.stores.stored import OutgoingReport

_HELD = timedelta(seconds=60)
MOST_REFUSALS = 500
"""Of runs that are not here."""


class Outbox:
    """The reports of all runs, the oldest first.

    ``due`` is the moment, by ``time.monotonic``, before which a report does not leave: a notebook chooses when its run
    ends or its kernel dies, and must not tell anything by it. An agent that starts anew has forgotten it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sending = 0
        self._due: dict[int, float] = {}

    def add(self, report: TrustReport, *, due: float | None = None) -> None:
        """Put ``report`` last; its sequence is given here."""
        with self._database.transaction() as db:
            (last,) = db.execute("SELECT coalesce(max(sequence), 0) FROM reports WHERE run=?", (report.run,)).fetchone()
            body = report.model_copy(update={"sequence": last + 1}).to_bytes()
            held = text_of(datetime.now(UTC) + _HELD) if report.state in ("finished", "failed", "left-out") else ""
            added = db.execute(
                "INSERT INTO reports (run, sequence, body, progress_only, held_until) VALUES (?,?,?,?,?)",
                (report.run, last + 1, body, _is_progress(report), held),
            )
            if due is not None and added.lastrowid is not None:
                self._due[added.lastrowid] = due

    def add_progress(self, run: str, progress: Progress, *, due: float | None = None) -> None:
        """Of reports of a run's progress that wait unsent, only the newest is kept."""
        with self._database.transaction() as db:
            waiting = db.execute(
                "SELECT number, sequence FROM reports WHERE run=? AND sent=0 AND progress_only=1"
                " AND sequence=(SELECT max(sequence) FROM reports WHERE run=?)"
                " AND number<>?",
                (run, run, self._sending),
            ).fetchone()
            if waiting is None:
                self.add(TrustReport(run=run, sequence=1, progress=progress), due=due)
            else:
                body = TrustReport(run=run, sequence=waiting["sequence"], progress=progress).to_bytes()
                db.execute("UPDATE reports SET body=? WHERE number=?", (body, waiting["number"]))

    def add_refusal(self, run: str, code: str, reason: str) -> None:
        """The refusal of a run that was not admitted, once.

        A hub may ask for as many runs as it likes that are none here: of their refusals the last ``MOST_REFUSALS`` are
        kept. Those that are gone were told with the answer to the task.
        """
        with self._database.transaction() as db:
            if db.execute("SELECT 1 FROM reports WHERE run=?", (run,)).fetchone() is None:
                self.add(TrustReport(run=run, sequence=1, state="refused", code=code, reason=reason))
                db.execute(
                    "DELETE FROM reports WHERE number IN (SELECT number FROM reports"
                    " WHERE number<>? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run=reports.run)"
                    " ORDER BY number DESC LIMIT -1 OFFSET ?)",
                    (self._sending, MOST_REFUSALS),
                )

    def next(self) -> OutgoingReport | None:
        """The first that waits and is due; an end waits, for a while, until the hub has the run's last answered round.

        A hub that hears of the end first would give up the round whose reply is on its way.
        """
        first_of_each_run = self._database.all(
            "SELECT number, run, body, progress_only FROM reports AS r WHERE sent=0"
            " AND NOT (held_until>? AND EXISTS ("
            "  SELECT 1 FROM rounds WHERE run=r.run AND reply IS NOT NULL AND delivered=0))"
            " AND NOT EXISTS (SELECT 1 FROM reports WHERE run=r.run AND sent=0 AND number<r.number)"
            " ORDER BY number",
            text_now(),
        )
        now = time.monotonic()
        row = next((row for row in first_of_each_run if self._due.get(row["number"], now) <= now), None)
        self._sending = int(row["number"]) if row is not None else 0
        return OutgoingReport.of(row) if row is not None else None

    def sent(self, number: int) -> None:
        """The hub has this report."""
        with self._database.transaction() as db:
            db.execute("UPDATE reports SET sent=1 WHERE number=?", (number,))
        self._due.pop(number, None)

    def waits(self, run: str) -> bool:
        """Whether reports of the run wait to be sent."""
        return self._database.one("SELECT 1 FROM reports WHERE run=? AND sent=0 LIMIT 1", run) is not None


def _is_progress(report: TrustReport) -> bool:
    """Whether a later report of progress may take the place of this one."""
    said = (report.state, report.failure, report.estate, report.executions_left)
    return all(part is None for part in said)
