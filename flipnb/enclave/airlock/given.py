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

from flipnb.contracts.disk import is_full
from flipnb.contracts.document import Digest
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.lease import Lease
from flipnb.enclave.stores.rounds import RoundTable
from flipnb.federation.distance import WeightsAt, refuse_far
from flipnb.federation.reach import Reach
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
    """One run's. Not for several threads at a time."""

    def __init__(self, facts: RunFacts, rounds: RoundTable) -> None:
        self._facts, self._rounds = facts, rounds
        self._sound: Named | None = None

    def missing(self, context: RoundContext) -> Named | None:
        """The weights against which those of ``context`` are measured, where the hub is to be asked for them."""
        if context.round == 1 or self._has(_of(context)):
            return None
        before = self._before(context.round)
        return None if self._has(before) else before

    def check(self, context: RoundContext, weights: Lease) -> None:
        """Hold weights, which have the digest that the context names, to what they may be; keep them where they are.

        Raises FlipError ``round-refused``, also where what they are measured by is missing.
        """
        named = _of(context)
        if self._has(named):
            return
        try:
            if context.round == 1:
                self._places(named, weights.descriptor)
            else:
                self._measure(named, weights)
        except FlipError as error:
            raise FlipError("round-refused", f"Round {named.round} is refused: {error.message}", status=409) from None
        if context.training:
            self.keep(named, weights)

    def keep(self, named: Named, weights: Lease) -> None:
        """Keep a copy in the place of the one before; without room for it, the hub is asked when it is needed."""
        path = self._path(named.round)
        partial = path.with_name(path.name + PARTIAL)
        self._sound = None
        try:
            _copy(weights, partial)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if not is_full(error):
                raise
            return
        partial.replace(path)
        self._sound = named
        for older in self._facts.directory.glob(f"{PREFIX}*"):
            if older != path:
                older.unlink(missing_ok=True)

    def _measure(self, named: Named, weights: Lease) -> None:
        before = self._before(named.round)
        if not self._has(before):
            raise FlipError("unmeasured", f"The weights of round {before.round}, to measure it by, are not here.")
        places = self._places(named, weights.descriptor)
        with _opened(self._path(before.round)) as kept:
            refuse_far(
                WeightsAt(weights.descriptor, places),
                WeightsAt(kept, self._places(before, kept)),
                Reach(self._facts.bundle.plan, self._facts.bundle.tensors, before.round, named.round),
            )

    def _places(self, named: Named, descriptor: int) -> dict[str, int]:
        """Only the first weights are the researcher's, and may have been written by any program."""
        spec = self._facts.bundle.tensors
        return chosen_places(descriptor, spec) if named.round == 1 else written_places(descriptor, spec)

    def _before(self, number: int) -> Named:
        """The last weights below round ``number`` that were given; before any, the bundle's."""
        stored = self._rounds.answered_before(self._facts.run, number)
        if stored is not None:
            return _of(RoundContext.model_validate_json(stored.context))
        bundle = self._facts.bundle
        return Named(1, bundle.initial_weights, written_size(bundle.tensors))

    def _has(self, named: Named) -> bool:
        """Whether these weights are here, whole; what an agent before this one kept is read once for that."""
        if self._sound == named:
            return True
        path = self._path(named.round)
        if not path.is_file() or path.stat().st_size != named.size or _digest(path) != named.sha256:
            return False
        self._sound = named
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


def _copy(weights: Lease, path: Path) -> None:
    """Not synced: what a power cut leaves of it is found out by its digest."""
    with path.open("wb", buffering=0) as file:
        offset = 0
        while offset < weights.size:
            offset += os.sendfile(file.fileno(), weights.descriptor, offset, weights.size - offset)


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
