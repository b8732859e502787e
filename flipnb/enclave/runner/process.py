"""A runner as its agent holds it: started in a jail, heard asynchronously, stopped at a word."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import IO

import psutil
from pydantic import ValidationError

from flipnb.contracts.failure import KERNEL_DIED, OUT_OF_MEMORY, TIME_LIMIT
from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.enclave.airlock.lease import NAME
from flipnb.enclave.runner.order import (
    EVENT_BYTES,
    RUNNER_EVENT,
    RunnerOrder,
    RunnerTask,
    Told,
    Verdict,
)
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import RUNTIME, Bind, JailedProcess, Volatile, spawn
from flipnb.enclave.sandbox.limits import ControlGroup, oom_kills, used_bytes
from flipnb.files.whole import publish

MIB = 1 << 20
GRACE_S = 5.0
_GUARD_S = 30.0
_LENT_S = 0.2
_RUNNER_LIMITS = {"DATA": 1024 * MIB, "FSIZE": 256 * MIB, "CORE": 0, "NOFILE": 1024}
"""Soft limits of the runner itself, so that a kernel's flood ends it before it harms the machine."""


class RunnerProcess:
    """One run's runner. ``events()`` is read by one reader and always ends with exactly one Verdict."""

    def __init__(
        self,
        process: JailedProcess,
        channel: socket.socket,
        order: RunnerOrder,
        temporary: Path,
        cgroup: ControlGroup | None,
        lent: Callable[[], int],
    ) -> None:
        self._process = process
        self._channel = channel
        self._order = order
        self._temporary = temporary
        self._cgroup = cgroup
        self._lent = lent
        self._stopping = self._over_memory = False
        self._started = time.monotonic()
        self.verdict: Verdict | None = None

    @property
    def pid(self) -> int:
        """The process id of the jail's outermost process."""
        return self._process.pid

    @property
    def memory_cgroup(self) -> bool:
        """Whether a control group limits the run's memory."""
        return self._cgroup is not None

    @classmethod
    async def start(
        cls,
        order: RunnerOrder,
        *,
        uid: int | None,
        hidden: Sequence[Path] = (),
        interpreter: Interpreter | None = None,
        log: int | IO[bytes] = subprocess.DEVNULL,
        lent: Callable[[], int] = lambda: 0,
    ) -> RunnerProcess:
        """Start a runner in a jail; returns when it runs, before its kernel does.

        ``uid`` as in ``jail.spawn``: as root, an unprivileged one that no other run has. As root the broker's socket
        is given to ``uid``, and cohort and files made readable for all, so they must lie in a directory that is not.
        ``log`` gets the runner's own words; they hold nothing that a kernel sent, except, escaped, the sandbox's
        complaints. ``lent`` says how many bytes of memory the kernel has of the enclave; where no control group counts
        them, they count here. Raises FlipError ``memory-cgroup-missing``, and those of ``jail.spawn``.
        """
        return await asyncio.to_thread(cls._start, order, uid, hidden, interpreter, log, lent)

    @classmethod
    def _start(
        cls,
        order: RunnerOrder,
        uid: int | None,
        hidden: Sequence[Path],
        interpreter: Interpreter | None,
        log: int | IO[bytes],
        lent: Callable[[], int],
    ) -> RunnerProcess:
        limits = order.limits
        interpreter = interpreter or Interpreter.current()
        cgroup = ControlGroup.create(limits.memory_bytes, limits.processes)
        if cgroup is None and limits.require_memory_cgroup:
            raise FlipError(
                "memory-cgroup-missing",
                "The policy demands a control group for each kernel's memory, and this machine gives none.",
                remedy="Run the enclave as a service with Delegate=memory pids, or as root.",
            )
        with contextlib.ExitStack() as undo:
            if cgroup is not None:
                undo.callback(cgroup.destroy)
            channel, channel_inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(channel.close)
            handle, name = tempfile.mkstemp(dir=order.executed.parent, prefix=".executed-")
            undo.callback(lambda: Path(name).unlink(missing_ok=True))
            paper = os.memfd_create("order")
            passed = (channel_inside.fileno(), handle, paper)
            try:
                inside, visible = _seen_inside(order, uid)
                task = RunnerTask(order=inside, events=passed[0], executed=handle, cgroup=cgroup is not None)
                os.write(paper, task.model_dump_json().encode())
                os.lseek(paper, 0, os.SEEK_SET)
                process = spawn(
                    [interpreter.executable, "-P", "-m", "flipnb.enclave.runner", str(paper)],
                    uid=uid,
                    visible=visible,
                    hidden=hidden,
                    volatile=_volatile(limits),
                    pass_fds=passed,
                    limits=_RUNNER_LIMITS,
                    cgroup=cgroup,
                    interpreter=interpreter,
                    stderr=log,
                )
            finally:
                channel_inside.close()
                os.close(handle)
                os.close(paper)
            undo.pop_all()
        channel.setblocking(False)
        return cls(process, channel, order, Path(name), cgroup, lent)

    async def events(self) -> AsyncIterator[Told | Verdict]:
        """What the runner tells, until its verdict; afterwards everything of it is gone and the notebook stored."""
        left = 2 * len(self._order.notebook.cells) + 16
        watching = asyncio.ensure_future(self._watch_lent())
        try:
            while self.verdict is None and left > 0:
                event = await self._next()
                left -= 1
                if isinstance(event, Verdict):
                    self.verdict = self._judged(event)
                elif event is not None:
                    yield event
                else:
                    break
        finally:
            watching.cancel()
            await self._finish()
        assert self.verdict is not None
        yield self.verdict

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """End kernel and runner; ``events()`` then ends with the verdict ``stopped``, unless it had another."""
        self._stopping = True
        await self._end(grace_s)

    async def _end(self, grace_s: float) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()

    async def _watch_lent(self) -> None:
        """End the kernel where its processes and what it was lent are more than its limit.

        The runner's own watch sees the processes alone, and a control group counts by itself.
        """
        limit = self._order.limits.memory_bytes
        while self._cgroup is None:
            await asyncio.sleep(_LENT_S)
            lent = self._lent()
            if lent and await asyncio.to_thread(used_bytes, _kernel(self.pid), lent, NAME, limit) > limit:
                self._over_memory = True
                await self._end(GRACE_S)
                return

    def _judged(self, verdict: Verdict) -> Verdict:
        """A runner that was told to stop does not know why."""
        if not self._over_memory or verdict.outcome != "stopped":
            return verdict
        return Verdict(outcome="failed", error_class=OUT_OF_MEMORY, cell=verdict.cell, reason="memory")

    async def _next(self) -> Told | Verdict | None:
        """The next event; None where the runner is gone, silent beyond its time, or says what it must not."""
        limits = self._order.limits
        allowed = self._order.start_seconds + limits.wall_seconds + _GUARD_S
        remaining = allowed - (time.monotonic() - self._started)
        loop = asyncio.get_running_loop()
        try:
            packet = await asyncio.wait_for(loop.sock_recv(self._channel, EVENT_BYTES), max(remaining, 0))
        except TimeoutError:
            self.verdict = Verdict(outcome="failed", error_class=TIME_LIMIT, reason="wall-time")
            return None
        except OSError:
            return None
        try:
            return RUNNER_EVENT.validate_json(packet, strict=True) if packet else None
        except ValidationError:
            return None

    async def _finish(self) -> None:
        if self.verdict is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, GRACE_S)
        if self._process.poll() is None:
            self._process.kill()
        await asyncio.to_thread(self._process.wait)
        self._channel.close()
        if self.verdict is None:
            self.verdict = self._without_verdict()
        if self._cgroup is not None:
            await asyncio.to_thread(self._cgroup.destroy)
        self._store()

    def _without_verdict(self) -> Verdict:
        if self._over_memory:
            return Verdict(outcome="failed", error_class=OUT_OF_MEMORY, reason="memory")
        if self._stopping:
            return Verdict(outcome="stopped")
        if self._cgroup is not None and oom_kills(self._cgroup.report):
            return Verdict(outcome="failed", error_class=OUT_OF_MEMORY, reason="memory")
        return Verdict(outcome="failed", error_class=KERNEL_DIED, reason="runner")

    def _store(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._temporary.stat().st_size:
                publish(self._temporary, self._order.executed)
            else:
                self._temporary.unlink()


def _kernel(jail: int) -> int:
    """The sandbox's outermost process, which the runner started; where there is none yet, the one that leads to it."""
    found = jail
    with contextlib.suppress(psutil.NoSuchProcess, IndexError):
        for _ in ("the jail's inner process", "the runner", "bubblewrap"):
            found = psutil.Process(found).children()[0].pid
    return found


def _seen_inside(order: RunnerOrder, uid: int | None) -> tuple[RunnerOrder, list[Bind]]:
    """The order with the jail's paths, and the binds that make them."""
    changes: dict[str, Path] = {}
    binds = [Bind(device, device=True) for device in order.devices]
    if order.cohort is not None:
        changes["cohort"] = RUNTIME / "cohort"
        binds.append(Bind(order.cohort, changes["cohort"]))
    if order.files is not None:
        changes["files"] = RUNTIME / "bundle"
        binds.append(Bind(order.files, changes["files"]))
    if order.broker is not None:
        changes["broker"] = RUNTIME / "broker.sock"
        binds.append(Bind(order.broker, changes["broker"]))
    if os.geteuid() == 0 and uid is not None:
        if order.broker is not None:
            os.chown(order.broker, uid, uid)
        for folder in (order.cohort, order.files):
            if folder is not None:
                folder.chmod(0o555)
                for file in folder.iterdir():
                    file.chmod(0o444)
    return order.model_copy(update=changes), binds


def _volatile(limits: KernelLimits) -> list[Volatile]:
    return [
        Volatile(RUNTIME / "scratch", limits.scratch_bytes, files=max(20_000, limits.scratch_bytes >> 14)),
        Volatile(RUNTIME / "shm", limits.shm_bytes, mode=0o1777),
    ]
