"""What the hub asks of a run that goes on: rounds and totals, answered once its kernel has answered them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.task import SMALL_BYTES, RoundTask, SummedTask, TaskAnswer, TotalTask
from flipnb.enclave.airlock.airlock import Airlock, Reply, stored_reply
from flipnb.enclave.airlock.given import Named
from flipnb.enclave.airlock.lease import Lease, fill
from flipnb.enclave.runs.hub import Hub
from flipnb.enclave.runs.run import ActiveRun
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.grid import Grid
from flipnb.enclave.stores.store import Store

_TOLD_S = 30.0
_TOTAL_S = 0.05


class Replies:
    """One enclave's; ``active`` is the run of an id that goes on here, or None.

    Every handler may be called again with the same task: it answers with what is on disk. When a kernel answers is its
    notebook's choice: an answer leaves on a grid of ``step`` seconds from the task's arrival, as do a large update,
    just before it, and a request for weights that a kernel wants again. Of a round or a total that the hub asks for
    several times, the grid is from the first time: many of them, one beside the other, would make a finer one. No
    kernel waits for the grid.
    """

    def __init__(
        self,
        store: Store,
        audit: AuditLog,
        hub: Hub,
        active: Callable[[str], ActiveRun | None],
        step: Callable[[], float],
    ) -> None:
        self._store, self._audit, self._hub, self._active, self._step = store, audit, hub, active, step

    async def on_round(self, task: RoundTask, weights: bytes | None = None) -> TaskAnswer:
        """The sealed reply, once the kernel has answered; a large update is at the hub then, a small one goes with it.

        ``weights`` are what came with the task; they are fetched where nothing did.
        """
        grid = self._grid(task.run, "round", task.context.round)
        try:
            reply = await self._reply(task.run, task.context, weights, grid)
            if not reply.update.exists():
                raise FlipError("round-over", f"Round {task.context.round} was summed up long ago.", status=409)
            small = reply.update.read_bytes() if reply.update.stat().st_size <= SMALL_BYTES else None
            await asyncio.sleep(grid.wait)
            if small is None:
                await self._hub.put_blob(reply.update, reply.update_sha256, task.run)
        except FlipError as error:
            return await self._refusal(task.run, error, grid)
        return TaskAnswer(envelope=reply.envelope.decode(), update=small)

    async def on_total(self, task: TotalTask) -> TaskAnswer:
        """The sealed reply, once the notebook has called ``flip.total``."""
        grid = self._grid(task.run, "total", task.total.step)
        try:
            active = self._active(task.run)
            airlock = await asyncio.shield(active.airlock) if active is not None else None
            if active is None or airlock is None or task.total.run != task.run:
                raise FlipError("run-ended", "The run does not run here.", status=409)
            airlock.totals.take(task.total)
            while (reply := airlock.totals.reply(task.total.step)) is None:
                if active.over.is_set():
                    raise FlipError("run-ended", "The run ended here before the total was answered.", status=409)
                await asyncio.sleep(_TOTAL_S)
        except FlipError as error:
            return await self._refusal(task.run, error, grid)
        await asyncio.sleep(grid.wait)
        return TaskAnswer(envelope=reply.decode())

    async def on_summed(self, task: SummedTask) -> TaskAnswer:
        """Give a run's kernel the sum that it waits for; a run that is over needs none.

        Whether it waits shows in what becomes of a wrong sum: this leaves on the total's grid, too.
        """
        grid = self._grid(task.run, "total", task.summed.context.step)
        active = self._active(task.run)
        airlock = await asyncio.shield(active.airlock) if active is not None else None
        answer = TaskAnswer()
        if active is not None and airlock is not None:
            try:
                airlock.totals.give(task.summed)
            except FlipError as error:
                answer = TaskAnswer(code=error.code, reason=error.message[:400])
            finally:
                active.asked()  # also for a kernel that gave its slot back, and is to hear of the refusal
        await asyncio.sleep(grid.wait)
        return answer

    def delivered(self, task: RoundTask) -> None:
        """The hub has the answer to ``task``, or does not know the task any more."""
        self._store.rounds.delivered(task.run, task.context.round)

    async def _reply(self, run: str, context: RoundContext, sent: bytes | None, grid: Grid) -> Reply:
        """Answered before: the stored bytes. Else what the kernel answers, once it has."""
        if context.run != run:
            raise FlipError("round-refused", "The context is of another run than the task.", status=409)
        active = self._active(run)
        airlock = await asyncio.shield(active.airlock) if active is not None else None
        if active is None or airlock is None:
            return self._of_ended(run, context)
        last = self._store.rounds.last(run)
        if last is not None and last.reply is None and last.round != context.round:
            # What other rounds are answered depends on whether this one was: asked again and again, that is a clock.
            await asyncio.sleep(active.grid_of("round", last.round, self._step()).wait)
        reply = airlock.take(context)
        if reply is not None:
            return reply
        while not await active.answered(context.round, or_if=lambda: airlock.lacks(context.round)):
            if active.over.is_set():
                raise FlipError("run-ended", "The run ended here before the round was answered.", status=409)
            # One at a time: each task that a hub hands out for the same round would take a model's size of memory.
            async with active.fetching:
                if not airlock.lacks(context.round):
                    continue
                if context.round in active.fetched:
                    await asyncio.sleep(grid.wait)
                active.fetched.add(context.round)
                while (missing := await asyncio.to_thread(airlock.missing, context)) is not None:
                    await self._keep(airlock, context, missing)
                weights = await self._weights(airlock, context, context.weights, context.weights_size, sent)
                await asyncio.to_thread(airlock.offer, context, weights)
            active.asked()
            sent = None  # a kernel that is started anew has them fetched anew
        stored = self._store.rounds.get(run, context.round)
        assert stored is not None
        return stored_reply(stored)

    def _of_ended(self, run: str, context: RoundContext) -> Reply:
        stored = self._store.rounds.get(run, context.round)
        if stored is not None and stored.reply is not None and stored.digest == context.digest():
            return stored_reply(stored)
        if stored is not None and stored.digest != context.digest():
            self._audit.refusals.add("round-refused", run, run=run, round=context.round, context=context.digest())
            raise FlipError("round-refused", f"Round {context.round} was given another context before.", status=409)
        raise FlipError("run-ended", "The run does not run here.", status=409)

    def _grid(self, run: str, of: str, number: int) -> Grid:
        active = self._active(run)
        return active.grid_of(of, number, self._step()) if active is not None else Grid.from_now(self._step())

    async def _refusal(self, run: str, error: FlipError, grid: Grid) -> TaskAnswer:
        await self._told(run)
        await asyncio.sleep(grid.wait)
        return TaskAnswer(code=error.code, reason=error.message[:400])

    async def _told(self, run: str) -> None:
        """Wait until the hub has heard of what happened to the run: why it ended says more than a round refused."""
        deadline = asyncio.get_running_loop().time() + _TOLD_S
        while self._store.outbox.waits(run) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)

    async def _keep(self, airlock: Airlock, context: RoundContext, missing: Named) -> None:
        """Fetch earlier weights that are not here any more, to measure those of ``context`` by."""
        weights = await self._weights(airlock, context, missing.sha256, missing.size, None)
        try:
            await asyncio.to_thread(airlock.keep, missing, weights)
        finally:
            weights.close()

    async def _weights(
        self, airlock: Airlock, context: RoundContext, digest: str, size: int, sent: bytes | None
    ) -> Lease:
        """Global weights in sealed memory, of this digest and size; of the round of ``context``, or for it."""
        lease = Lease(size)
        try:
            if sent is not None:
                fill(lease.descriptor, sent, digest, size)
            else:
                await self._hub.fetch_blob(digest, size, lease.descriptor)
            lease.seal()
        except BaseException as error:
            lease.close()
            if isinstance(error, FlipError):
                airlock.refuse_weights(context, error)
            raise
        return lease
