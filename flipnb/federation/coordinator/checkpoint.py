"""A run's finished rounds on the coordinator's disk: weights, strategy state, summary; one folder per round.

A checkpoint is a directory that appears by one rename after everything in it is synced, so that a coordinator that is
killed at any moment finds either the last finished round or the one before.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.tensors import TensorSpec
from flipnb.federation.weights import Arrays, Weights, WeightsFile, stream_weights
from flipnb.files.blobs import share
from flipnb.files.whole import PARTIAL, making

_WEIGHTS = "weights.safetensors"


class Position(Document):
    """Where a run stands after ``round`` (0: before any).

    ``sha256`` and ``size`` are those of the global weights. ``left_out`` says who takes no part any more, since which
    round and why; ``streak`` is in how many rounds in a row all have voted that the models agree; ``began`` is the
    Unix time of the run's first checkpoint; ``summary`` is of the round itself.
    """

    round: int
    sha256: Digest
    size: int
    began: float
    left_out: dict[KeyId, str] = Field(default_factory=dict)
    streak: int = 0
    summary: RoundSummary | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A position with the file of the global weights and the strategy's state."""

    position: Position
    weights: Path
    state: Arrays


class Checkpoints:
    """Keeps the last finished round; older ones are deleted."""

    def __init__(self, directory: Path, spec: TensorSpec) -> None:
        self._directory = directory
        self._spec = spec
        directory.mkdir(parents=True, exist_ok=True)
        for partial in directory.glob(f"*{PARTIAL}"):
            shutil.rmtree(partial)

    def last(self) -> Checkpoint | None:
        """The newest checkpoint; None before the first finished round."""
        found = sorted(self._directory.glob("round-*"), key=lambda path: path.name)
        if not found:
            return None
        folder = found[-1]
        with np.load(folder / "state.npz", allow_pickle=False) as state:
            arrays = {name: state[name] for name in state.files}
        position = Position.model_validate_json((folder / "position.json").read_bytes())
        return Checkpoint(position, folder / _WEIGHTS, arrays)

    def begin(self, initial: Path, sha256: str, began: float) -> Checkpoint:
        """The checkpoint before the first round: the file ``initial`` as it is, whose digest is in the bundle."""
        WeightsFile(initial, self._spec, "The initial weights")
        with making(self._folder(0)) as folder:
            share(initial, folder / _WEIGHTS)
            size = (folder / _WEIGHTS).stat().st_size
            position = Position(round=0, sha256=sha256, size=size, began=began)
            _write(folder, position, {})
        return self._only(position, {})

    def save(
        self,
        before: Position,
        weights: Iterable[tuple[str, npt.NDArray[Any]]],
        state: Callable[[], Arrays],
        summary: RoundSummary,
        left_out: Mapping[KeyId, str],
        *,
        streak: int = 0,
    ) -> Checkpoint:
        """The checkpoint of the round after ``before``; on disk when this returns.

        ``weights`` come in their order in a file, and are made while they are written; ``state`` is asked after that.
        """
        number = before.round + 1
        with making(self._folder(number)) as folder:
            digest, size = stream_weights(folder / _WEIGHTS, self._spec, weights)
            position = Position(
                round=number,
                sha256=digest,
                size=size,
                began=before.began,
                left_out=dict(left_out),
                streak=streak,
                summary=summary,
            )
            kept = state()
            _write(folder, position, kept)
        return self._only(position, kept)

    def read(self, checkpoint: Checkpoint) -> Weights:
        """The weights that a checkpoint kept, read from its file."""
        return WeightsFile(checkpoint.weights, self._spec, f"The checkpoint of round {checkpoint.position.round}")

    def _folder(self, number: int) -> Path:
        return self._directory / f"round-{number:06d}"

    def _only(self, position: Position, state: Arrays) -> Checkpoint:
        """The checkpoint at a position, which is on disk; the older ones go."""
        final = self._folder(position.round)
        for older in self._directory.glob("round-*"):
            if older != final:
                shutil.rmtree(older)
        return Checkpoint(position, final / _WEIGHTS, state)


def _write(folder: Path, position: Position, state: Arrays) -> None:
    with (folder / "state.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **state)
    (folder / "position.json").write_bytes(position.to_bytes())
