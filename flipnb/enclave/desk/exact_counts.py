"""How many people the cohorts of requests have: exact, for the data controllers' eyes, and counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.meaning import meaning

_KEPT = 1000

Count = Callable[[str, dict[str, Any]], Awaitable[int]]
"""The number of people whom a cohort has at an estate version."""


class ExactCounts:
    """Kept in memory by (estate version, meaning of the cohort): a version never changes, nor does its answer."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._turn = asyncio.Lock()
        self._kept: dict[tuple[str, str], int] = {}

    async def of(self, version: str, bundle: Bundle) -> int:
        """Raises FlipError as ``count``; what could not be counted is counted when it is asked again."""
        asked = (version, meaning(bundle.cohort_expression))
        if asked not in self._kept:
            async with self._turn:  # the desk's one process counts one at a time; who waited finds the answer kept
                if asked not in self._kept:
                    people = await self._count(version, bundle.cohort)
                    while len(self._kept) >= _KEPT:
                        self._kept.pop(next(iter(self._kept)))
                    self._kept[asked] = people
        return self._kept[asked]
