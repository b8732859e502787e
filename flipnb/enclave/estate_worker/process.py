"""The agent's end of its estate worker: one jailed child, asked one thing at a time, started anew when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.chart import Chart
from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.order import LINE_BYTES, Answer, Count, Current, Freeze, FrozenFacts, Tabulate
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import Bind, JailedProcess, spawn
from flipnb.estate.disclosure import Cell
from flipnb.files.logs import open_log

_PATIENCE_S = 300.0


class EstateWorker:
    """``estate`` and ``frozen`` (where frozen cohorts are written) are all that the child sees of the enclave.

    ``memory`` is what its database may hold; the rest is spilled below ``frozen``. ``log`` gets the worker's own words.
    """

    def __init__(
        self,
        estate: Path,
        frozen: Path,
        *,
        memory: str,
        uid: int | None,
        hidden: tuple[Path, ...] = (),
        log: Path | None = None,
    ) -> None:
        self._estate, self._frozen, self._memory = estate, frozen, memory
        self._uid, self._hidden, self._log = uid, hidden, log
        self._turn = asyncio.Lock()
        self._process: JailedProcess | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def current(self) -> str | None:
        """The id of the estate's current version; None where there is none."""
        return (await self._ask(Current())).version

    async def count(self, version: str, cohort: dict[str, Any]) -> int:
        """The exact number of people. Raises FlipError ``unsupported-cohort``, ``unknown-version``."""
        answer = await self._ask(Count(version=version, cohort=cohort))
        if answer.people is None:
            raise _confused()
        return answer.people

    async def check(
        self, version: str, cohort: dict[str, Any], *, rules: Sequence[int], charts: Sequence[Chart]
    ) -> None:
        """Raise FlipError (400) where the question fails by its text."""
        await self._ask(Tabulate(version=version, cohort=cohort, rules=(), charts=()))

    async def tabulate(
        self,
        version: str,
        cohort: dict[str, Any],
        *,
        rules: Sequence[int],
        charts: Sequence[Chart],
        members: bool,
        seconds: float,
    ) -> list[list[Cell]] | None:
        """Exact tables, as ``estate.disclosure.tabulate`` gives them; None where it was stopped after ``seconds``."""
        order = Tabulate(version=version, cohort=cohort, rules=tuple(rules), charts=tuple(charts), members=members)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask(order)
        except TimeoutError:
            return None
        if answer.tables is None:
            raise _confused()
        return [[Cell(cell.people, cell.members) for cell in table] for table in answer.tables]

    async def freeze(self, version: str, bundle: Bundle, key: bytes, name: str) -> FrozenFacts:
        """Write the folder ``frozen/NAME``, the bundle's cohort at ``version``; its people per part."""
        order = Freeze(
            version=version,
            cohort=bundle.cohort,
            dataset=bundle.dataset,
            split=bundle.split,
            key=key.hex(),
            name=name,
        )
        answer = await self._ask(order)
        if answer.frozen is None:
            raise _confused()
        return answer.frozen

    async def close(self) -> None:
        """End the child."""
        await self._end()

    async def _ask(self, request: Document) -> Answer:
        line = request.model_dump_json(by_alias=True).encode() + b"\n"
        async with self._turn:
            try:
                return await asyncio.wait_for(self._exchange(line), _PATIENCE_S)
            except (OSError, EOFError, ValueError, ValidationError, TimeoutError) as error:
                await self._end()
                raise FlipError(
                    "estate-worker-died",
                    f"The estate worker gave no answer ({type(error).__name__}).",
                    remedy="Look at logs/estate-worker.log; the agent starts it anew with the next question.",
                    status=503,
                ) from None
            except asyncio.CancelledError:
                # Its answer would be taken for that to the next question.
                self._cut()
                raise

    async def _exchange(self, line: bytes) -> Answer:
        if self._process is None or self._process.poll() is not None:
            await self._start()
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(line)
        await self._writer.drain()
        answer = Answer.model_validate_json(await self._reader.readuntil(b"\n"))
        if answer.problem is not None:
            raise answer.problem.error(400)
        return answer

    async def _start(self) -> None:
        await self._end()
        outside, inside = socket.socketpair()
        try:
            self._process = await asyncio.to_thread(self._spawn, inside)
        except BaseException:
            outside.close()
            raise
        finally:
            inside.close()
        self._reader, self._writer = await asyncio.open_connection(sock=outside, limit=LINE_BYTES)

    def _spawn(self, inside: socket.socket) -> JailedProcess:
        self._estate.mkdir(parents=True, exist_ok=True)
        self._frozen.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._uid is not None:
            os.chown(self._frozen, self._uid, self._uid)
        interpreter = Interpreter.current()
        command: list[str | Path] = [interpreter.executable, "-P", "-m", "flipnb.enclave.estate_worker"]
        with open_log(self._log) if self._log else contextlib.nullcontext(subprocess.DEVNULL) as log:
            return spawn(
                [*command, str(inside.fileno()), str(self._estate), str(self._frozen), self._memory],
                uid=self._uid,
                visible=[Bind(self._estate), Bind(self._frozen, writable=True)],
                hidden=self._hidden,
                pass_fds=[inside.fileno()],
                interpreter=interpreter,
                stderr=log,
            )

    async def _end(self) -> None:
        process = self._cut()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 5.0)

    def _cut(self) -> JailedProcess | None:
        """Kill the child without waiting for its end."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        return process


def _confused() -> FlipError:
    return FlipError("estate-worker-died", "The estate worker answered another question.", status=503)
