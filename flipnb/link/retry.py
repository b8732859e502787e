"""Patience: what fails because a peer is not there is tried again, after pauses that grow."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from flipnb.link.exchange import NotNow

_LOG = logging.getLogger("flipnb.link.retry")
T = TypeVar("T")


def _nothing() -> int:
    return 0


@dataclass(frozen=True)
class Retry:
    """NotNow is waited out, whatever else is raised passes.

    Pauses double from ``first`` to ``longest`` seconds, each shortened at random by up to a half. The failure is raised
    after ``patience`` seconds without progress, and at once where ``statuses`` are given and its own is none of them.
    """

    first: float
    longest: float
    patience: float = math.inf
    statuses: frozenset[int] | None = None

    def call(
        self, attempt: Callable[[], T], *, moved: Callable[[], int] = _nothing, stop: threading.Event | None = None
    ) -> T:
        """What ``attempt`` returns. ``moved`` tells how far it has come: where that rises, it is repeated at once.

        ``stop``, set by another thread, ends a pause; the next attempt must see to it itself.
        """
        pauses, stop = _Pauses(self, moved), stop or threading.Event()
        while True:
            try:
                return attempt()
            except NotNow as failure:
                pause = pauses.after(failure)
            stop.wait(pause)

    async def call_async(self, attempt: Callable[[], Awaitable[T]], *, moved: Callable[[], int] = _nothing) -> T:
        """As ``call``; may be cancelled at any moment."""
        pauses = _Pauses(self, moved)
        while True:
            try:
                return await attempt()
            except NotNow as failure:
                pause = pauses.after(failure)
            await asyncio.sleep(pause)


class _Pauses:
    """The pauses of one call."""

    def __init__(self, retry: Retry, moved: Callable[[], int]) -> None:
        self._retry, self._moved = retry, moved
        self._pause = retry.first
        self._since: float | None = None
        self._reached = moved()

    def after(self, failure: NotNow) -> float:
        """Seconds to wait; raises ``failure`` where patience has ended."""
        if self._retry.statuses is not None and failure.status not in self._retry.statuses:
            raise failure
        now = time.monotonic()
        if (reached := self._moved()) > self._reached:
            self._reached, self._pause, self._since = reached, self._retry.first, None
            return 0.0
        if self._since is None:
            self._since = now
            _LOG.info("%s Trying again", failure.message)
        if now - self._since > self._retry.patience:
            raise failure
        pause, self._pause = self._pause, min(2 * self._pause, self._retry.longest)
        return pause * random.uniform(0.5, 1.0)
