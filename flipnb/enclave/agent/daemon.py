"""The agent: everything of an enclave that talks to the outside, and decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from flipnb.contracts import disk
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.agent.leaves import Leaves
from flipnb.enclave.agent.presence import Presence
from flipnb.enclave.agent.tasks import Tasks
from flipnb.enclave.approvals.decisions import Decisions
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.counting.counts import Counts
from flipnb.enclave.counting.pace import Pace
from flipnb.enclave.counting.questions import Questions
from flipnb.enclave.desk.approval_pages import ApprovalPages
from flipnb.enclave.desk.desk import Desk
from flipnb.enclave.desk.server import DeskServer, listen
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.replies import Replies
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.runs.slots import Slots
from flipnb.enclave.sandbox.limits import raise_open_files
from flipnb.enclave.sandbox.probe import ProbeReport, probe, refuse_if_weaker
from flipnb.enclave.sandbox.uids import estate_worker_uid, run_uid
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.installation import require_environment
from flipnb.enclave.stores.opening import Stores, sole_user
from flipnb.files.logs import log_to, logs_kept
from flipnb.link.exchange import NotNow

_LOG = logging.getLogger("flipnb.enclave.agent")
_IDLE_S = 0.25
_RETRY_S = 2.0
_REFUSALS_S = 60.0
_STOP_S = 3.5


class Agent:
    """One enclave's daemon. ``run`` returns when it was told to stop and everything of it is gone."""

    def __init__(self, stores: Stores, sandbox: dict[str, bool | int | str | None]) -> None:
        self._directory = directory = stores.directory
        configuration = directory.configuration
        self._key = key = directory.load_node_key()
        self._store, self._audit = stores.store, stores.audit
        self._memberships = Memberships(
            directory.memberships,
            controllers=directory.controllers,
            own_key=key.key_id,
            joining=stores.join,
        )
        self._worker = EstateWorker(
            directory.estate,
            directory.frozen,
            memory=configuration.estate_memory,
            uid=estate_worker_uid(directory.directory),
            hidden=(directory.keys,),
            log=directory.logs / "estate-worker.log",
        )
        self._hub = HubLink(
            configuration.hub_url,
            audience=configuration.hub_audience,
            ca=directory.hub_ca,
            key=key,
            leaves=Leaves(self._audit),
        )
        slots = Slots(lambda: directory.policy().slots)
        enclave = Enclave(directory, key, self._store, self._audit, self._worker, slots)
        requests = Requests(directory, key.key_id, self._store, self._audit, self._memberships)
        decisions = Decisions(directory, key.key_id, self._store, self._audit, requests, self._worker.current)
        self._runs = Runs(enclave, requests, decisions, self._hub)
        replies = Replies(
            self._store, self._audit, self._hub, self._runs.active, lambda: directory.policy().reply_seconds
        )
        pace = Pace()
        questions = Questions(
            secret=directory.disclosure_key(),
            ledger=stores.ledger,
            tabulator=self._worker,
            policy=lambda: directory.policy().counts,
            pace=pace,
        )
        counts = Counts(
            key=key, store=self._store, audit=self._audit, memberships=self._memberships, questions=questions, pace=pace
        )
        self._presence = Presence(directory, key, self._memberships, self._hub)
        self._pages = ApprovalPages(directory.desk_socket, directory.keys)
        self._desk = Desk(
            enclave,
            self._runs,
            requests,
            decisions,
            self._memberships,
            lambda: self._hub.reachable,
            self._pages,
            sandbox=sandbox,
            joined=self._presence.joined,
        )
        self._tasks = Tasks(self._hub, self._presence.greet, self._audit, self._runs, replies, counts)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve hub and desk until ``stop``; runs that go on are taken up first, and interrupted at the end."""
        self._audit.append("agent-started")
        await self._runs.resume()
        server = DeskServer(self._desk.application())
        with listen(self._directory.desk_socket) as listener:
            loops = [
                asyncio.create_task(self._forever(self._tasks.fetch), name="tasks"),
                asyncio.create_task(self._forever(self._send_reports), name="reports"),
                asyncio.create_task(self._forever(self._presence.tell_joins), name="joins"),
                asyncio.create_task(self._forever(self._presence.tell_card), name="card"),
                asyncio.create_task(self._forever(self._pages.keep), name="approval-page"),
                asyncio.create_task(self._forever(self._tell_refusals), name="refusals"),
                asyncio.create_task(self._forever(self._worker.keep_ready), name="estate-worker"),
            ]
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="desk")
            _LOG.info("the agent of %s serves", self._directory.configuration.name)
            for study in self._memberships.void():
                _LOG.warning("who signed the membership in the study %s decides here no more; join it again", study)
            await asyncio.wait({asyncio.create_task(self._stop.wait()), serving}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            for loop in loops:
                loop.cancel()
            self._tasks.abandon()
            await self._runs.close(_STOP_S)
            await asyncio.wait([*loops, serving], timeout=1.0)
        self._pages.close()
        self._directory.desk_socket.unlink(missing_ok=True)
        await self._worker.close()
        await self._hub.close()
        _LOG.info("the agent has ended")

    def stop(self) -> None:
        """Have ``run`` come to its end."""
        self._stop.set()

    async def _forever(self, loop: Callable[[], Awaitable[None]]) -> None:
        """A fault in one loop is logged and waited out; the others go on."""
        while True:
            try:
                await loop()
            except NotNow:
                pass
            except FlipError as error:
                _LOG.warning("the hub refuses: %s (%s)", error, error.code)
            except Exception:
                _LOG.exception("a loop failed")
            await asyncio.sleep(_RETRY_S)

    async def _tell_refusals(self) -> None:
        """Have the audit log say each hour how many refusals there were like those that it names."""
        while True:
            await asyncio.sleep(_REFUSALS_S)
            self._audit.refusals.tell()

    async def _send_reports(self) -> None:
        """Send what the outbox holds, in its order; a report that the hub refuses is logged and left behind.

        One that a full disk leaves without its leaf waits.
        """
        while True:
            self._runs.tell_progress()
            report = self._store.outbox.next()
            if report is None:
                await asyncio.sleep(_IDLE_S)
                continue
            try:
                await self._hub.patiently(partial(self._hub.report, report))
            except FlipError as error:
                if error.code == disk.CODE:
                    raise
                _LOG.warning("the hub refuses a report of run %s: %s (%s)", report.run, error, error.code)
            self._store.outbox.sent(report.number)


def serve(directory: Path) -> None:
    """Run an agent until SIGTERM or SIGINT. Raises FlipError where it refuses to start, naming why."""
    enclave = EnclaveDirectory.open(directory)
    with contextlib.ExitStack() as held:
        held.enter_context(sole_user(enclave))  # before anything is written, the log of the one that runs above all
        enclave.logs.mkdir(exist_ok=True, mode=0o700)
        own = enclave.logs / "agent.log"
        log_to(own)
        held.enter_context(logs_kept((enclave.logs, "*.log"), (enclave.runs, "*/runner.log"), own=own))
        try:
            enclave.make_runtime()
            raise_open_files()
            with contextlib.closing(Stores.open(enclave, enclave.load_node_key())) as stores:
                for lock in sorted(enclave.environments.glob("*/lock.txt")):
                    require_environment(lock)
                report = probe(uid=run_uid(enclave.directory, 0), outside=(enclave.directory, enclave.node_key))
                refuse_if_weaker(report, enclave.policy().kernel)
                asyncio.run(_run(stores, sandbox_facts(report)))
        except FlipError as error:
            _LOG.error("the agent does not start: %s (%s)", error, error.code)
            raise


def sandbox_facts(report: ProbeReport) -> dict[str, bool | int | str | None]:
    """A probe's report in the desk's plain words."""
    return {
        name: ", ".join(value) if isinstance(value, tuple | list) else value
        for name, value in report.model_dump().items()
    }


async def _run(stores: Stores, sandbox: dict[str, bool | int | str | None]) -> None:
    agent = Agent(stores, sandbox)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, agent.stop)
    await agent.run()
