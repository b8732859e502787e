"""How well two models' conclusions about the same people agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.consensus import Measure
from flipnb.contracts.problem import FlipError


def compare(measure: Measure, first: Any, second: Any) -> float | None:
    """The agreement of two vectors of conclusions [people]; None where there is nobody.

    ``agreement``: the share of people for whom both are equal. ``concordance``: Lin's concordance correlation
    coefficient, 2·s_xy / (s_x² + s_y² + (mean x - mean y)²) with moments over n (Lin, Biometrics 45 (1989) 255-268);
    1 where both are the same constant. Raises FlipError ``wrong-conclusions``.
    """
    one, other = _vector(first), _vector(second)
    if one.shape != other.shape:
        raise FlipError(
            "wrong-conclusions", f"rnd.agree was given conclusions about {one.size} and about {other.size} people."
        )
    if one.size == 0:
        return None
    if measure == "agreement":
        return float(np.mean(_classes(one) == _classes(other)))
    return _concordance(_numbers(one), _numbers(other))


def _concordance(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    apart = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    if apart == 0.0:
        return 1.0
    together = 2.0 * float(np.mean((x - x.mean()) * (y - y.mean())))
    return max(-1.0, min(1.0, together / apart))


def _vector(value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise FlipError(
            "wrong-conclusions",
            f"rnd.agree was given an array of shape {array.shape}; one conclusion per person is needed.",
            remedy="Give a class per person, for example logits.argmax(1), or one number per person.",
        )
    return array


def _classes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise FlipError(
            "wrong-conclusions",
            "The plan's consensus compares classes, and rnd.agree was given numbers with fractions.",
            remedy="Give a class per person, for example p > 0.5, or set the plan's consensus measure to concordance.",
        )
    return array


def _numbers(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if array.dtype.kind not in "fiub":
        raise FlipError("wrong-conclusions", "The plan's consensus compares numbers, and rnd.agree was given none.")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise FlipError("wrong-conclusions", "rnd.agree was given NaN or infinity.")
    return numbers
