"""Long-polls: requests that wait until something changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")

LONGEST_WAIT = 60.0
MOST_WAITS = 200
"""Requests of one caller that wait at a time; a workbench and an agent need one or two."""
_PENDING = "bells"

RUNS = "runs"
"""Rung whenever any run changes its state."""

EVENTS = "events"
"""Rung whenever any run has a new event."""


def tasks_of(trust: str) -> str:
    """The topic of a Trust's tasks."""
    return f"tasks of {trust}"


def events_of(run: str) -> str:
    """The topic of a run's events."""
    return f"events of {run}"


def replies_of(run: str) -> str:
    """The topic of the replies to a run's round."""
    return f"replies of {run}"


def count_of(count: str) -> str:
    """The topic of the replies to a question for counts."""
    return f"count {count}"


def ring(session: Session, topic: str) -> None:
    """Wake those who wait for ``topic`` once this transaction is on disk; not at all where it is undone."""
    session.info.setdefault(_PENDING, set()).add(topic)


def rung(session: Session) -> set[str]:
    """The topics that were rung in a session."""
    topics: set[str] = session.info.get(_PENDING, set())
    return topics


class Waits:
    """Who waits for what, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._own: dict[str, dict[asyncio.Event, None]] = {}
        """Each caller's, the oldest first."""
        self.closing = False

    async def until(self, topic: str, look: Callable[[], tuple[bool, T]], seconds: float, *, who: str) -> T:
        """``look`` returns (whether that is worth an answer, the answer); it is asked again at each ring.

        Returns the last answer after ``seconds`` in any case, at once when the hub stops, and when ``who`` has as many
        younger waits as one may have.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(max(seconds, 0.0), LONGEST_WAIT)
        change = asyncio.Event()
        self._begin(topic, who, change)
        try:
            enough, answer = look()
            while True:
                left = deadline - loop.time()
                if enough or left <= 0 or self.closing or change not in self._own[who]:
                    return answer
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await change.wait()
                async with self._turns[topic]:
                    # One look, then whatever else waits for the loop: many who wait for one topic hold nobody up.
                    await asyncio.sleep(0)
                    change.clear()
                    enough, answer = look()
        finally:
            self._end(topic, who, change)

    def _begin(self, topic: str, who: str, change: asyncio.Event) -> None:
        self._waiting.setdefault(topic, set()).add(change)
        self._turns.setdefault(topic, asyncio.Lock())
        own = self._own.setdefault(who, {})
        own[change] = None
        if len(own) > MOST_WAITS:
            oldest = next(iter(own))
            del own[oldest]
            oldest.set()

    def _end(self, topic: str, who: str, change: asyncio.Event) -> None:
        self._own[who].pop(change, None)
        if not self._own[who]:
            del self._own[who]
        self._waiting[topic].discard(change)
        if not self._waiting[topic]:
            del self._waiting[topic], self._turns[topic]

    def ring(self, topic: str) -> None:
        """Have all who wait for the topic look again, now."""
        for waiting in self._waiting.get(topic, ()):
            waiting.set()

    def close(self) -> None:
        """Answer all that wait, now, and let nobody wait any more."""
        self.closing = True
        for topic in list(self._waiting):
            self.ring(topic)
