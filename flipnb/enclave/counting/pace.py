"""When an answer may leave: at a point of a grid of times, so that how long it took says next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

STEP_S = 0.25
MOST_S = 64.0


def padded(seconds: float) -> float:
    """The next of 0.25, 0.5, 1, … 64 s; beyond, the next multiple of 64 s."""
    if seconds > MOST_S:
        return MOST_S * -(-seconds // MOST_S)
    grid = STEP_S
    while grid < seconds:
        grid *= 2
    return grid


class Pace:
    """The clock and the sleep of answers; tests put in their own."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep

    def now(self) -> float:
        """Seconds of a clock that only rises."""
        return self._clock()

    async def until_grid(self, began: float, least: float = 0.0) -> float:
        """Sleep to the grid's next point after ``began``, and ``least`` at least; returns that point, in seconds."""
        point = max(padded(self._clock() - began), padded(least))
        await self._sleep(max(0.0, began + point - self._clock()))
        return point
