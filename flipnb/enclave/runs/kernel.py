"""One kernel of a run, with the broker that serves it and the runner that drives it, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.policy import Policy
from flipnb.enclave.airlock.broker import Broker
from flipnb.enclave.airlock.door import Door
from flipnb.enclave.approvals.attached import AttachedFiles
from flipnb.enclave.kernels.gpu import gpus_watched
from flipnb.enclave.runner.order import CellEvent, KernelStarted, MemoryEvent, RunnerOrder, Told, Verdict
from flipnb.enclave.runner.process import RunnerProcess
from flipnb.enclave.runs.directory import COHORT, EXECUTED, FILES
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.progress import ProgressKeeper
from flipnb.enclave.stores.stored import StoredRun
from flipnb.files.logs import open_log


class RunKernel:
    """Lives once. ``stop`` may be called at any time, also before it lives and after its end.

    ``released`` is whether it was ended because it waited so long that its slot is others'; ``awaited_total`` then is
    the total that it waited for, or None where that was a round.
    """

    def __init__(
        self,
        enclave: Enclave,
        stored: StoredRun,
        bundle: Bundle,
        policy: Policy,
        door: Door,
        progress: ProgressKeeper,
        uid: int | None,
    ) -> None:
        self._enclave, self._stored, self._bundle, self._policy = enclave, stored, bundle, policy
        self._door, self._progress, self._uid = door, progress, uid
        self._directory = enclave.run_directory(stored.run)
        self._runner: RunnerProcess | None = None
        self._stopping = False
        self.released = False
        self.awaited_total: int | None = None

    async def live(self) -> Verdict:
        """Run the notebook; returns when kernel, runner and broker are gone."""
        broker = self._door.let_in(self._uid if self._uid is not None else os.geteuid())
        try:
            return await self._execute(broker)
        finally:
            await asyncio.to_thread(broker.stop)

    async def stop(self, grace_s: float) -> None:
        """Have the kernel end; where its runner has not after ``grace_s`` seconds, it is killed."""
        self._stopping = True
        if self._runner is not None:
            await self._runner.stop(grace_s)

    async def _execute(self, broker: Broker) -> Verdict:
        directory = self._enclave.directory
        if self._bundle.files:
            attached = AttachedFiles(directory.attached)
            files = self._directory / FILES
            await asyncio.to_thread(attached.lay_out, self._stored.bundle, self._bundle.files, files)
        order = RunnerOrder(
            notebook=self._bundle.notebook,
            space=self._bundle.parameters,
            point=self._stored.point,
            limits=self._policy.kernel,
            executed=self._directory / EXECUTED,
            cohort=self._directory / COHORT,
            files=self._directory / FILES if self._bundle.files else None,
            broker=directory.broker_socket(self._stored.run),
        )
        with open_log(self._directory / "runner.log") as log:
            runner = await RunnerProcess.start(
                order,
                uid=self._uid,
                hidden=(directory.keys, directory.estate),
                log=log,
                lent=lambda: broker.lent_bytes,
            )
        self._runner = runner
        if self._stopping:
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
        self.released, self.awaited_total = True, broker.awaited_total
        await runner.stop()

    def _hear(self, event: Told | Verdict) -> None:
        if isinstance(event, KernelStarted):
            self._enclave.store.runs.advance(self._stored.run, "running")
        elif isinstance(event, CellEvent) and event.state == "started":
            self._progress.cell(event.index, event.of)
        elif isinstance(event, MemoryEvent) and self._policy.memory_use:
            self._progress.memory(event.eighths, self._policy.kernel.memory_bytes)
