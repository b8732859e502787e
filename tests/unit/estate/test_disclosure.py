"""Noise, suppression and rounding: the sampler is the distribution it claims to be, and zero is as any small number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.bound import best_guess, concentrated, epsilon
from flipnb.contracts.policy import CountPolicy
from flipnb.estate.disclosure import Cell, bars, discrete_gaussian, noisy, seed, shown

SECRET = bytes(range(32))
policies = st.builds(CountPolicy, threshold=st.integers(1, 50), rounding=st.integers(1, 50))


def probabilities(deviation: float, reach: int) -> list[float]:
    weights = [math.exp(-(x**2) / (2 * deviation**2)) for x in range(-reach, reach + 1)]
    return [weight / math.fsum(weights) for weight in weights]


@pytest.mark.parametrize("deviation", [1.0, 2.5, 10.0])
def test_the_sampler_is_the_discrete_gaussian(deviation):
    """Pearson's chi-square over 4,000 draws stays below what chance exceeds once in a million."""
    draws, reach = 4000, math.ceil(2.5 * deviation)
    expected = probabilities(deviation, math.ceil(12 * deviation))
    middle = len(expected) // 2
    counts = dict.fromkeys([*range(-reach, reach + 1), "beyond"], 0)
    for number in range(draws):
        x = discrete_gaussian(deviation, seed(SECRET, str(number)))
        counts[x if abs(x) <= reach else "beyond"] += 1
    chances = {x: expected[middle + x] for x in range(-reach, reach + 1)}
    chances["beyond"] = 1 - sum(chances.values())
    statistic = sum((counts[x] - draws * p) ** 2 / (draws * p) for x, p in chances.items())
    freedom = len(chances) - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom) + 25


def test_noise_is_the_seed_s():
    assert len({discrete_gaussian(10.0, seed(SECRET, "a")) for _ in range(3)}) == 1
    assert len({discrete_gaussian(1000.0, seed(SECRET, str(n))) for n in range(50)}) > 40
    assert seed(SECRET, "ab", "c") != seed(SECRET, "a", "bc")
    assert seed(SECRET, "a") != seed(bytes(32), "a")
    assert discrete_gaussian(0, seed(SECRET, "a")) == 0


@given(st.integers(-100, 5000), policies)
def test_what_is_shown(number, policy):
    released = shown(number, policy)
    assert (released is None) == (number < policy.threshold)
    if released is not None:
        assert released % policy.rounding == 0
        assert released >= policy.threshold
        assert abs(released - number) <= max(policy.rounding, policy.threshold)


@given(st.lists(st.integers(-30, 300), min_size=1, max_size=12), policies)
def test_charts_hide_no_single_bar(numbers, policy):
    chart = bars(numbers, policy)
    assert len(chart) == len(numbers)
    assert len(chart) == 1 or sum(people is None for people in chart) != 1
    assert all(people is None or people == shown(number, policy) for people, number in zip(chart, numbers, strict=True))


def test_zero_and_few_are_told_apart_no_better_than_the_bound():
    """Over many secrets, the share suppressed differs between 0 and 1 person by no more than one number may tell."""
    policy = CountPolicy()
    draws = 3000

    def suppressed(people):
        numbers = (
            noisy(Cell(people), "", policy, lambda _, name, n=n: seed(SECRET, name, str(people), str(n)))
            for n in range(draws)
        )
        return sum(shown(number, policy) is None for number in numbers) / draws

    shares = [suppressed(0), suppressed(1)]
    assert abs(shares[0] - shares[1]) <= (2 * best_guess(1, policy.noise) - 1) + 4 * math.sqrt(0.5 / draws)


@pytest.mark.parametrize(("deviation", "cost"), [(1.0, 1), (1.5, 4), (3.0, 4), (5.0, 9)])
def test_the_bound_is_that_of_the_discrete_gaussian(deviation, cost):
    """Against the total variation between ``cost`` draws and the same moved by 1, computed by convolution."""
    import numpy as np

    reach = math.ceil(14 * deviation)
    one = np.array(probabilities(deviation, reach))
    total = one
    for _ in range(cost - 1):
        total = np.convolve(total, one)
    # The likelihood ratio of the draws depends on their sum alone, which is moved by ``cost``.
    moved = np.concatenate([np.zeros(cost), total])
    still = np.concatenate([total, np.zeros(cost)])
    exact = 0.5 + 0.25 * np.abs(moved - still).sum()
    assert best_guess(cost, deviation) == pytest.approx(exact, abs=1e-8)


def test_the_bound_in_numbers():
    assert concentrated(200, 10.0) == 1.0
    assert epsilon(200, 10.0) == pytest.approx(8.43, abs=0.01)
    assert best_guess(1, 10.0) == pytest.approx(0.5199, abs=1e-4)
    assert best_guess(100, 10.0) == pytest.approx(0.6915, abs=1e-4)
    assert (best_guess(1, 0), best_guess(0, 0), concentrated(1, 0), epsilon(1, 0)) == (1.0, 0.5, None, None)
