"""The federated totals of runs: the context of each step, the reply to it, and the sum."""

from __future__ import annotations

from flipnb.enclave.stores.database import Database
from flipnb.enclave.stores.stored import StoredTotal


class TotalTable:
    """A row for each step of a run's totals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, run: str, step: int, digest: str) -> None:
        """Pin the context of a total; raises sqlite3.IntegrityError where the step has one."""
        with self._database.transaction() as db:
            db.execute("INSERT INTO totals (run, step, context) VALUES (?,?,?)", (run, step, digest))

    def answer(self, run: str, step: int, reply: bytes) -> None:
        """Keep the reply; the first one holds."""
        with self._database.transaction() as db:
            db.execute("UPDATE totals SET reply=? WHERE run=? AND step=? AND reply IS NULL", (reply, run, step))

    def sum(self, run: str, step: int, result: bytes) -> None:
        """Keep the sum; the first one holds."""
        with self._database.transaction() as db:
            db.execute("UPDATE totals SET result=? WHERE run=? AND step=? AND result IS NULL", (result, run, step))

    def get(self, run: str, step: int) -> StoredTotal | None:
        """A step of a run; None where it was not given."""
        row = self._database.one("SELECT context, reply, result FROM totals WHERE run=? AND step=?", run, step)
        return StoredTotal.of(row) if row is not None else None
