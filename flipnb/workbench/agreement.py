"""Who holds out in a round of votes, as far as policies let it out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.run import RoundSummary


@dataclass(frozen=True)
class HoldOuts:
    """Those who voted 0 in one round: figures by Trust's key, the lowest first, and how many Trusts keep theirs."""

    told: Mapping[str, float]
    kept: int

    def describe(self, names: Mapping[str, str]) -> str:
        """Such as "Hungary 0.941, and one Trust that keeps its figure"; empty where all agree."""
        figures = [f"{names.get(key, key[:12])} {_below(value)}" for key, value in self.told.items()]
        keeps = {0: [], 1: ["one Trust that keeps its figure"]}.get(self.kept, [f"{self.kept} Trusts that keep theirs"])
        return ", and ".join([*([", ".join(figures)] if figures else []), *keeps])


def _below(value: float) -> str:
    """Three decimals, rounded down: who is just below the threshold is not shown as being on it."""
    return f"{math.floor(value * 1000 + 1e-6) / 1000:.3f}"


def find_hold_outs(summary: RoundSummary, consensus: Consensus) -> HoldOuts | None:
    """None where the round had no vote. A figure's own vote is what the Trust's airlock made of that very figure."""
    if summary.votes is None or summary.voters is None:
        return None
    told = {key: value for key, value in summary.agreements.items() if not consensus.vote(value)}
    lowest_first = dict(sorted(told.items(), key=lambda item: item[1]))
    return HoldOuts(lowest_first, max(0, summary.voters - summary.votes - len(told)))


def describe_rule(consensus: Consensus) -> str:
    """What is needed to end: "Needed to agree: 0.95 at every Trust that votes, in 3 rounds in a row"."""
    in_a_row = f", in {consensus.rounds} rounds in a row" if consensus.rounds > 1 else ""
    return f"Needed to agree: {consensus.threshold:g} at every Trust that votes{in_a_row}"
