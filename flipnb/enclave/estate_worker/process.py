"""The agent's end of its estate worker: jailed processes, one for researchers' questions, one for the desk and
what it is asked to approve, one that freezes.

None waits for another: what the desk shows and what a run needs comes in time whatever researchers ask. Each may hold
``memory`` in its database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.chart import Chart
from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.child import SPILL, Child, Place, WorkerDied, WorkerLate
from flipnb.enclave.estate_worker.order import (
    CHECK_WALL_S,
    Answer,
    Check,
    Count,
    Freeze,
    FrozenFacts,
    Open,
    Tabulate,
    unanswerable,
)
from flipnb.estate.disclosure import Cell
from flipnb.estate.versions import Estate

_LOG = logging.getLogger("flipnb.enclave.estate_worker")
_CHECK_S = 5.0
"""How many seconds of a processor a question may take to be planned: ten times what the largest that is allowed
takes."""
GRACE_S = 0.5
"""How soon after its time a process must have interrupted itself, or is killed."""
_COUNT_S = 60.0
_FREEZE_S = 300.0
_IMAGES_S = 24 * 3600.0
"""Of a cohort with images: what was decoded before a process died is not decoded again."""
_OPEN_S = 60.0
_IDLE_S = 300.0
"""The desk's process ends when it was not asked for so long."""
_LOOK_S = 1.0
_Ask = Callable[[Callable[[], tuple[Document, float]]], Awaitable[Answer]]


class EstateWorker:
    """``estate`` and ``frozen`` (where frozen cohorts are written) are all that a process sees of the enclave.

    ``memory`` is what its database may hold; the rest is spilled below ``frozen``. ``log`` gets its own words.
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
        self._estate = Estate.open(estate)
        place = Place(estate, frozen, memory, uid, hidden, log)
        self.questions = Child(place, "questions", self._first)
        self.desk = Child(place, "desk")
        self.freezing = Child(place, "freezing")
        self._frozen = frozen
        self._freezes = asyncio.Lock()
        self._warming: asyncio.Future[None] | None = None
        self._closing = False

    async def current(self) -> str | None:
        """The id of the estate's current version; None where there is none. A file says it, no process is asked."""
        return await asyncio.to_thread(self._estate.current)

    async def check(
        self, version: str, cohort: dict[str, Any], *, rules: Sequence[int] = (), charts: Sequence[Chart] = ()
    ) -> None:
        """Whether a question can be asked at all: it is compiled and run over the version's tables without their rows.

        Concept sets are looked up in the version's vocabulary, which holds no patient. Raises FlipError, status 400,
        where the question's text fails: ``unanswerable-cohort``, ``cohort-too-large``, ``unsupported-cohort``,
        ``invalid-cohort``, ``estate-incomplete``; ``estate-failed``, status 409, where the estate can't be opened.
        """
        order = Check(version=version, cohort=cohort, rules=tuple(rules), charts=tuple(charts), cpu_seconds=_CHECK_S)
        await self._check(self._question, order)

    async def check_bundle(self, version: str, bundle: Bundle) -> None:
        """As ``check``, whether a bundle's cohort can be found at all; researchers' questions are not waited for."""
        await self._check(self.desk.ask, Check(version=version, cohort=bundle.cohort, cpu_seconds=_CHECK_S))

    async def _check(self, ask: _Ask, order: Check) -> None:
        for last in (False, True):
            try:
                await ask(lambda: (order, CHECK_WALL_S + GRACE_S))
                return
            except WorkerLate:
                raise unanswerable(f"It could not be planned within {CHECK_WALL_S:g} s.") from None
            except WorkerDied:
                # Once may be chance, or somebody's kill; over no records, twice is the text's.
                if last:
                    raise unanswerable("The process that planned it died of it.") from None

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
        """Exact tables, as ``estate.disclosure.tabulate`` gives them, within ``seconds`` from now.

        None where that was too short, or counting failed over what it read: the log says which, and nobody else is
        told. Raises FlipError ``estate-failed``, status 409, where no record was read.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds

        def order() -> tuple[Tabulate, float]:
            left = max(0.0, until - loop.time())
            asked = Tabulate(
                version=version, cohort=cohort, rules=tuple(rules), charts=tuple(charts), members=members, seconds=left
            )
            return asked, left + GRACE_S

        try:
            answer = await self._question(order, by=until)
        except WorkerDied as error:
            _LOG.warning("a question was stopped: %s", error.message)
            return None
        if answer.tables is None:
            return None
        return [[Cell(cell.people, cell.members) for cell in table] for table in answer.tables]

    async def count(self, version: str, cohort: dict[str, Any]) -> int:
        """The exact number of people, for the desk. Raises FlipError as ``check`` does, and ``estate-worker-died``."""
        order = Count(version=version, cohort=cohort, seconds=_COUNT_S)
        answer = await self.desk.ask(lambda: (order, _COUNT_S + GRACE_S))
        if answer.people is None:
            raise WorkerDied("another question's answer")
        return answer.people

    async def freeze(self, version: str, bundle: Bundle, key: bytes, name: str) -> FrozenFacts:
        """Write the folder ``frozen/NAME``, the bundle's cohort at ``version``; its people per part.

        By a process of its own, which ends with it; where who asks is cancelled it is killed, and others go on.
        """
        order = Freeze(
            version=version,
            cohort=bundle.cohort,
            dataset=bundle.dataset,
            split=bundle.split,
            key=key.hex(),
            name=name,
        )
        async with self._freezes:
            try:
                within = _IMAGES_S if bundle.dataset.images else _FREEZE_S
                answer = await self.freezing.ask(lambda: (order, within))
            finally:
                await self.freezing.end()
        if answer.frozen is None:
            raise WorkerDied("another question's answer")
        return answer.frozen

    async def open(self) -> str | None:
        """Have a process ready for the next question; the version that it is about, None where there is none.

        Raises FlipError ``estate-failed``.
        """
        version = await self.current()
        if version is not None:
            order = Open(version=version)
            await self._question(lambda: (order, _OPEN_S))
        return version

    async def keep_ready(self) -> None:
        """For ever: hold a process ready for the next question, over the version that is current, and end the desk's
        when it has not asked for a while. What agents that are no more had spilled is removed first."""
        for left in self._frozen.glob(f"{SPILL}*"):
            if not left.name.startswith(f"{SPILL}{os.getpid()}-"):
                await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        ready: str | None = None
        while True:
            if self.questions.process is None or ready != await self.current():
                ready = await self.open()
            if self.desk.idle_for > _IDLE_S:
                await self.desk.end()
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        for child in (self.questions, self.desk, self.freezing):
            await child.end()

    async def _question(self, make: Callable[[], tuple[Document, float]], *, by: float | None = None) -> Answer:
        """Ask the process of researchers' questions; where it is gone after that, the next is started at once."""
        try:
            return await self.questions.ask(make, by=by)
        finally:
            if self.questions.process is None and not self._closing:
                self._warming = asyncio.ensure_future(self._warm())

    async def _warm(self) -> None:
        with suppress(FlipError):  # the log says it, and whoever asks next is told
            await self.questions.start()

    def _first(self) -> Open | None:
        version = self._estate.current()
        return Open(version=version) if version is not None else None
