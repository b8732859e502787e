"""The bundles that were put before a Trust, and what its data controllers approved of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from flipnb.contracts.desk import RequestState
from flipnb.enclave.stores.database import Database, text_now, text_of
from flipnb.enclave.stores.stored import ListedRequest, StoredApproval, StoredRequest

_LISTED = "bundle, study, title, researcher, researcher_key, state, code, reason, received"


class RequestTable:
    """Bundles by digest, each with its envelope and what was decided. ``revision`` rises with each change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.revision = 0

    def add(
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
        with self._database.transaction() as db:
            done = db.execute(
                "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (bundle, study, title, researcher, researcher_key, state, code, reason, text_now(), envelope),
            )
            self.revision += done.rowcount
            return done.rowcount == 1

    def get(self, bundle: str) -> StoredRequest | None:
        """The request of a bundle, by its digest; None where it was never put before this Trust."""
        row = self._database.one("SELECT * FROM requests WHERE bundle=?", bundle)
        return StoredRequest.of(row) if row is not None else None

    def all(self) -> list[ListedRequest]:
        """The last received first."""
        rows = self._database.all(f"SELECT {_LISTED} FROM requests ORDER BY received DESC, bundle")
        return [ListedRequest.listed(row) for row in rows]

    def waiting(self, study: str, since: datetime) -> int:
        """How many of a study's, received after ``since``, nobody has decided on."""
        row = self._database.one(
            "SELECT count(*) AS n FROM requests WHERE study=? AND state='waiting' AND received>?", study, text_of(since)
        )
        assert row is not None
        return int(row["n"])

    def forget_refused(self, study: str, most: int) -> None:
        """Keep the last ``most`` of a study's that were refused when they came, and never ran or were approved."""
        with self._database.transaction() as db:
            done = db.execute(
                "DELETE FROM requests WHERE bundle IN (SELECT bundle FROM requests AS r WHERE study=? AND"
                " state='refused' AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.bundle=r.bundle)"
                " AND NOT EXISTS (SELECT 1 FROM approvals WHERE approvals.bundle=r.bundle)"
                " ORDER BY received DESC, bundle LIMIT -1 OFFSET ?)",
                (study, most),
            )
            self.revision += done.rowcount

    def approved(self, study: str) -> list[StoredRequest]:
        """Those of a study that were ever approved, the last approved first."""
        rows = self._database.all(
            "SELECT r.* FROM requests r JOIN approvals a USING (bundle) "
            "WHERE r.study=? AND r.state='approved' "
            "GROUP BY r.bundle ORDER BY max(a.approved) DESC, r.bundle",
            study,
        )
        return [StoredRequest.of(row) for row in rows]

    def decide(self, bundle: str, state: RequestState, *, code: str | None = None, reason: str | None = None) -> None:
        """Say what became of a request, and why."""
        with self._database.transaction() as db:
            db.execute("UPDATE requests SET state=?, code=?, reason=? WHERE bundle=?", (state, code, reason, bundle))
            self.revision += 1


class ApprovalTable:
    """Every approval that was ever given, with the executions left of it. ``revision`` rises with each change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.revision = 0

    def add(self, bundle: str, approval: StoredApproval, envelope: bytes) -> bool:
        """True where it is new; the same approval again does not renew its executions."""
        with self._database.transaction() as db:
            done = db.execute(
                "INSERT INTO approvals VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (
                    approval.approval,
                    bundle,
                    approval.controller,
                    approval.controller_key,
                    approval.policy,
                    approval.estate_version,
                    approval.executions_left,
                    text_of(approval.approved),
                    text_of(approval.expires),
                    envelope,
                ),
            )
            self.revision += done.rowcount
            return done.rowcount == 1

    def of(self, bundle: str) -> list[StoredApproval]:
        """Every approval of a bundle, those that are used up or expired too."""
        rows = self._database.all("SELECT * FROM approvals WHERE bundle=?", bundle)
        return [StoredApproval.of(row) for row in rows]

    def by_bundle(self) -> dict[str, list[StoredApproval]]:
        """Those of every bundle that has any."""
        found: dict[str, list[StoredApproval]] = {}
        for row in self._database.all("SELECT * FROM approvals"):
            found.setdefault(row["bundle"], []).append(StoredApproval.of(row))
        return found

    def take(self, approvals: Iterable[StoredApproval]) -> None:
        """One execution from each. Raises sqlite3.IntegrityError where one has none left."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE approvals SET executions_left=executions_left-1 WHERE approval=? AND controller_key=?",
                [(approval.approval, approval.controller_key) for approval in approvals],
            )
            self.revision += 1

    def withdraw_all(self) -> None:
        """Leave no execution of anything."""
        with self._database.transaction() as db:
            db.execute("UPDATE approvals SET executions_left=0")
            self.revision += 1

    def withdraw(self, bundle: str) -> None:
        """Leave no execution of a bundle."""
        with self._database.transaction() as db:
            db.execute("UPDATE approvals SET executions_left=0 WHERE bundle=?", (bundle,))
            self.revision += 1
