"""Declared state and the random states, as opaque bytes that only this kernel (or its successor) reads back."""

from __future__ import annotations

import io
import pickle
import random
import sys
from collections.abc import Sequence
from typing import Any

from flipnb.contracts.problem import FlipError


class DeclaredState:
    """Objects with ``state_dict`` and ``load_state_dict``, saved at each round's end together with the random states.

    The bytes are a pickle. They are read only inside the sandbox, by the run that wrote them; nobody else opens them.
    """

    def __init__(self, objects: Sequence[Any]) -> None:
        for position, item in enumerate(objects):
            if not hasattr(item, "state_dict") or not hasattr(item, "load_state_dict"):
                raise FlipError(
                    "not-a-state",
                    f"state[{position}] of flip.rounds is a {type(item).__name__} without state_dict.",
                    remedy="Declare optimisers, schedulers or other objects with state_dict and load_state_dict.",
                )
        self._objects = list(objects)

    def save(self) -> bytes:
        """A pickle of the objects' states and of the random states of Python, NumPy and torch (CPU and GPUs)."""
        import numpy as np

        content: dict[str, Any] = {
            "objects": [item.state_dict() for item in self._objects],
            "python": random.getstate(),
            "numpy": np.random.get_state(),
        }
        if "torch" in sys.modules:
            import torch

            content["torch"] = torch.get_rng_state()
            if torch.cuda.is_available():
                content["cuda"] = torch.cuda.get_rng_state_all()
        buffer = io.BytesIO()
        pickle.dump(content, buffer, protocol=pickle.HIGHEST_PROTOCOL)
        return buffer.getvalue()

    def restore(self, data: bytes) -> None:
        """Take back what ``save`` gave. Raises FlipError ``wrong-state`` where other objects are declared now."""
        import numpy as np

        content = pickle.loads(data)  # noqa: S301 - written by this run's own kernel, read in the same sandbox
        if len(content["objects"]) != len(self._objects):
            raise FlipError("wrong-state", "The notebook declares another number of state objects than before.")
        for item, saved in zip(self._objects, content["objects"], strict=True):
            item.load_state_dict(saved)
        random.setstate(content["python"])
        np.random.set_state(content["numpy"])
        if "torch" in content:
            import torch

            torch.set_rng_state(content["torch"])
            if "cuda" in content and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(content["cuda"])
