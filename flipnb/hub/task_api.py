"""Tasks over HTTP: what a Trust's agent fetches by long-poll, and its answers."""

from __future__ import annotations

import base64
import json
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TrustReport
from flipnb.contracts.task import SMALL_BYTES, TaskAnswer
from flipnb.hub import counts, run_life
from flipnb.hub.authentication import Caller, SignedRequest
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.blob_grants import keep_grant
from flipnb.hub.service import After, Here, Hub, Signed, Wait, json_answer, nothing, read, up_to
from flipnb.hub.store.tables import PartRow, TaskRow
from flipnb.hub.tasks import open_tasks
from flipnb.hub.waits import EVENTS, tasks_of

routes = APIRouter(prefix="/v1")
_ANSWER_BYTES = 2 << 20
"""A small update in base64, and beside it a sealed reply: that to a count may hold 200 charts."""
_MOST_WEIGHTS = 16
"""Weights in one list: an agent reads at most 16 MiB, of which tasks may take 8."""


@routes.get("/tasks")
async def get_tasks(hub: Here, signed: Signed, after: After = 0, wait: Wait = 0.0) -> Response:
    """Open tasks of the calling Trust above the sequence ``after``; waits up to ``wait`` seconds for one."""

    def look() -> tuple[bool, list[str]]:
        with signed.transaction() as session:
            authorise(session, signed.caller, ("trust",))
            found = open_tasks(session, signed.caller.key_id, after)
        return bool(found), found

    if signed.caller.role == "trust" and hub.presence.hear(signed.caller.key_id):
        hub.waits.ring(EVENTS)
    bodies = await hub.waits.until(tasks_of(signed.caller.key_id), look, wait, who=signed.caller.key_id)
    weights = json.dumps(_small_weights(hub, bodies))
    return json_answer('{"tasks":[' + ",".join(bodies) + '],"weights":' + weights + "}")


def _small_weights(hub: Hub, bodies: list[str]) -> dict[str, str]:
    """The content of small weights that tasks of rounds name, in base64: a member need not ask for them."""
    found: dict[str, str] = {}
    for body in bodies:
        context = json.loads(body).get("context")
        if context is not None and context["weights_size"] <= SMALL_BYTES and len(found) < _MOST_WEIGHTS:
            content = hub.blobs.small(context["weights"], SMALL_BYTES)
            if content is not None:
                found[context["weights"]] = base64.urlsafe_b64encode(content).decode()
    return found


@routes.post("/tasks/{task}/answer")
async def answer_task(hub: Here, signed: Annotated[SignedRequest, up_to(_ANSWER_BYTES)], task: str) -> Response:
    """A small update comes within the answer; it is on disk before the answer counts."""
    refusal = None
    with signed.looking() as session:
        authorise(session, signed.caller, ("trust",))
        _own_task(session, signed.caller, task)
    said = await hub.apart(read, TaskAnswer, signed.body, "The answer")
    with signed.transaction() as session:
        row = _own_task(session, signed.caller, task)
        waited_for = row.kind == "round" and row.state == "open"
        if row.kind == "count":
            counts.take_answer(session, row, said)
        elif said.update is None or not waited_for:
            refusal = run_life.answer(session, hub.configuration, row, said)
    if said.update is not None and waited_for:
        digest = sha256(said.update)
        await hub.blobs.put(said.update, digest)
        with signed.transaction() as session:
            row = _own_task(session, signed.caller, task)
            keep_grant(
                session,
                digest,
                "update",
                study=row.study,
                run=row.run or "",
                owner=signed.caller.key_id,
                size=len(said.update),
            )
            refusal = run_life.answer(session, hub.configuration, row, said)
    if refusal is not None:
        raise refusal
    return nothing()


def _own_task(session: Session, caller: Caller, task: str) -> TaskRow:
    row = session.get(TaskRow, task)
    if row is None or row.trust != caller.key_id:
        raise not_found("The task")
    return row


@routes.post("/runs/{run}/reports")
async def post_report(hub: Here, signed: Signed, run: str) -> Response:
    """What a Trust's agent says of its part of a run. FlipError ``wrong-run`` where it is of another."""
    with signed.looking() as session:
        authorise(session, signed.caller, ("trust",), run=run)
    said = read(TrustReport, signed.body, "The report")
    with signed.transaction() as session:
        row = authorise(session, signed.caller, ("trust",), run=run).in_run
        if said.run != run:
            raise FlipError("wrong-run", "The report is of another run.", status=422)
        part = session.get_one(PartRow, (run, signed.caller.key_id))
        run_life.report(session, hub.configuration, row, part, said)
    return nothing()
