"""The life of one run in an enclave, from its frozen cohort to the end of its kernel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from flipnb.contracts import disk
from flipnb.contracts.audit import AuditKind
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.failure import TIME_LIMIT
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.outputs import Part
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Failure, TrustState
from flipnb.enclave.airlock.airlock import Airlock
from flipnb.enclave.airlock.broker import Broker, state_bytes
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.kernels.gpu import gpus_watched
from flipnb.enclave.runner.order import CellEvent, KernelStarted, MemoryEvent, RunnerOrder, Told, Verdict
from flipnb.enclave.runner.process import RunnerProcess
from flipnb.enclave.runs.cohort import RunCohort
from flipnb.enclave.runs.deaths import Deaths, failure_of
from flipnb.enclave.runs.directory import COHORT, EXECUTED, clear
from flipnb.enclave.runs.progress import ProgressKeeper
from flipnb.enclave.runs.slots import Slots
from flipnb.enclave.sandbox.uids import run_uid
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun

_LOG = logging.getLogger("flipnb.enclave.runs.run")
_FULL_S = 2.0
_TOLD = frozenset({"too-few-people", "freeze-failed", "memory-cgroup-missing", disk.CODE})


@dataclass(frozen=True)
class Enclave:
    """What every run of an enclave shares."""

    directory: EnclaveDirectory
    key: SigningKey
    store: Store
    audit: AuditLog
    worker: EstateWorker
    slots: Slots

    def run_uid(self, slot: int) -> int | None:
        return run_uid(self.directory.directory, slot)


@dataclass(frozen=True)
class Outcome:
    """How a run's part ended; ``state`` None where the agent itself ends and the run is to go on later."""

    state: TrustState | None
    code: str | None = None
    reason: str | None = None
    failure: Failure | None = None


class ActiveRun:
    """One run whose approval is consumed. ``live`` is its life; the other methods may be called at any time."""

    def __init__(self, enclave: Enclave, stored: StoredRun, bundle: Bundle, policy: Policy) -> None:
        self._enclave, self._stored, self._bundle, self._policy = enclave, stored, bundle, policy
        self._loop = asyncio.get_running_loop()
        self.run = stored.run
        self.directory = enclave.directory.runs / stored.run
        self.airlock: asyncio.Future[Airlock | None] = self._loop.create_future()
        self.over = asyncio.Event()
        self._answered = asyncio.Condition()
        self._runner: RunnerProcess | None = None
        self._ending: Outcome | None = None
        self._interrupted = asyncio.Event()
        self._asked = asyncio.Event()
        self._deaths = Deaths()
        self._released = False
        self._awaited_total: int | None = None
        self._kept: set[asyncio.Future[None]] = set()
        self._progress = ProgressKeeper(enclave.store, stored.run)
        self._cohort = RunCohort(
            enclave.directory,
            enclave.store,
            enclave.worker,
            stored,
            bundle,
            policy.minimum_train,
            self.directory / COHORT,
        )

    async def live(self) -> None:
        """Freeze, start, serve, end; whatever happens, what the run left is gone and its end is reported."""
        outcome = Outcome("failed", "enclave-failed", "The enclave failed; its data controller sees why in the log.")
        try:
            outcome = await self._live()
        except asyncio.CancelledError:
            outcome = Outcome(None)
            raise
        except FlipError as error:
            _LOG.warning("run %s failed: %s", self.run, error)
            # Messages of other rooms may name this machine's paths.
            reason = error.message if error.code in _TOLD else "This Trust could not run the notebook."
            outcome = self._ending or Outcome("failed", error.code, reason)
        except Exception as error:
            _LOG.exception("run %s failed", self.run)
            if disk.is_full(error):
                outcome = self._ending or Outcome("failed", disk.CODE, disk.disk_full("this Trust's").message)
        finally:
            if not self.airlock.done():
                self.airlock.set_result(None)
            await asyncio.shield(self._end(outcome))

    async def stop(self, outcome: Outcome) -> None:
        """End the kernel and return when it is gone; the run ends with ``outcome`` unless it ended before."""
        self.interrupt(outcome)
        await self.over.wait()

    def interrupt(self, outcome: Outcome) -> None:
        if self._ending is None:
            self._ending = outcome
            self._interrupted.set()
            self._asked.set()
            if self._runner is not None:
                self._keep(asyncio.ensure_future(self._runner.stop(2.0)))

    @property
    def ending(self) -> bool:
        return self._ending is not None

    def tell_progress(self) -> None:
        """Where it is, into the outbox; on a full disk that is left out, and what is in the outbox goes on."""
        try:
            self._progress.flush()
        except FlipError as error:
            if error.code != disk.CODE:
                raise

    def asked(self) -> None:
        """A round was offered, or a total summed: a run that had given its slot back needs one again."""
        self._asked.set()

    async def answered(self, number: int, *, or_if: Callable[[], bool]) -> bool:
        """Wait until round ``number`` is answered; False where the run ends before, or ``or_if`` holds."""

        def known() -> bool:
            stored = self._enclave.store.rounds.get(self.run, number)
            return stored is not None and stored.reply is not None

        async with self._answered:
            await self._answered.wait_for(lambda: known() or self.over.is_set() or or_if())
        return known()

    async def _live(self) -> Outcome:
        airlock: Airlock | None = None
        deadline = self._loop.call_later(self._bundle.plan.run_seconds, self.interrupt, _too_long())
        try:
            while self._ending is None:
                async with self._enclave.slots.one(lambda: self.ending) as slot:
                    if slot is None:
                        break
                    uid = self._enclave.run_uid(slot)
                    airlock = airlock or await self._open()
                    outcome = await self._keep_kernel(airlock, uid) if airlock is not None else None
                if outcome is not None:
                    return self._ending or outcome
                while self._ending is None and not (airlock is not None and self._goes_on(airlock)):
                    self._asked.clear()
                    await self._asked.wait()
            assert self._ending is not None
            return self._ending
        finally:
            deadline.cancel()
            if airlock is not None:
                airlock.close()

    def _goes_on(self, airlock: Airlock) -> bool:
        """Whether there is what a kernel waited for that gave its slot back."""
        if self._awaited_total is not None:
            return airlock.totals.summed(self._awaited_total)
        return airlock.open

    async def _open(self) -> Airlock | None:
        """The run's airlock, over its frozen cohort; None where the run was told to end meanwhile."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        freezing = asyncio.ensure_future(self._cohort.frozen())
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({freezing, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if not freezing.done():
                return None
            frozen = freezing.result()
        finally:
            freezing.cancel()
            interrupted.cancel()
        people: dict[Part, int] = {"train": frozen.train, "validation": frozen.validation, "test": frozen.test}
        airlock = Airlock(
            RunFacts(
                run=self.run,
                bundle_digest=self._stored.bundle,
                bundle=self._bundle,
                members=self._stored.members,
                people=people,
                directory=self.directory,
            ),
            key=self._enclave.key,
            store=self._enclave.store,
            audit=self._enclave.audit,
            policy=self._policy,
        )
        airlock.on_wanted = self._from_broker(lambda: self._keep(asyncio.ensure_future(self._wake())))
        self.airlock.set_result(airlock)
        return airlock

    async def _keep_kernel(self, airlock: Airlock, uid: int | None) -> Outcome | None:
        """Run the notebook, anew where its kernel is killed; None where it is to give back its slot while it waits."""
        while True:
            broker = self._broker(airlock, uid)
            try:
                broker.start()
                verdict = await self._execute(broker, uid)
            finally:
                await asyncio.to_thread(broker.stop)
            if self._ending is not None:
                return self._ending
            if self._released:
                self._enclave.audit.append("slot-released", run=self.run, round=self._progress.number)
                return None
            if not self._deaths.start_anew(verdict, self._progress.number):
                return self._judge(verdict, airlock)
            self._tell_death(verdict)
            if airlock.finished:
                return Outcome("finished")

    def _broker(self, airlock: Airlock, uid: int | None) -> Broker:
        return Broker(
            self._enclave.directory.broker_socket(self.run),
            airlock,
            peer=uid if uid is not None else os.geteuid(),
            state_bytes=state_bytes(self._policy.kernel.memory_bytes),
            on_round=self._progress.round,
            on_tell=self._progress.tell,
            on_submit=self._from_broker(self._submitted),
            on_misbehaviour=self._from_broker(self._misbehaved),
        )

    async def _execute(self, broker: Broker, uid: int | None) -> Verdict:
        """One kernel, from its start to its end."""
        order = RunnerOrder(
            notebook=self._bundle.notebook,
            space=self._bundle.parameters,
            point=self._stored.point,
            limits=self._policy.kernel,
            executed=self.directory / EXECUTED,
            cohort=self.directory / COHORT,
            broker=self._enclave.directory.broker_socket(self.run),
        )
        hidden = (self._enclave.directory.keys, self._enclave.directory.estate)
        self._released = False
        with (self.directory / "runner.log").open("ab") as log:
            runner = await RunnerProcess.start(order, uid=uid, hidden=hidden, log=log)
        self._runner = runner
        if self._ending is not None:
            await runner.stop(0.5)
        releasing = asyncio.ensure_future(self._release(broker, runner))
        try:
            with gpus_watched(runner.pid, self._progress.gpu) if self._policy.memory_use else contextlib.nullcontext():
                async for event in runner.events():
                    self._hear(event)
        finally:
            releasing.cancel()
        assert runner.verdict is not None
        return runner.verdict

    async def _release(self, broker: Broker, runner: RunnerProcess) -> None:
        """End a kernel that waits for its next round longer than policy allows; its state was saved with the last."""
        limit = self._policy.waiting_seconds
        while (waited := broker.waiting_seconds) <= limit:
            await asyncio.sleep(max(0.2, min(limit - waited, limit / 4)))
        self._released, self._awaited_total = True, broker.awaited_total
        await runner.stop()

    def _tell_death(self, verdict: Verdict) -> None:
        failure = failure_of(verdict, self._progress.at_cell, self._progress.number)
        _LOG.warning("the kernel of run %s died (%s, status %s)", self.run, verdict.reason, verdict.status)
        self._record_death(verdict)
        self._enclave.store.runs.tell_death(
            self.run, failure, "recovering", f"{failure.describe()}; the kernel is started anew."
        )

    def _record_death(self, verdict: Verdict) -> None:
        """Cause and exit status are for the Trust alone: a notebook could choose the number."""
        self._enclave.audit.append(
            "kernel-died", run=self.run, round=self._progress.number, reason=verdict.reason, status=verdict.status
        )

    def _hear(self, event: Told | Verdict) -> None:
        if isinstance(event, KernelStarted):
            self._enclave.store.runs.advance(self.run, "running")
        elif isinstance(event, CellEvent) and event.state == "started":
            self._progress.cell(event.index, event.of)
        elif isinstance(event, MemoryEvent) and self._policy.memory_use:
            self._progress.memory(event.eighths, self._policy.kernel.memory_bytes)

    def _judge(self, verdict: Verdict, airlock: Airlock) -> Outcome:
        if verdict.outcome == "failed":
            failure = failure_of(verdict, self._progress.at_cell, self._progress.number)
            if verdict.reason is not None:
                self._record_death(verdict)
            if failure.error_class == "FlipError":
                failure = failure.model_copy(update={"refusal": airlock.refusal})
            return Outcome("failed", "notebook-failed", failure.describe(), failure)
        if verdict.outcome == "stopped":
            return Outcome("failed", "kernel-ended", "The kernel was ended from outside the enclave.")
        if airlock.finished:
            return Outcome("finished")
        return Outcome("failed", "rounds-missing", "The notebook ended before the last round.")

    def _submitted(self, number: int, leave: bool) -> None:
        if leave:
            self._enclave.audit.append("left", run=self.run, round=number)
            self._enclave.store.runs.advance(
                self.run, "left-out", code="left", reason=f"The notebook left the run in round {number}."
            )
        self._keep(asyncio.ensure_future(self._wake()))

    def _misbehaved(self, code: str, reason: str) -> None:
        self.interrupt(Outcome("failed", code, reason))
        self._enclave.audit.append("report-refused", run=self.run, code=code)

    async def _wake(self) -> None:
        async with self._answered:
            self._answered.notify_all()

    def _from_broker(self, call: Callable[..., None]) -> Callable[..., None]:
        """``call`` in the event loop, from the broker's thread."""

        def hand_over(*arguments: object) -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *arguments)

        return hand_over

    async def _end(self, outcome: Outcome) -> None:
        if outcome.state is not None:
            clear(self.directory)
            while not self._record_end(outcome.state, outcome):
                await asyncio.sleep(_FULL_S)
        self.over.set()
        await self._wake()

    def _record_end(self, state: TrustState, outcome: Outcome) -> bool:
        """False where the disk is too full for it; what the run left is gone, so that there may be room already."""
        try:
            if self._enclave.store.runs.advance(
                self.run, state, code=outcome.code, reason=outcome.reason, failure=outcome.failure
            ):
                kind: AuditKind = "stopped" if state == "stopped" else "run-ended"
                self._enclave.audit.append(kind, run=self.run, state=state, code=outcome.code)
        except FlipError as error:
            if error.code != disk.CODE:
                raise
            _LOG.error("the end of run %s can't be recorded: %s", self.run, error)
            return False
        return True

    def _keep(self, future: asyncio.Future[None]) -> None:
        self._kept.add(future)
        future.add_done_callback(self._kept.discard)


def _too_long() -> Outcome:
    reason = "The run took longer than its plan allows."
    return Outcome("failed", "run-too-long", reason, Failure(error_class=TIME_LIMIT))
