"""What a Trust was asked, by whom it was paid for, and what it answered: over all studies, researchers and restarts.

A charge is on disk before any data is touched. The ledger knows questions by digest and holds no number of people but
those that were released.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from flipnb.contracts.count import Budget
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.database import Database, text_of
from flipnb.enclave.stores.migrations.ledger import STEPS

_TIMED = 500


@dataclass(frozen=True)
class Took:
    """A statement's ``seconds``, under an answer time of ``turn``; not ``whole`` where it was stopped, or failed.

    What a single statement took can tell of a single person: it never leaves the enclave.
    """

    asked: datetime
    seconds: float
    whole: bool
    turn: float


class Ledger:
    """One SQLite file; every commit is on disk before it returns. Methods may be called from any thread."""

    def __init__(self, path: Path, *, upgrade: bool = True, older: bool = False) -> None:
        """Raises FlipError as ``Database``. ``upgrade=False`` is for those who only look."""
        self._database = Database(path, STEPS, upgrade=upgrade, older=older)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def charge(
        self, study: str, estate: str, cells: Mapping[str, int], policy: CountPolicy, *, now: datetime | None = None
    ) -> Budget:
        """Pay for ``cells`` (digest → cost) of an estate version, all or none; what was ever paid for is free.

        Raises FlipError ``budget-spent``, which depends on the arguments and the ledger alone.
        """
        now = now or datetime.now(UTC)
        draw = f"{policy.seed}:{policy.noise!r}"
        with self._database.transaction() as db:
            known = "SELECT 1 FROM charges WHERE estate=? AND cell=? AND draw=?"
            new = {
                cell: cost for cell, cost in cells.items() if db.execute(known, (estate, cell, draw)).fetchone() is None
            }
            cost = sum(new.values())
            before = self._budget(db, study, policy, now)
            if cost > before.left:
                renewal = f" Part of it comes back on {before.renews:%d %B %Y}." if before.renews else ""
                raise FlipError(
                    "budget-spent",
                    f"The question costs {cost} here, and {before.left} of {before.of} are left.",
                    remedy=f"Ask for less: a count costs 1, a chart 2.{renewal} The twin goes on answering.",
                    status=403,
                )
            db.executemany(
                "INSERT INTO charges VALUES (?,?,?,?,?,?,?)",
                [(estate, cell, draw, policy.noise, cost, study, text_of(now)) for cell, cost in new.items()],
            )
            return self._budget(db, study, policy, now).model_copy(update={"cost": cost})

    def budget(self, study: str, policy: CountPolicy, *, now: datetime | None = None) -> Budget:
        """What a study has spent and has left at ``now``, by this policy."""
        with self._database.transaction() as db:
            return self._budget(db, study, policy, now or datetime.now(UTC))

    def left_to_all(self, policy: CountPolicy, *, now: datetime | None = None) -> int:
        """What is left of the Trust's own budget, whatever a single study may still spend."""
        alone = policy.model_copy(update={"budget_per_study": policy.budget})
        return self.budget("", alone, now=now).left

    def ever(self) -> tuple[int, int]:
        """The number of charges and the sum of their costs, over all time: neither ever falls."""
        row = self._database.one("SELECT count(*) AS charges, coalesce(sum(cost), 0) AS spent FROM charges")
        assert row is not None
        return int(row["charges"]), int(row["spent"])

    def spend_all(self, policy: CountPolicy, why: str, *, now: datetime | None = None) -> None:
        """Charge a whole budget at once, under ``why``: what was spent before can't be known. It comes back in time."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO charges VALUES ('',?,'',?,?,'',?) ON CONFLICT DO NOTHING",
                (why, policy.noise, policy.budget, text_of(now or datetime.now(UTC))),
            )

    def answer(self, estate: str, question: str, policy: str) -> bytes | None:
        """The answer that was given."""
        row = self._database.one(
            "SELECT answer FROM answers WHERE estate=? AND question=? AND policy=?", estate, question, policy
        )
        return bytes(row["answer"]) if row is not None else None

    def keep(self, estate: str, question: str, policy: str, answer: bytes, took: Took | None = None) -> None:
        """Keep an answer, the first one holds; and how long its statement took, where there was one."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO answers VALUES (?,?,?,?) ON CONFLICT DO NOTHING", (estate, question, policy, answer)
            )
            if took is not None:
                db.execute(
                    "INSERT INTO durations (asked, seconds, whole, turn) VALUES (?,?,?,?)",
                    (text_of(took.asked), took.seconds, took.whole, took.turn),
                )
                db.execute("DELETE FROM durations WHERE number <= (SELECT max(number) FROM durations) - ?", (_TIMED,))

    def times(self) -> list[Took]:
        """How long the last statements took, the oldest first, 500 at most. For the Trust's own people alone."""
        rows = self._database.all("SELECT asked, seconds, whole, turn FROM durations ORDER BY number")
        return [
            Took(datetime.fromisoformat(row["asked"]), row["seconds"], bool(row["whole"]), row["turn"]) for row in rows
        ]

    def _budget(self, db: sqlite3.Connection, study: str, policy: CountPolicy, now: datetime) -> Budget:
        """What is left: of the Trust's budget and of the study's share, whichever is less."""
        since = text_of(now - timedelta(days=policy.period_days))
        rows = db.execute(
            "SELECT study, noise, sum(cost) AS cost, min(charged) AS first FROM charges WHERE charged>? GROUP BY 1, 2",
            (since,),
        ).fetchall()
        everybody = ceil(sum(_at(row["cost"], row["noise"], policy) for row in rows))
        own = ceil(sum(_at(row["cost"], row["noise"], policy) for row in rows if row["study"] == study))
        of = min(policy.budget, policy.budget_per_study)
        left = max(0, min(policy.budget - everybody, policy.budget_per_study - own))
        renews = min((datetime.fromisoformat(row["first"]) for row in rows), default=None)
        if renews is not None:
            renews += timedelta(days=policy.period_days)
        return Budget(cost=0, left=left, of=of, days=policy.period_days, renews=renews)


def _at(cost: int, noise: float, policy: CountPolicy) -> float:
    """A cost that was paid under other noise, in today's: less noise gave more away."""
    return cost * (policy.noise / noise) ** 2 if noise > 0 and policy.noise > 0 else cost
