"""The hub's tables. Times are Unix seconds; documents are kept as the bytes or the JSON text that came."""

from __future__ import annotations

from sqlalchemy import Index, LargeBinary, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flipnb.contracts.run import RunState, TrustState


class Table(DeclarativeBase):
    """Base of the hub's tables; constraints have names, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(column_0_label)s", "uq": "uq_%(table_name)s"}
    )
    type_annotation_map = {bytes: LargeBinary}  # noqa: RUF012 - SQLAlchemy's own form


class NonceRow(Table):
    """A nonce that was seen; kept until the signature that carried it expires."""

    __tablename__ = "nonces"
    key_id: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[str] = mapped_column(primary_key=True)
    expires: Mapped[float] = mapped_column(index=True)


class StudyRow(Table):
    """A study: its sealed roster, and the roster's digest and purpose."""

    __tablename__ = "studies"
    name: Mapped[str] = mapped_column(primary_key=True)
    roster: Mapped[str]
    envelope: Mapped[bytes]
    created: Mapped[float]
    purpose: Mapped[str]


class MemberRow(Table):
    """A key that a study's roster names, as researcher or trust: nobody need read rosters to find theirs."""

    __tablename__ = "members"
    key_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(primary_key=True, index=True)


class JoinRow(Table):
    """A Trust that has joined a study."""

    __tablename__ = "joins"
    study: Mapped[str] = mapped_column(primary_key=True)
    trust: Mapped[str] = mapped_column(primary_key=True)
    joined: Mapped[float]


class BundleRow(Table):
    """A sealed bundle, by its digest. ``content`` is ``Bundle.content_digest``."""

    __tablename__ = "bundles"
    digest: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str] = mapped_column(index=True)
    study: Mapped[str]
    envelope: Mapped[bytes]
    signer: Mapped[str]
    created: Mapped[float]


class AllowanceRow(Table):
    """How many more runs of a bundle a Trust's approvals cover, as the Trust said last."""

    __tablename__ = "allowances"
    bundle: Mapped[str] = mapped_column(primary_key=True)
    trust: Mapped[str] = mapped_column(primary_key=True)
    executions_left: Mapped[int]


class BlobRow(Table):
    """For whom a blob was put. ``reach`` is ``study``, ``run`` (its members) or ``update`` (its coordinator alone)."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    reach: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]
    created: Mapped[float]


class RunRow(Table):
    """A run: its sealed request, its state, and when it came to each stage.

    ``choices`` is JSON of ``Choices``; ``telling``, a JSON list, names the parameters that tell it from other runs of
    its bundle: a list of runs need read no bundle.
    """

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(index=True)
    bundle: Mapped[str]
    request: Mapped[bytes]
    researcher: Mapped[str]
    title: Mapped[str]
    notebook: Mapped[str] = mapped_column(default="")
    point: Mapped[str]
    telling: Mapped[str] = mapped_column(default="[]")
    choices: Mapped[str] = mapped_column(default="{}")
    rounds: Mapped[int]
    state: Mapped[RunState] = mapped_column(index=True)
    code: Mapped[str | None]
    reason: Mapped[str | None]
    submitted: Mapped[float]
    quorum: Mapped[float | None]
    starting: Mapped[float | None]
    running: Mapped[float | None]
    stopping: Mapped[float | None]
    finished: Mapped[float | None]
    rounds_done: Mapped[int] = mapped_column(default=0)
    final_weights: Mapped[str | None]
    last_event: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        Index("ix_runs_list", "study", "submitted"),
        Index("ix_runs_feed", "study", "finished", "last_event", "id"),
    )


class PartRow(Table):
    """One Trust's part of a run. ``member`` is set for those with whom the run started."""

    __tablename__ = "parts"
    run: Mapped[str] = mapped_column(primary_key=True)
    trust: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[TrustState]
    member: Mapped[bool] = mapped_column(default=False)
    code: Mapped[str | None]
    reason: Mapped[str | None]
    failure: Mapped[str | None]
    progress: Mapped[str | None]
    last_report: Mapped[int] = mapped_column(default=0)
    __table_args__ = (Index("ix_parts_going", "member", "state"),)


class EventRow(Table):
    """One event of a run, numbered from 1; ``body`` is a RunEvent."""

    __tablename__ = "events"
    run: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


class RoundRow(Table):
    """One round of a run: its context as it was posted, and its summary once it is finished."""

    __tablename__ = "rounds"
    run: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    context: Mapped[str]
    summary: Mapped[str | None]
    posted: Mapped[float]


class TotalRow(Table):
    """A federated total of a run: what was asked (TotalContext), and the sum (TotalSum) once it is there."""

    __tablename__ = "totals"
    run: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    context: Mapped[str]
    result: Mapped[str | None]


class TaskRow(Table):
    """What a Trust was asked. ``state`` is ``open``, ``answered``, or ``void`` (nobody waits for it any more)."""

    __tablename__ = "tasks"
    id: Mapped[str] = mapped_column(primary_key=True)
    trust: Mapped[str]
    sequence: Mapped[int]
    kind: Mapped[str]
    study: Mapped[str]
    run: Mapped[str | None]
    round: Mapped[int | None]
    count: Mapped[str | None] = mapped_column(index=True)
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")
    envelope: Mapped[str | None]
    code: Mapped[str | None]
    reason: Mapped[str | None]
    created: Mapped[float]
    expires: Mapped[float | None]
    __table_args__ = (
        UniqueConstraint("trust", "sequence"),
        Index("ix_tasks_open", "trust", "state", "sequence"),
        Index("ix_tasks_run", "run", "kind", "round"),
    )


class CountRow(Table):
    """A signed question for counts that a study's Trusts were asked."""

    __tablename__ = "counts"
    id: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str]
    request: Mapped[str]
    created: Mapped[float]


class CoordinatorRow(Table):
    """The key of a run's coordinator process: another one each time that it is started."""

    __tablename__ = "coordinators"
    run: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    public_key: Mapped[str]
    started: Mapped[float]
