"""The global weights that a run's kernel was given last, on disk, and how far the next may lie from them.

A hub that turns could otherwise read single people by weights of its choice. What is here is measured against, never
given to a kernel; a hub that has it as well is asked for it anew where it is lost.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.disk import CODE, disk_full, is_full
from flipnb.contracts.document import Digest
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.lease import Lease
from flipnb.enclave.stores.rounds import RoundTable
from flipnb.federation.distance import WeightsAt, refuse_far
from flipnb.federation.reach import Bound, Radius, Reach
from flipnb.federation.weights_layout import chosen_places, written_places, written_size
from flipnb.files.whole import PARTIAL

PREFIX = "given-"


@dataclass(frozen=True)
class Named:
    """The global weights of a round, by what a context or the bundle says of them."""

    round: int
    sha256: Digest
    size: int


class GivenWeights:
    """One run's. Not for several threads at a time.

    The last are kept; the bundle's as well, where the plan says how far weights may ever lie from them.
    """

    def __init__(self, facts: RunFacts, rounds: RoundTable) -> None:
        self._facts, self._rounds = facts, rounds
        self._sound: dict[int, Named] = {}

    def missing(self, context: RoundContext) -> Named | None:
        """Weights by which those of ``context`` are measured, where the hub is to be asked for them first."""
        if context.round == 1 or self._has(_of(context)):
            return None
        return next((named for named, _ in self._bounds(context.round) if not self._has(named)), None)

    def check(self, context: RoundContext, weights: Lease) -> None:
        """Hold weights, which have the digest that the context names, to what they may be; keep them where they are.

        Raises FlipError ``round-refused``, also where what they are measured by is missing.
        """
        named = _of(context)
        if self._has(named):
            return
        try:
            at = WeightsAt(weights.descriptor, self._places(named, weights.descriptor))
            for before, bound in self._bounds(named.round) if named.round > 1 else ():
                self._measure(at, before, bound)
        except FlipError as error:
            raise FlipError("round-refused", f"Round {named.round} is refused: {error.message}", status=409) from None
        if context.training:
            try:
                self.keep(named, weights)
            except FlipError as error:
                if error.code != CODE:
                    raise
                # The hub is asked for them when they are needed, and there may be room by then.

    def keep(self, named: Named, weights: Lease) -> None:
        """Keep weights in the place of those before. Raises FlipError ``disk-full``."""
        path = self._path(named.round)
        partial = path.with_name(path.name + PARTIAL)
        self._sound.pop(named.round, None)
        try:
            with partial.open("wb", buffering=0) as file:
                weights.write_to(file)  # not synced: what a power cut leaves of it is found out by its digest
        except OSError as error:
            partial.unlink(missing_ok=True)
            if is_full(error):
                raise disk_full("this Trust's") from None
            raise
        partial.replace(path)
        self._sound[named.round] = named
        needed = {path, self._path(1)} if self._facts.bundle.plan.radius is not None else {path}
        if named.round > 1:
            for older in set(self._facts.directory.glob(f"{PREFIX}*")) - needed:
                older.unlink(missing_ok=True)

    def _bounds(self, number: int) -> list[tuple[Named, Bound]]:
        """By what the weights of round ``number`` are measured, and how far they may lie from it."""
        bundle, before = self._facts.bundle, self._before(number)
        bounds: list[tuple[Named, Bound]] = [(before, Reach(bundle.plan, bundle.tensors, before.round, number))]
        if bundle.plan.radius is not None:
            bounds.append((self._first, Radius(bundle.plan.radius, bundle.tensors)))
        return bounds

    def _measure(self, weights: WeightsAt, before: Named, bound: Bound) -> None:
        if not self._has(before):
            raise FlipError("unmeasured", f"The weights of round {before.round}, to measure it by, are not here.")
        with _opened(self._path(before.round)) as kept:
            refuse_far(weights, WeightsAt(kept, self._places(before, kept)), bound)

    def _places(self, named: Named, descriptor: int) -> dict[str, int]:
        """Only the first weights are the researcher's, and may have been written by any program."""
        spec = self._facts.bundle.tensors
        return chosen_places(descriptor, spec) if named.round == 1 else written_places(descriptor, spec)

    def _before(self, number: int) -> Named:
        """The last weights below round ``number`` that were given; before any, the bundle's."""
        stored = self._rounds.answered_before(self._facts.run, number)
        return _of(RoundContext.model_validate_json(stored.context)) if stored is not None else self._first

    @property
    def _first(self) -> Named:
        """The bundle's. Of what size they are only round 1 says; what a researcher's own program wrote may differ."""
        stored, bundle = self._rounds.get(self._facts.run, 1), self._facts.bundle
        if stored is not None:
            return _of(RoundContext.model_validate_json(stored.context))
        return Named(1, bundle.initial_weights, written_size(bundle.tensors))

    def _has(self, named: Named) -> bool:
        """Whether these weights are here, whole; what an agent before this one kept is read once for that."""
        if self._sound.get(named.round) == named:
            return True
        path = self._path(named.round)
        if not path.is_file() or path.stat().st_size != named.size or _digest(path) != named.sha256:
            return False
        self._sound[named.round] = named
        return True

    def _path(self, number: int) -> Path:
        return self._facts.directory / f"{PREFIX}{number}.safetensors"


def _of(context: RoundContext) -> Named:
    return Named(context.round, context.weights, context.weights_size)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
