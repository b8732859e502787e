"""Each attack succeeds against the practice that it was made for, and stays below the bound against ours."""

from __future__ import annotations

import pytest
from disclosure_attacks import games, make_worlds, play

from flipnb.contracts.policy import CountPolicy

# The default policy's bounds with a 25th of its questions: noise and budget shrink together. Without rounding, which
# no bound counts on, attacks are as strong as they can be.
POLICY = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4)
GAMES = games(POLICY, repeats=40, rewords=60)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return make_worlds(tmp_path_factory.mktemp("worlds"))


@pytest.mark.parametrize("game", GAMES, ids=[game.name.replace(" ", "-") for game in GAMES])
def test_an_attack_stays_below_the_bound(worlds, game):
    outcome = play(game, POLICY, worlds, n=150, n_without=80)
    print(f"\n{game.name}: {outcome}")
    assert outcome.ours <= outcome.bound + outcome.slack
    assert outcome.without > outcome.bound + outcome.slack, "the attack could not tell whether the control works"
