"""Suppression and rounding of a count of people.

Fewer than the threshold, zero included, is suppressed; others are rounded to the nearest multiple (halves up), as the
English hospital statistics do with 7 and 5. Rounding alone does not stop differencing: see docs/threats.md.
"""

from __future__ import annotations

from flipnb.contracts.policy import CountPolicy


def release(people: int, policy: CountPolicy) -> int | None:
    """The number that may leave, or None where it is suppressed. Never below the threshold."""
    if people < policy.threshold:
        return None
    rounded = (people + policy.rounding // 2) // policy.rounding * policy.rounding
    return max(rounded, -(-policy.threshold // policy.rounding) * policy.rounding)
