"""The rounds of runs: the context that each was given, and the one answer to it."""

from __future__ import annotations

from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.database import Database
from flipnb.enclave.stores.stored import StoredRound


class RoundTable:
    """A row for each round of a run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, run: str, number: int, context: bytes, digest: str) -> None:
        """Pin the context of a round; raises sqlite3.IntegrityError where the round has one."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO rounds (run, round, context, digest) VALUES (?,?,?,?)", (run, number, context, digest)
            )

    def answer(
        self, run: str, number: int, reply: bytes, *, update_sha256: str, update_path: str, state_path: str | None
    ) -> None:
        """Keep the one answer. Raises FlipError ``round-refused`` where there is one."""
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE rounds SET reply=?, update_sha256=?, update_path=?, state_path=?"
                " WHERE run=? AND round=? AND reply IS NULL",
                (reply, update_sha256, update_path, state_path, run, number),
            )
            if done.rowcount != 1:
                raise FlipError("round-refused", f"Round {number} was answered before.", status=409)

    def delivered(self, run: str, number: int) -> None:
        """The hub has the answer of the round, or wants none."""
        with self._database.transaction() as db:
            db.execute("UPDATE rounds SET delivered=1 WHERE run=? AND round=?", (run, number))

    def get(self, run: str, number: int) -> StoredRound | None:
        """A round of a run; None where it was not given."""
        row = self._database.one("SELECT * FROM rounds WHERE run=? AND round=?", run, number)
        return StoredRound.of(row) if row is not None else None

    def last(self, run: str) -> StoredRound | None:
        """The last round that the run was given; None before the first."""
        row = self._database.one("SELECT * FROM rounds WHERE run=? ORDER BY round DESC LIMIT 1", run)
        return StoredRound.of(row) if row is not None else None

    def answered_before(self, run: str, number: int) -> StoredRound | None:
        """The last answered round below ``number``."""
        row = self._database.one(
            "SELECT * FROM rounds WHERE run=? AND round<? AND reply IS NOT NULL ORDER BY round DESC LIMIT 1",
            run, number,
        )  # fmt: skip
        return StoredRound.of(row) if row is not None else None
