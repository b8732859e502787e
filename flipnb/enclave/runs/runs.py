"""All runs of an enclave: which are admitted, which go on here, and which are over."""

from __future__ import annotations

import asyncio
import logging
from weakref import WeakValueDictionary

from flipnb.contracts.approval import MENDED_BY_APPROVAL
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.count import ESTATE_FAILED
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import SLOT_RELEASED, TrustState
from flipnb.contracts.task import AcceptTask, RunTask, StartTask, StopTask, TaskAnswer
from flipnb.enclave.approvals.approvals import APPROVE_ANEW
from flipnb.enclave.approvals.decisions import Decisions
from flipnb.enclave.approvals.executions import wait_again
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.runs.directory import clear
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.hub import Hub
from flipnb.enclave.runs.outcome import ENCLAVE_FAILED, GOES_ON_LATER, Outcome
from flipnb.enclave.runs.run import ActiveRun
from flipnb.enclave.stores.grid import Grid
from flipnb.enclave.stores.stored import STARTED, StoredRun

_LOG = logging.getLogger("flipnb.enclave.runs")


def _resumed(run: StoredRun) -> tuple[bool, str, str]:
    """Where a run stands among those that are taken up again."""
    released = run.state == "queued" and run.code == SLOT_RELEASED
    return released, run.started.isoformat() if run.started is not None else "", run.run


class Runs:
    """Handles the tasks ``run``, ``accept``, ``start`` and ``stop``.

    Every handler may be called again with the same task: it decides from what is on disk.
    """

    def __init__(self, enclave: Enclave, requests: Requests, decisions: Decisions, hub: Hub) -> None:
        self._enclave, self._requests, self._decisions, self._hub = enclave, requests, decisions, hub
        self._store, self._audit = enclave.store, enclave.audit
        self._active: dict[str, ActiveRun] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By run, for as long as one is held: a hub may name as many runs as it likes."""
        self._in_order = asyncio.Lock()
        """Runs stand in the line for slots as they were started, which is as the hub asked for them."""
        self._ending = False

    @property
    def running(self) -> int:
        """How many kernels run."""
        return self._enclave.slots.used

    def active(self, run: str) -> ActiveRun | None:
        """A run that goes on here; it may wait for a slot."""
        return self._active.get(run)

    async def resume(self) -> None:
        """Start anew what ran when the agent ended; the kernel gets the round again that is still open.

        Slots are taken in the order in which the runs were started, as at all other Trusts, and before those that had
        given theirs back. What runs that are over could not have removed is removed now, and files that
        no bundle needs.
        """
        self._requests.forget_files()
        for run in sorted(self._store.runs.all(), key=_resumed):
            last = self._store.rounds.last(run.run)
            if run.state in STARTED:
                if last is not None and last.reply is not None and not last.training:
                    # It ended between the last answer and the word of it.
                    self._over(run, Outcome("finished"))
                else:
                    self._launch(run)
            elif run.over:
                clear(self._enclave.run_directory(run.run))
            elif run.state == "left-out":
                self._over(run, Outcome("failed", "agent-restarted", "The enclave was restarted."))

    async def close(self, within_s: float) -> None:
        """End all kernels; their runs go on when the agent starts again."""
        self._ending = True
        for active in list(self._active.values()):
            active.interrupt(GOES_ON_LATER)
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=within_s)
            for life in late:
                life.cancel()

    async def on_run(self, task: RunTask) -> TaskAnswer:
        """Admit a run, once, or refuse it by a report with its code and reason."""
        async with self._turn(task.run):
            stored = self._store.runs.get(task.run)
            if stored is None or stored.state == "notified":
                try:
                    await self._admit(task)
                except FlipError as error:
                    return self._refuse(task.run, task.study, error)
            return TaskAnswer()

    async def on_accept(self, task: AcceptTask) -> TaskAnswer:
        """Say that a run may start with these members, or refuse it by a report; nothing is taken yet."""
        async with self._turn(task.run):
            try:
                stored = self._known(task.run)
                if stored.state not in STARTED:
                    if self._ending:
                        raise FlipError("agent-ends", "The enclave is being stopped.", status=503)
                    await self._decisions.require_startable(stored, task.members)
            except FlipError as error:
                return self._refuse(task.run, task.study, error)
            return TaskAnswer()

    async def on_start(self, task: StartTask) -> TaskAnswer:
        """Start a run that is approved, or refuse it by a report; one that was started here is left alone.

        Whether that one is over its report says, on a tick: a hub that asks again and again hears nothing here.
        """
        async with self._turn(task.run):
            try:
                before = self._store.runs.get(task.run)
                if before is not None and before.state in ("left-out", "finished", "failed", "stopped"):
                    return TaskAnswer()
                stored = self._known(task.run)
                if stored.state not in STARTED:
                    if self._ending:
                        raise FlipError("agent-ends", "The enclave is being stopped.", status=503)
                    async with self._in_order:
                        await self._decisions.start(stored, task.members)
            except FlipError as error:
                return self._refuse(task.run, task.study, error)
            self._launch(self._known(task.run))
            return TaskAnswer()

    async def on_stop(self, task: StopTask) -> TaskAnswer:
        """Stop a run at the hub's word; answered when its kernel is gone, on the grid of replies."""
        grid = Grid.from_now(self._enclave.directory.policy().reply_seconds)
        await self.stop(task.run, by="hub")
        await asyncio.sleep(grid.wait)
        return TaskAnswer()

    async def stop(self, run: str, *, by: str) -> None:
        """End the run's kernel; returns when it is gone. Raises FlipError ``unknown-run`` to the desk only.

        The kernel is told first of all: no fault of store or disk lets it go on.
        """
        reason = "Stopped by the Trust's data controller." if by == "controller" else None
        active = self._active.get(run)
        if active is not None:
            await active.stop(Outcome("stopped", "stopped", reason))
            return
        if self._store.runs.get(run) is None:
            if by == "hub":
                return
            raise FlipError("unknown-run", f"There is no run {run} here.", status=404)
        if self._store.runs.advance(run, "stopped", code="stopped", reason=reason):
            self._audit.append("stopped", run=run, by=by)
            await self._deal_again(run)

    async def _deal_again(self, run: str) -> None:
        """What was promised to a run that is over may let another one start."""
        stored = self._store.runs.get(run)
        if stored is None:
            return
        try:
            await self._decisions.deal(stored.bundle)
        except FlipError as error:
            if error.code != "declined":
                _LOG.warning("the executions of bundle %s are not dealt again: %s", stored.bundle, error)

    def give_up(self, run: str) -> None:
        """End a run at which this enclave failed: its kernel, or, before there is one, its part here."""
        active = self._active.get(run)
        if active is not None:
            active.interrupt(ENCLAVE_FAILED)
            return
        try:
            self._store.runs.advance(run, "refused", code=ENCLAVE_FAILED.code, reason=ENCLAVE_FAILED.reason)
        except Exception:
            _LOG.exception("the run %s is given up, and the store can't say so", run)

    def tell_progress(self) -> None:
        """Put into the outbox what is new of where the runs are."""
        for active in self._active.values():
            active.tell_progress()

    async def _admit(self, task: RunTask) -> None:
        admitted = await self._requests.receive(
            task.run, task.study, task.run_request, self._hub.bundle, self._hub.fetch_blob, self._require_answerable
        )
        content = admitted.bundle
        self._store.runs.add(
            task.run,
            bundle=admitted.digest,
            study=content.study,
            title=content.title,
            point=admitted.point,
            choices=admitted.choices,
            requested=admitted.requested,
        )
        await self._decisions.deal(admitted.digest)

    async def _require_answerable(self, bundle: Bundle) -> None:
        """Refuse a cohort that no database could find, by its text alone. Without an estate that is seen later."""
        worker = self._enclave.worker
        version = await worker.current()
        if version is None:
            return
        try:
            await worker.check_bundle(version, bundle)
        except FlipError as error:
            if error.code == ESTATE_FAILED:
                _LOG.warning("the cohort of a bundle could not be checked: %s", error)
                return
            raise

    def _turn(self, run: str) -> asyncio.Lock:
        return self._turns.setdefault(run, asyncio.Lock())

    def _launch(self, stored: StoredRun) -> None:
        if stored.run in self._active or self._ending:
            return
        bundle = self._requests.content(stored.bundle).at(stored.choices)
        active = ActiveRun(self._enclave, stored, bundle, self._enclave.directory.policy())
        self._active[stored.run] = active
        life = asyncio.create_task(self._live(active), name=f"run-{stored.run[:8]}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _live(self, active: ActiveRun) -> None:
        try:
            await active.live()
        finally:
            self._active.pop(active.run, None)

    def _over(self, run: StoredRun, outcome: Outcome) -> None:
        """A run that ended with an earlier agent, which could not say so any more."""
        assert outcome.state is not None
        clear(self._enclave.run_directory(run.run))
        self._store.runs.advance(run.run, outcome.state, code=outcome.code, reason=outcome.reason)

    def _known(self, run: str) -> StoredRun:
        stored = self._store.runs.get(run)
        if stored is None:
            raise FlipError("unknown-run", "The run was not admitted here.", status=404)
        if stored.over or stored.state == "left-out":
            raise FlipError(stored.code or "run-ended", stored.reason or f"The run is {stored.state} here.", status=409)
        return stored

    def _refuse(self, run: str, study: str, error: FlipError) -> TaskAnswer:
        if error.status >= 500:
            raise error
        _LOG.warning("run %s of study %s: %s", run, study, error)
        stored = self._store.runs.get(run)
        if stored is None:
            self._store.outbox.add_refusal(run, error.code, error.message[:400])
            self._audit.refusals.add(
                "request-refused", study, run=run, study=study, code=error.code, reason=error.message
            )
        elif stored.started is None and error.code in MENDED_BY_APPROVAL:
            wait_again(self._store, stored, error.code, f"{error.message.rstrip('.')}; {APPROVE_ANEW}")
        elif not stored.over:
            to: TrustState = "declined" if error.code == "declined" else "refused"
            if self._store.runs.advance(run, to, code=error.code, reason=error.message):
                self._audit.append("request-refused", run=run, study=study, code=error.code, reason=error.message)
            if to == "declined":
                return TaskAnswer()
        return TaskAnswer(code=error.code, reason=error.message[:400])
