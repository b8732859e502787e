"""The queue of what each Trust is asked: numbered per Trust, handed out again until answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from flipnb.contracts.count import SignedCount
from flipnb.contracts.round import RoundContext
from flipnb.contracts.task import Task, TaskKind
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.hub.store.tables import TaskRow
from flipnb.hub.waits import ring, tasks_of

_AT_ONCE = 100


def ask(
    session: Session,
    trust: str,
    kind: TaskKind,
    study: str,
    *,
    run: str | None = None,
    run_request: str | None = None,
    members: Sequence[str] = (),
    context: RoundContext | None = None,
    total: TotalContext | None = None,
    summed: TotalSum | None = None,
    count: SignedCount | None = None,
    count_id: str | None = None,
    expires: float | None = None,
) -> TaskRow:
    """Put a task into a Trust's queue and wake its agent once that is on disk."""
    last = session.scalar(select(func.max(TaskRow.sequence)).where(TaskRow.trust == trust)) or 0
    task = Task(
        id=secrets.token_hex(16),
        sequence=last + 1,
        kind=kind,
        study=study,
        run=run,
        count=count,
        run_request=run_request,
        members=tuple(members),
        context=context,
        total=total,
        summed=summed,
    )
    row = TaskRow(
        id=task.id,
        trust=trust,
        sequence=task.sequence,
        kind=kind,
        study=study,
        run=run,
        round=context.round if context is not None else total.step if total is not None else None,
        count=count_id,
        body=task.model_dump_json(),
        state="open",
        created=time.time(),
        expires=expires,
    )
    session.add(row)
    session.flush()
    ring(session, tasks_of(trust))
    return row


def open_tasks(session: Session, trust: str, after: int) -> list[str]:
    """The bodies (JSON) of a Trust's open tasks with a sequence above ``after``, in their order."""
    rows = session.scalars(
        select(TaskRow.body)
        .where(TaskRow.trust == trust, TaskRow.state == "open", TaskRow.sequence > after)
        .where(or_(TaskRow.expires.is_(None), TaskRow.expires > time.time()))
        .order_by(TaskRow.sequence)
        .limit(_AT_ONCE)
    )
    return list(rows)
