"""The queue of what each Trust is asked: numbered per Trust, handed out again until answered."""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Protocol

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from flipnb.contracts.task import LIST_BYTES, CountTask, RoundTask, StopTask, Task, TotalTask
from flipnb.hub.store.tables import RunRow, TaskRow
from flipnb.hub.waits import ring, tasks_of

_AT_ONCE = 100
_BYTES_AT_ONCE = LIST_BYTES // 2


class Asking(Protocol):
    """A task but for its id and its number in the Trust's queue: one of contracts' tasks, as a partial."""

    def __call__(self, *, id: str, sequence: int) -> Task: ...


def ask(
    session: Session, trust: str, asking: Asking, *, count: str | None = None, expires: float | None = None
) -> TaskRow:
    """Put a task into a Trust's queue and wake its agent once that is on disk. ``count`` is the id of a count."""
    last = session.scalar(select(func.max(TaskRow.sequence)).where(TaskRow.trust == trust)) or 0
    task = asking(id=secrets.token_hex(16), sequence=last + 1)
    row = TaskRow(
        id=task.id,
        trust=trust,
        sequence=task.sequence,
        kind=task.kind,
        study=task.study,
        run=None if isinstance(task, CountTask) else task.run,
        round=_number(task),
        count=count,
        body=task.model_dump_json(),
        state="open",
        created=time.time(),
        expires=expires,
    )
    session.add(row)
    session.flush()
    ring(session, tasks_of(trust))
    return row


def ask_stop(session: Session, run: RunRow, trust: str) -> None:
    """Ask a Trust to end its part of a run."""
    ask(session, trust, partial(StopTask, study=run.study, run=run.id))


def _number(task: Task) -> int | None:
    """Which of its run's rounds or totals an exchange is."""
    if isinstance(task, RoundTask):
        return task.context.round
    return task.total.step if isinstance(task, TotalTask) else None


def open_tasks(session: Session, trust: str, after: int) -> list[str]:
    """The bodies (JSON) of a Trust's open tasks with a sequence above ``after``, in their order: at most 100, and of
    8 MiB together, but one where there is any."""
    rows = session.scalars(
        select(TaskRow.body)
        .where(TaskRow.trust == trust, TaskRow.state == "open", TaskRow.sequence > after)
        .where(or_(TaskRow.expires.is_(None), TaskRow.expires > time.time()))
        .order_by(TaskRow.sequence)
        .limit(_AT_ONCE)
    )
    found: list[str] = []
    room = _BYTES_AT_ONCE
    for body in rows:
        room -= len(body)
        if found and room < 0:
            break
        found.append(body)
    return found
