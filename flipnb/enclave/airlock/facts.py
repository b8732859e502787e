"""What an enclave knows of a run by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.outputs import Part


@dataclass(frozen=True)
class RunFacts:
    """What an airlock knows of its run, all of it from this enclave or from signed bytes.

    ``people`` is counted in the frozen cohort, never told by a notebook. ``members`` are those of the start task.
    """

    run: str
    bundle_digest: str
    bundle: Bundle
    members: tuple[str, ...]
    people: Mapping[Part, int]
    directory: Path

    @property
    def last_round(self) -> int:
        """The number of the round with the final weights: one more than the plan's training rounds."""
        return self.bundle.plan.rounds + 1
