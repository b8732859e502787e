"""A run's finished rounds on the coordinator's disk: weights, strategy state, summary; one folder per round.

A checkpoint is a directory that appears by one rename after everything in it is synced, so that a coordinator that is
killed at any moment finds either the last finished round or the one before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.tensors import TensorSpec
from flipnb.federation.coordinator.shared_blobs import share
from flipnb.federation.safetensors_file import sync_directory
from flipnb.federation.weights import Arrays, Weights, WeightsFile, stream_weights


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
        for partial in directory.glob("*.partial"):
            shutil.rmtree(partial)

    def last(self) -> Checkpoint | None:
        found = sorted(self._directory.glob("round-*"), key=lambda path: path.name)
        if not found:
            return None
        folder = found[-1]
        with np.load(folder / "state.npz", allow_pickle=False) as state:
            arrays = {name: state[name] for name in state.files}
        position = Position.model_validate_json((folder / "position.json").read_bytes())
        return Checkpoint(position, folder / "weights.safetensors", arrays)

    def begin(self, initial: Path, sha256: str, began: float) -> Checkpoint:
        """The checkpoint before the first round: the file ``initial`` as it is, whose digest is in the bundle."""
        WeightsFile(initial, self._spec, "The initial weights")
        target = self._open(0) / "weights.safetensors"
        share(initial, target)
        return self._close(Position(round=0, sha256=sha256, size=target.stat().st_size, began=began), {})

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
        digest, size = stream_weights(self._open(number) / "weights.safetensors", self._spec, weights)
        position = Position(
            round=number,
            sha256=digest,
            size=size,
            began=before.began,
            left_out=dict(left_out),
            streak=streak,
            summary=summary,
        )
        return self._close(position, state())

    def read(self, checkpoint: Checkpoint) -> Weights:
        return WeightsFile(checkpoint.weights, self._spec, f"The checkpoint of round {checkpoint.position.round}")

    def _open(self, number: int) -> Path:
        partial = self._directory / f"round-{number:06d}.partial"
        partial.mkdir()
        return partial

    def _close(self, position: Position, state: Arrays) -> Checkpoint:
        final = self._directory / f"round-{position.round:06d}"
        partial = final.with_name(f"{final.name}.partial")
        with (partial / "state.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **state)
            _sync(file)
        with (partial / "position.json").open("wb") as file:
            file.write(position.to_bytes())
            _sync(file)
        sync_directory(partial)
        partial.replace(final)
        sync_directory(self._directory)
        for older in self._directory.glob("round-*"):
            if older != final:
                shutil.rmtree(older)
        return Checkpoint(position, final / "weights.safetensors", state)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
