"""How often an attacker on counts is right: against the practice that each attack was made for, and against ours."""

from __future__ import annotations

import tempfile
from pathlib import Path

from disclosure_attacks import games, make_worlds, play

from benchmarks.figures import Figures
from flipnb.contracts.policy import CountPolicy

# A 25th of the default's noise² and budget, so that its bounds are the same and attacks need fewer questions; without
# rounding, which no bound counts on.
_POLICY = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4)
_GAMES = 400
_LONG = ("the same question again", "the question rephrased", "colluding studies")


def attacks(figures: Figures) -> None:
    """``ours`` and ``rival`` are shares of right guesses, 0.5 is blind guessing."""
    with tempfile.TemporaryDirectory() as directory:
        worlds = make_worlds(Path(directory))
        for game in games(_POLICY, repeats=60, rewords=60):
            without = 60 if game.name in _LONG else _GAMES
            outcome = play(game, _POLICY, worlds, n=_GAMES, n_without=without)
            figures.add(game.name, "share of right guesses", [outcome.ours], [outcome.without], game.without.name)
            figures.add(f"{game.name}: bound at a cost of {outcome.cost}", "share of right guesses", [outcome.bound])


MEASURES = {"attacks": attacks}
