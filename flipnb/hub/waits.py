"""Long-polls: requests that wait until something changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")

LONGEST_WAIT = 60.0
_PENDING = "bells"
MOST_OF_ONE = 64
"""Waits of one key at once: at each ring all of them look, and everybody else's request waits for that."""

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


@dataclass(eq=False)
class _Wait:
    change: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def end(self) -> None:
        """Have it answered now, with what there is."""
        self.over = True
        self.change.set()


class Waits:
    """Who waits for what, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[_Wait]] = {}
        self._of: dict[str, deque[_Wait]] = {}
        """By who waits, the oldest first."""
        self.closing = False

    async def until(self, topic: str, look: Callable[[], tuple[bool, T]], seconds: float, *, who: str) -> T:
        """``look`` returns (whether that is worth an answer, the answer); it is asked again at each ring.

        Returns the last answer after ``seconds`` in any case, and at once when the hub stops, or where ``who``, a key
        id, has begun ``MOST_OF_ONE`` others since.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(max(seconds, 0.0), LONGEST_WAIT)
        own, wait = self._of.setdefault(who, deque()), _Wait()
        own.append(wait)
        self._waiting.setdefault(topic, set()).add(wait)
        if len(own) > MOST_OF_ONE:
            own.popleft().end()
        try:
            while True:
                wait.change.clear()
                enough, answer = look()
                left = deadline - loop.time()
                if enough or left <= 0 or wait.over or self.closing:
                    return answer
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await wait.change.wait()
        finally:
            self._waiting[topic].discard(wait)
            if not self._waiting[topic]:
                del self._waiting[topic]
            if wait in own:
                own.remove(wait)
            if not own and self._of.get(who) is own:
                del self._of[who]

    def ring(self, topic: str) -> None:
        """Have all who wait for the topic look again, now."""
        for waiting in self._waiting.get(topic, ()):
            waiting.change.set()

    def close(self) -> None:
        """Answer all that wait, now, and let nobody wait any more."""
        self.closing = True
        for topic in list(self._waiting):
            self.ring(topic)
