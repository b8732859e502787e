"""How a run's part in this enclave ended, in the words that its hub and its audit log get."""

from __future__ import annotations

from dataclasses import dataclass

from flipnb.contracts import disk
from flipnb.contracts.failure import TIME_LIMIT
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Failure, TrustState

_TOLD = frozenset({"too-few-people", "freeze-failed", "memory-cgroup-missing", disk.CODE})


@dataclass(frozen=True)
class Outcome:
    """``state`` is None where the agent itself ends and the run is to go on later."""

    state: TrustState | None
    code: str | None = None
    reason: str | None = None
    failure: Failure | None = None


FINISHED = Outcome("finished")
GOES_ON_LATER = Outcome(None)
ENCLAVE_FAILED = Outcome("failed", "enclave-failed", "The enclave failed; its data controller sees why in the log.")
KERNEL_ENDED = Outcome("failed", "kernel-ended", "The kernel was ended from outside the enclave.")
ROUNDS_MISSING = Outcome("failed", "rounds-missing", "The notebook ended before the last round.")
TOO_LONG = Outcome(
    "failed", "run-too-long", "The run took longer than its plan allows.", Failure(error_class=TIME_LIMIT)
)


def of_error(error: FlipError) -> Outcome:
    """Messages of other rooms may name this machine's paths: few leave."""
    reason = error.message if error.code in _TOLD else "This Trust could not run the notebook."
    return Outcome("failed", error.code, reason)


def of_full_disk() -> Outcome:
    """A run that ended since the Trust's disk is full."""
    return Outcome("failed", disk.CODE, disk.disk_full("this Trust's").message)
