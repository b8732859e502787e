"""How often an attacker on counts is right: against the practice that each attack was made for, and against ours."""

from __future__ import annotations

import tempfile
from pathlib import Path

import time_attack
from disclosure_attacks import games, make_worlds, play
from time_attack import Hospital, Hurried, Played, Punctual, arrival, stopped

from benchmarks.figures import Figures
from flipnb.contracts.policy import CountPolicy

# A 25th of the default's noise² and budget, so that its bounds are the same and attacks need fewer questions; without
# rounding, which no bound counts on.
_POLICY = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4)
_GAMES, _TIMED = 400, 40
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


def times(figures: Figures) -> None:
    """The same of attacks on time, at the default's answer time: some ten minutes of real time."""
    unhurried = _POLICY.model_copy(update={"answer_seconds": 60.0})

    async def playing(both: tuple[Hospital, Hospital]) -> list[tuple[str, str, Played, Played]]:
        one, large = time_attack.TIMED[:1], time_attack.LARGE
        ready = await time_attack.play(both, time_attack.TIMED, unhurried, arrival, pace=Hurried, n=_TIMED)
        held = await time_attack.play(both, one, _POLICY, arrival, n=_TIMED)
        known = await time_attack.play(both, large, _POLICY, stopped, turn=Punctual, n=_TIMED)
        drawn = await time_attack.play(both, large, _POLICY, stopped, n=_TIMED)
        return [
            ("when the answer comes", "answers leave when they are ready", ready, held),
            ("whether there is a number", "stopped after a known time", known, drawn),
        ]

    with tempfile.TemporaryDirectory() as directory:
        for name, practice, without, ours in time_attack.run(playing, Path(directory)):
            print(f"{name}: {ours}, without {without}", flush=True)
            figures.add(name, "share of right guesses", [ours.right], [without.right], practice)
            figures.add(f"{name}: bound", "share of right guesses", [ours.bound])


MEASURES = {"attacks": attacks, "times": times}
