"""Whom a context may name as members: one rule, for rounds and for totals."""

from __future__ import annotations

from collections.abc import Sequence

from flipnb.contracts.keys import KeyId


def wrong_members(
    members: Sequence[KeyId], *, started: Sequence[KeyId], own_key: KeyId, least: int
) -> tuple[tuple[bool, str], ...]:
    """What may be wrong with ``members``, each with whether it is: ``least`` is what bundle and policy demand."""
    return (
        (list(members) != sorted(set(members)), "its members are not sorted or named twice"),
        (not set(members) <= set(started), "it names members who did not start this run"),
        (own_key not in members, "this Trust is not among its members"),
        (len(members) < least, f"{len(members)} members are fewer than bundle and policy demand"),
    )
