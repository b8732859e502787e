"""The demo's independent reference: the notebook's model in NumPy, float64, on the demo's own copy of the data.

It shares no code with the notebook, the session or the coordinator, so that agreement means something. The features
follow Fed-Heart-Disease of FLamby (du Terrail et al., NeurIPS 2022): slope, ca and thal dropped, chest pain and resting
electrocardiogram one-hot with the first category dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

# (column, centre, scale): the constants that the notebook states.
NUMERIC = (
    ("age", 54.0, 9.0),
    ("trestbps", 132.0, 19.0),
    ("chol", 200.0, 110.0),
    ("thalach", 137.0, 26.0),
    ("oldpeak", 0.9, 1.1),
)
BINARY = ("sex", "fbs", "exang")
CODED = ("cp", "restecg")


@dataclass(frozen=True)
class Weights:
    """Logistic regression: ``weight`` of shape [features], ``bias`` a number."""

    weight: Array
    bias: float

    def distance(self, other: Weights) -> float:
        """The largest absolute difference of any parameter."""
        return max(float(np.abs(self.weight - other.weight).max()), abs(self.bias - other.bias))


@dataclass(frozen=True)
class Examples:
    """Features [people, features] and labels 0 or 1 [people]."""

    x: Array
    y: Array

    @classmethod
    def join(cls, parts: list[Examples]) -> Examples:
        """The examples of several hospitals as one set, in this order."""
        return cls(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))

    def accuracy(self, weights: Weights) -> float:
        """The share of people, 0 to 1, whose label the model gets right."""
        return float(((self.x @ weights.weight + weights.bias > 0) == (self.y > 0.5)).mean())


def descend(examples: Examples, start: Weights, *, steps: int, lr: float, l2: float) -> Weights:
    """Full-batch gradient descent on the mean logistic loss + l2/2 · |weight|²."""
    weight, bias = start.weight.copy(), start.bias
    for _ in range(steps):
        error = 1.0 / (1.0 + np.exp(-(examples.x @ weight + bias))) - examples.y
        weight, bias = (
            weight - lr * (examples.x.T @ error / len(error) + l2 * weight),
            bias - lr * float(error.mean()),
        )
    return Weights(weight, bias)


def examples(frame: pd.DataFrame, codes: dict[str, tuple[int, ...]], female: int, positive: int) -> Examples:
    """Features of a frozen cohort's frame. ``codes`` gives each coded variable's concepts in order (first dropped)."""
    columns: list[Array] = [(frame[name].to_numpy(float) - centre) / scale for name, centre, scale in NUMERIC]
    flags = [frame["sex"] != female]
    flags += [frame[name] == positive for name in BINARY[1:]]
    flags += [frame[name] == code for name in CODED for code in codes[name][1:]]
    columns += [flag.to_numpy().astype(np.float64) for flag in flags]
    return Examples(np.column_stack(columns), (frame["num"].to_numpy(float) > 0).astype(float))
