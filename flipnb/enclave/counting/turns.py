"""Whose turn it is: questions reach the estate one at a time, the studies in rotation, each for a fixed time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flipnb.contracts.problem import FlipError
from flipnb.enclave.counting.pace import Pace, Turn


class Lines:
    """One at a time, the studies in rotation: a study with many delays another's next by one."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[float]]] = {}
        """By study, in the order in which they come next."""
        self._taken = False

    def waiting(self, study: str) -> int:
        """How many of a study's questions wait."""
        return len(self._waiting.get(study, ()))

    async def enter(self, study: str, *, most: int, patience: float | None = None) -> float | None:
        """Wait for the place; what the one before said when it left, None where there was no waiting.

        Raises FlipError ``too-many-counts`` where ``most`` of the study's wait already, ``expired`` where it did not
        come within ``patience`` seconds.
        """
        if not self._taken:
            self._taken = True
            return None
        if self.waiting(study) >= most:
            raise FlipError(
                "too-many-counts",
                f"{most} counts of the study {study} wait at this Trust already.",
                remedy="Wait until some are answered, then ask again: nothing was charged.",
                status=429,
            )
        line = self._waiting.setdefault(study, deque())
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            async with asyncio.timeout(patience):
                return await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.done() and not place.cancelled():
                self.leave(place.result())  # it came at the very moment at which nobody waited any more
            if isinstance(error, TimeoutError):
                raise FlipError(
                    "expired",
                    "The count request expired before its turn came at this Trust.",
                    remedy="Ask again: nothing was charged.",
                ) from None
            raise
        finally:
            if place in line:
                line.remove(place)
            if not line and self._waiting.get(study) is line:
                del self._waiting[study]

    def leave(self, said: float = 0.0) -> None:
        """Give the place to the first study in rotation, which then stands behind the others."""
        for study in list(self._waiting):
            line = self._waiting.pop(study)
            while line:
                place = line.popleft()
                if not place.done():
                    if line:
                        self._waiting[study] = line
                    place.set_result(said)
                    return
        self._taken = False


class Turns:
    """When a question's turn comes depends on how many are before it, and on nothing that any record holds."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lines = Lines()

    def waiting(self, study: str) -> int:
        """How many of a study's questions wait."""
        return self._lines.waiting(study)

    @asynccontextmanager
    async def turn(self, study: str, *, seconds: float, most: int, patience: float) -> AsyncIterator[Turn]:
        """Wait for the turn of a question of ``study``, and have it: its end, and the next one's beginning, are
        fixed by ``Turn``; who is cancelled ends it at once.

        Raises FlipError as ``Lines.enter``.
        """
        began = await self._lines.enter(study, most=most, patience=patience)
        turn = Turn(self._pace, self._pace.now() if began is None else began, seconds)
        try:
            yield turn
        except Exception:
            await turn.over()
            raise
        else:
            await turn.over()
        finally:
            self._lines.leave(turn.ended)
