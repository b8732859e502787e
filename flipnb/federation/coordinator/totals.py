"""A run's federated totals at the coordinator: each step is asked of the Trusts once, added in integers, given back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.coordinator import Resume, RoundReplies
from flipnb.contracts.keys import KeyId, PublicKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import as_line
from flipnb.contracts.total import Place, TotalContext, TotalReply, TotalSum, Units, add_units

log = logging.getLogger("flip.coordinator")

_WAIT_SECONDS = 20.0


class TotalLink(Protocol):
    """What is asked of the hub."""

    def post_total(self, context: TotalContext) -> None:
        """Ask the members for a step."""
        ...

    def total_replies(self, step: int, known: int, wait: float) -> RoundReplies:
        """The step's replies so far, at more than ``known`` or after ``wait`` seconds."""
        ...

    def post_sum(self, result: TotalSum) -> None:
        """Give the members the sum of a step."""
        ...


class Totals:
    """``trusts`` are the Trusts' keys; ``name`` gives a Trust's name for people."""

    def __init__(
        self,
        link: TotalLink,
        run: str,
        digest: str,
        bundle: Bundle,
        trusts: Mapping[KeyId, PublicKey],
        name: Callable[[KeyId], str],
        resume: Resume | None,
    ) -> None:
        self._link, self._run, self._digest, self._bundle = link, run, digest, bundle
        self._trusts, self._name = trusts, name
        self._posted = {context.step: context for context in resume.totals} if resume is not None else {}
        self._summed = set(resume.summed) if resume is not None else set()

    def pending(self, place: Place) -> tuple[int, ...]:
        """The steps of a place whose sum is not there yet."""
        steps = enumerate(self._bundle.totals, start=1)
        return tuple(step for step, declared in steps if declared.place == place and step not in self._summed)

    def sum(self, step: int, members: Sequence[KeyId], deadline: float) -> dict[KeyId, str]:
        """Ask, add and give back; returns who is not in the sum, and why. ``deadline`` is on the monotonic clock.

        Raises FlipError ``quorum-lost`` where too few have answered: no sum of fewer is ever given out.
        """
        context = self._posted.get(step) or TotalContext(
            run=self._run, bundle=self._digest, step=step, members=tuple(members)
        )
        self._link.post_total(context)
        self._posted[step] = context
        values, left_out = self._collect(context, deadline)
        if len(values) < self._bundle.minimum_trusts:
            reasons = "; ".join(f"{self._name(key)}: {reason}" for key, reason in sorted(left_out.items()))
            least = self._bundle.minimum_trusts
            raise FlipError("quorum-lost", f"Total {step} has {len(values)} of at least {least} Trusts. {reasons}")
        declared = self._bundle.totals[step - 1]
        result = add_units(declared, [values[key] for key in sorted(values)])
        self._link.post_sum(TotalSum(context=context, members=tuple(sorted(values)), left_out=left_out, values=result))
        self._summed.add(step)
        log.info("total", extra={"step": step, "members": len(values)})
        return left_out

    def _collect(
        self, context: TotalContext, deadline: float
    ) -> tuple[dict[KeyId, Mapping[str, Units]], dict[KeyId, str]]:
        values: dict[KeyId, Mapping[str, Units]] = {}
        left_out: dict[KeyId, str] = {}
        waiting, known, began = set(context.members), 0, time.monotonic()
        while waiting:
            wait = min(_WAIT_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                left_out |= dict.fromkeys(waiting, f"no total within {round(time.monotonic() - began)} s")
                break
            heard = self._link.total_replies(context.step, known, wait)
            known = len(heard.replies) + len(heard.gone)
            for key in sorted(waiting & heard.replies.keys()):
                waiting.remove(key)
                try:
                    values[key] = self._take(key, heard.replies[key], context)
                except FlipError as error:
                    left_out[key] = as_line(f"{error.code}: {error.message}")
                    log.warning("refused", extra={"trust": self._name(key), "code": error.code})
            for key in sorted(waiting & heard.gone.keys()):
                waiting.remove(key)
                left_out[key] = as_line(heard.gone[key])
        return values, left_out

    def _take(self, key: KeyId, text: str, context: TotalContext) -> Mapping[str, Units]:
        name = self._name(key)
        trusted = {key: self._trusts[key]} if key in self._trusts else {}
        opened = envelope.unseal(text.encode(), envelope.TOTAL_REPLY, trusted, f"The total of {name}")
        reply = opened.parse(TotalReply, f"The total of {name}")
        if reply.trust != key or reply.context != context:
            raise FlipError("stale-reply", f"{name} answered another context than that of total {context.step}.")
        declared = self._bundle.totals[context.step - 1]
        if set(reply.values) != declared.names:
            raise FlipError("wrong-total", f"{name} totals other arrays than those of total {context.step}.")
        for array in declared.arrays:
            if not array.possible(reply.values[array.name]):
                raise FlipError("wrong-total", f"{name} totals impossible values of {array.name!r}.")
        return reply.values
