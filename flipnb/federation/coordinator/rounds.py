"""The rounds of one run: context out, replies in, sum, strategy, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorOrder, CoordinatorView
from flipnb.contracts.document import parse, sha256
from flipnb.contracts.keys import KeyId
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.run import FINAL_TRUST_STATES, TRUST_WORDS, RoundSummary, share_of
from flipnb.contracts.study import Roster
from flipnb.contracts.text import as_line
from flipnb.federation.coordinator.checkpoint import Checkpoint, Checkpoints, Position
from flipnb.federation.coordinator.hub import CoordinatorHub
from flipnb.federation.coordinator.patience import Patience
from flipnb.federation.coordinator.totals import Totals
from flipnb.federation.distance import WeightsAt, refuse_far
from flipnb.federation.individual_updates import IndividualUpdates
from flipnb.federation.mean_strategy import MeanStrategy
from flipnb.federation.reach import Radius
from flipnb.federation.strategies import strategy_of
from flipnb.federation.sum import Sum
from flipnb.federation.update_layout import has_ballot
from flipnb.federation.weights import Weights, in_file_order
from flipnb.federation.weights_layout import chosen_places, written_places

log = logging.getLogger("flip.coordinator")

Updates = Sum | IndividualUpdates
_WAIT_SECONDS = 20.0
_SMALL_BYTES = 1 << 20


class Rounds:
    """Drives a run from its last finished round to its end. ``run`` returns the final weights' digest."""

    def __init__(self, order: CoordinatorOrder, hub: CoordinatorHub) -> None:
        self._order = order
        self._hub = hub
        self._work = Path(order.work_dir)
        view = hub.view()
        self._bundle, self._roster = _documents(view)
        self._bundle_digest = view.run.bundle
        self._trust_keys = self._roster.trust_keys()
        self._told = {summary.round for summary in view.resume.rounds} if view.resume else set()
        self._posted = view.resume.context if view.resume else None
        self._left_out: dict[KeyId, str] = {}
        self._late: dict[KeyId, str] = {}
        self._patience = Patience(self._bundle.plan, view.resume.rounds if view.resume else ())
        self._spec = self._bundle.tensors
        self._spec_digest = self._spec.digest()
        self._small = self._spec.update_layout()[1] <= _SMALL_BYTES
        self._present: tuple[KeyId, ...] | None = None
        self._checkpoints = Checkpoints(self._work / "checkpoints", self._spec)
        plan = self._bundle.plan
        self._strategy = strategy_of(plan, self._spec)
        self._totals = Totals(
            hub, order.run, self._bundle_digest, self._bundle, self._trust_keys, self._name, view.resume
        )

    def run(self) -> Ending:
        """Raises FlipError ``quorum-lost``, ``run-too-long``, ``checkpoint-lost``, ``too-far``, and what the hub
        refuses."""
        plan = self._bundle.plan
        checkpoint = self._checkpoints.last() or self._begin()
        self._left_out |= checkpoint.position.left_out
        self._strategy.restore(checkpoint.state)
        self._tell(checkpoint.position.summary)
        for step in self._totals.pending(0):
            self._total(step, self._there(1), checkpoint, 1)
        while checkpoint.position.round < plan.rounds and not self._agreed(checkpoint.position):
            checkpoint = self._train(checkpoint.position.round + 1, checkpoint)
        last = checkpoint.position
        _, summary = self._exchange(last.round + 1, checkpoint, training=False, config={})
        self._tell(summary)
        return ended(plan, last.sha256, last.round, agreed=self._agreed(last))

    def _agreed(self, position: Position) -> bool:
        consensus = self._bundle.plan.consensus
        return consensus is not None and position.streak >= consensus.rounds

    def _begin(self) -> Checkpoint:
        digest = self._bundle.initial_weights
        return self._checkpoints.begin(self._hub.blob(digest), digest, time.time())

    def _train(self, number: int, checkpoint: Checkpoint) -> Checkpoint:
        """One training round; its checkpoint is on disk before the hub is told, so that it is never done twice."""
        weights = self._checkpoints.read(checkpoint)
        strategy = self._strategy
        config = strategy.config(number, self._bundle.minimum_trusts) if isinstance(strategy, MeanStrategy) else {}
        updates, summary = self._exchange(number, checkpoint, training=True, config=config)
        before, consensus = checkpoint.position, self._bundle.plan.consensus
        streak = consensus.streak(before.streak, summary.votes or 0, summary.voters or 0) if consensus else 0
        arrays = self._aggregate(number, weights, updates)
        following = self._checkpoints.save(before, arrays, strategy.state, summary, self._left_out, streak=streak)
        self._tell(summary)
        return following

    def _aggregate(self, number: int, weights: Weights, updates: Updates) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The new weights, tensor by tensor in their order in a file."""
        if isinstance(self._strategy, MeanStrategy):
            assert isinstance(updates, Sum)
            members = self._bundle.minimum_trusts
            yield from self._strategy.round(number, members, weights, updates)
            updates.clear()
        else:
            assert isinstance(updates, IndividualUpdates)
            made = self._strategy.round(number, weights, updates)
            updates.clear()
            yield from ((tensor.name, made.pop(tensor.name)) for tensor in in_file_order(self._spec))

    def _tell(self, summary: RoundSummary | None) -> None:
        if summary is not None and summary.round not in self._told:
            self._present = self._hub.tell(CoordinatorEvent(round=summary))
            self._told.add(summary.round)

    def _exchange(
        self, number: int, checkpoint: Checkpoint, *, training: bool, config: Mapping[str, float]
    ) -> tuple[Updates, RoundSummary]:
        """Ask the members and add what comes; who fails is left out from here on, who is late until they are back."""
        began = time.monotonic()
        self._hold(checkpoint)
        context = self._context(number, checkpoint, training=training, config=config)
        self._hub.give(checkpoint.weights, context.weights)
        steps = self._totals.pending(number if training else "final")
        if steps:
            self._hub.ask(context, 0, 0.0)
        for step in steps:
            self._total(step, context.members, checkpoint, number)
        total = self._nothing_yet(training=training)
        replies, people, left_out, late = self._collect(context, total, self._deadline(number, checkpoint))
        members = tuple(sorted(replies))
        votes, voters = total.ballots if has_ballot(self._bundle.plan, training=training) else (None, None)
        reasons = {key: as_line(f"round {number}: {reason}") for key, reason in left_out.items()}
        self._left_out = {key: reason for key, reason in reasons.items() if key not in late} | self._left_out
        self._late |= {key: reasons[key] for key in late}
        if len(members) < self._bundle.minimum_trusts:
            raise self._quorum_lost(number, len(members), {})
        seconds = round(time.monotonic() - began, 3)
        log.info("round", extra={"round": number, "members": len(members), "seconds": seconds})
        summary = RoundSummary(
            round=number,
            of=context.of,
            training=training,
            members=members,
            left_out={key: as_line(reason) for key, reason in left_out.items()},
            late=tuple(sorted(late)),
            weights=context.weights,
            metrics=total.metrics(),
            trust_metrics={key: dict(reply.metrics) for key, reply in replies.items() if reply.metrics is not None},
            votes=votes,
            voters=voters,
            shares={key: share_of(weight, total.weight) for key, weight in people.items()},
            agreements={key: reply.agreement for key, reply in replies.items() if reply.agreement is not None},
            seconds=seconds,
        )
        self._patience.learn(summary)
        return total, summary

    def _hold(self, checkpoint: Checkpoint) -> None:
        """No Trust is given weights beyond the plan's radius; it would refuse them. Raises FlipError ``too-far``."""
        radius, first = self._bundle.plan.radius, self._bundle.initial_weights
        if radius is None or checkpoint.position.sha256 == first:
            return
        with checkpoint.weights.open("rb") as weights, self._hub.blob(first).open("rb") as before:
            at = WeightsAt(weights.fileno(), written_places(weights.fileno(), self._spec))
            began = WeightsAt(before.fileno(), chosen_places(before.fileno(), self._spec))
            refuse_far(at, began, Radius(radius, self._spec))

    def _total(self, step: int, members: Sequence[KeyId], checkpoint: Checkpoint, number: int) -> None:
        """One federated total; who does not answer takes no part any more."""
        left_out = self._totals.sum(step, members, self._deadline(number, checkpoint))
        self._left_out |= {key: as_line(f"total {step}: {reason}") for key, reason in left_out.items()}

    def _nothing_yet(self, *, training: bool) -> Updates:
        plan, outputs = self._bundle.plan, self._bundle.outputs
        if plan.aggregation == "sum" or not training:
            return Sum(spec=self._spec, plan=plan, outputs=outputs, training=training)
        return IndividualUpdates(spec=self._spec, plan=plan, outputs=outputs, training=True)

    def _there(self, number: int) -> tuple[KeyId, ...]:
        """Who can be asked now, as the hub has just said. Raises FlipError ``quorum-lost``."""
        present, self._present = self._present, None
        if present is None:
            present = self._hub.view().trusts
        members = tuple(sorted(key for key in present if key not in self._left_out))
        if len(members) < self._bundle.minimum_trusts:
            ended = {
                part.trust: f"{TRUST_WORDS[part.state]} {part.reason or ''}".strip()
                for part in self._hub.view().run.trusts
                if part.state in FINAL_TRUST_STATES and part.state != "finished"
            }
            raise self._quorum_lost(number, len(members), ended)
        return members

    def _context(
        self, number: int, checkpoint: Checkpoint, *, training: bool, config: Mapping[str, float]
    ) -> RoundContext:
        """This round's context; after a restart the very one that was posted, since no enclave answers another."""
        again = self._posted if self._posted is not None and self._posted.round >= number else None
        members = self._there(number) if again is None else again.members
        self._late = {key: reason for key, reason in self._late.items() if key not in members}
        context = RoundContext(
            run=self._order.run,
            bundle=self._bundle_digest,
            round=number,
            of=self._bundle.plan.rounds,
            training=training,
            weights=checkpoint.position.sha256,
            weights_size=checkpoint.position.size,
            tensors=self._spec_digest,
            members=members,
            config=dict(config),
        )
        if again is not None and again != context:
            raise FlipError(
                "checkpoint-lost",
                f"Round {again.round} was begun, but the checkpoint before it is not in the coordinator's folder.",
            )
        return context

    def _deadline(self, number: int, checkpoint: Checkpoint) -> float:
        """When this round ends, on the monotonic clock: what patience allows, within the plan's time for the run."""
        plan = self._bundle.plan
        seconds = self._patience.seconds(number)
        left = checkpoint.position.began + plan.run_seconds - time.time()
        if left <= 0:
            raise FlipError(
                "run-too-long", f"The run has taken its {plan.run_seconds} s and is only at round {number}."
            )
        return time.monotonic() + min(seconds, left)

    def _quorum_lost(self, number: int, there: int, ended: Mapping[KeyId, str]) -> FlipError:
        reasons = {**ended, **self._late, **self._left_out}
        names = "; ".join(f"{self._name(key)}: {reason}" for key, reason in sorted(reasons.items()))
        return FlipError(
            "quorum-lost", f"Round {number} has {there} of at least {self._bundle.minimum_trusts} Trusts. {names}"
        )

    def _name(self, key: KeyId) -> str:
        trust = self._roster.trust_named(key)
        return trust.title if trust is not None else key[:12]

    def _collect(
        self, context: RoundContext, total: Updates, deadline: float
    ) -> tuple[dict[KeyId, RoundReply], dict[KeyId, int], dict[KeyId, str], set[KeyId]]:
        """The replies of those whose update is in the sum; their weights; who is not, and why; who of them is late."""
        done: dict[KeyId, RoundReply] = {}
        people: dict[KeyId, int] = {}
        left_out = {key: self._left_out[key] for key in context.members if key in self._left_out}  # by a total
        waiting = set(context.members) - left_out.keys()
        known = 0
        began = time.monotonic()
        while waiting:
            wait = min(_WAIT_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                left_out |= dict.fromkeys(waiting, f"no reply within {round(time.monotonic() - began)} s")
                break
            # Small updates are added in milliseconds: not worth a request each.
            heard = self._hub.ask(context, known + len(waiting) - 1 if self._small else known, wait)
            known = len(heard.replies) + len(heard.gone)
            for key in sorted(waiting & heard.replies.keys()):
                waiting.remove(key)
                try:
                    done[key], people[key] = self._take(key, heard.replies[key], context, total)
                except FlipError as error:
                    if error.status == 401 or error.status >= 500:
                        raise  # the hub's doing, not the Trust's
                    left_out[key] = f"{error.code}: {error.message}"
                    log.warning("refused", extra={"trust": self._name(key), "code": error.code})
            for key in sorted(waiting & heard.gone.keys()):
                waiting.remove(key)
                left_out[key] = heard.gone[key]
        return done, people, left_out, waiting

    def _take(self, key: KeyId, text: str, context: RoundContext, total: Updates) -> tuple[RoundReply, int]:
        """Verify one reply and add its update; its weight. Raises FlipError that says what is wrong with it."""
        name = self._name(key)
        trusted = {key: self._trust_keys[key]} if key in self._trust_keys else {}
        opened = envelope.unseal(text.encode(), envelope.ROUND_REPLY, trusted, f"The reply of {name}")
        reply = opened.parse(RoundReply, f"The reply of {name}")
        if reply.trust != key or reply.context != context:
            raise FlipError("stale-reply", f"{name} answered another context than that of round {context.round}.")
        self._check_metrics(reply, name)
        return reply, total.add(self._hub.blob(reply.update), name)

    def _check_metrics(self, reply: RoundReply, name: str) -> None:
        if reply.agreement is not None:
            if (
                not has_ballot(self._bundle.plan, training=reply.context.training)
                or self._bundle.plan.consensus is None
            ):
                raise FlipError("wrong-metrics", f"{name} reports an agreement, for which nobody asked.")
            self._bundle.plan.consensus.admit(reply.agreement)
        if reply.metrics is None:
            return
        declared = {output.name: output for output in self._bundle.outputs}
        for metric, value in reply.metrics.items():
            if metric not in declared or not declared[metric].possible(value):
                raise FlipError(
                    "wrong-metrics", f"{name} reports {metric}, undeclared, out of its bounds or of more decimals."
                )


def _documents(view: CoordinatorView) -> tuple[Bundle, Roster]:
    """Bundle, with what the run chose, and roster, which name each other: a run is of the bundle, that of the
    roster."""
    sealed = envelope.peek(view.bundle_envelope.encode(), "The bundle")
    bundle = parse(Bundle, sealed, "The bundle")
    payload = envelope.peek(view.roster_envelope.encode(), "The roster")
    if sha256(sealed) != view.run.bundle or sha256(payload) != bundle.membership:
        raise FlipError("wrong-bundle", "The hub's bundle or roster is not that of the run.")
    return bundle.at(view.run.choices), parse(Roster, payload, "The roster")


@dataclass(frozen=True)
class Ending:
    """How a run that went well has ended: the final weights' digest, and why no further round was trained."""

    weights: str
    code: str | None = None
    reason: str | None = None


def ended(plan: Plan, weights: str, rounds: int, *, agreed: bool) -> Ending:
    """With a consensus rule the code is ``agreed`` or ``round-limit``."""
    if plan.consensus is None:
        return Ending(weights)
    if agreed:
        return Ending(weights, "agreed", f"Agreed at round {rounds}.")
    return Ending(weights, "round-limit", f"The round limit, {rounds}, was reached without agreement.")
