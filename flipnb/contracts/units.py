"""Declared numbers as integers: multiples of their last decimal, between the least and the greatest that are allowed.

All of it is worked out in decimals and integers, from bounds as the document writes them (the shortest decimal that
is the same double, as RFC 8785 has it), so that no bound overflows and whoever sends, adds and checks agrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


@dataclass(frozen=True)
class UnitRange:
    """Multiples of 10^-``decimals`` from ``low`` to ``high``, both included."""

    low: int
    high: int
    decimals: int

    @classmethod
    def within(cls, what: str, minimum: float, maximum: float, decimals: int, most: int) -> UnitRange:
        """All multiples within the two bounds.

        ValueError, which names ``what`` and says what to do, where the bounds are in the wrong order, hold no multiple
        at all, or one of more than ``most`` units.
        """
        if not minimum < maximum:
            raise ValueError(f"{what} has no room between {minimum} and {maximum}")
        low = int(_scaled(minimum, decimals).to_integral_value(ROUND_CEILING))
        high = int(_scaled(maximum, decimals).to_integral_value(ROUND_FLOOR))
        if max(abs(low), abs(high)) > most:
            raise ValueError(
                f"{what} has bounds too wide for its decimals: {minimum} to {maximum} with {decimals} decimals is more "
                f"than 2^{most.bit_length() - 1} steps away from 0; declare narrower bounds or fewer decimals"
            )
        if low > high:
            raise ValueError(
                f"{what} has no number of {decimals} decimals between {minimum} and {maximum}; declare more decimals"
            )
        return cls(low, high, decimals)

    @property
    def bits(self) -> int:
        """Information that one number carries: log2 of how many there are, rounded up."""
        return (self.high - self.low).bit_length()

    def nearest(self, value: float) -> int:
        """The unit nearest to a number that lies within the bounds; where that one does not, the last that does."""
        return min(max(round(float(value) * 10.0**self.decimals), self.low), self.high)

    def holds(self, units: int, parts: int = 1) -> bool:
        """Whether ``units`` can be the sum of ``parts`` such numbers."""
        return parts * self.low <= units <= parts * self.high

    def number(self, units: int) -> float:
        """The double nearest to so many units."""
        return round(units / 10.0**self.decimals, self.decimals)


def finite(value: object) -> float | None:
    """``value`` as a double where it is a finite number (no truth value) that one can hold, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _scaled(bound: float, decimals: int) -> Decimal:
    return Decimal(repr(float(bound))).scaleb(decimals)
