"""Rows of the agent's store, as what they mean."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flipnb.contracts.choices import Choices
from flipnb.contracts.desk import RequestState
from flipnb.contracts.images import ImageCount
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.run import FINAL_TRUST_STATES, Failure, Progress, TrustState


@dataclass(frozen=True)
class ListedRequest:
    """A bundle that was put before the Trust: whose it is, and what was decided."""

    bundle: str
    study: str
    title: str
    researcher: str
    researcher_key: str
    state: RequestState
    code: str | None
    reason: str | None
    received: datetime

    @classmethod
    def listed(cls, row: sqlite3.Row) -> ListedRequest:
        """The row of the table, without its envelope, as this."""
        return ListedRequest(**{**dict(row), "received": datetime.fromisoformat(row["received"])})


@dataclass(frozen=True)
class StoredRequest(ListedRequest):
    """A request with its sealed bytes."""

    envelope: bytes

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredRequest:
        """The row of the table as this."""
        received = datetime.fromisoformat(row["received"])
        return cls(**{**dict(row), "received": received, "envelope": bytes(row["envelope"])})


@dataclass(frozen=True)
class StoredApproval:
    """One controller's approval: ``approval`` is the digest of what they signed."""

    approval: str
    controller: str
    controller_key: str
    policy: str
    estate_version: str
    executions_left: int
    approved: datetime
    expires: datetime

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredApproval:
        """The row of the table as this."""
        return cls(
            approval=row["approval"],
            controller=row["controller"],
            controller_key=row["controller_key"],
            policy=row["policy"],
            estate_version=row["estate_version"],
            executions_left=row["executions_left"],
            approved=datetime.fromisoformat(row["approved"]),
            expires=datetime.fromisoformat(row["expires"]),
        )


STARTED: frozenset[TrustState] = frozenset({"starting", "queued", "running"})
"""An execution was taken for it, and it goes on; ``queued``: without a slot."""


@dataclass(frozen=True)
class RunOfBundle:
    """What a list of requests says of a run."""

    run: str
    state: TrustState


@dataclass(frozen=True)
class StoredRun:
    """A run's part at this Trust, as it was last written. ``requested``: when it was asked for, as text that sorts;
    ``started`` to the microsecond, since runs get their slots in that order."""

    run: str
    bundle: str
    study: str
    title: str
    point: dict[str, Scalar]
    choices: Choices
    requested: str | None
    state: TrustState
    code: str | None
    reason: str | None
    progress: Progress | None
    failure: Failure | None
    started: datetime | None
    ended: datetime | None
    estate_version: str | None
    members: tuple[str, ...]
    frozen: dict[str, Any] | None

    @property
    def over(self) -> bool:
        """Whether it is in a state that it never leaves."""
        return self.state in FINAL_TRUST_STATES

    @property
    def images(self) -> tuple[ImageCount, ...]:
        """What became of the images of its cohort; nothing before it is frozen."""
        return tuple(ImageCount.model_validate(one) for one in (self.frozen or {}).get("images", ()))

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredRun:
        """The row of the table as this."""
        return cls(
            run=row["run"],
            bundle=row["bundle"],
            study=row["study"],
            title=row["title"],
            point=json.loads(row["point"]),
            choices=Choices.model_validate_json(row["choices"]),
            requested=row["requested"],
            state=row["state"],
            code=row["code"],
            reason=row["reason"],
            progress=Progress.model_validate_json(row["progress"]) if row["progress"] else None,
            failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
            started=_moment(row["started"]),
            ended=_moment(row["ended"]),
            estate_version=row["estate_version"],
            members=tuple(json.loads(row["members"] or "[]")),
            frozen=json.loads(row["frozen"]) if row["frozen"] else None,
        )


@dataclass(frozen=True)
class StoredRound:
    """``reply`` is there once the round is answered; ``state_path`` where the notebook saved its state then."""

    round: int
    context: bytes
    digest: str
    update_sha256: str | None
    update_path: str | None
    state_path: str | None
    reply: bytes | None

    @property
    def training(self) -> bool:
        """False for the round that evaluates the final weights: none comes after it."""
        return bool(json.loads(self.context)["training"])

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredRound:
        """The row of the table as this."""
        return cls(
            round=row["round"],
            context=bytes(row["context"]),
            digest=row["digest"],
            update_sha256=row["update_sha256"],
            update_path=row["update_path"],
            state_path=row["state_path"],
            reply=bytes(row["reply"]) if row["reply"] is not None else None,
        )


@dataclass(frozen=True)
class StoredTotal:
    """A total's context by digest; ``reply`` once it is answered, ``result`` (TotalSum) once the sum is there."""

    digest: str
    reply: bytes | None
    result: bytes | None

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredTotal:
        """The row of the table as this."""
        reply, result = (bytes(row[name]) if row[name] is not None else None for name in ("reply", "result"))
        return cls(row["context"], reply, result)


@dataclass(frozen=True)
class OutgoingReport:
    """A report that waits to be sent: its place in the outbox, its bytes, and whether it says nothing but progress."""

    number: int
    run: str
    body: bytes
    progress_only: bool

    @classmethod
    def of(cls, row: sqlite3.Row) -> OutgoingReport:
        """The row of the table as this."""
        return cls(row["number"], row["run"], bytes(row["body"]), bool(row["progress_only"]))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
