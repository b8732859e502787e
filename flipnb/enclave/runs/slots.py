"""The places in which kernels run: at most the policy's number at once, each with an own uid where there are uids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

MOST = 64

Place = tuple[datetime, str]
"""Where a run stands in the line: when it was started here, then its id. A hub starts runs in one order at all Trusts,
so that no two wait for each other."""


class Slots:
    """``limit`` is asked each time, since a policy may change while runs wait."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._used: set[int] = set()
        self._line: list[Place] = []
        self._freed = asyncio.Condition()

    @property
    def used(self) -> int:
        """How many kernels run now."""
        return len(self._used)

    @asynccontextmanager
    async def one(
        self, place: Place, given_up: Callable[[], bool], waits: Callable[[], None] = lambda: None
    ) -> AsyncIterator[int | None]:
        """A slot's number while the block runs, as soon as one is free and nobody's turn is before ``place``; None
        where ``given_up`` says so before. ``waits`` is called once where there is none at once."""
        slot = await self._take(place, given_up, waits)
        try:
            yield slot
        finally:
            if slot is not None:
                async with self._freed:
                    self._used.discard(slot)
                    self._freed.notify_all()

    async def _take(self, place: Place, given_up: Callable[[], bool], waits: Callable[[], None]) -> int | None:
        async with self._freed:
            self._line.append(place)
            try:
                if not self._turn_of(place) and not given_up():
                    waits()
                while not self._turn_of(place) and not given_up():
                    # A changed policy wakes nobody, nor does a run that is told to end.
                    try:
                        await asyncio.wait_for(self._freed.wait(), 0.5)
                    except TimeoutError:
                        continue
                if given_up():
                    return None
                slot = min(set(range(MOST)) - self._used)
                self._used.add(slot)
                return slot
            finally:
                self._line.remove(place)
                self._freed.notify_all()

    def _turn_of(self, place: Place) -> bool:
        ahead = sum(other < place for other in self._line)
        return len(self._used) + ahead < self._limit()
