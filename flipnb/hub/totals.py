"""Federated totals at the hub: what the coordinator asks of the Trusts, and the sum that it gives back."""

from __future__ import annotations

from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from flipnb.contracts.problem import FlipError
from flipnb.contracts.task import SummedTask, TotalTask
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.hub.bundles import bundle_of
from flipnb.hub.run_life import ACTIVE, ask_members, leave_out
from flipnb.hub.runs import parts_of
from flipnb.hub.store.tables import RunRow, TotalRow
from flipnb.hub.tasks import ask


def post_total(session: Session, run: RunRow, context: TotalContext) -> None:
    """Ask a total's members. The same context again asks nobody twice.

    Raises FlipError ``wrong-context`` (422), ``other-context`` (409), ``wrong-state`` (409).
    """
    steps = len(bundle_of(session, run.bundle).totals)
    if context.run != run.id or context.bundle != run.bundle or context.step > steps:
        raise FlipError("wrong-context", "The total is of another run, or not in the bundle.", status=422)
    text = context.to_bytes().decode()
    posted = session.get(TotalRow, (run.id, context.step))
    if posted is not None:
        if posted.context != text:
            raise FlipError(
                "other-context", f"Total {context.step} was posted with another context before.", status=409
            )
        return
    if run.state not in ("starting", "running"):
        raise FlipError("wrong-state", f"A run that is {run.state} has no totals.", status=409)
    ask_members(session, run, context.members, partial(TotalTask, study=run.study, run=run.id, total=context))
    session.add(TotalRow(run=run.id, step=context.step, context=text, result=None))


def post_sum(session: Session, run: RunRow, result: TotalSum) -> None:
    """Keep a total's sum and give it to those who are in it; who is not is left out of the run.

    Raises FlipError ``wrong-context`` (409) for a total that was not posted so, ``other-sum`` (409) for another sum.
    """
    posted = session.get(TotalRow, (run.id, result.context.step))
    if posted is None or posted.context != result.context.to_bytes().decode():
        raise FlipError("wrong-context", "The sum is of a total that was not posted.", status=409)
    text = result.to_bytes().decode()
    if posted.result is not None:
        if posted.result != text:
            raise FlipError("other-sum", f"Total {result.context.step} has another sum already.", status=409)
        return
    posted.result = text
    for part in parts_of(session, run.id):
        if part.trust in result.members and part.state in ACTIVE:
            ask(session, part.trust, partial(SummedTask, study=run.study, run=run.id, summed=result))
        elif part.trust in result.left_out and part.state in ACTIVE:
            step, reason = result.context.step, result.left_out[part.trust]
            leave_out(session, run, part, "left-out", f"total {step}: {reason}"[:400])


def totals_of(session: Session, run: str) -> tuple[tuple[TotalContext, ...], tuple[int, ...]]:
    """The contexts of totals that were posted, and the steps whose sum is there."""
    rows = session.scalars(select(TotalRow).where(TotalRow.run == run).order_by(TotalRow.step)).all()
    contexts = tuple(TotalContext.model_validate_json(row.context) for row in rows)
    return contexts, tuple(row.step for row in rows if row.result is not None)


def sums_of(session: Session, run: str) -> tuple[TotalSum, ...]:
    """The sums of a run's totals that are there, by their steps."""
    found = select(TotalRow.result).where(TotalRow.run == run, TotalRow.result.is_not(None)).order_by(TotalRow.step)
    return tuple(TotalSum.model_validate_json(text) for text in session.scalars(found) if text)
