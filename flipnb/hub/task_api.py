"""Tasks over HTTP: what a Trust's agent fetches by long-poll, and its answers."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TrustReport
from flipnb.contracts.task import TaskAnswer
from flipnb.hub import counts, run_life
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.service import Here, Signed, json_answer, nothing, read
from flipnb.hub.store.tables import PartRow, TaskRow
from flipnb.hub.tasks import open_tasks
from flipnb.hub.waits import EVENTS, tasks_of

routes = APIRouter(prefix="/v1")


@routes.get("/tasks")
async def get_tasks(hub: Here, signed: Signed, after: int = 0, wait: float = 0.0) -> Response:
    """Open tasks of the calling Trust above the sequence ``after``; waits up to ``wait`` seconds for one."""

    def look() -> tuple[bool, list[str]]:
        with signed.transaction() as session:
            authorise(session, signed.caller, ("trust",))
            found = open_tasks(session, signed.caller.key_id, after)
        return bool(found), found

    if signed.caller.role == "trust" and hub.presence.hear(signed.caller.key_id):
        hub.waits.ring(EVENTS)
    bodies = await hub.waits.until(tasks_of(signed.caller.key_id), look, wait)
    return json_answer('{"tasks":[' + ",".join(bodies) + "]}")


@routes.post("/tasks/{task}/answer")
async def answer_task(hub: Here, signed: Signed, task: str) -> Response:
    refusal = None
    with signed.transaction() as session:
        authorise(session, signed.caller, ("trust",))
        row = session.get(TaskRow, task)
        if row is None or row.trust != signed.caller.key_id:
            raise not_found("The task")
        said = read(TaskAnswer, signed.body, "The answer")
        if row.kind == "count":
            counts.take_answer(session, row, said)
        else:
            refusal = run_life.answer(session, hub.configuration, row, said)
    if refusal is not None:
        raise refusal
    return nothing()


@routes.post("/runs/{run}/reports")
async def post_report(hub: Here, signed: Signed, run: str) -> Response:
    with signed.transaction() as session:
        row = authorise(session, signed.caller, ("trust",), run=run).in_run
        said = read(TrustReport, signed.body, "The report")
        if said.run != run:
            raise FlipError("wrong-run", "The report is of another run.", status=422)
        part = session.get_one(PartRow, (run, signed.caller.key_id))
        run_life.report(session, hub.configuration, row, part, said)
    return nothing()
