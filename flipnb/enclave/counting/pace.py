"""The clock of counts: what leaves, leaves at a moment that was fixed before any record was read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import ceil


class Pace:
    """The clock and the sleep of answers; tests put in their own."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep

    def now(self) -> float:
        """Seconds of a clock that only rises."""
        return self._clock()

    async def until(self, moment: float) -> None:
        """Sleep until ``moment`` of this clock; returns at once where that is past."""
        while (left := moment - self._clock()) > 0:
            await self._sleep(left)


class Turn:
    """One question's time with the estate, from ``began``: whole multiples of ``seconds``, as few as will do.

    What comes before a record is read (opening the estate, binding the text, charging) has ``_BEFORE`` of the first
    ``seconds``, or the turn is longer by one more. How long that takes depends on the machine, and a little on what the
    process did before, so that it must be well within its share: with half of it, on a slower machine, the time told.
    Then the statement has its time, and what must be on disk before the answer leaves has what is left.
    """

    LEAST, MOST = 0.15, 0.6
    """The shares of ``seconds`` that a statement gets, by a draw: see ``statement``."""
    _AFTER = 0.12
    _BEFORE = 1 - MOST - _AFTER

    def __init__(self, pace: Pace, began: float, seconds: float) -> None:
        self._pace, self._began, self._seconds = pace, began, seconds
        self._moment = began + seconds
        self._over = False

    @property
    def ended(self) -> float:
        """The moment at which it was over; now, where it was broken off."""
        return self._moment if self._over else self._pace.now()

    def statement(self, draw: float) -> float:
        """The seconds that a statement gets which starts now, for a ``draw`` in [0, 1); the answer's moment is fixed.

        Who knew when a statement is stopped would ask one that takes just less without John's records and just more
        with them. The draw is spread evenly over 45 % of ``seconds``, so that records which make a statement longer
        by d change whether it is stopped with a probability of 2.3 d / ``seconds`` at most.
        """
        share = (self._pace.now() - self._began) / self._seconds
        self._moment = self._began + self._seconds * max(1, ceil(share - self._BEFORE + 1))
        return self._seconds * (self.LEAST + (self.MOST - self.LEAST) * draw)

    async def over(self) -> None:
        """Sleep to the moment at which the answer leaves, and the turn ends.

        Where it was missed, on a machine that is busy with other things, the answer waits for the next multiple.
        """
        late = (self._pace.now() - self._moment) / self._seconds
        if late > 0:
            self._moment += self._seconds * ceil(late)
        await self._pace.until(self._moment)
        self._over = True
