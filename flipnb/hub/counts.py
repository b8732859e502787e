"""Counts of people: signed requests are relayed to the Trusts, sealed replies back."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from flipnb.contracts import envelope
from flipnb.contracts.count import REQUEST_BYTES, CountRequest, CountStatus, SignedCount
from flipnb.contracts.keys import key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, SessionCertificate
from flipnb.contracts.task import CountTask, TaskAnswer
from flipnb.hub.authentication import SignedRequest
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.service import Here, Signed, Wait, answer, read, up_to
from flipnb.hub.store.tables import CountRow, JoinRow, StudyRow, TaskRow
from flipnb.hub.tasks import ask
from flipnb.hub.waits import count_of, ring

routes = APIRouter(prefix="/v1")


@routes.post("/studies/{study}/counts")
async def post_count(hub: Here, signed: Annotated[SignedRequest, up_to(REQUEST_BYTES)], study: str) -> Response:
    """Ask every Trust that joined. The same request again is the same count."""
    with signed.looking() as session:
        row, roster = authorise(session, signed.caller, ("researcher",), study=study).in_study
    count, digest, request = await hub.apart(_read, signed.body, row, roster)
    with signed.transaction() as session:
        row, roster = authorise(session, signed.caller, ("researcher",), study=study).in_study
        identity = count_identity(digest)
        new = session.get(CountRow, identity) is None
        if new:
            _ask_all(session, row, roster, count, digest=digest, request=request)
        status = _status(session, identity, study)
    return answer(status, 201 if new else 200)


@routes.get("/counts/{count}")
async def get_count(hub: Here, signed: Signed, count: str, wait: Wait = 0.0) -> Response:
    """Answers when all Trusts that were asked have replied, or after ``wait`` seconds with what is there."""

    def look() -> tuple[bool, CountStatus]:
        with signed.transaction() as session:
            row = session.get(CountRow, count)
            if row is None:
                raise not_found("The count")
            try:
                authorise(session, signed.caller, ("researcher",), study=row.study)
            except FlipError:
                raise not_found("The count") from None
            unanswered = select(TaskRow.id).where(TaskRow.count == count, TaskRow.state == "open").limit(1)
            return session.execute(unanswered).first() is None, _status(session, count, row.study)

    return answer(await hub.waits.until(count_of(count), look, wait, who=signed.caller.key_id))


def take_answer(session: Session, task: TaskRow, said: TaskAnswer) -> None:
    """Keep a Trust's sealed reply for whoever asked; a repeat changes nothing."""
    if task.state != "open" or task.count is None:
        return
    task.state, task.envelope, task.code, task.reason = "answered", said.envelope, said.code, said.reason
    ring(session, count_of(task.count))


def count_identity(request: str) -> str:
    """A count's id comes from the digest of its request, so that the same request is the same count."""
    return request[:32]


def _read(body: bytes, study: StudyRow, roster: Roster) -> tuple[SignedCount, str, CountRequest]:
    """What a relay can see is wrong: who signed, for which study, whether it is over. Trusts check for themselves."""
    count = read(SignedCount, body, "The count")
    certified = envelope.unseal(
        count.certificate.encode(), envelope.SESSION, roster.researcher_keys(), "The session certificate"
    ).parse(SessionCertificate, "The session certificate")
    session_key = {key_id(certified.session_key): certified.session_key}
    opened = envelope.unseal(count.request.encode(), envelope.COUNT_REQUEST, session_key, "The count request")
    request = opened.parse(CountRequest, "The count request")
    if {request.study, certified.study} != {study.name} or request.membership != study.roster:
        raise FlipError("wrong-study", f"The request is not for the study {study.name}.", status=422)
    now = time.time()
    if min(request.expires, certified.expires).timestamp() <= now:
        raise FlipError("expired", "The request or its session has expired.", remedy="Ask again.", status=409)
    return count, opened.digest, request


def _ask_all(
    session: Session, study: StudyRow, roster: Roster, count: SignedCount, *, digest: str, request: CountRequest
) -> None:
    identity = count_identity(digest)
    joined = set(session.scalars(select(JoinRow.trust).where(JoinRow.study == study.name)))
    asked = [key for key in sorted(roster.trust_keys()) if key in joined]
    if not asked:
        raise FlipError(
            "nobody-joined",
            f"No Trust has joined {study.name} yet.",
            remedy="Each Trust's data controller joins with `flip study join`.",
            status=409,
        )
    session.add(CountRow(id=identity, study=study.name, request=digest, created=time.time()))
    for trust in asked:
        expires = request.expires.timestamp()
        ask(session, trust, partial(CountTask, study=study.name, count=count), count=identity, expires=expires)


def _status(session: Session, count: str, study: str) -> CountStatus:
    tasks = session.scalars(select(TaskRow).where(TaskRow.count == count).order_by(TaskRow.trust)).all()
    return CountStatus(
        count=count,
        study=study,
        asked=tuple(task.trust for task in tasks),
        replies={task.trust: task.envelope for task in tasks if task.envelope is not None},
    )
