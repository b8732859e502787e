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
    """Hands each task to ``handle``, in the order of its kind; ``other`` is the width of kinds that have none."""

    def __init__(
        self, widths: Mapping[str, Width], other: Width, handle: Callable[[T, bytes | None], Awaitable[None]]
    ) -> None:
        self._widths, self._other, self._handle = widths, other, handle
        self._lanes: defaultdict[str, _Lane[T]] = defaultdict(_Lane)
        self._held: set[str] = set()
        self._handling: set[asyncio.Task[None]] = set()

    def __contains__(self, task: str) -> bool:
        """Whether the task of this id is handled, or waits."""
        return task in self._held

    def take(self, task: T, weights: bytes | None) -> bool:
        """Whether there is room for it; where there is none, it is to be offered again later."""
        name = task.kind if task.kind in self._widths else ""
        lane, width = self._lanes[name], self._widths.get(name, self._other)
        if lane.running < width.at_once:
            self._start(name, task, weights)
        elif len(lane.waiting) < width.waiting:
            lane.waiting.append((task, weights))
        else:
            lane.full = True
            return False
        self._held.add(task.id)
        return True

    def drained(self) -> bool:
        """Whether a lane that had no room for a task has some now; says so once."""
        found = False
        for name, lane in self._lanes.items():
            if lane.full and 2 * len(lane.waiting) <= self._widths.get(name, self._other).waiting:
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
        for handling in self._handling:
            handling.cancel()

    def _start(self, name: str, task: T, weights: bytes | None) -> None:
        async def handle() -> None:
            try:
                await self._handle(task, weights)
            finally:
                self._held.discard(task.id)
                self._next(name)

        self._lanes[name].running += 1
        handling = asyncio.create_task(handle(), name=f"task-{task.kind}-{task.id[:8]}")
        self._handling.add(handling)
        handling.add_done_callback(self._handling.discard)

    def _next(self, name: str) -> None:
        lane = self._lanes[name]
        lane.running -= 1
        if lane.waiting:
            task, weights = lane.waiting.popleft()
            self._start(name, task, weights)
