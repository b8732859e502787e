"""What can become of a study that was asked for, and of a pull."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Of one study. The three that come after ``retrieved`` are set by what reads the quarantine."""

    WANTED = "wanted"
    FOUND = "found"
    SEVERAL_FOUND = "several found"
    NOT_FOUND = "not found"
    REFUSED = "refused"
    RETRIEVING = "retrieving"
    PARTIAL = "partial"
    RETRIEVED = "retrieved"
    QUARANTINED = "quarantined"
    DEIDENTIFIED = "de-identified"
    FAILED = "failed"


OPEN = (State.WANTED, State.FOUND, State.RETRIEVING)
"""There is still something to do for the collector."""
AGAIN = (State.SEVERAL_FOUND, State.NOT_FOUND, State.REFUSED, State.PARTIAL, State.FAILED)
"""What a new pull of the same study begins anew."""
NEXT: dict[State, frozenset[State]] = {
    State.WANTED: frozenset(
        {State.FOUND, State.SEVERAL_FOUND, State.NOT_FOUND, State.REFUSED, State.FAILED, State.PARTIAL}
    ),
    State.FOUND: frozenset({State.RETRIEVING, State.WANTED, State.REFUSED}),
    State.RETRIEVING: frozenset({State.RETRIEVED, State.PARTIAL, State.FAILED, State.REFUSED, State.WANTED}),
    State.RETRIEVED: frozenset({State.QUARANTINED, State.DEIDENTIFIED, State.FAILED}),
    State.QUARANTINED: frozenset({State.DEIDENTIFIED, State.FAILED}),
    State.DEIDENTIFIED: frozenset(),
    **{state: frozenset({State.WANTED}) for state in AGAIN},
}
"""Which state may follow which."""


class PullState(StrEnum):
    """Of a whole pull. All but ``done`` go on where they were, when the collector is started for them again."""

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting for its hours"
    AWAY = "archive away"
    STOPPED = "stopped"
    DISK_FULL = "disk full"
    DONE = "done"
