"""``flip.total``: a federated sum of declared arrays, as float64 in the shapes that were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.broker import AskTotal
from flipnb.contracts.problem import FlipError
from flipnb.session.broker import Channel


def ask_total(channel: Channel, arrays: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Returns when all Trusts have given theirs. Raises FlipError ``wrong-total``, ``undeclared-total``."""
    given = {name: _array(name, value) for name, value in arrays.items()}
    answer = channel.total(AskTotal(values={name: tuple(array.ravel().tolist()) for name, array in given.items()}))
    return {name: np.array(answer.values[name], np.float64).reshape(array.shape) for name, array in given.items()}


def _array(name: str, value: Any) -> npt.NDArray[np.float64]:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise FlipError("wrong-total", f"The array {name!r} given to flip.total does not hold numbers.") from None
    if not np.isfinite(array).all():
        raise FlipError("wrong-total", f"The array {name!r} given to flip.total holds NaN or infinity.")
    return array
