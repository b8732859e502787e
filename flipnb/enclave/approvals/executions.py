"""What approvals let happen, written in one transaction with what it changes.

Executions that are left are promised to the runs of their bundle, in one order that is the same at every Trust: who
asked first, then the run's id. What is promised never exceeds what is left; the other runs wait.
"""

from __future__ import annotations

from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import FINAL_TRUST_STATES, TrustState
from flipnb.enclave.approvals.approvals import SPENT, Approvals, Terms, VerifiedApproval
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import STARTED, StoredRun

_DEALT: tuple[TrustState, ...] = ("notified", "waiting", "approved")


def keep_approval(store: Store, verified: VerifiedApproval, terms: Terms) -> bool:
    """True where it is new; the same approval again does not renew its executions.

    The bundle's request is ``approved`` once it may run under ``terms`` and no run of it waits.
    """
    bundle = verified.approval.bundle
    with store.together():
        if not store.approvals.add(bundle, verified.stored(), verified.envelope):
            return False
        may_run = Approvals(store.approvals.of(bundle), terms).executions_left > 0
        store.requests.decide(bundle, "approved" if may_run else "waiting")
        deal(store, bundle, terms)
        return True


def deal(store: Store, bundle: str, terms: Terms) -> None:
    """Promise what is left of a bundle's executions to the first of its runs; those beyond are ``waiting``, and told
    why. The hub hears how many are left for more runs.

    A run that was promised one and is not covered any more, since an approval expired or another policy or estate
    holds, waits again: a new approval mends it.
    """
    with store.together():
        approvals = Approvals(store.approvals.of(bundle), terms)
        left, runs = approvals.executions_left, store.runs.of(bundle)
        unstarted = [run for run in runs if run.started is None]
        dealt = sorted((run for run in unstarted if run.state in _DEALT), key=_order)
        spare = max(0, left - len(dealt))
        for place, run in enumerate(dealt):
            if place < left:
                _become(store, run, "approved", None, None, spare)
            else:
                code, reason = SPENT if approvals.executions_left > 0 else approvals.why_none
                _become(store, run, "waiting", code, reason, spare)
        if dealt:
            store.requests.decide(bundle, "approved" if len(dealt) <= left else "waiting")
        if runs:
            store.runs.tell_left(max(runs, key=_order).run, bundle, spare)


def wait_again(store: Store, run: StoredRun, code: str, reason: str) -> None:
    """A run that was to start, and that no approval covers now, waits for a new one; its bundle's request, too."""
    with store.together():
        if run.state != "waiting":
            store.runs.advance(run.run, "waiting", code=code, reason=reason)
        store.requests.decide(run.bundle, "waiting")


def _become(store: Store, run: StoredRun, state: TrustState, code: str | None, reason: str | None, spare: int) -> None:
    if run.state != state:
        store.runs.advance(run.run, state, code=code, reason=reason, executions_left=spare)
    elif run.reason != reason:
        store.runs.explain(run.run, code, reason, executions_left=spare)


def _order(run: StoredRun) -> tuple[str, str]:
    return run.requested or "", run.run


def take_execution(store: Store, run: str, members: tuple[str, ...], terms: Terms) -> bool:
    """Take one execution from each approval that is demanded and make the run ``starting``, all or nothing.

    False where the run had started before. Raises FlipError as ``Approvals.usable``, and ``unknown-run``,
    ``wrong-state``.
    """
    with store.together():
        stored = store.runs.get(run)
        if stored is None:
            raise FlipError("unknown-run", f"The run {run} was never admitted here.", status=404)
        if stored.state in STARTED:
            return False
        if stored.state in FINAL_TRUST_STATES or stored.state == "left-out":
            raise FlipError("wrong-state", f"The run {run} is {stored.state} here.", status=409)
        used = Approvals(store.approvals.of(stored.bundle), terms).usable()
        store.approvals.take(used)
        store.runs.start(run, used, estate_version=terms.estate_version, members=members)
        deal(store, stored.bundle, terms)
        return True
