"""What a run's coordinator may ask of the hub: its own run, and nothing else."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorView, Present, Resume, RoundReplies
from flipnb.contracts.round import RoundContext
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.hub import run_life, runs, totals
from flipnb.hub.authentication import Caller, SignedRequest
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.blob_grants import forget_updates, is_there, keep_grant
from flipnb.hub.service import After, Here, Hub, Signed, Wait, answer, nothing, read, up_to
from flipnb.hub.store.tables import BundleRow, RoundRow, RunRow, StudyRow, TotalRow
from flipnb.hub.waits import replies_of

_SUM_BYTES = 256 << 10
_EVENT_BYTES = 4 << 20
"""A round's summary may hold 100 numbers of each of 64 Trusts."""

_Step = Annotated[int, Path(ge=0, le=2**31)]

routes = APIRouter(prefix="/v1/coordinator")


def _own_run(session: Session, caller: Caller) -> RunRow:
    if caller.role != "coordinator" or caller.run is None:
        raise not_found()
    return authorise(session, caller, ("coordinator",), run=caller.run).in_run


@routes.get("")
async def get_coordinator(signed: Signed) -> Response:
    """What a coordinator needs to begin, or to go on where an earlier one was killed."""
    with signed.transaction() as session:
        run = _own_run(session, signed.caller)
        last = session.scalar(select(RoundRow.context).where(RoundRow.run == run.id).order_by(RoundRow.round.desc()))
        posted, summed = totals.totals_of(session, run.id)
        resume = None
        if last is not None or posted:
            context = RoundContext.model_validate_json(last) if last is not None else None
            resume = Resume(rounds=runs.summaries(session, run.id), context=context, totals=posted, summed=summed)
        view = CoordinatorView(
            run=runs.view(session, run),
            bundle_envelope=session.get_one(BundleRow, run.bundle).envelope.decode(),
            roster_envelope=session.get_one(StudyRow, run.study).envelope.decode(),
            point=json.loads(run.point),
            trusts=run_life.present(session, run.id),
            resume=resume,
        )
    return answer(view)


@routes.post("/rounds")
async def post_round(hub: Here, signed: Signed, after: After = 0, wait: Wait = 0.0) -> Response:
    """Ask a round's members, once; answers when more than ``after`` have replied or are gone, or after ``wait`` s.

    The weights that the context names, which the coordinator has put into the directory of blobs, are the members'.
    """
    with signed.looking() as session:
        _own_run(session, signed.caller)
    context = read(RoundContext, signed.body, "The round context")
    with signed.transaction() as session:
        run = _own_run(session, signed.caller)
        _offer(hub, session, run, context.weights)
        run_life.post_round(session, run, context)
    return await _replies(hub, run.id, "round", context.round, after, wait)


@routes.post("/totals")
async def post_total(signed: Signed) -> Response:
    """Ask the members for a step of the totals."""
    with signed.looking() as session:
        _own_run(session, signed.caller)
    context = read(TotalContext, signed.body, "The total")
    with signed.transaction() as session:
        totals.post_total(session, _own_run(session, signed.caller), context)
    return nothing()


@routes.get("/totals/{step}")
async def get_total_replies(hub: Here, signed: Signed, step: _Step, after: After = 0, wait: Wait = 0.0) -> Response:
    """Answers as for a round."""
    with signed.transaction() as session:
        run = _own_run(session, signed.caller)
        if session.get(TotalRow, (run.id, step)) is None:
            raise not_found("The total")
    return await _replies(hub, run.id, "total", step, after, wait)


@routes.post("/sums")
async def post_sum(hub: Here, signed: Annotated[SignedRequest, up_to(_SUM_BYTES)]) -> Response:
    """Give the members the sum of a step."""
    with signed.looking() as session:
        _own_run(session, signed.caller)
    result = await hub.apart(read, TotalSum, signed.body, "The sum")
    with signed.transaction() as session:
        totals.post_sum(session, _own_run(session, signed.caller), result)
    return nothing()


@routes.post("/events")
async def post_event(hub: Here, signed: Annotated[SignedRequest, up_to(_EVENT_BYTES)]) -> Response:
    """Take what the coordinator says of its run; the answer has the Trusts that are present."""
    with signed.looking() as session:
        _own_run(session, signed.caller)
    event = await hub.apart(read, CoordinatorEvent, signed.body, "The event")
    with signed.transaction() as session:
        run = _own_run(session, signed.caller)
        if event.final_weights is not None:
            _offer(hub, session, run, event.final_weights)
        run_life.coordinator_says(session, hub.configuration, run, event)
        spent = forget_updates(session, run.id) if event.state != "running" else []
        trusts = run_life.present(session, run.id)
    for sha256 in spent:
        hub.blobs.remove(sha256)
    return answer(Present(trusts=trusts))


def _offer(hub: Hub, session: Session, run: RunRow, sha256: str) -> None:
    """What the coordinator has put among the blobs is for the members of its run."""
    path = hub.blobs.path(sha256)
    if path.exists() and not is_there(session, sha256, study=run.study):
        keep_grant(session, sha256, "run", study=run.study, run=run.id, owner="", size=path.stat().st_size)


async def _replies(
    hub: Hub, run: str, kind: Literal["round", "total"], number: int, after: int, wait: float
) -> Response:
    """The replies to a round or a total, once there are more than ``after``."""

    def look() -> tuple[bool, None]:
        with hub.database.transaction() as session:
            return run_life.settled(session, run, number, kind) > after, None

    await hub.waits.until(replies_of(run), look, wait, who=run)
    with hub.database.transaction() as session:
        replies, gone = run_life.replies(session, run, number, kind)
    return answer(RoundReplies(replies=replies, gone=gone))
