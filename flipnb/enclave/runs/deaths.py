"""What is done when a kernel ends that should have gone on: started anew, within limits, or the run's part fails.

A kernel that was killed from outside, or with its runner, goes on from the state that it saved with the last answered
round. One that ended by its own fault (an exception, its exit, too much memory or time) would only do so again.
"""

from __future__ import annotations

from flipnb.contracts.channels import DEATHS_IN_A_RUN
from flipnb.contracts.failure import KERNEL_DIED
from flipnb.contracts.run import Failure
from flipnb.enclave.runner.order import Verdict

IN_A_ROUND = 3
"""A kernel that dies so often in one round is not started again, nor one that dies ``DEATHS_IN_A_RUN`` times in all:
each death tells the hub a cell, so their number is bounded."""


class Deaths:
    """Counts one run's deaths since the agent started."""

    def __init__(self) -> None:
        self._round: int | None = None
        self._in_round = self._in_run = 0

    def start_anew(self, verdict: Verdict, number: int | None) -> bool:
        """Count a kernel's end in round ``number`` (None: before the first); whether it is to be started anew."""
        if not _from_outside(verdict):
            return False
        if number != self._round:
            self._round, self._in_round = number, 0
        self._in_round += 1
        self._in_run += 1
        return self._in_round < IN_A_ROUND and self._in_run < DEATHS_IN_A_RUN


def failure_of(verdict: Verdict, cell: int | None, number: int | None) -> Failure:
    """A death as it may leave the enclave. ``cell``: where the kernel was by the enclave's clock."""
    failure = verdict.failure(number) or Failure(error_class=KERNEL_DIED, round=number)
    return failure if failure.cell is not None else failure.model_copy(update={"cell": cell})


def _from_outside(verdict: Verdict) -> bool:
    """``stopped`` without a word from the agent: somebody else told the runner to end."""
    return verdict.outcome == "stopped" or (
        verdict.error_class == KERNEL_DIED and verdict.reason in ("signal", "runner", "start")
    )
