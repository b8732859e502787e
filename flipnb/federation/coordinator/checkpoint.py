"""A run's finished rounds on the coordinator's disk: weights, strategy state and summaries, one folder per round.

A checkpoint is a directory that appears by one rename after everything in it is synced, so that a coordinator that is
killed at any moment finds either the last finished round or the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flipnb.contracts.tensors import TensorSpec
from flipnb.federation.safetensors_file import sync_directory
from flipnb.federation.weights import Arrays, read_weights, write_weights


@dataclass(frozen=True)
class Checkpoint:
    """After ``round`` (0: before any): the global weights' file, digest and size, and the strategy's state."""

    round: int
    weights: Path
    sha256: str
    size: int
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
        found = sorted(path for path in self._directory.glob("round-*") if path.is_dir())
        if not found:
            return None
        about = json.loads((found[-1] / "about.json").read_text())
        with np.load(found[-1] / "state.npz", allow_pickle=False) as state:
            arrays = {name: state[name] for name in state.files}
        return Checkpoint(about["round"], found[-1] / "weights.safetensors", about["sha256"], about["size"], arrays)

    def save(self, number: int, weights: Arrays, state: Arrays) -> Checkpoint:
        partial = self._directory / f"round-{number:06d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        digest, size = write_weights(partial / "weights.safetensors", self._spec, weights)
        with (partial / "state.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **state)
            os.fsync(file.fileno())
        with (partial / "about.json").open("w") as about:
            json.dump({"round": number, "sha256": digest, "size": size}, about)
            about.flush()
            os.fsync(about.fileno())
        final = self._directory / f"round-{number:06d}"
        partial.replace(final)
        sync_directory(self._directory)
        for older in self._directory.glob("round-*"):
            if older != final:
                shutil.rmtree(older)
        return Checkpoint(number, final / "weights.safetensors", digest, size, state)

    def weights(self, checkpoint: Checkpoint) -> Arrays:
        return read_weights(checkpoint.weights, self._spec, f"The checkpoint of round {checkpoint.round}")
