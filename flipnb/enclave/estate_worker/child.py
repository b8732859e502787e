"""One jailed process of the estate worker's code, asked one thing at a time, started anew where it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.count import ESTATE_FAILED
from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.order import LINE_BYTES, Answer
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import Bind, JailedProcess, spawn
from flipnb.files.logs import open_log

_LOG = logging.getLogger("flipnb.enclave.estate_worker")
_START_S = 60.0
SPILL = ".spill-"
"""How the names of folders begin to which processes spill."""


class WorkerDied(FlipError):
    """The process ended, or answered another question, while it was asked."""

    def __init__(self, how: str) -> None:
        super().__init__(
            "estate-worker-died",
            f"The estate worker gave no answer ({how}).",
            remedy="Look at logs/estate-worker.log; the agent starts it anew with the next question.",
            status=503,
        )


class WorkerLate(WorkerDied):
    """It did not answer in time, or its turn did not come in time."""


@dataclass(frozen=True)
class Place:
    """What every process of an estate worker is given; see EstateWorker."""

    estate: Path
    frozen: Path
    memory: str
    uid: int | None
    hidden: tuple[Path, ...]
    log: Path | None

    def spawn(self, inside: socket.socket, spill: Path) -> JailedProcess:
        """A process that answers on ``inside`` and spills to ``spill``, a folder below ``frozen``."""
        self.estate.mkdir(parents=True, exist_ok=True)
        self.frozen.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.uid is not None:
            os.chown(self.frozen, self.uid, self.uid)
        interpreter = Interpreter.current()
        command: list[str | Path] = [interpreter.executable, "-P", "-m", "flipnb.enclave.estate_worker"]
        with open_log(self.log) if self.log else contextlib.nullcontext(subprocess.DEVNULL) as log:
            return spawn(
                [*command, str(inside.fileno()), self.estate, self.frozen, self.memory, spill],
                uid=self.uid,
                visible=[Bind(self.estate), Bind(self.frozen, writable=True)],
                hidden=self.hidden,
                pass_fds=[inside.fileno()],
                interpreter=interpreter,
                stderr=log,
            )


class Child:
    """``role`` names it in logs, and the folder that it spills to, of which each process has its own.

    ``first`` makes what a new process is asked before anything else; one that can't answer it is as good as none.
    """

    def __init__(self, place: Place, role: str, first: Callable[[], Document | None] = lambda: None) -> None:
        self._place, self._role, self._first = place, role, first
        self._turn = asyncio.Lock()
        self._process: JailedProcess | None = None
        self._spill: Path | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._numbers = itertools.count(1)
        self._asked = 0.0

    @property
    def process(self) -> JailedProcess | None:
        """The process that is asked; None where none runs."""
        return self._process if self._process is not None and self._process.poll() is None else None

    @property
    def idle_for(self) -> float:
        """For how many seconds its process was asked nothing; 0 where it has none, or is asked something."""
        if self.process is None or self._turn.locked():
            return 0.0
        return asyncio.get_running_loop().time() - self._asked

    async def ask(self, make: Callable[[], tuple[Document, float]], *, by: float | None = None) -> Answer:
        """The answer to what ``make`` makes when its turn has come, within so many seconds from then on.

        ``by``: a time of the loop's clock until which it waits for its turn. A process that does not answer in time
        is killed, as it is where who asks is cancelled. Raises WorkerLate, WorkerDied, FlipError ``estate-failed``
        where none can be started, and the answer's own problem.
        """
        try:
            async with asyncio.timeout_at(by):
                await self._turn.acquire()
            try:
                async with asyncio.timeout_at(by):
                    await self.start()
                answer = await self._exchange(*make())
            finally:
                self._turn.release()
        except TimeoutError:
            raise WorkerLate("it took too long") from None
        except (OSError, EOFError, ValueError, ValidationError) as error:
            raise WorkerDied(type(error).__name__) from None
        if answer.problem is not None:
            raise answer.problem.error(409 if answer.problem.code == ESTATE_FAILED else 400)
        return answer

    async def start(self) -> None:
        """Have a process run; who is cancelled meanwhile leaves it starting. Raises FlipError ``estate-failed``."""
        if self.process is not None and self._starting is None:
            return
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name=f"estate-worker-{self._role}")
            self._starting.add_done_callback(self._started)
        await asyncio.shield(self._starting)

    async def end(self) -> None:
        """End the process; returns when it is gone, and what it spilled."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        self._cut()
        if self._ending:
            await asyncio.wait(set(self._ending))

    async def _exchange(self, request: Document, within: float) -> Answer:
        self._asked = asyncio.get_running_loop().time()
        assert self._reader is not None
        assert self._writer is not None
        try:
            async with asyncio.timeout(within):
                self._writer.write(request.model_dump_json(by_alias=True).encode() + b"\n")
                await self._writer.drain()
                return Answer.model_validate_json(await self._reader.readuntil(b"\n"))
        except BaseException:
            # Its answer would be taken for that to the next question.
            self._cut()
            raise

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # who waits for it is told, and nobody may

    async def _start(self) -> None:
        self._cut()
        outside, inside = socket.socketpair()
        self._spill = self._place.frozen / f"{SPILL}{os.getpid()}-{self._role}-{next(self._numbers)}"
        try:
            self._process = await asyncio.to_thread(self._place.spawn, inside, self._spill)
            self._reader, self._writer = await asyncio.open_connection(sock=outside, limit=LINE_BYTES)
            first = self._first()
            if first is not None:
                answer = await self._exchange(first, _START_S)
                if answer.problem is not None:
                    raise answer.problem.error(409)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _LOG.warning("the estate worker (%s) could not be started: %r", self._role, error)
            raise FlipError(ESTATE_FAILED, "This Trust's estate can't be asked now.", status=409) from error
        finally:
            inside.close()
            if sys.exc_info()[0] is not None:
                outside.close()
                self._cut()

    def _cut(self) -> None:
        """Kill the process without waiting for its end."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            assert self._spill is not None
            ending = asyncio.ensure_future(asyncio.to_thread(_bury, process, self._spill))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


def _bury(process: JailedProcess, spill: Path) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    shutil.rmtree(spill, ignore_errors=True)
