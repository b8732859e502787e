"""The airlock's gate for federated totals: each step answered once, in integers, on disk before it is sent.

Called from two sides, as the airlock is: the agent's event loop (contexts and sums from the hub), the broker's thread
(arrays from the kernel). What a notebook calls first and what the hub asks first are the same: the reply is made when
both are there.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from flipnb.contracts.document import parse, sha256
from flipnb.contracts.envelope import TOTAL_REPLY, peek, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.total import Place, TotalContext, TotalReply, TotalSum, Units, find_step, require_place
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.members import wrong_members
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredTotal


class TotalsGate:
    """One run's. All methods may be called from any thread; ``result`` waits, so never in an event loop."""

    def __init__(self, facts: RunFacts, *, key: SigningKey, store: Store, audit: AuditLog, policy: Policy) -> None:
        self._facts = facts
        self._key, self._store, self._audit, self._policy = key, store, audit, policy
        self._changed = threading.Condition()
        self._contexts: dict[int, TotalContext] = {}
        self._values: dict[int, Mapping[str, Units]] = {}
        self._refused_sums: dict[int, FlipError] = {}
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
        """The sum for the kernel; the first one holds.

        Raises FlipError ``total-refused`` (after an audit entry) for one that is not of what was answered here, or that
        its members can't have sent together; the kernel is refused the total then, and every other sum by the same
        words: by ever new ones a hub would learn when the notebook asks.
        """
        step = result.context.step
        with self._changed:
            known = self._store.totals.get(self._facts.run, step)
            if known is not None and known.result is not None:
                return
            try:
                if step in self._refused_sums:
                    raise self._refused_sums[step]
                self._check_sum(result, known)
            except FlipError as error:
                self._record_refusal(step, error)
                self._refused_sums[step] = error
                self._changed.notify_all()
                raise
            self._store.totals.sum(self._facts.run, step, result.to_bytes())
            self._changed.notify_all()

    def settled(self, step: int) -> bool:
        """Whether a kernel need not wait for a step's sum: it is there, or was refused."""
        known = self._store.totals.get(self._facts.run, step)
        return step in self._refused_sums or (known is not None and known.result is not None)

    def close(self) -> None:
        """Let nobody wait any more: the run is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # The kernel's side

    def submit(self, values: Mapping[str, Sequence[float]], place: Place) -> int:
        """Take a notebook's arrays; returns the step's number. ``place`` is where it calls.

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
                require_place(declared, place)
                self._values[step] = declared.admit(values)
            except FlipError as error:
                self._record_refusal(step, error)
                raise
            self._answer(step)
        return step

    def result(self, step: int, wait_s: float) -> dict[str, list[float]] | None:
        """The sum over the Trusts; None where it is not there after ``wait_s``.

        Raises FlipError ``total-refused`` where this enclave refused the sum that it was given.
        """

        def known() -> bytes | None:
            stored = self._store.totals.get(self._facts.run, step)
            return stored.result if stored is not None else None

        with self._changed:
            self._changed.wait_for(lambda: self._closed or step in self._refused_sums or known() is not None, wait_s)
            content = known()
            if content is None and step in self._refused_sums:
                raise self._refused_sums[step]
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
                least=self._policy.least_trusts(facts.bundle),
            ),
        )
        for wrong, reason in checks:
            if wrong:
                raise _refused(reason)

    def _check_sum(self, result: TotalSum, known: StoredTotal | None) -> None:
        """Without this Trust's own part a sum must be one of the other members' parts, each within its bounds."""
        if known is None or known.reply is None or known.digest != result.context.digest():
            raise _refused("the sum is of a total that was not answered here")
        declared, members = self._facts.bundle.totals[result.context.step - 1], result.members
        for wrong, reason in wrong_members(
            members,
            started=result.context.members,
            own_key=self._key.key_id,
            least=self._policy.least_trusts(self._facts.bundle),
        ):
            if wrong:
                raise _refused(f"of the sum, {reason}")
        if set(result.values) != declared.names:
            raise _refused("the sum has other arrays than the total")
        own = parse(TotalReply, peek(known.reply, "The reply"), "The reply").values
        for array in declared.arrays:
            units = result.values[array.name]
            if len(units) != array.elements:
                raise _refused(f"the sum's array {array.name!r} has another shape than {list(array.shape)}")
            others = tuple(all_of - mine for all_of, mine in zip(units, own[array.name], strict=True))
            if not array.possible(others, len(members) - 1):
                raise _refused(
                    f"the sum's array {array.name!r} is none that {len(members)} Trusts can have sent within "
                    f"[{array.minimum}, {array.maximum}]"
                )

    def _record_refusal(self, step: int, error: FlipError) -> None:
        run = self._facts.run
        self._audit.refusals.add("total-refused", run, run=run, step=step, code=error.code, reason=error.message)


def _refused(reason: str) -> FlipError:
    return FlipError("total-refused", f"The total is refused: {reason}.", status=409)
