"""The airlock's gate for federated totals: each step answered once, in integers, on disk before it is sent.

Called from two sides, as the airlock is: the agent's event loop (contexts and sums from the hub), the broker's thread
(arrays from the kernel). What a notebook calls first and what the hub asks first are the same: the reply is made when
both are there.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from flipnb.contracts.document import parse, sha256
from flipnb.contracts.envelope import TOTAL_REPLY, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.total import TotalContext, TotalReply, TotalSum, Units, find_step
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.members import wrong_members
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store


class TotalsGate:
    """One run's. All methods may be called from any thread; ``result`` waits, so never in an event loop."""

    def __init__(self, facts: RunFacts, *, key: SigningKey, store: Store, audit: AuditLog, policy: Policy) -> None:
        self._facts = facts
        self._key, self._store, self._audit, self._policy = key, store, audit, policy
        self._changed = threading.Condition()
        self._contexts: dict[int, TotalContext] = {}
        self._values: dict[int, Mapping[str, Units]] = {}
        self._closed = False

    # The hub's side

    def take(self, context: TotalContext) -> None:
        """Pin ``context`` as that of its step. Raises FlipError ``total-refused`` (after an audit entry)."""
        try:
            with self._changed:
                known = self._store.totals.get(self._facts.run, context.step)
                if known is None:
                    self._check(context)
                    self._store.totals.give(self._facts.run, context.step, context.digest())
                elif known.digest != context.digest():
                    raise _refused(f"total {context.step} was given another context before")
                self._contexts[context.step] = context
                self._answer(context.step)
                self._changed.notify_all()
        except FlipError as error:
            self._record_refusal(context.step, error)
            raise

    def reply(self, step: int) -> bytes | None:
        """The sealed reply, the same bytes each time; None where the notebook has not called yet."""
        known = self._store.totals.get(self._facts.run, step)
        return known.reply if known is not None else None

    def give(self, result: TotalSum) -> None:
        """The sum for the kernel; the first one holds. One that does not fit its context is not taken."""
        step = result.context.step
        with self._changed:
            known = self._store.totals.get(self._facts.run, step)
            if known is None or known.reply is None or known.digest != result.context.digest():
                return
            declared = self._facts.bundle.totals[step - 1]
            sizes = {array.name: array.elements for array in declared.arrays}
            if {name: len(values) for name, values in result.values.items()} == sizes:
                self._store.totals.sum(self._facts.run, step, result.to_bytes())
                self._changed.notify_all()

    def summed(self, step: int) -> bool:
        """Whether the sum of a step is there."""
        known = self._store.totals.get(self._facts.run, step)
        return known is not None and known.result is not None

    def close(self) -> None:
        """Let nobody wait any more: the run is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # The kernel's side

    def submit(self, values: Mapping[str, Sequence[float]], place: int) -> int:
        """Take a notebook's arrays; returns the step's number. ``place`` is the round in which it calls, 0 before any.

        A kernel that was started anew calls again: the step that was answered stays as it is. Raises FlipError
        ``undeclared-total``, ``wrong-total``, ``wrong-place``.
        """
        steps = self._facts.bundle.totals
        step = find_step(steps, list(values))
        with self._changed:
            try:
                known = self._store.totals.get(self._facts.run, step)
                if known is not None and known.reply is not None:
                    return step
                declared = steps[step - 1]
                if declared.round != place:
                    raise FlipError(
                        "wrong-place",
                        f"The total of {', '.join(sorted(declared.names))} is declared for round {declared.round} "
                        f"(0: before the first), and the notebook asks for it in round {place}.",
                    )
                self._values[step] = declared.admit(values)
            except FlipError as error:
                self._record_refusal(step, error)
                raise
            self._answer(step)
        return step

    def result(self, step: int, wait_s: float) -> dict[str, list[float]] | None:
        """The sum over the Trusts; None where it is not there after ``wait_s``."""

        def known() -> bytes | None:
            stored = self._store.totals.get(self._facts.run, step)
            return stored.result if stored is not None else None

        with self._changed:
            self._changed.wait_for(lambda: self._closed or known() is not None, wait_s)
            content = known()
        if content is None:
            return None
        return self._facts.bundle.totals[step - 1].restore(parse(TotalSum, content, "The sum").values)

    def _answer(self, step: int) -> None:
        """Seal and store the reply where context and arrays are both there and none is stored."""
        known = self._store.totals.get(self._facts.run, step)
        if step not in self._contexts or step not in self._values or (known is not None and known.reply is not None):
            return
        context, values = self._contexts[step], self._values[step]
        envelope = seal(
            TotalReply(trust=self._key.key_id, context=context, values=dict(values)), TOTAL_REPLY, self._key
        )
        # The leaf comes first: a crash between the two leaves a leaf too many, never a release without one.
        self._audit.append(
            "total-released",
            run=self._facts.run,
            step=step,
            context=context.digest(),
            reply=sha256(envelope),
            values={name: [str(unit) for unit in units] for name, units in values.items()},
        )
        self._store.totals.answer(self._facts.run, step, envelope)

    def _check(self, context: TotalContext) -> None:
        facts = self._facts
        checks = (
            (context.run != facts.run or context.bundle != facts.bundle_digest, "it is of another run or bundle"),
            (context.step > len(facts.bundle.totals), f"the bundle has {len(facts.bundle.totals)} totals"),
            *wrong_members(
                context.members,
                started=facts.members,
                own_key=self._key.key_id,
                least=max(facts.bundle.minimum_trusts, self._policy.minimum_trusts),
            ),
        )
        for wrong, reason in checks:
            if wrong:
                raise _refused(reason)

    def _record_refusal(self, step: int, error: FlipError) -> None:
        self._audit.append("total-refused", run=self._facts.run, step=step, code=error.code, reason=error.message)


def _refused(reason: str) -> FlipError:
    return FlipError("total-refused", f"The total is refused: {reason}.", status=409)
