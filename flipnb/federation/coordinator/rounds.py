"""The rounds of one run: context out, replies in, sum, strategy, checkpoint."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorOrder, CoordinatorView
from flipnb.contracts.document import parse
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.study import Roster
from flipnb.contracts.tensors import FLOATS
from flipnb.federation.coordinator.checkpoint import Checkpoint, Checkpoints
from flipnb.federation.coordinator.hub_link import HubLink
from flipnb.federation.encoding import Sum
from flipnb.federation.grid import Aggregate
from flipnb.federation.strategies import RoundStrategy
from flipnb.federation.weights import Arrays, read_weights

log = logging.getLogger("flip.coordinator")

_WAIT_SECONDS = 20.0
_HEADER_ALLOWANCE = 64 << 20


class Rounds:
    """Drives a run from its last finished round to its end. ``run`` returns the final weights' digest."""

    def __init__(self, order: CoordinatorOrder, hub: HubLink) -> None:
        self._order = order
        self._hub = hub
        self._work = Path(order.work_dir)
        view = hub.view()
        self._bundle = parse(Bundle, envelope.peek(view.bundle_envelope.encode(), "The bundle"), "The bundle")
        roster = parse(Roster, envelope.peek(view.roster_envelope.encode(), "The roster"), "The roster")
        self._trust_keys = roster.trust_keys()
        self._names = {trust.key_id: trust.name for trust in roster.trusts}
        self._told = {summary.round for summary in view.resume.rounds} if view.resume else set()
        self._posted = view.resume.context if view.resume else None
        self._left_out: dict[KeyId, str] = {}
        self._spec = self._bundle.tensors
        self._checkpoints = Checkpoints(self._work / "checkpoints", self._spec)
        self._strategy = RoundStrategy(self._bundle.plan.strategy, self._spec)

    def run(self) -> str:
        """Raises FlipError ``quorum-lost``, and whatever the hub refuses."""
        plan = self._bundle.plan
        checkpoint = self._checkpoints.last() or self._begin()
        self._strategy.restore(checkpoint.state)
        for number in range(checkpoint.round + 1, plan.rounds + 1):
            checkpoint = self._train(number, checkpoint)
        self._evaluate(plan.rounds + 1, checkpoint)
        return checkpoint.sha256

    def _begin(self) -> Checkpoint:
        path = self._work / "initial.safetensors"
        digest = self._bundle.initial_weights
        self._hub.download(digest, path, self._spec.weight_bytes() + _HEADER_ALLOWANCE)
        weights = read_weights(path, self._spec, "The initial weights")
        path.unlink()
        return self._checkpoints.save(0, weights, {})

    def _train(self, number: int, checkpoint: Checkpoint) -> Checkpoint:
        weights = self._checkpoints.weights(checkpoint)
        integers: Arrays = {}

        def exchange(_: Mapping[str, npt.NDArray[Any]], config: Mapping[str, float]) -> Aggregate:
            total = self._exchange(number, checkpoint, training=True, config=config)
            means: Arrays = {}
            for tensor in self._spec.tensors:
                change = total.mean(tensor)
                if tensor.dtype in FLOATS:
                    moved = weights[tensor.name].astype("float64") + change
                    means[tensor.name] = moved.astype(tensor.update_dtype)
                else:
                    integers[tensor.name] = weights[tensor.name] + change
            return Aggregate(means, total.weight)

        floats = self._strategy.round(number, self._bundle.minimum_trusts, weights, exchange)
        return self._checkpoints.save(number, {**floats, **integers}, self._strategy.state())

    def _evaluate(self, number: int, checkpoint: Checkpoint) -> None:
        self._exchange(number, checkpoint, training=False, config={})

    def _exchange(self, number: int, checkpoint: Checkpoint, *, training: bool, config: Mapping[str, float]) -> Sum:
        """Ask the members, add what comes, tell the hub; the sum of one round."""
        began = time.monotonic()
        context = self._context(number, checkpoint, training=training, config=config)
        self._hub.upload(checkpoint.weights, checkpoint.sha256)
        self._hub.post_context(context)
        total = Sum(spec=self._spec, plan=self._bundle.plan, outputs=self._bundle.outputs, training=training)
        members, left_out, trust_metrics = self._collect(context, total, self._deadline(context))
        self._left_out |= left_out
        if len(members) < self._bundle.minimum_trusts:
            names = "; ".join(f"{self._names[key]}: {reason}" for key, reason in sorted(left_out.items()))
            raise FlipError(
                "quorum-lost",
                f"Round {number} has {len(members)} of at least {self._bundle.minimum_trusts} Trusts. {names}"[:390],
            )
        summary = RoundSummary(
            round=number,
            of=context.of,
            training=training,
            members=tuple(sorted(members)),
            left_out={key: reason[:400] for key, reason in left_out.items()},
            weights=context.weights,
            metrics=total.metrics(),
            trust_metrics=trust_metrics,
            seconds=round(time.monotonic() - began, 3),
        )
        if number not in self._told:
            self._hub.tell(CoordinatorEvent(round=summary))
        log.info("round", extra={"round": number, "members": len(members), "seconds": summary.seconds})
        return total

    def _context(
        self, number: int, checkpoint: Checkpoint, *, training: bool, config: Mapping[str, float]
    ) -> RoundContext:
        """This round's context; after a restart the very one that was posted, since no enclave answers another."""
        view: CoordinatorView = self._hub.view()
        members = tuple(sorted(key for key in view.trusts if key not in self._left_out))
        if self._posted is not None and self._posted.round == number:
            members = self._posted.members
        if not members:
            raise FlipError("quorum-lost", f"No Trust is left for round {number}.")
        return RoundContext(
            run=self._order.run,
            bundle=view.run.bundle,
            round=number,
            of=self._bundle.plan.rounds,
            training=training,
            weights=checkpoint.sha256,
            weights_size=checkpoint.size,
            tensors=self._spec.digest(),
            members=members,
            config=dict(config),
        )

    def _deadline(self, context: RoundContext) -> float:
        plan = self._bundle.plan
        seconds = plan.round_seconds + (plan.start_seconds if context.round == 1 else 0)
        return time.monotonic() + seconds

    def _collect(
        self, context: RoundContext, total: Sum, deadline: float
    ) -> tuple[list[KeyId], dict[KeyId, str], dict[KeyId, dict[str, float]]]:
        """Members whose update is in the sum; who is not, and why; the Trusts' own numbers where they are given."""
        done: list[KeyId] = []
        left_out: dict[KeyId, str] = {}
        metrics: dict[KeyId, dict[str, float]] = {}
        known = 0
        while len(done) + len(left_out) < len(context.members):
            wait = min(_WAIT_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                late = [key for key in context.members if key not in done and key not in left_out]
                left_out |= dict.fromkeys(late, f"no reply within {self._bundle.plan.round_seconds} s")
                break
            heard = self._hub.replies(context.round, known, wait)
            known = len(heard.replies) + len(heard.gone)
            for key, text in sorted(heard.replies.items()):
                if key in done or key in left_out or key not in context.members:
                    continue
                try:
                    reply = self._take(key, text, context, total)
                except FlipError as error:
                    left_out[key] = f"{error.code}: {error.message}"
                    log.warning("refused", extra={"trust": self._names.get(key), "code": error.code})
                    continue
                done.append(key)
                if reply.metrics is not None:
                    metrics[key] = dict(reply.metrics)
            left_out |= {key: reason for key, reason in heard.gone.items() if key not in done}
        return done, {key: reason for key, reason in left_out.items() if key in context.members}, metrics

    def _take(self, key: KeyId, text: str, context: RoundContext, total: Sum) -> RoundReply:
        """Verify one reply and add its update. Raises FlipError that says what is wrong with it."""
        name = self._names.get(key, key[:12])
        opened = envelope.unseal(
            text.encode(), envelope.ROUND_REPLY, {key: self._trust_keys[key]}, f"The reply of {name}"
        )
        reply = opened.parse(RoundReply, f"The reply of {name}")
        if reply.trust != key or reply.context != context:
            raise FlipError("stale-reply", f"{name} answered another context than that of round {context.round}.")
        limit = 8 * self._spec.elements + _HEADER_ALLOWANCE
        path = self._work / f"update-{reply.update[:16]}.safetensors"
        try:
            self._hub.download(reply.update, path, limit)
            total.add(path, name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return reply
