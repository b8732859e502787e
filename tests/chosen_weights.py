"""A hub that chooses the weights of an honest logistic regression so that its updates tell one patient's row.

The notebook is honest: mean logistic loss, some steps of gradient descent over all people. With weights w = s·u, bias
= -s·t and a large s each prediction is 0 or 1, by whether u·x is above t; so the update, less that of a t beyond
everybody, is the sum of the rows (1, x) of those above t. Where t lets one alone stand above, it is that one's row.
With a smaller s it is a sum that he has the largest part in. (The attack of Boenisch et al., arXiv 2112.02918, on the
smallest model that there is.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
RATE, EPOCHS = 0.1, 5
CENTRE, SPREAD = np.array([60.0, 130.0]), np.array([15.0, 20.0])
"""By which the notebook standardises age in years and blood pressure in mmHg."""


@dataclass(frozen=True)
class Patients:
    """Age and blood pressure [people, 2], and what the model is to predict, 0 or 1 [people]."""

    rows: Vector
    labels: Vector

    @classmethod
    def drawn(cls, people: int, seed: int) -> Patients:
        random = np.random.default_rng(seed)
        rows = np.stack([random.normal(62, 14, people).clip(18, 100), random.normal(132, 18, people).clip(80, 220)], 1)
        rows = rows.round()
        return cls(rows, (random.random(people) < 1 / (1 + np.exp((62 - rows[:, 0]) / 14))).astype(float))

    @property
    def standardised(self) -> Vector:
        return np.asarray((self.rows - CENTRE) / SPREAD)

    def furthest(self, direction: Vector) -> Vector:
        """The row of who stands out most."""
        return np.asarray(self.rows[int(np.argmax(self.standardised @ direction))])

    def share_read(self, rows: Vector) -> float:
        """The share of these people of whom a row is among ``rows``, within a year of age and 2 mmHg."""
        return float(np.mean([bool(np.any((np.abs(rows - row) <= (1, 2)).all(1))) for row in self.rows]))

    def change(self, weights: Vector, clip: float) -> Vector:
        """What the honest notebook's training makes of weights (two and the bias), as an airlock lets it out."""
        x, model = self.standardised, weights.astype(np.float32)
        for _ in range(EPOCHS):
            error = 1 / (1 + np.exp(-(x @ model[:2] + model[2]))) - self.labels
            model = (model - RATE * np.append(error @ x, error.sum()) / len(x)).astype(np.float32)
        change = model.astype(np.float64) - weights.astype(np.float32)
        return np.asarray(change * min(1.0, clip / float(np.linalg.norm(change))))


Ask = Callable[[Vector], Vector | None]
"""Weights and bias in, the Trust's change out; None where it gets no answer any more."""


@dataclass
class Walk:
    """A hub that stays within what enclaves take: each round it goes ``clip`` further at most, for ``rounds`` rounds,
    and never further than ``radius`` from the first weights, which are 0.

    It skips rounds rather than ask where it has nothing to ask.
    """

    ask: Callable[[Vector, int], Vector]
    """Weights, and the number of the round."""
    clip: float
    rounds: int
    radius: float = math.inf
    number: int = 1

    def __post_init__(self) -> None:
        self._at = np.zeros(3)

    def __call__(self, weights: Vector) -> Vector | None:
        steps = max(1, math.ceil(float(np.linalg.norm(weights - self._at)) / self.clip))
        if self.number + steps > self.rounds or float(np.linalg.norm(weights)) > self.radius:
            return None
        self.number, self._at = self.number + steps, weights
        return self.ask(weights, self.number)


def read(ask: Ask, people: int, direction: Vector, slope: float) -> Vector | None:
    """Age and blood pressure of who stands out most in a direction, as the hub reads them; None where it could not."""

    def above(threshold: float) -> Vector | None:
        change = ask(slope * np.append(direction, -threshold))
        return -change * people / (RATE * EPOCHS) if change is not None else None

    threshold, found = 3.2, None
    nobody = above(threshold + 2 / slope)
    while nobody is not None and (some := above(threshold)) is not None:
        row = some - nobody
        if row[2] > 0.02:
            found = np.asarray(row[:2] / row[2] * SPREAD + CENTRE)
        if row[2] > 0.15:
            break
        threshold -= max(0.7 / slope, 0.05)
    return found


def right(found: Vector | None, truth: Vector) -> bool:
    """Within a year of age and 2 mmHg."""
    return found is not None and abs(found[0] - truth[0]) <= 1 and abs(found[1] - truth[1]) <= 2


def wander(rounds: int, step: float, radius: float, seed: int) -> Vector:
    """Weights [rounds, 3] of a hub that stays within ``radius`` of 0 and goes ``step`` in each round, anywhere."""
    random, weights = np.random.default_rng(seed), [np.zeros(3)]
    while len(weights) < rounds:
        move = random.normal(size=3)
        following = weights[-1] + move * step / np.linalg.norm(move)
        if np.linalg.norm(following) <= radius:
            weights.append(following)
    return np.asarray(np.array(weights, np.float32), np.float64)


def solve(weights: Vector, changes: Vector, people: int, seed: int, *, tries: int = 4) -> Vector:
    """All rows [people, 2] at once, as those whose training makes these changes [rounds, 3] of these weights.

    Each round gives three equations, each person has two unknowns, and the labels come in by three sums alone.
    Levenberg and Marquardt's method, from several beginnings; the best fit is taken.
    """
    random = np.random.default_rng(seed)

    def misfit(unknown: Vector) -> Vector:
        rows = np.column_stack([unknown[:-3].reshape(people, 2), np.ones(people)])
        model = weights
        for _ in range(EPOCHS):
            predicted = 1 / (1 + np.exp(-(model @ rows.T)))
            model = model - RATE * (predicted @ rows - unknown[-3:]) / people
        return np.asarray((model - weights - changes).ravel() * people / (RATE * EPOCHS) * 1e4)

    fits = [_least_squares(misfit, np.append(random.normal(size=2 * people).clip(-2, 2), np.zeros(3)))
            for _ in range(tries)]  # fmt: skip
    best = min(fits, key=lambda fit: float(np.sum(misfit(fit) ** 2)))
    return np.asarray(best[:-3].reshape(people, 2) * SPREAD + CENTRE)


def _least_squares(misfit: Callable[[Vector], Vector], unknown: Vector) -> Vector:
    now, damping, step = misfit(unknown), 1e-2, 1e-6
    for _ in range(80):
        slopes = np.stack([(misfit(unknown + step * one) - now) / step for one in np.eye(len(unknown))], 1)
        square = slopes.T @ slopes
        for _ in range(12):
            damped = square + damping * np.diag(np.diag(square) + 1e-12)
            following = unknown - np.linalg.solve(damped, slopes.T @ now)
            better = misfit(following)
            if better @ better < now @ now:
                break
            damping *= 4
        else:
            return unknown
        gain = 1 - (better @ better) / (now @ now)
        unknown, now, damping = following, better, damping / 6
        if gain < 1e-9:
            break
    return unknown
