"""How fast and when an archive is asked: hospitals need theirs themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from flipnb.enclave.collector.asking import DAYS, Hours

_LONGEST_S = 1.0
"""How long it sleeps at once: whoever wants the end is heard in between."""


def is_open(hours: Sequence[Hours], now: datetime) -> bool:
    """Whether studies may be asked for at a local time; always, where no hours are said."""
    return not hours or any(_holds(one, now) for one in hours)


def opens_at(hours: Sequence[Hours], now: datetime) -> datetime:
    """The first whole minute from now on at which it is open; hours that never hold are not valid, so there is one."""
    at = now.replace(second=0, microsecond=0)
    while not is_open(hours, at):
        at += timedelta(minutes=1)
    return at


def _holds(hours: Hours, now: datetime) -> bool:
    at, today, yesterday = now.time(), DAYS[now.weekday()], DAYS[now.weekday() - 1]
    if hours.since < hours.until:
        return today in hours.days and hours.since <= at < hours.until
    return (today in hours.days and at >= hours.since) or (yesterday in hours.days and at < hours.until)


class Pace:
    """Lets so many studies a minute begin at most, and so many bytes a second come, over all connections; 0: no bound.

    ``wait`` is called with seconds, and may raise to end what waits.
    """

    def __init__(
        self,
        studies_per_minute: float,
        bytes_per_second: float,
        wait: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_study = 60 / studies_per_minute if studies_per_minute else 0.0
        self._per_byte = 1 / bytes_per_second if bytes_per_second else 0.0
        self._wait, self._clock = wait, clock
        self._lock = threading.Lock()
        self._next_study = self._next_byte = clock()

    def study(self) -> None:
        """Wait until the next study may begin."""
        with self._lock:
            begins = max(self._clock(), self._next_study)
            self._next_study = begins + self._per_study
        self._until(begins)

    def bytes(self, size: int) -> None:
        """Wait until ``size`` bytes more may have come."""
        if not self._per_byte:
            return
        with self._lock:
            begins = max(self._clock(), self._next_byte)
            self._next_byte = begins + size * self._per_byte
        self._until(begins)

    def _until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0:
            self._wait(min(left, _LONGEST_S))
