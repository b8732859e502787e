"""What of exact numbers may leave: noise first, then everything else on the noisy number alone.

Since nothing after the noise looks at the exact number again, suppression, rounding and totals give nothing away that
the noise had not; a count of zero goes the same way as every small one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flipnb.contracts.policy import CountPolicy
from flipnb.estate.disclosure.noise import discrete_gaussian


@dataclass(frozen=True)
class Cell:
    """A number of people before release; ``members`` is a digest of who they are, where the policy's seed needs it."""

    people: int
    members: str = ""


SeedOf = Callable[[Cell, str], bytes]
"""The noise's seed for a cell and its name."""


def noisy(cell: Cell, name: str, policy: CountPolicy, seed_of: SeedOf) -> int:
    """The number with discrete Gaussian noise of the policy's scale (``disclosure.noise``); it may be negative."""
    return cell.people + discrete_gaussian(policy.noise, seed_of(cell, name))


def shown(number: int, policy: CountPolicy) -> int | None:
    """A noisy number as it may leave: None below the threshold, else rounded, halves up, never below the threshold."""
    if number < policy.threshold:
        return None
    rounded = (number + policy.rounding // 2) // policy.rounding * policy.rounding
    return max(rounded, -(-policy.threshold // policy.rounding) * policy.rounding)


def bars(numbers: Sequence[int], policy: CountPolicy) -> list[int | None]:
    """A chart's noisy bars as they may leave.

    Where one bar alone is suppressed, the smallest of the others is too: the cohort's size would tell it else.
    """
    released = [shown(number, policy) for number in numbers]
    hidden = [index for index, people in enumerate(released) if people is None]
    if len(hidden) == 1 and len(released) > 1:
        others = [index for index in range(len(released)) if index not in hidden]
        released[min(others, key=lambda index: (numbers[index], index))] = None
    return released
