"""What noise and budget imply together: how much an attacker can learn of one person, whatever else they know.

Each released number has noise of the discrete Gaussian with standard deviation ``noise``. A number that one person can
change by 1 costs 1 of the budget. Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy (NeurIPS
2020), theorem 4: ``cost`` such numbers, chosen adaptively, are rho-zero-concentrated differentially private with
rho = cost / (2 noise²). Two records are neighbours where one person is there or not, or has another history.
"""

from __future__ import annotations

from math import exp, fsum, log, pi, sqrt

DELTA = 1e-6


def concentrated(cost: int, noise: float) -> float | None:
    """rho of zero-concentrated differential privacy; None (no bound) without noise."""
    return cost / (2 * noise**2) if noise > 0 else None


def epsilon(cost: int, noise: float, delta: float = DELTA) -> float | None:
    """(epsilon, delta)-differential privacy that rho implies: Bun and Steinke (2016), proposition 1.3."""
    rho = concentrated(cost, noise)
    return rho + 2 * sqrt(rho * log(1 / delta)) if rho is not None else None


def best_guess(cost: int, noise: float) -> float:
    """The most often that anybody can be right about one person, who is in or out like a coin's toss.

    0.5 is guessing, 1 is certainty; about Phi(sqrt(cost) / (2 noise)). No test tells ``cost`` numbers from the same
    numbers moved by 1 better than by their sum, a discrete Gaussian again (to 1e-8 from a noise of 1 on), which is
    within ``cost`` neighbouring integers with the probability computed here.
    """
    if cost == 0:
        return 0.5
    if noise == 0:
        return 1.0
    deviation = sqrt(cost) * noise
    within = fsum(exp(-((n / deviation) ** 2) / 2) for n in range(-((cost - 1) // 2), cost // 2 + 1))
    return min(1.0, 0.5 + within / (2 * sqrt(2 * pi) * deviation))
