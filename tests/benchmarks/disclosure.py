"""How often an attacker on counts is right: against the practice that each attack was made for, and against ours."""

from __future__ import annotations

import tempfile
from pathlib import Path

from disclosure_attacks import games, make_worlds, play

from benchmarks.figures import Figures
from flipnb.contracts.policy import CountPolicy

_POLICY = CountPolicy()
_GAMES = 200


def attacks(figures: Figures) -> None:
    """The default policy; ``ours`` and ``rival`` are shares of right guesses, 0.5 is blind guessing."""
    with tempfile.TemporaryDirectory() as directory:
        worlds = make_worlds(Path(directory))
        for game in games(_POLICY, repeats=200, rewords=200):
            quick = game.name not in ("the same question again", "the question rephrased", "colluding studies")
            outcome = play(game, _POLICY, worlds, n=_GAMES if quick else 40, n_without=_GAMES if quick else 20)
            figures.add(game.name, "share of right guesses", [outcome.ours], [outcome.without], game.without.name)
            figures.add(f"{game.name}: bound at a cost of {outcome.cost}", "share of right guesses", [outcome.bound])


MEASURES = {"attacks": attacks}
