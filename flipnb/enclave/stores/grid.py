"""When something may leave: on the points of a grid of time, so that the moment itself says little."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True)
class Grid:
    """Points of time every ``step`` seconds, the first at ``start``, by a clock that nobody sets back."""

    start: float
    step: float
    clock: Clock = time.monotonic

    @classmethod
    def from_now(cls, step: float, clock: Clock = time.monotonic) -> Grid:
        """A grid whose first point is now."""
        return cls(clock(), step, clock)

    @property
    def point(self) -> int:
        """How many points have come after the first."""
        return math.floor((self.clock() - self.start) / self.step)

    @property
    def next(self) -> float:
        """By the clock, the first point that is still to come."""
        return self.start + (self.point + 1) * self.step

    @property
    def wait(self) -> float:
        """Seconds until the next point."""
        return max(0.0, self.next - self.clock())
