"""What a run may choose within one approval beside its parameters: rounds, split, and the weights it begins with."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from flipnb.contracts.document import Digest, Document

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class SeedRange(Document):
    """Every whole number from ``minimum`` to ``maximum``, both included."""

    minimum: Seed
    maximum: Seed

    @model_validator(mode="after")
    def _in_order(self) -> SeedRange:
        if self.minimum > self.maximum:
            raise ValueError(f"seeds from {self.minimum} to {self.maximum} are none")
        return self


class Choosable(Document):
    """The part of a bundle's space that is not parameters; what is left out here is fixed by the bundle.

    ``minimum_rounds``: a run may train so few rounds, at most the plan's. ``seeds``: of the split, listed or as a
    range. ``initial_weights``: SHA-256 of files that a run may begin with instead of the bundle's own. ``folds``: any
    fold of the split may be its test part. The bundle's own values may always be chosen.
    """

    minimum_rounds: int | None = Field(default=None, ge=0)
    seeds: SeedRange | Annotated[tuple[Seed, ...], Field(max_length=1000)] = ()
    initial_weights: tuple[Digest, ...] = Field(default=(), max_length=100)
    folds: bool = False

    def has_seed(self, seed: int) -> bool:
        """Whether a run may split by this seed instead of the bundle's own."""
        if isinstance(self.seeds, SeedRange):
            return self.seeds.minimum <= seed <= self.seeds.maximum
        return seed in self.seeds

    def told(self, *, rounds: int, folds: int | None) -> tuple[str, ...]:
        """What each run may choose, a sentence each, for who approves; ``rounds`` and ``folds`` are the bundle's."""
        said = []
        if self.minimum_rounds is not None:
            said.append(f"A run may train {self.minimum_rounds} to {rounds} rounds.")
        if isinstance(self.seeds, SeedRange):
            said.append(f"A run may choose the split's seed: {self.seeds.minimum} to {self.seeds.maximum}.")
        elif self.seeds:
            said.append(f"A run may choose the split's seed: {', '.join(map(str, self.seeds))}.")
        if self.folds and folds is not None:
            said.append(f"A run may choose which of {folds} folds is its test part.")
        if self.initial_weights:
            names = ", ".join(f"{digest[:16]}…" for digest in self.initial_weights)
            said.append(f"A run may begin with other weights: {names}.")
        return tuple(said)


class Choices(Document):
    """What one run chose; None where the bundle's own value holds."""

    rounds: int | None = Field(default=None, ge=0, le=100_000)
    seed: Seed | None = None
    fold: int | None = Field(default=None, ge=0, lt=100)
    initial_weights: Digest | None = None

    @property
    def made(self) -> dict[str, Any]:
        """Those that were made, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}

    @property
    def told(self) -> dict[str, int | str]:
        """Those that were made, in words, with their values; weights by the first of their digest."""
        words = {"rounds": "rounds", "seed": "split seed", "fold": "fold", "initial_weights": "first weights"}
        return {words[name]: value[:8] if isinstance(value, str) else value for name, value in self.made.items()}
