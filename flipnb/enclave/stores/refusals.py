"""What a hub may have refused as often as it likes: all of it in the audit log in number, none of it a flood.

A refusal like one of the same hour is counted with that one; the log has their number at ten, a hundred, … and when the
hour is over. Of new ones each run or study has twenty entries an hour, each kind two hundred; the others are a number.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from flipnb.contracts.audit import AuditEntry, AuditKind
from flipnb.contracts.document import canonical_bytes, sha256

HOUR_S = 3600.0
MOST_ABOUT_ONE = 20
MOST_OF_A_KIND = 200


class Append(Protocol):
    """AuditLog's own."""

    def __call__(self, kind: AuditKind, **details: Any) -> AuditEntry: ...


@dataclass
class _Alike:
    """Refusals like the entry ``like``, or, without one, those that have no entry of their own."""

    like: int | None
    more: int = 0
    told: int = 0
    since: float = 0.0
    until: float = 0.0

    def count(self, now: float, times: int) -> bool:
        """So many more; whether there are now ten times as many as the log was told of last."""
        self.more += times
        self.since, self.until = self.since or now, now
        return self.more >= 10 * max(self.told, 1)


@dataclass
class _Hour:
    """One kind's. ``alike`` by a digest of the details, ``entries`` by what they are about."""

    began: float
    alike: dict[str, _Alike] = field(default_factory=dict)
    entries: Counter[str] = field(default_factory=Counter)
    omitted: _Alike = field(default_factory=lambda: _Alike(None))

    def all(self) -> list[_Alike]:
        return [*self.alike.values(), self.omitted]


class Refusals:
    """One audit log's. Thread-safe. ``clock`` is in Unix seconds."""

    def __init__(self, append: Append, clock: Callable[[], float] = time.time) -> None:
        self._append, self._clock = append, clock
        self._lock = threading.Lock()
        self._hours: dict[AuditKind, _Hour] = {}

    def add(self, kind: AuditKind, about: str, *, times: int = 1, **details: Any) -> None:
        """Record a refusal; ``about`` is the run or the study. Raises FlipError as ``AuditLog.append``."""
        with self._lock:
            self._tell_those_over()
            now = self._clock()
            hour = self._hours.get(kind) or _Hour(now)
            identity = sha256(canonical_bytes(details))
            alike = hour.alike.get(identity)
            if alike is None and hour.entries[about] < MOST_ABOUT_ONE and len(hour.alike) < MOST_OF_A_KIND:
                alike = hour.alike[identity] = _Alike(self._append(kind, **details).index)
                hour.entries[about] += 1
                times -= 1
            alike = alike or hour.omitted
            self._hours[kind] = hour
            if times and alike.count(now, times):
                self._tell(kind, alike)

    def tell(self) -> None:
        """Write down the numbers of the hours that are over."""
        with self._lock:
            self._tell_those_over()

    def close(self) -> None:
        """Write down all numbers that the log does not have yet."""
        with self._lock:
            self._tell_those_over(everything=True)

    def _tell_those_over(self, *, everything: bool = False) -> None:
        now = self._clock()
        for kind, hour in list(self._hours.items()):
            # A clock that was set back ends an hour, too: else it would last until it has caught up.
            if everything or not 0 <= now - hour.began < HOUR_S:
                for alike in hour.all():
                    if alike.more > alike.told:
                        self._tell(kind, alike)
                del self._hours[kind]

    def _tell(self, kind: AuditKind, alike: _Alike) -> None:
        """``more`` counts from the hour's beginning: of two entries about the same the later one holds."""
        self._append(
            "refused-again",
            of=kind,
            like=alike.like,
            more=alike.more,
            since=_moment(alike.since),
            until=_moment(alike.until),
        )
        alike.told = alike.more


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
