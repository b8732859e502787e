"""The desk API: what the data controllers' tools ask the agent, over a unix socket of this user alone.

Whoever can open the socket is the enclave's own user; an approval still needs a controller's key, which the agent
never has. Texts in the answers may come from strangers; they are data, JSON-encoded here and shown as text elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from flipnb.contracts.approval import Decline
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import (
    DeskRevision,
    DeskRun,
    DeskRuns,
    DeskStatus,
    RequestDetail,
    RequestList,
    RequestState,
    RequestSummary,
    Signed,
    Ticket,
)
from flipnb.contracts.document import Document, invalid
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.approvals import Approvals, Terms
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.desk.approval_pages import ApprovalPages
from flipnb.enclave.desk.changes import changes
from flipnb.enclave.desk.viewing import shown
from flipnb.enclave.runs.directory import EXECUTED
from flipnb.enclave.runs.run import Enclave
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.stores.stored import StoredRequest, StoredRun

_LOG = logging.getLogger("flipnb.enclave.desk")
_BODY_BYTES = 16 << 20
_LONGEST_WAIT_S = 30.0
_LOOK_S = 0.2


class Desk:
    """Answers the controller. ``joined`` is called after a new membership, to tell the hub."""

    def __init__(
        self,
        enclave: Enclave,
        runs: Runs,
        memberships: Memberships,
        hub_reachable: Callable[[], bool],
        pages: ApprovalPages,
        *,
        sandbox: dict[str, bool | int | str | None],
        joined: Callable[[], None],
    ) -> None:
        self._enclave, self._runs, self._memberships, self._hub_reachable = enclave, runs, memberships, hub_reachable
        self._pages = pages
        self._started = secrets.token_hex(4)
        self._sandbox, self._joined = sandbox, joined

    def application(self) -> Starlette:
        routes = (
            ("GET", "/status", self.status),
            ("GET", "/requests", self.requests),
            ("GET", "/requests/{bundle}", self.request),
            ("POST", "/requests/{bundle}/page", self.page),
            ("GET", "/tickets/{ticket}", self.ticket),
            ("POST", "/tickets/{ticket}/approval", self.approve_with_ticket),
            ("POST", "/approvals", self.approve),
            ("POST", "/declines", self.decline),
            ("POST", "/memberships", self.join),
            ("GET", "/runs", self.runs),
            ("POST", "/runs/{run}/stop", self.stop),
            ("GET", "/runs/{run}/notebook", self.notebook),
            ("GET", "/runs/{run}/shown", self.shown),
            ("GET", "/audit", self.audit),
            ("GET", "/audit/check", self.audit_check),
            ("GET", "/changes", self.changes),
        )
        return Starlette(
            routes=[Route(path, _guarded(handler), methods=[method]) for method, path, handler in routes],
        )

    async def status(self, request: Request) -> Document:
        directory = self._enclave.directory
        policy = directory.policy()
        return DeskStatus(
            trust=directory.configuration.name,
            title=directory.configuration.title,
            key=self._enclave.key.key_id,
            hub=directory.configuration.hub_url,
            hub_reachable=self._hub_reachable(),
            estate_version=await self._estate_version(),
            policy=policy,
            policy_digest=policy.digest(),
            studies=tuple(sorted(self._memberships.studies())),
            environments=dict(directory.environment_locks()),
            sandbox=self._sandbox,
            waiting=sum(self._state(stored) == "waiting" for stored in self._enclave.store.requests.all()),
            running=self._runs.running,
        )

    async def requests(self, request: Request) -> Document:
        everything = request.query_params.get("all") == "1"
        terms = await self._terms()
        summaries = (self._summary(stored, terms) for stored in self._enclave.store.requests.all())
        return RequestList(requests=tuple(s for s in summaries if everything or s.state in ("waiting", "approved")))

    async def request(self, request: Request) -> Document:
        return await self._detail(request.path_params["bundle"])

    async def page(self, request: Request) -> Document:
        stored = self._runs.request(request.path_params["bundle"])
        if stored.state == "refused":
            raise FlipError("refused", f"The agent refused this bundle: {stored.reason}", status=409)
        return self._pages.issue(stored.bundle)

    async def ticket(self, request: Request) -> Document:
        directory = self._enclave.directory
        return Ticket(
            detail=await self._detail(self._pages.bundle(request.path_params["ticket"])),
            trust=self._enclave.key.key_id,
            title=directory.configuration.title,
            controllers=directory.controllers(),
        )

    async def approve_with_ticket(self, request: Request) -> Document:
        self._pages.bundle(request.path_params["ticket"])
        answer = await self.approve(request)
        self._pages.use(request.path_params["ticket"])
        return answer

    async def approve(self, request: Request) -> Document:
        signed = await _body(Signed, request)
        bundle = await self._runs.approve(signed.envelope.encode())
        return self._summary(self._runs.request(bundle), await self._terms())

    async def decline(self, request: Request) -> Document:
        decline = await _body(Decline, request)
        await self._runs.decline(decline)
        return self._summary(self._runs.request(decline.bundle), await self._terms())

    async def join(self, request: Request) -> Document:
        signed = await _body(Signed, request)
        roster = self._memberships.accept(signed.envelope.encode())
        self._enclave.audit.append("joined", study=roster.study, roster=roster.digest())
        self._joined()
        return roster

    async def runs(self, request: Request) -> Document:
        return DeskRuns(runs=tuple(_desk_run(run) for run in self._enclave.store.runs.all()))

    async def stop(self, request: Request) -> Document:
        run = request.path_params["run"]
        await self._runs.stop(run, by="controller")
        stored = self._enclave.store.runs.get(run)
        assert stored is not None
        return _desk_run(stored)

    async def notebook(self, request: Request) -> Response:
        run = self._enclave.store.runs.get(request.path_params["run"])
        path = self._enclave.directory.runs / run.run / EXECUTED if run is not None else None
        if path is None or not path.exists():
            raise _no_notebook()
        return FileResponse(path, media_type="application/json")

    async def shown(self, request: Request) -> Response:
        run = self._enclave.store.runs.get(request.path_params["run"])
        path = self._enclave.directory.runs / run.run / EXECUTED if run is not None else None
        if run is None or path is None or not path.exists():
            raise _no_notebook()
        return Response(await shown(self._enclave.directory.directory, run.run, path), media_type="application/json")

    async def changes(self, request: Request) -> Document:
        """Wait until something here is other than at the revision ``after``, or for ``wait`` seconds."""
        after = request.query_params.get("after", "")
        try:
            until = time.monotonic() + min(float(request.query_params.get("wait", "0")), _LONGEST_WAIT_S)
        except ValueError:
            raise FlipError("bad-query", "wait must be a number of seconds.") from None
        while self._revision() == after and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)
        return DeskRevision(revision=self._revision())

    async def audit(self, request: Request) -> Document:
        after = request.query_params.get("after", "0")
        if not after.isascii() or not after.isdigit():
            raise FlipError("bad-query", "after must be a number.")
        return self._enclave.audit.page(int(after))

    async def audit_check(self, request: Request) -> Document:
        return await asyncio.to_thread(self._enclave.audit.check)

    def _revision(self) -> str:
        return f"{self._started}-{self._enclave.store.revision}"

    async def _detail(self, digest: str) -> RequestDetail:
        stored = self._runs.request(digest)
        bundle = self._runs.content(stored)
        version = await self._estate_version()
        policy = self._enclave.directory.policy()
        return RequestDetail(
            summary=self._summary(stored, self._runs.terms(version)),
            content=bundle,
            changes=changes(bundle, self._approved_before(stored)),
            count=await self._count(bundle, version),
            policy_digest=policy.digest(),
            estate_version=version,
            what_leaves=what_leaves(bundle, policy),
        )

    def _approved_before(self, stored: StoredRequest) -> Iterator[Bundle]:
        """Other bundles of the same study that were approved here, the newest first."""
        for other in self._enclave.store.requests.approved(stored.study):
            if other.bundle != stored.bundle:
                yield self._runs.content(other)

    async def _estate_version(self) -> str | None:
        try:
            return await self._enclave.worker.current()
        except FlipError as error:
            _LOG.warning("the estate could not be asked: %s", error)
            return None

    async def _count(self, bundle: Bundle, version: str | None) -> int | None:
        if version is None:
            return None
        try:
            return await self._enclave.worker.count(version, bundle.cohort)
        except FlipError as error:
            _LOG.warning("the cohort could not be counted: %s", error)
            return None

    async def _terms(self) -> Terms:
        return self._runs.terms(await self._estate_version())

    def _state(self, stored: StoredRequest) -> RequestState:
        undecided = stored.state in ("waiting", "approved")
        return "expired" if undecided and self._runs.content(stored).expires <= datetime.now(UTC) else stored.state

    def _summary(self, stored: StoredRequest, terms: Terms) -> RequestSummary:
        store = self._enclave.store
        approvals = Approvals(store.approvals.of(stored.bundle), terms)
        return RequestSummary(
            bundle=stored.bundle,
            study=stored.study,
            title=stored.title,
            researcher=stored.researcher,
            researcher_key=stored.researcher_key,
            state=self._state(stored),
            received=stored.received,
            code=stored.code,
            reason=stored.reason,
            runs=tuple(run.run for run in store.runs.of(stored.bundle)),
            executions_left=approvals.executions_left,
            approvals=approvals.given,
            approvals_demanded=terms.demanded,
        )


def _no_notebook() -> FlipError:
    return FlipError("no-notebook", "There is no executed notebook of this run.", status=404)


def what_leaves(bundle: Bundle, policy: Policy) -> tuple[str, ...]:
    """In words, everything that a run of the bundle lets out of the enclave."""
    plan, per_trust_metrics = bundle.plan, policy.per_trust_metrics
    how = (
        "and multiplied by the number of people in train, summed with the other Trusts'"
        if plan.aggregation == "sum"
        else "by itself: this bundle does not add the Trusts' updates"
    )
    lines = [
        f"In each of {plan.rounds} rounds: the change of {bundle.tensors.elements:,} model weights, clipped to an L2 "
        f"norm of {plan.clip_norm:g} {how}. The hub can see it.",
        "With each of them: the number of people in train, validation and test, as the weights of the average.",
    ]
    whose = "this Trust's own, and in the average" if per_trust_metrics else "in the average over the Trusts"
    lines += [
        f"In each round and once more at the end: the number {output.name} over {output.over}, between "
        f"{output.minimum:g} and {output.maximum:g}, {output.decimals} decimals, {whose}."
        for output in bundle.outputs
    ]
    if plan.consensus is not None:
        value = f"; the {plan.consensus.measure} itself, 4 decimals, too" if per_trust_metrics else ""
        lines.append(f"In each training round: a vote, 0 or 1, whether this Trust's model agrees with all{value}.")
    lines += [
        f"Once, {f'in round {step.round}' if step.round else 'before the first round'}: the array {array.name}, "
        f"{array.elements:,} numbers between {array.minimum:g} and {array.maximum:g}, {array.decimals} decimals, "
        "summed with the other Trusts'. The hub can see it."
        for step in bundle.totals
        for array in step.arrays
    ]
    memory = (
        ", the most memory so far in eighths of its limit, and of a GPU in eighths of that" if policy.memory_use else ""
    )
    lines.append(
        f"Progress: cell, round, epoch, seconds{memory}. Of an error: its class out of a fixed list, cell and line."
    )
    return tuple(lines)


def listen(path: Path) -> socket.socket:
    """The desk's socket, anew, for this user alone; it appears under its name when it takes connections."""
    path.unlink(missing_ok=True)
    making = path.with_suffix(".new")
    making.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(making))
    finally:
        os.umask(before)
    listener.listen(64)
    making.rename(path)
    return listener


class DeskServer(uvicorn.Server):
    """uvicorn that leaves signals to the agent."""

    def __init__(self, application: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _guarded(handler: Callable[[Request], Awaitable[Document | Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            answer = await handler(request)
        except FlipError as error:
            return Response(error.problem().model_dump_json(), status_code=error.status, media_type="application/json")
        if isinstance(answer, Response):
            return answer
        return Response(answer.model_dump_json(by_alias=True), media_type="application/json")

    return guarded


async def _body(model: type[Any], request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise FlipError("document-too-large", f"The request has more than {_BODY_BYTES} bytes.", status=413)
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise invalid(error, "The request") from None


def _desk_run(stored: StoredRun) -> DeskRun:
    return DeskRun(
        run=stored.run,
        bundle=stored.bundle,
        study=stored.study,
        title=stored.title,
        state=stored.state,
        progress=stored.progress,
        failure=stored.failure,
        code=stored.code,
        reason=stored.reason,
        started=stored.started,
        ended=stored.ended,
    )
