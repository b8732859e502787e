"""How long a round waits for its Trusts: learned from the run's earlier rounds, never below the plan's floor."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from flipnb.contracts.plan import Plan
from flipnb.contracts.run import RoundSummary

_LONGER_THAN_EVER = 3.0
_REMEMBERED = 5


class Patience:
    """``round_seconds`` until something is learned, and at most; ``start_seconds`` more for the first round.

    Later three times the slowest of the last five rounds in which nobody was late, and at least the plan's
    ``patience_seconds``: that is how long a Trust may need to recover (its agent restarted, its kernel started anew,
    its network back) without being left out, however fast the rounds are.
    """

    def __init__(self, plan: Plan, finished: Iterable[RoundSummary] = ()) -> None:
        self._plan = plan
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        for summary in finished:
            self.learn(summary)

    def learn(self, summary: RoundSummary) -> None:
        """A round that ended at its deadline teaches nothing: its time was our own patience."""
        if not summary.late:
            self._seconds.append(summary.seconds)

    def seconds(self, number: int) -> float:
        """How long round ``number`` waits for replies."""
        plan = self._plan
        starting = plan.start_seconds if number == 1 else 0
        if not self._seconds:
            return float(plan.round_seconds + starting)
        learned = max(float(plan.patience_seconds), _LONGER_THAN_EVER * max(self._seconds))
        return min(float(plan.round_seconds), learned) + starting
