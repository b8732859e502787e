"""One long-poll for all of a researcher's runs, so that a workbench needs no connection for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from flipnb.contracts.feed import Feed
from flipnb.hub.authorisation import authorise, studies_of
from flipnb.hub.service import Here, Signed, Wait, answer
from flipnb.hub.store.tables import JoinRow, MemberRow, RunRow
from flipnb.hub.waits import EVENTS

_RECENT_SECONDS = 3600.0
_Position = Annotated[int, Query(ge=-1, le=2**53)]

routes = APIRouter(prefix="/v1")


@routes.get("/feed")
async def get_feed(hub: Here, signed: Signed, after: _Position = -1, pulse: str = "", wait: Wait = 0.0) -> Response:
    """Answers when the position is another than ``after`` or the pulse than ``pulse``, or after ``wait`` seconds."""

    def look() -> tuple[bool, Feed]:
        with signed.transaction() as session:
            authorise(session, signed.caller, ("researcher",))
            studies = studies_of(signed.caller)
            trusts = session.scalars(
                select(MemberRow.key_id).where(MemberRow.role == "trust", MemberRow.study.in_(studies)).distinct()
            ).all()
            joined = session.scalars(
                select(JoinRow.study + " " + JoinRow.trust).where(JoinRow.study.in_(studies))
            ).all()
            position, runs = stand(session, studies)
        found = hub.presence.pulse(trusts, sorted(joined))
        feed = Feed(position=position, pulse=found, runs=runs)
        return (position, found) != (after, pulse), feed

    return answer(await hub.waits.until(EVENTS, look, wait, who=signed.caller.key_id))


def stand(session: Session, studies: Select[str] | Sequence[str]) -> tuple[int, dict[str, int]]:
    """The number of all events of the studies, and of each run that is told of the number of its last one.

    Read out of an index alone: each listener asks at each event, and old runs are many.
    """
    mine = RunRow.study.in_(studies)
    position = session.scalar(select(func.coalesce(func.sum(RunRow.last_event), 0)).where(mine)) or 0
    told = select(RunRow.id, RunRow.last_event).where(mine)
    going = session.execute(told.where(RunRow.finished.is_(None))).tuples().all()
    recent = session.execute(told.where(RunRow.finished > time.time() - _RECENT_SECONDS)).tuples().all()
    return int(position), dict([*going, *recent])
