"""Refused counts in the audit log: the first at once, and those that follow it within an hour as one number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flipnb.enclave.stores.audit import AuditLog

_TOGETHER_S = 3600.0


@dataclass
class _Burst:
    since: datetime
    timer: asyncio.TimerHandle
    more: int = 0


class RefusedCounts:
    """A flood of one study's refused counts is two entries an hour for each code; the log holds no flood."""

    def __init__(self, audit: AuditLog, *, seconds: float = _TOGETHER_S) -> None:
        self._audit, self._seconds = audit, seconds
        self._bursts: dict[tuple[str, str], _Burst] = {}

    def add(self, study: str, request: str, code: str, *, then: Callable[[], object] = lambda: None) -> None:
        """``study`` is one that this Trust joined, or empty. ``then`` as for ``AuditLog.append``."""
        burst = self._bursts.get((study, code))
        if burst is not None:
            burst.more += 1
            then()
            return
        self._audit.append("count-refused", study=study, request=request, code=code, then=then)
        timer = asyncio.get_running_loop().call_later(self._seconds, self._over, study, code)
        self._bursts[study, code] = _Burst(datetime.now(UTC), timer)

    def close(self) -> None:
        """Write down the numbers that are not written yet."""
        for study, code in list(self._bursts):
            self._over(study, code)

    def _over(self, study: str, code: str) -> None:
        burst = self._bursts.pop((study, code))
        burst.timer.cancel()
        if burst.more:
            since = burst.since.isoformat(timespec="seconds")
            self._audit.append("count-refused", study=study, code=code, more=burst.more, since=since)
