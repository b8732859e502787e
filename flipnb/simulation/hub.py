"""The hub of a simulation: in this process, between the coordinator's arithmetic and the Trusts' airlocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorView, RoundReplies
from flipnb.contracts.envelope import peek
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.run import RoundSummary, RunView, TrustPart
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.files.blobs import Blobs
from flipnb.simulation.trust import SimulatedTrust

_POLL_S = 0.02


class SimulatedHub:
    """``tell_round`` hears of every finished round. Envelopes are those of the bundle and of the roster."""

    def __init__(
        self,
        run: str,
        bundle: Bundle,
        envelopes: tuple[bytes, bytes],
        point: Mapping[str, Scalar],
        trusts: Mapping[KeyId, SimulatedTrust],
        blobs: Blobs,
        tell_round: Callable[[RoundSummary], None],
    ) -> None:
        self.run, self.bundle, self._envelopes, self.point = run, bundle, envelopes, point
        self._trusts, self._blobs, self._tell_round = trusts, blobs, tell_round
        self._members: dict[tuple[str, int], tuple[KeyId, ...]] = {}
        self.rounds: list[RoundSummary] = []
        blobs.make()

    def view(self) -> CoordinatorView:
        """What a coordinator begins with: the sealed bundle and roster, the point, and the Trusts that are there."""
        bundle, roster = (sealed.decode() for sealed in self._envelopes)
        return CoordinatorView(
            run=self._shown(),
            bundle_envelope=bundle,
            roster_envelope=roster,
            point=dict(self.point),
            trusts=self._present,
        )

    def ask(self, context: RoundContext, known: int, wait: float) -> RoundReplies:
        """Ask the round's members once; the replies so far, at more than ``known`` or after ``wait`` seconds."""
        number = context.round
        if ("round", number) not in self._members:
            self._members["round", number] = context.members
            for member in context.members:
                self._trusts[member].ask(context, self.blob(context.weights))

        def look(key: KeyId) -> str | None:
            found = self._trusts[key].reply(number)
            if found is None:
                return None
            envelope, update = found
            reply = RoundReply.model_validate_json(peek(envelope, "The reply"))
            self._blobs.give(update, reply.update)
            return envelope.decode()

        return self._wait("round", number, known, wait, look)

    def post_total(self, context: TotalContext) -> None:
        """Ask the members for a step of the totals."""
        self._members["total", context.step] = context.members
        for member in context.members:
            self._trusts[member].ask_total(context)

    def total_replies(self, step: int, known: int, wait: float) -> RoundReplies:
        """The step's replies so far, when there are more than ``known`` or after ``wait`` seconds."""

        def look(key: KeyId) -> str | None:
            envelope = self._trusts[key].total_reply(step)
            return envelope.decode() if envelope is not None else None

        return self._wait("total", step, known, wait, look)

    def post_sum(self, result: TotalSum) -> None:
        """Give a step's sum to its members."""
        for member in result.members:
            self._trusts[member].give(result)

    @property
    def _present(self) -> tuple[KeyId, ...]:
        return tuple(sorted(key for key, trust in self._trusts.items() if trust.ended is None))

    def tell(self, event: CoordinatorEvent) -> tuple[KeyId, ...]:
        """Keep a round's summary and tell of it; gives the Trusts that are there."""
        if event.round is not None:
            self.rounds.append(event.round)
            self._tell_round(event.round)
        return self._present

    def give(self, path: Path, digest: str) -> None:
        """Keep a file as the blob of this SHA-256."""
        self._blobs.give(path, digest)

    def blob(self, digest: str) -> Path:
        """The file of a blob, whether it is there or not."""
        return self._blobs.path(digest)

    def _wait(
        self, kind: str, number: int, known: int, wait: float, look: Callable[[KeyId], str | None]
    ) -> RoundReplies:
        until = time.monotonic() + wait
        while True:
            replies, gone = {}, {}
            for key in self._members[kind, number]:
                # First whether it is gone: a notebook may end right after its last reply.
                why = self._trusts[key].gone(kind, number)
                envelope = look(key)
                if envelope is not None:
                    replies[key] = envelope
                elif why is not None:
                    gone[key] = why
            if len(replies) + len(gone) > known or time.monotonic() > until:
                return RoundReplies(replies=replies, gone=gone)
            time.sleep(_POLL_S)

    def _shown(self) -> RunView:
        bundle = self.bundle
        return RunView(
            run=self.run,
            study=bundle.study,
            title=bundle.title,
            bundle=bundle.digest(),
            researcher=next(iter(bundle.trusts)),
            point=dict(self.point),
            state="running",
            submitted=datetime.now(UTC),
            rounds_done=sum(summary.training for summary in self.rounds),
            rounds=bundle.plan.rounds,
            trusts=tuple(
                TrustPart(
                    trust=key,
                    name=trust.name,
                    state="running" if trust.ended is None else "failed",
                    reason=trust.ended,
                )
                for key, trust in self._trusts.items()
            ),
            last_event=0,
        )
