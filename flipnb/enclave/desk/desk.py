"""The desk API: what the data controllers' tools ask the agent, over a unix socket of this user alone.

Whoever can open the socket is the enclave's own user; an approval still needs a controller's key, which the agent
never has. Texts in the answers may come from strangers; they are data, JSON-encoded here and shown as text elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from flipnb.contracts.approval import Approval, Decline
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import (
    DeskRevision,
    DeskRun,
    DeskRuns,
    DeskStatus,
    Opening,
    RequestDetail,
    RequestList,
    Signed,
    Ticket,
    TriesLeft,
)
from flipnb.contracts.document import Document, parse
from flipnb.contracts.envelope import peek, signer_of
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.approvals import Terms
from flipnb.enclave.approvals.decisions import Decisions
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests, content_of
from flipnb.enclave.desk.approval_pages import ApprovalPages
from flipnb.enclave.desk.exact_counts import ExactCounts
from flipnb.enclave.desk.held_images import HeldBack
from flipnb.enclave.desk.log_story import LogStory
from flipnb.enclave.desk.openings import Openings
from flipnb.enclave.desk.requested import Requested
from flipnb.enclave.desk.run_names import RunNames
from flipnb.enclave.desk.server import guard, read
from flipnb.enclave.desk.summaries import Summaries
from flipnb.enclave.desk.tries import Tries
from flipnb.enclave.desk.viewing import shown
from flipnb.enclave.runs.directory import EXECUTED
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.stores.stored import StoredRun

_LOG = logging.getLogger("flipnb.enclave.desk")
_LONGEST_WAIT_S = 30.0
_LOOK_S = 0.2
_DIGITS = 15


class Desk:
    """Answers the controller. ``joined`` is called after a new membership, to tell the hub."""

    def __init__(
        self,
        enclave: Enclave,
        runs: Runs,
        requests: Requests,
        decisions: Decisions,
        memberships: Memberships,
        hub_reachable: Callable[[], bool],
        pages: ApprovalPages,
        *,
        sandbox: dict[str, bool | int | str | None],
        joined: Callable[[], None],
    ) -> None:
        self._enclave, self._runs, self._requests, self._decisions = enclave, runs, requests, decisions
        self._memberships, self._hub_reachable, self._pages = memberships, hub_reachable, pages
        self._started = secrets.token_hex(4)
        self._counts = ExactCounts(enclave.worker.count)
        self._sandbox, self._joined = sandbox, joined
        self._tries = Tries(enclave.audit, enclave.directory.controllers)
        self._openings = Openings(enclave.audit, enclave.directory.controllers)
        self._story = LogStory(enclave.audit, RunNames(enclave.store, requests).of)
        self._summaries = Summaries(enclave.store, requests)
        self._held = HeldBack(enclave.directory.estate, enclave.audit, enclave.directory.controllers)
        self._requested = Requested(enclave, requests, memberships)

    def application(self) -> Starlette:
        """The desk as an ASGI application."""
        routes = (
            ("GET", "/status", self.status),
            ("GET", "/requests", self.requests),
            ("GET", "/requests/{bundle}", self.request),
            ("POST", "/requests/{bundle}/opened", self.opened),
            ("POST", "/requests/{bundle}/page", self.page),
            ("GET", "/tickets/{ticket}", self.ticket),
            ("POST", "/tickets/{ticket}/approval", self.approve_with_ticket),
            ("GET", "/tries/{controller}", self.tries),
            ("POST", "/tries/{controller}", self.wrong_try),
            ("POST", "/approvals", self.approve),
            ("POST", "/declines", self.decline),
            ("POST", "/memberships", self.join),
            ("GET", "/runs", self.runs),
            ("POST", "/runs/{run}/stop", self.stop),
            ("GET", "/runs/{run}/notebook", self.notebook),
            ("GET", "/runs/{run}/shown", self.shown),
            ("GET", "/images", self._held.images),
            ("GET", "/images/{image}", self._held.image),
            ("GET", "/images/{image}/picture", self._held.picture),
            ("POST", "/images/{image}/decision", self._held.decide),
            ("GET", "/audit", self.audit),
            ("GET", "/audit/check", self.audit_check),
            ("GET", "/audit/lines", self.audit_lines),
            ("GET", "/audit/lines/{key}", self.audit_line),
            ("GET", "/changes", self.changes),
        )
        return Starlette(
            routes=[Route(path, guard(handler), methods=[method]) for method, path, handler in routes],
        )

    async def status(self, request: Request) -> Document:
        """GET /status: who this Trust is, its policy, and what waits and runs."""
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
            controllers=tuple(controller.name for controller in directory.controllers()),
            sandbox=self._sandbox,
            waiting=await asyncio.to_thread(self._summaries.waiting),
            running=self._runs.running,
            images_waiting=await asyncio.to_thread(self._held.waiting),
        )

    async def requests(self, request: Request) -> Document:
        """GET /requests: those that wait or are approved; with ``all=1`` every one."""
        everything = request.query_params.get("all") == "1"
        terms = await self._terms()
        return RequestList(requests=await asyncio.to_thread(self._summaries.all, terms, decided=everything))

    async def request(self, request: Request) -> Document:
        """GET /requests/{bundle}: all that a data controller decides on."""
        return await self._detail(request.path_params["bundle"])

    async def opened(self, request: Request) -> Document:
        """POST /requests/{bundle}/opened: a controller has a part before them; the request as it is now."""
        bundle = self._requests.get(request.path_params["bundle"]).bundle
        await asyncio.to_thread(self._openings.note, bundle, await read(Opening, request))
        return self._summaries.of(self._requests.get(bundle), await self._terms())

    async def page(self, request: Request) -> Document:
        """POST /requests/{bundle}/page: its approval page's address. FlipError ``refused``, ``not-opened`` (409)."""
        stored = self._requests.get(request.path_params["bundle"])
        if stored.state == "refused":
            raise FlipError("refused", f"The agent refused this bundle: {stored.reason}", status=409)
        await asyncio.to_thread(self._openings.readers, stored.bundle)
        return self._pages.issue(stored.bundle)

    async def ticket(self, request: Request) -> Document:
        """GET /tickets/{ticket}: what the approval page shows. FlipError ``no-ticket`` (404)."""
        bundle = self._pages.bundle(request.path_params["ticket"])
        return Ticket(
            detail=await self._detail(bundle),
            trust=self._enclave.key.key_id,
            title=self._enclave.directory.configuration.title,
            controllers=await asyncio.to_thread(self._openings.readers, bundle),
        )

    async def approve_with_ticket(self, request: Request) -> Document:
        """POST /tickets/{ticket}/approval: as POST /approvals, of the ticket's request alone; the ticket is used up
        where it succeeds. FlipError ``other-bundle`` (409)."""
        bundle = self._pages.bundle(request.path_params["ticket"])
        answer = await self._approved(await read(Signed, request), of=bundle)
        self._pages.use(request.path_params["ticket"])
        return answer

    async def tries(self, request: Request) -> Document:
        """GET /tries/{controller}: before a passphrase is tried. FlipError ``too-many-tries`` (403)."""
        return TriesLeft(left=self._tries.left(request.path_params["controller"]))

    async def wrong_try(self, request: Request) -> Document:
        """POST /tries/{controller}: their passphrase was wrong. FlipError ``too-many-tries`` (403)."""
        controller = request.path_params["controller"]
        return TriesLeft(left=await asyncio.to_thread(self._tries.wrong, controller))

    async def approve(self, request: Request) -> Document:
        """POST /approvals: an approval, sealed by who has opened all of the request, verified and kept; the request as
        it is now. FlipError ``not-opened`` (409), and as ``Decisions.approve``."""
        return await self._approved(await read(Signed, request))

    async def _approved(self, signed: Signed, of: str | None = None) -> Document:
        """``of``: the one bundle that may be approved so."""
        envelope, what = signed.envelope.encode(), "The approval"
        named = parse(Approval, peek(envelope, what), what).bundle
        if of is not None and named != of:
            raise FlipError("other-bundle", "The approval is of another request; nothing was approved.", status=409)
        read_by = self._requests.get(named).bundle, signer_of(envelope, what)
        await asyncio.to_thread(self._openings.require_reader, *read_by)
        bundle = await self._decisions.approve(envelope)
        return self._summaries.of(self._requests.get(bundle), await self._terms())

    async def decline(self, request: Request) -> Document:
        """POST /declines: nothing of the bundle runs here; the request as it is now."""
        decline = await read(Decline, request)
        await self._decisions.decline(decline)
        return self._summaries.of(self._requests.get(decline.bundle), await self._terms())

    async def join(self, request: Request) -> Document:
        """POST /memberships: a sealed membership, verified and kept; its roster."""
        signed = await read(Signed, request)
        roster = self._memberships.accept(signed.envelope.encode())
        self._enclave.audit.append("joined", study=roster.study, roster=roster.digest())
        self._joined()
        return roster

    async def runs(self, request: Request) -> Document:
        """GET /runs: every run that this Trust was asked for."""
        return DeskRuns(runs=tuple(_desk_run(run) for run in self._enclave.store.runs.all()))

    async def stop(self, request: Request) -> Document:
        """POST /runs/{run}/stop: the run as it is when its kernel is gone. FlipError ``unknown-run`` (404)."""
        run = request.path_params["run"]
        await self._runs.stop(run, by="controller")
        stored = self._enclave.store.runs.get(run)
        assert stored is not None
        return _desk_run(stored)

    async def notebook(self, request: Request) -> Response:
        """GET /runs/{run}/notebook: the executed notebook's file, which may show patients."""
        run = self._enclave.store.runs.get(request.path_params["run"])
        path = self._enclave.directory.runs / run.run / EXECUTED if run is not None else None
        if path is None or not path.exists():
            raise _no_notebook()
        return FileResponse(path, media_type="application/json")

    async def shown(self, request: Request) -> Response:
        """GET /runs/{run}/shown: the executed notebook as a jailed viewer has made it harmless."""
        run = self._enclave.store.runs.get(request.path_params["run"])
        path = self._enclave.directory.runs / run.run / EXECUTED if run is not None else None
        if run is None or path is None or not path.exists():
            raise _no_notebook()
        return Response(await shown(self._enclave.directory.directory, run.run, path), media_type="application/json")

    async def changes(self, request: Request) -> Document:
        """Wait until something here is other than at the revisions that are given, or for ``wait`` seconds."""
        known = DeskRevision(**{name: request.query_params.get(name, "") for name in DeskRevision.model_fields})
        try:
            wait = float(request.query_params.get("wait", "0"))
        except ValueError:
            wait = math.nan
        if not 0 <= wait < math.inf:
            raise FlipError("bad-query", "wait must be a number of seconds.")
        until = time.monotonic() + min(wait, _LONGEST_WAIT_S)
        while self._revision() == known and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)
        return self._revision()

    async def audit(self, request: Request) -> Document:
        """GET /audit?after=N: a page of the audit log. FlipError ``bad-query``."""
        after = request.query_params.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > _DIGITS:
            raise FlipError("bad-query", "after must be a number.")
        return await asyncio.to_thread(self._enclave.audit.page, int(after))

    async def audit_check(self, request: Request) -> Document:
        """GET /audit/check: read the whole log again."""
        return await asyncio.to_thread(self._enclave.audit.check)

    async def audit_lines(self, request: Request) -> Document:
        """GET /audit/lines?group=G: the log in plain words, the newest first. FlipError ``bad-query``."""
        return await asyncio.to_thread(self._story.lines, request.query_params.get("group", "all"))

    async def audit_line(self, request: Request) -> Document:
        """GET /audit/lines/{key}: the entries of one line. FlipError ``no-line`` (404)."""
        return await asyncio.to_thread(self._story.entries, request.path_params["key"])

    def _revision(self) -> DeskRevision:
        store, audit = self._enclave.store, self._enclave.audit
        numbers = {"requests": store.requests_revision, "runs": store.runs.revision, "audit": audit.size}
        return DeskRevision(**{name: f"{self._started}-{number}" for name, number in numbers.items()})

    async def _detail(self, digest: str) -> RequestDetail:
        stored = self._requests.get(digest)
        bundle = content_of(stored)
        version = await self._estate_version()
        return self._requested.detail(
            stored,
            self._summaries.of(stored, self._decisions.terms(version)),
            count=await self._count(bundle, version),
            version=version,
            opened=await asyncio.to_thread(self._openings.of, digest),
        )

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
            return await self._counts.of(version, bundle)
        except FlipError as error:
            _LOG.warning("the cohort could not be counted: %s", error)
            return None

    async def _terms(self) -> Terms:
        return self._decisions.terms(await self._estate_version())


def _no_notebook() -> FlipError:
    return FlipError("no-notebook", "There is no executed notebook of this run.", status=404)


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
        images=stored.images,
    )
