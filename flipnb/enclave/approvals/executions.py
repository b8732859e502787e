"""What approvals let happen, written in one transaction with what it changes."""

from __future__ import annotations

from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import FINAL_TRUST_STATES
from flipnb.enclave.approvals.approvals import Approvals, Terms, VerifiedApproval
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import STARTED


def keep_approval(store: Store, verified: VerifiedApproval, terms: Terms) -> bool:
    """True where it is new; the same approval again does not renew its executions.

    The bundle's request and the runs that wait for it are ``approved`` once it may run under ``terms``.
    """
    bundle = verified.approval.bundle
    with store.together():
        if not store.approvals.add(bundle, verified.stored(), verified.envelope):
            return False
        may_run = Approvals(store.approvals.of(bundle), terms).executions_left > 0
        store.requests.decide(bundle, "approved" if may_run else "waiting")
        if may_run:
            for run in store.runs.of(bundle):
                if run.state == "waiting":
                    store.runs.advance(run.run, "approved")
        return True


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
        return True
