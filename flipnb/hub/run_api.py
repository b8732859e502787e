"""Runs over HTTP, for the study's members."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import and_, or_, select
from starlette.responses import Response

from flipnb.contracts.run import RunPage
from flipnb.contracts.total import RunTotals
from flipnb.hub import run_life, runs, totals
from flipnb.hub.authentication import Role, SignedRequest
from flipnb.hub.authorisation import authorise
from flipnb.hub.service import After, Here, Signed, Wait, answer, json_answer, up_to
from flipnb.hub.store.tables import PartRow, RunRow
from flipnb.hub.waits import events_of

_MEMBERS: tuple[Role, ...] = ("researcher", "trust")
_PAGE, _MOST = 100, 500
_PAGE_BYTES = 2 << 20
_REQUEST_BYTES = 512 << 10
"""A point may have 1,000 parameters; of texts it holds some hundred bytes each then."""

routes = APIRouter(prefix="/v1")


@routes.post("/studies/{study}/runs")
async def post_run(hub: Here, signed: Annotated[SignedRequest, up_to(_REQUEST_BYTES)], study: str) -> Response:
    """Submit a sealed run request: 201 with the new run, 200 with the same one where it came before."""
    with signed.looking() as session:
        _, roster = authorise(session, signed.caller, ("researcher",), study=study).in_study
    submitted = await hub.apart(runs.read_request, study, roster, signed.body)
    with signed.transaction() as session:
        _, roster = authorise(session, signed.caller, ("researcher",), study=study).in_study
        identity, new = runs.submit(session, hub.ring, roster, submitted)
        view = runs.view(session, session.get_one(RunRow, identity), hub.presence.heard)
    return answer(view, 201 if new else 200)


@routes.get("/runs")
async def list_runs(
    hub: Here,
    signed: Signed,
    study: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _PAGE,
) -> Response:
    """At most ``limit`` of a study's runs, the newest first, older than the run ``after``; fewer of large points.

    A Trust sees those in which it has a part.
    """
    with signed.transaction() as session:
        authorise(session, signed.caller, _MEMBERS, study=study)
        found = select(RunRow).where(RunRow.study == study).order_by(RunRow.submitted.desc(), RunRow.id)
        if signed.caller.role == "trust":
            found = found.join(PartRow, PartRow.run == RunRow.id).where(PartRow.trust == signed.caller.key_id)
        if after is not None:
            last = authorise(session, signed.caller, _MEMBERS, study=study, run=after).in_run
            older = or_(
                RunRow.submitted < last.submitted, and_(RunRow.submitted == last.submitted, RunRow.id > last.id)
            )
            found = found.where(older)
        rows = session.scalars(found.limit(limit + 1)).all()
        shown = rows[: min(limit, _fit(rows))]
        views = runs.views(session, shown, hub.presence.heard)
    return answer(RunPage(runs=views, next=views[-1].run if len(rows) > len(views) else None))


def _fit(rows: Sequence[RunRow]) -> int:
    """How many of the runs have points of 2 MiB together, but one where there is any."""
    sizes = accumulate(len(run.point) for run in rows)
    return max(1, sum(size <= _PAGE_BYTES for size in sizes))


@routes.get("/runs/{run}")
async def get_run(hub: Here, signed: Signed, run: str) -> Response:
    """The run as its study's members see it."""
    with signed.transaction() as session:
        view = runs.view(session, authorise(session, signed.caller, _MEMBERS, run=run).in_run, hub.presence.heard)
    return answer(view)


@routes.get("/runs/{run}/events")
async def get_events(hub: Here, signed: Signed, run: str, after: After = 0, wait: Wait = 0.0) -> Response:
    """Events above the number ``after``; waits up to ``wait`` seconds for one."""

    def look() -> tuple[bool, list[str]]:
        with signed.transaction() as session:
            authorise(session, signed.caller, _MEMBERS, run=run)
            found = runs.events(session, run, after)
        return bool(found), found

    bodies = await hub.waits.until(events_of(run), look, wait, who=signed.caller.key_id)
    return json_answer('{"events":[' + ",".join(bodies) + "]}")


@routes.post("/runs/{run}/stop")
async def stop_run(hub: Here, signed: Signed, run: str) -> Response:
    """Stop the run; the answer has it as it is now. FlipError ``wrong-state`` (409) where it has ended otherwise."""
    with signed.transaction() as session:
        row = authorise(session, signed.caller, ("researcher",), run=run).in_run
        run_life.stop(session, row)
        view = runs.view(session, row, hub.presence.heard)
    return answer(view)


@routes.get("/runs/{run}/record")
async def get_record(signed: Signed, run: str) -> Response:
    """The record of the run, so far."""
    with signed.transaction() as session:
        record = runs.record(session, authorise(session, signed.caller, _MEMBERS, run=run).in_run)
    return answer(record)


@routes.get("/runs/{run}/totals")
async def get_totals(signed: Signed, run: str) -> Response:
    """The sums of the run's federated totals, as far as they are there."""
    with signed.transaction() as session:
        sums = totals.sums_of(session, authorise(session, signed.caller, _MEMBERS, run=run).in_run.id)
    return answer(RunTotals(sums=sums))
