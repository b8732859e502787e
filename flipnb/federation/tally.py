"""The small numbers of an update, beside the weights: people by part, metrics, votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flipnb.contracts.outputs import DeclaredOutput, Part
from flipnb.federation.update_layout import PARTS


@dataclass(frozen=True)
class Tally:
    """The small numbers of one update, or of several added: people by part, metrics times people, votes."""

    people: Mapping[Part, int]
    metrics: Mapping[str, int]
    votes: int = 0
    voters: int = 0

    @classmethod
    def nothing(cls, outputs: Sequence[DeclaredOutput]) -> Tally:
        """A tally that adds nothing to another."""
        return cls(dict.fromkeys(PARTS, 0), dict.fromkeys((output.name for output in outputs), 0))

    def plus(self, other: Tally) -> Tally:
        """The sum of the two, in integers."""
        return Tally(
            {part: self.people[part] + other.people[part] for part in PARTS},
            {name: value + other.metrics[name] for name, value in self.metrics.items()},
            self.votes + other.votes,
            self.voters + other.voters,
        )

    def averages(self, outputs: Sequence[DeclaredOutput]) -> dict[str, float]:
        """Metrics over the people of each output's part, rounded to its decimals; without people it is left out."""
        averages: dict[str, float] = {}
        for output in outputs:
            if self.people[output.over]:
                units = self.metrics[output.name] / self.people[output.over]
                averages[output.name] = round(units / 10**output.decimals, output.decimals)
        return averages
