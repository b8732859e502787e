"""Consensus as a stopping rule: rounds go on until each Trust's own model reaches the conclusions of the global one.

In each training round a Trust compares, over its own validation data, what the global weights that came in conclude
with what its model concludes after local training, and votes 1 where they agree well enough, else 0. The run ends when
all have voted 1 in ``rounds`` rounds in a row, or at the plan's round limit.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError

Measure = Literal["agreement", "concordance"]
"""agreement: the share of equal classes, 0 to 1; concordance: Lin's coefficient of two sets of numbers, -1 to 1."""

DECIMALS = 4
VALUE_BITS = math.ceil(math.log2(2 * 10**DECIMALS + 1))
"""What one agreement carries where a policy lets a Trust's own figure out; else one bit, the vote."""


class Consensus(Document):
    """When a run may end before its last round. ``threshold`` is what a Trust needs to vote 1."""

    measure: Measure = "agreement"
    threshold: float = Field(default=0.99, gt=0, le=1)
    rounds: int = Field(default=2, ge=1, le=1000)

    def admit(self, value: object) -> float:
        """An agreement as a notebook gave it, rounded to ``DECIMALS``. Raises FlipError ``wrong-agreement``."""
        low = 0.0 if self.measure == "agreement" else -1.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= 1.0:  # type: ignore[operator]
            raise FlipError("wrong-agreement", f"The {self.measure} is no number within [{low:g}, 1].")
        return round(float(value), DECIMALS)  # type: ignore[arg-type]

    def vote(self, value: float) -> Literal[0, 1]:
        """1 where an agreement reaches the threshold, else 0."""
        return 1 if value >= self.threshold else 0

    def streak(self, before: int, votes: int, voters: int) -> int:
        """In how many rounds in a row all have voted 1, after a round with ``votes`` of ``voters``."""
        return before + 1 if 0 < voters == votes else 0


class Ballot(Document):
    """One Trust's part of a vote: both 0 where it has nobody in validation and so abstains."""

    votes: Literal[0, 1] = 0
    voters: Literal[0, 1] = 0
