"""The only way out of an enclave: one run's rounds, each answered once, encoded here, on disk before it is sent.

Called from two sides: the agent's event loop (contexts from the hub, replies to it) and the broker's thread (updates
from the kernel). A context is pinned when it is first taken, so that a hub that changes its mind within a round is
found out even before the kernel has answered.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.consensus import Ballot
from flipnb.contracts.disk import CODE, disk_full, is_full
from flipnb.contracts.document import sha256
from flipnb.contracts.envelope import ROUND_REPLY, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.outputs import admit_report
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.total import Place
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.given import GivenWeights, Named
from flipnb.enclave.airlock.lease import Lease, Writes
from flipnb.enclave.airlock.members import wrong_members
from flipnb.enclave.airlock.totals import TotalsGate
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRound
from flipnb.federation.arithmetic import told
from flipnb.federation.encoding import Encoded, encode_update

HEADER_BYTES = 64 << 20
"""What a safetensors file's header may take beyond the weights themselves."""


@dataclass(frozen=True)
class Reply:
    """What is sent for a round: the sealed reply, and the file that it names."""

    envelope: bytes
    update: Path
    update_sha256: str


@dataclass
class GivenRound:
    """A round as the kernel gets it. ``weights`` is None once the kernel has them: it holds the only copy then."""

    context: RoundContext
    weights: Lease | None
    state: Path | None


class Airlock:
    """One run's. All methods may be called from any thread; ``next_round`` waits, so never in an event loop.

    ``on_wanted`` is called, from the broker's thread, when a kernel wants weights that only an earlier one has had;
    ``on_offered`` with the number of a round whose weights are there for the kernel, when it came.
    """

    def __init__(self, facts: RunFacts, *, key: SigningKey, store: Store, audit: AuditLog, policy: Policy) -> None:
        self.facts = facts
        self._key, self._store, self._audit, self._policy = key, store, audit, policy
        self._changed = threading.Condition()
        self._measuring = threading.Lock()
        self._given_weights = GivenWeights(facts, store.rounds)
        self._given: GivenRound | None = None
        self._wanted = False
        self._closed = False
        self._left = False
        self.refusal: str | None = None
        """The code of what the notebook was refused last (of ``REFUSALS``), until a round is answered."""
        self.totals = TotalsGate(facts, key=key, store=store, audit=audit, policy=policy)
        self.on_wanted: Callable[[], None] = lambda: None
        self.on_offered: Callable[[int], None] = lambda number: None

    # The hub's side

    def take(self, context: RoundContext) -> Reply | None:
        """Pin ``context`` as that of its round; the reply where it was answered before, else None.

        Raises FlipError ``round-refused`` (after an audit entry) for another context of a known round, a lower round
        than one that was taken, a round while another is unanswered, or a context that does not fit the bundle.
        Rounds may be skipped: they went on without this Trust.
        """
        digest = context.digest()
        try:
            with self._changed:
                known = self._store.rounds.get(self.facts.run, context.round)
                if known is not None:
                    if known.digest != digest:
                        raise _refused(f"round {context.round} was given another context before")
                    if known.reply is not None:
                        return stored_reply(known)
                    return None
                self._check(context)
                self._store.rounds.give(self.facts.run, context.round, context.to_bytes(), digest)
        except FlipError as error:
            self._record("round-refused", round=context.round, context=digest, code=error.code, reason=error.message)
            raise
        return None

    def refuse_weights(self, context: RoundContext, error: FlipError) -> None:
        """Record why no kernel gets the weights that the hub sent for a round."""
        digest = context.digest()
        self._record("round-refused", round=context.round, context=digest, code=error.code, reason=error.message)

    def missing(self, context: RoundContext) -> Named | None:
        """Earlier weights that ``offer`` needs to measure those of ``context`` by, and that are to be kept first."""
        with self._measuring:
            return self._given_weights.missing(context)

    def keep(self, named: Named, weights: Lease) -> None:
        """Keep earlier weights, which have the digest that they are named by; they are the caller's to close.

        Raises FlipError ``disk-full``.
        """
        with self._measuring:
            self._given_weights.keep(named, weights)

    def offer(self, context: RoundContext, weights: Lease) -> None:
        """Give the kernel a pinned round; ``weights`` is sealed, has the context's digest, and is now this object's.

        It takes as long as to read the weights: not in an event loop. Raises FlipError ``round-refused`` (after an
        audit entry) where they are not the bundle's tensors, or lie further from the last given than clip and
        strategy allow.
        """
        try:
            with self._measuring:
                self._given_weights.check(context, weights)
        except BaseException as error:
            weights.close()
            if isinstance(error, FlipError):
                self.refuse_weights(context, error)
            raise
        with self._changed:
            if self._closed or not self._lacks(context.round):
                weights.close()
                return
            before = self._store.rounds.answered_before(self.facts.run, context.round)
            state = Path(before.state_path) if before is not None and before.state_path is not None else None
            self._drop_weights()
            self._given = GivenRound(context, weights, state)
            self._wanted = False
            self.on_offered(context.round)
            self._changed.notify_all()

    def lacks(self, number: int) -> bool:
        """Whether the kernel can't be given round ``number``: its weights never came, or a new kernel wants them."""
        with self._changed:
            return not self._closed and self._lacks(number)

    def _lacks(self, number: int) -> bool:
        given = self._given
        return given is None or given.context.round < number or (given.context.round == number and self._wanted)

    def handed_over(self, number: int) -> None:
        """The kernel has the weights of round ``number``; this enclave holds them no more."""
        with self._changed:
            if self._given is not None and self._given.context.round == number:
                self._drop_weights()

    def _drop_weights(self) -> None:
        if self._given is not None and self._given.weights is not None:
            self._given.weights.close()
            self._given.weights = None

    def close(self) -> None:
        """No round comes any more: ``next_round`` returns None."""
        with self._changed:
            self._closed = True
            self.totals.close()
            self._drop_weights()
            self._given = None
            self._changed.notify_all()

    # The kernel's side

    def next_round(self, wait_s: float) -> GivenRound | None:
        """The round that is open: given and not answered; its weights are the caller's to close.

        None where none is after ``wait_s``. For a kernel that was started anew the weights are fetched anew.
        """
        with self._changed:
            self._changed.wait_for(self._ready, wait_s)
            given = self._open()
            if given is None or given.weights is None:
                return None
            # A descriptor of its own: this one may be closed, and its number used for a key file, at any moment.
            return replace(given, weights=given.weights.duplicate())

    def _ready(self) -> bool:
        given = self._open()
        if given is not None and given.weights is None and not self._wanted:
            self._wanted = True
            self.on_wanted()
        return self._closed or (given is not None and given.weights is not None)

    @property
    def open(self) -> bool:
        """Whether a round waits for the kernel's answer."""
        return self.open_round is not None

    @property
    def open_round(self) -> int | None:
        """The number of the round that waits for the kernel's answer."""
        with self._changed:
            given = self._open()
            return given.context.round if given is not None else None

    @property
    def place(self) -> Place:
        """The round that is open or was the last, 0 before the first: where a total may stand."""
        last = self._store.rounds.last(self.facts.run)
        if last is None:
            return 0
        return last.round if last.training else "final"

    @property
    def finished(self) -> bool:
        """Whether the last round is answered, or the notebook has left."""
        last = self._store.rounds.last(self.facts.run)
        return self._left or (last is not None and last.reply is not None and not last.training)

    @property
    def left(self) -> bool:
        """Whether the notebook has left its rounds by ``break``."""
        return self._left

    def submit(
        self,
        number: int,
        report: Mapping[str, object],
        change: Lease | None,
        state: Writes | None,
        *,
        leave: bool,
        agreement: object = None,
    ) -> Reply:
        """Check, encode, seal and store one round's answer; returns when everything is on disk.

        Raises FlipError: ``wrong-round``, ``undeclared-output``, ``missing-output``, ``not-a-number``,
        ``output-out-of-bounds``, ``no-agreement``, ``wrong-agreement``, ``update-missing``, ``not-finite``,
        ``still-mapped``, those of ``encode_update``.
        Nothing is stored then, and the notebook may submit again.
        """
        try:
            return self._submit(number, report, change, state, leave, agreement)
        except OSError as error:
            if is_full(error):
                raise disk_full("this Trust's") from None
            raise
        except FlipError as error:
            if error.code != CODE:
                self._record("report-refused", round=number, code=error.code)
            raise

    def _submit(
        self,
        number: int,
        report: Mapping[str, object],
        change: Lease | None,
        state: Writes | None,
        leave: bool,
        agreement: object,
    ) -> Reply:
        with self._changed:
            given = self._open()
        if given is None or given.context.round != number:
            raise FlipError("wrong-round", f"Round {number} is not open.", status=409)
        context = given.context
        units = admit_report(self.facts.bundle.outputs, report)
        ballot, agreed = self._vote(context, agreement)
        if context.training and change is None:
            raise FlipError("update-missing", f"Round {number} is a training round, and no update was submitted.")
        saved = self._save_state(number, state)
        path = self.facts.directory / f"round-{number}.safetensors"
        encoded = self._encode(path, units, change if context.training else None, ballot)
        reply = self._reply(context, encoded, units, agreed)
        envelope = seal(reply, ROUND_REPLY, self._key)
        self._release(reply, envelope, path, saved, units, ballot, leave)
        self._sweep(number)
        return Reply(envelope, path, encoded.sha256)

    def _reply(
        self, context: RoundContext, encoded: Encoded, units: Mapping[str, int], agreed: float | None
    ) -> RoundReply:
        """What the hub is told beside the update: of this Trust alone only what its policy lets out."""
        outputs, alone = self.facts.bundle.outputs, self._policy.per_trust_metrics
        return RoundReply(
            trust=self._key.key_id,
            context=context,
            update=encoded.sha256,
            update_size=encoded.size,
            metrics={o.name: round(units[o.name] / 10**o.decimals, o.decimals) for o in outputs} if alone else None,
            agreement=agreed if alone else None,
        )

    def _release(
        self,
        reply: RoundReply,
        envelope: bytes,
        update: Path,
        saved: Path | None,
        units: Mapping[str, int],
        ballot: Ballot,
        leave: bool,
    ) -> None:
        """Write the answer to the audit log and, with it, into the store; the round is over for the kernel then."""
        number = reply.context.round

        def stored() -> None:
            self._store.rounds.answer(
                self.facts.run,
                number,
                envelope,
                update_sha256=reply.update,
                update_path=str(update),
                state_path=str(saved) if saved is not None else None,
            )

        with self._changed:
            self._audit.append(
                "round-released",
                then=stored,
                run=self.facts.run,
                round=number,
                context=reply.context.digest(),
                reply=sha256(envelope),
                update=reply.update,
                bytes=reply.update_size,
                report={name: str(value) for name, value in units.items()},
                per_trust_metrics=reply.metrics is not None,
                vote=ballot.votes if ballot.voters else None,
                agreement=str(reply.agreement) if reply.agreement is not None else None,
                leave=leave,
            )
            self._drop_weights()
            self._given = None
            self.refusal = None
            self._left = self._left or leave
            self._changed.notify_all()

    def _vote(self, context: RoundContext, agreement: object) -> tuple[Ballot, float | None]:
        """The vote is made here, of what the notebook says of its models; nobody in validation means to abstain."""
        consensus = self.facts.bundle.plan.consensus
        if consensus is None or not context.training or self.facts.people["validation"] == 0:
            return Ballot(), None
        if agreement is None:
            raise FlipError(
                "no-agreement",
                f"Round {context.round} was submitted without an agreement, which the plan's consensus needs.",
                remedy="Call rnd.agree(predict_global, predict_local) over data.validation in every training round.",
            )
        admitted = consensus.admit(agreement)
        return Ballot(votes=consensus.vote(admitted), voters=1), admitted

    def _encode(self, path: Path, units: Mapping[str, int], change: Lease | None, ballot: Ballot) -> Encoded:
        if change is not None:
            change.seal()
        with change.view() if change is not None else contextlib.nullcontext() as view:
            return encode_update(
                path,
                spec=self.facts.bundle.tensors,
                plan=self.facts.bundle.plan,
                people=self.facts.people,
                report=units,
                outputs=self.facts.bundle.outputs,
                change=view,
                ballot=ballot,
            )

    def _save_state(self, number: int, state: Writes | None) -> Path | None:
        if state is None:
            return None
        path = self.facts.directory / f"state-{number}.bin"
        try:
            with path.open("wb") as file:
                state.write_to(file)
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path  # its name is on disk with the update's, which is written next

    def _sweep(self, number: int) -> None:
        # Round n is asked for when n - 1 is summed up, so that nobody needs n - 2 again.
        needed = {f"state-{number}.bin", f"round-{number}.safetensors", f"round-{number - 1}.safetensors"}
        for pattern in ("state-*.bin", "round-*.safetensors"):
            for old in self.facts.directory.glob(pattern):
                if old.name not in needed:
                    old.unlink(missing_ok=True)

    def _open(self) -> GivenRound | None:
        return None if self._closed or self._left else self._given

    def _check(self, context: RoundContext) -> None:
        facts, plan = self.facts, self.facts.bundle.plan
        last = self._store.rounds.last(facts.run)
        # Whether all agreed is the hub's word, but not before there can have been enough rounds.
        may_end = plan.consensus is not None and context.round > plan.consensus.rounds
        checks = (
            (self._left, "the notebook has left the run"),
            (last is not None and last.reply is None, f"round {last.round if last else 0} is not answered yet"),
            (context.run != facts.run or context.bundle != facts.bundle_digest, "it is of another run or bundle"),
            (last is not None and context.round < last.round, f"round {last.round if last else 0} was given before"),
            (context.of != plan.rounds, f"the bundle has {plan.rounds} rounds, not {context.of}"),
            (context.round > facts.last_round, f"the bundle ends with round {facts.last_round}"),
            (last is not None and not last.training, "the final weights were evaluated already"),
            (
                context.training != (context.round <= plan.rounds) and (context.training or not may_end),
                "training rounds and evaluation are mixed up",
            ),
            (not self._tells(context), "its config is not that of the plan's strategy"),
            (context.tensors != facts.bundle.tensors.digest(), "it has another tensor spec than the bundle"),
            (
                context.round == 1 and context.weights != facts.bundle.initial_weights,
                "round 1 must begin with the bundle's initial weights",
            ),
            (
                context.weights_size > facts.bundle.tensors.weight_bytes() + HEADER_BYTES,
                "its weights are larger than the bundle's tensors",
            ),
            *wrong_members(
                context.members,
                started=facts.members,
                own_key=self._key.key_id,
                least=self._policy.least_trusts(facts.bundle),
            ),
        )
        for wrong, reason in checks:
            if wrong:
                raise _refused(reason)

    def _tells(self, context: RoundContext) -> bool:
        """Whether notebooks are told what the plan says, and nothing of the hub's own.

        What an installed strategy works out is not known here: it may repeat parameters of the plan.
        """
        chosen = self.facts.bundle.plan.strategy
        if context.training and chosen.installed:
            return context.config.items() <= chosen.parameters.items()
        return context.config == (told(chosen) if context.training else {})

    def _record(self, kind: AuditKind, **details: Any) -> None:
        self._audit.refusals.add(kind, self.facts.run, run=self.facts.run, **details)


def stored_reply(stored: StoredRound) -> Reply:
    """The bytes that were stored for an answered round."""
    assert stored.reply is not None
    assert stored.update_path is not None
    assert stored.update_sha256 is not None
    return Reply(stored.reply, Path(stored.update_path), stored.update_sha256)


def _refused(reason: str) -> FlipError:
    return FlipError("round-refused", f"The round is refused: {reason}.", status=409)
