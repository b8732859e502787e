"""Lanes: tasks of one kind wait for tasks of their own kind alone, so that many of one deafen nobody to the others."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What lanes take: something of a kind, with an id."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Width:
    """How many of one kind are handled at once, and how many more are held until it is their turn."""

    at_once: int
    waiting: int


@dataclass
class _Lane(Generic[T]):
    running: int = 0
    waiting: deque[tuple[T, bytes | None]] = field(default_factory=deque)
    full: bool = False


class Lanes(Generic[T]):
    """Hands each task to ``handle``, in the order of its kind; ``other`` is the width of kinds that have none.

    One is begun at a time, and between two the event loop turns to whatever else there is; a kind that is named earlier
    in ``widths`` goes first. So a thousand tasks that came at once delay the next by one.
    """

    def __init__(
        self, widths: Mapping[str, Width], other: Width, handle: Callable[[T, bytes | None], Awaitable[None]]
    ) -> None:
        self._widths, self._other, self._handle = widths, other, handle
        self._lanes: defaultdict[str, _Lane[T]] = defaultdict(_Lane)
        self._held: set[str] = set()
        self._handling: set[asyncio.Task[None]] = set()
        self._beginning: asyncio.Task[None] | None = None

    def __contains__(self, task: str) -> bool:
        """Whether the task of this id is handled, or waits."""
        return task in self._held

    def take(self, task: T, weights: bytes | None) -> bool:
        """Whether there is room for it; where there is none, it is to be offered again later."""
        name = task.kind if task.kind in self._widths else ""
        lane, width = self._lanes[name], self._widths.get(name, self._other)
        if lane.running + len(lane.waiting) >= width.at_once + width.waiting:
            lane.full = True
            return False
        lane.waiting.append((task, weights))
        self._held.add(task.id)
        self._begin_more()
        return True

    def drained(self) -> bool:
        """Whether a lane that had no room for a task has some now; says so once."""
        found = False
        for name, lane in self._lanes.items():
            width = self._widths.get(name, self._other)
            if lane.full and lane.running + len(lane.waiting) <= width.at_once + width.waiting // 2:
                lane.full, found = False, True
        return found

    @property
    def full(self) -> bool:
        """Whether there are tasks that were not taken."""
        return any(lane.full for lane in self._lanes.values())

    def close(self) -> None:
        """End all handling, and hold nothing more."""
        for lane in self._lanes.values():
            lane.waiting.clear()
        if self._beginning is not None:
            self._beginning.cancel()
        for handling in self._handling:
            handling.cancel()

    def _begin_more(self) -> None:
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin(), name="tasks-beginning")

    async def _begin(self) -> None:
        while (name := self._next()) is not None:
            lane = self._lanes[name]
            task, weights = lane.waiting.popleft()
            lane.running += 1
            handling = asyncio.create_task(self._handled(name, task, weights), name=f"task-{task.kind}-{task.id[:8]}")
            self._handling.add(handling)
            handling.add_done_callback(self._handling.discard)
            await asyncio.sleep(0)

    def _next(self) -> str | None:
        """The first kind of which one waits that may begin."""
        for name, width in (*self._widths.items(), ("", self._other)):
            lane = self._lanes[name]
            if lane.waiting and lane.running < width.at_once:
                return name
        return None

    async def _handled(self, name: str, task: T, weights: bytes | None) -> None:
        try:
            await self._handle(task, weights)
        finally:
            self._held.discard(task.id)
            self._lanes[name].running -= 1
            self._begin_more()
