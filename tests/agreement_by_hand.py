"""The rounds of notebooks/until_agreement.ipynb again, in NumPy alone: who would agree when, in any split."""

from dataclasses import dataclass

import numpy as np

NUMBERS = ["age", "trestbps", "chol", "thalach", "oldpeak"]


@dataclass
class Hospital:
    """Scaled measurements [people, 5] and labels of the three parts, and its own intercept."""

    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    intercept: float = 0.0


def hospitals_of(frozen):
    """``frozen``: for each hospital the frames of its train, validation and test. Scaled as ``flip.total`` does."""
    train = np.concatenate([frames["train"][NUMBERS].to_numpy(float) for frames in frozen])
    mean, spread = train.mean(0), train.std(0)
    return [
        Hospital(
            {part: (frame[NUMBERS].to_numpy(float) - mean) / spread for part, frame in frames.items()},
            {part: (frame["num"] > 0).to_numpy(float) for part, frame in frames.items()},
        )
        for frames in frozen
    ]


def ended_after(hospitals, *, rounds=60, lr=0.2, steps=5, l2=0.05, threshold=0.95, in_a_row=3, one_intercept=False):
    """In which round all have agreed often enough (None: never), and the final accuracy over everybody in test."""
    weights, intercept, streak = np.zeros(len(NUMBERS)), 0.0, 0
    people = np.array([len(one.y["train"]) for one in hospitals], float)
    for number in range(1, rounds + 1):
        trained, intercepts, agreed = [], [], []
        for one in hospitals:
            local, own = weights.copy(), intercept if one_intercept else one.intercept
            before = one.x["validation"] @ local + own > 0
            for _ in range(steps):
                error = (1 / (1 + np.exp(-(one.x["train"] @ local + own))) - one.y["train"]) / len(one.y["train"])
                local, own = local - lr * (one.x["train"].T @ error + l2 * local), own - lr * error.sum()
            agreed.append(np.mean(before == (one.x["validation"] @ local + own > 0)))
            one.intercept = own
            trained.append(local)
            intercepts.append(own)
        weights, intercept = np.average(trained, 0, people), float(np.average(intercepts, weights=people))
        streak = streak + 1 if min(agreed) >= threshold else 0
        if streak == in_a_row:
            return number, accuracy(hospitals, weights)
    return None, accuracy(hospitals, weights)


def accuracy(hospitals, weights):
    """Of the shared weights, each hospital with its own intercept."""
    right = [(one.x["test"] @ weights + one.intercept > 0) == (one.y["test"] > 0.5) for one in hospitals]
    return float(np.concatenate(right).mean())
