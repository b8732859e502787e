"""The places in which kernels run: at most the policy's number at once, each with an own uid where there are uids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MOST = 64


class Slots:
    """``limit`` is asked each time, since a policy may change while runs wait."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._used: set[int] = set()
        self._freed = asyncio.Condition()

    @property
    def used(self) -> int:
        """How many kernels run now."""
        return len(self._used)

    @asynccontextmanager
    async def one(self, given_up: Callable[[], bool]) -> AsyncIterator[int | None]:
        """A slot's number while the block runs, as soon as one is free; None where ``given_up`` says so before."""
        slot = await self._take(given_up)
        try:
            yield slot
        finally:
            if slot is not None:
                async with self._freed:
                    self._used.discard(slot)
                    self._freed.notify_all()

    async def _take(self, given_up: Callable[[], bool]) -> int | None:
        async with self._freed:
            while len(self._used) >= self._limit() and not given_up():
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
