"""The life of one run in an enclave, from its frozen cohort to the end of its kernel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from flipnb.contracts import disk
from flipnb.contracts.audit import AuditKind
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.outputs import Part
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import SLOT_RELEASED, TrustState
from flipnb.enclave.airlock.airlock import Airlock
from flipnb.enclave.airlock.door import Door, Hearers
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.runner.order import Verdict
from flipnb.enclave.runs import outcome as ends
from flipnb.enclave.runs.cohort import RunCohort
from flipnb.enclave.runs.deaths import Deaths, failure_of
from flipnb.enclave.runs.directory import COHORT, clear
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.kernel import RunKernel
from flipnb.enclave.runs.outcome import Outcome
from flipnb.enclave.runs.progress import ProgressKeeper
from flipnb.enclave.runs.slots import Place
from flipnb.enclave.stores.grid import Grid
from flipnb.enclave.stores.stored import StoredRun

_LOG = logging.getLogger("flipnb.enclave.runs.run")
_FULL_S = 2.0


class ActiveRun:
    """One run whose approval is consumed. ``live`` is its life; the other methods may be called at any time."""

    def __init__(self, enclave: Enclave, stored: StoredRun, bundle: Bundle, policy: Policy) -> None:
        self._enclave, self._stored, self._bundle, self._policy = enclave, stored, bundle, policy
        self._loop = asyncio.get_running_loop()
        self.run = stored.run
        self.directory = enclave.run_directory(stored.run)
        self.airlock: asyncio.Future[Airlock | None] = self._loop.create_future()
        self.over = asyncio.Event()
        self._answered = asyncio.Condition()
        self._kernel: RunKernel | None = None
        self._ending: Outcome | None = None
        self._interrupted = asyncio.Event()
        self._asked = asyncio.Event()
        self._deaths = Deaths()
        self._kept: set[asyncio.Future[None]] = set()
        self.fetching = asyncio.Lock()
        """Held by who fetches weights for the kernel."""
        self.fetched: set[int] = set()
        """The rounds whose weights were fetched."""
        self._grids: dict[tuple[str, int], Grid] = {}
        self._grid = Grid.from_now(policy.progress_seconds)
        self._progress = ProgressKeeper(enclave.store, stored.run, epochs=bundle.plan.epochs, grid=self._grid)
        self._cohort = RunCohort(
            enclave.directory,
            enclave.store,
            enclave.worker,
            stored,
            bundle,
            policy,
            self.directory / COHORT,
        )

    async def live(self) -> None:
        """Freeze, start, serve, end; whatever happens, what the run left is gone and its end is reported."""
        outcome = ends.ENCLAVE_FAILED
        try:
            outcome = await self._live()
        except asyncio.CancelledError:
            outcome = ends.GOES_ON_LATER
            raise
        except FlipError as error:
            _LOG.warning("run %s failed: %s", self.run, error)
            outcome = self._ending or ends.of_error(error)
        except Exception as error:
            _LOG.exception("run %s failed", self.run)
            if disk.is_full(error):
                outcome = self._ending or ends.of_full_disk()
        finally:
            if not self.airlock.done():
                self.airlock.set_result(None)
            await asyncio.shield(self._end(outcome))

    async def stop(self, outcome: Outcome) -> None:
        """End the kernel and return when it is gone; the run ends with ``outcome`` unless it ended before."""
        self.interrupt(outcome)
        await self.over.wait()

    def interrupt(self, outcome: Outcome) -> None:
        """End the run with this outcome, the first that it is given; its kernel is told now."""
        if self._ending is None:
            self._ending = outcome
            self._interrupted.set()
            self._asked.set()
            if self._kernel is not None:
                self._keep(asyncio.ensure_future(self._kernel.stop(2.0)))

    @property
    def ending(self) -> bool:
        """Whether it was told how to end."""
        return self._ending is not None

    def tell_progress(self) -> None:
        """Where it is, into the outbox; on a full disk that is left out, and what is in the outbox goes on."""
        try:
            self._progress.flush()
        except FlipError as error:
            if error.code != disk.CODE:
                raise

    def grid_of(self, of: str, number: int, step: float) -> Grid:
        """The grid on which the answer to this round or total leaves: from now, where it is asked for first."""
        plan = self._bundle.plan
        if number > max(plan.rounds + 1, len(self._bundle.totals)):
            return Grid.from_now(step)  # it is refused
        return self._grids.setdefault((of, number), Grid.from_now(step))

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
        door: Door | None = None
        deadline: asyncio.TimerHandle | None = None
        try:
            while self._ending is None:
                async with self._enclave.slots.one(self._place, lambda: self.ending, self._wait_for_a_slot) as slot:
                    if slot is None:
                        break
                    deadline = deadline or self._loop.call_later(
                        self._bundle.plan.run_seconds, self.interrupt, ends.TOO_LONG
                    )
                    uid = self._enclave.run_uid(slot)
                    door = door or await self._open()
                    outcome = await self._keep_kernel(door, uid) if door is not None else None
                if outcome is not None:
                    return self._ending or outcome
                while self._ending is None and not (door is not None and self._goes_on(door.airlock)):
                    self._asked.clear()
                    await self._asked.wait()
            assert self._ending is not None
            return self._ending
        finally:
            if deadline is not None:
                deadline.cancel()
            if door is not None:
                door.close()

    @property
    def _place(self) -> Place:
        """Among the runs that wait for a slot here."""
        assert self._stored.started is not None
        return self._stored.started, self.run

    def _wait_for_a_slot(self) -> None:
        try:
            self._enclave.store.runs.advance(self.run, "queued", code="no-slot", reason="All of its slots are in use.")
        except FlipError as error:  # on a full disk it waits without a word
            if error.code != disk.CODE:
                raise

    def _goes_on(self, airlock: Airlock) -> bool:
        """Whether there is what a kernel waited for that gave its slot back."""
        if self._kernel is not None and self._kernel.awaited_total is not None:
            return airlock.totals.settled(self._kernel.awaited_total)
        return airlock.open

    async def _open(self) -> Door | None:
        """The run's door, over its frozen cohort; None where the run was told to end meanwhile."""
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
        door = Door(
            RunFacts(
                run=self.run,
                bundle_digest=self._stored.bundle,
                bundle=self._bundle,
                members=self._stored.members,
                people=people,
                directory=self.directory,
            ),
            self._enclave.directory.broker_socket(self.run),
            Hearers(
                misbehaviour=self._from_broker(self._misbehaved),
                round=self._progress.round,
                tell=self._progress.tell,
                submit=self._from_broker(self._submitted),
            ),
            key=self._enclave.key,
            store=self._enclave.store,
            audit=self._enclave.audit,
            policy=self._policy,
        )
        door.airlock.on_offered = self._progress.offered
        door.airlock.on_wanted = self._from_broker(lambda: self._keep(asyncio.ensure_future(self._wake())))
        self.airlock.set_result(door.airlock)
        return door

    async def _keep_kernel(self, door: Door, uid: int | None) -> Outcome | None:
        """Run the notebook, anew where its kernel is killed; None where it is to give back its slot while it waits."""
        while self._ending is None:
            self._kernel = kernel = RunKernel(
                self._enclave, self._stored, self._bundle, self._policy, door, self._progress, uid
            )
            verdict = await kernel.live()
            if self._ending is not None:
                break
            if kernel.released:
                self._enclave.audit.append("slot-released", run=self.run, round=self._progress.number)
                self._enclave.store.runs.advance(
                    self.run,
                    "queued",
                    code=SLOT_RELEASED,
                    reason="Gave its slot to others while it waited for its next round.",
                    due=self._grid.next,
                )
                return None
            if not self._deaths.start_anew(verdict, self._progress.number):
                return self._judge(verdict, door.airlock)
            self._tell_death(verdict)
            if door.airlock.finished:
                return ends.FINISHED
        return self._ending

    def _tell_death(self, verdict: Verdict) -> None:
        failure = failure_of(verdict, self._progress.at_cell, self._progress.number)
        _LOG.warning("the kernel of run %s died (%s, status %s)", self.run, verdict.reason, verdict.status)
        self._record_death(verdict)
        self._enclave.store.runs.tell_death(
            self.run,
            failure,
            "recovering",
            f"{failure.describe()}; the kernel is started anew.",
            due=self._grid.next,
        )

    def _record_death(self, verdict: Verdict) -> None:
        """Cause and exit status are for the Trust alone: a notebook could choose the number."""
        self._enclave.audit.append(
            "kernel-died", run=self.run, round=self._progress.number, reason=verdict.reason, status=verdict.status
        )

    def _judge(self, verdict: Verdict, airlock: Airlock) -> Outcome:
        if verdict.outcome == "failed":
            failure = failure_of(verdict, self._progress.at_cell, self._progress.number)
            if verdict.reason is not None:
                self._record_death(verdict)
            if failure.error_class == "FlipError":
                failure = failure.model_copy(update={"refusal": airlock.refusal})
            return Outcome("failed", "notebook-failed", failure.describe(), failure)
        if verdict.outcome == "stopped":
            return ends.KERNEL_ENDED
        return ends.FINISHED if airlock.finished else ends.ROUNDS_MISSING

    def _submitted(self, number: int, leave: bool) -> None:
        if leave:
            self._enclave.audit.append("left", run=self.run, round=number)
            self._enclave.store.runs.advance(
                self.run,
                "left-out",
                code="left",
                reason=f"The notebook left the run in round {number}.",
                due=self._grid.next,
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
            self._progress.end()
            if self._enclave.store.runs.advance(
                self.run,
                state,
                code=outcome.code,
                reason=outcome.reason,
                failure=outcome.failure,
                due=self._grid.next,
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
