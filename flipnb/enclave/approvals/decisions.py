"""What this Trust's data controllers decide, and what their decisions cover now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from flipnb.contracts.approval import Decline
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.admission import require_members
from flipnb.enclave.approvals.approvals import SPENT, Approvals, Terms, refuse_own, verify_approval
from flipnb.enclave.approvals.executions import deal, keep_approval, take_execution
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun


class Decisions:
    """One enclave's. ``estate_version`` asks for the current version, to which approvals are bound."""

    def __init__(
        self,
        directory: EnclaveDirectory,
        own_key: str,
        store: Store,
        audit: AuditLog,
        requests: Requests,
        estate_version: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._directory, self._own_key, self._requests = directory, own_key, requests
        self._store, self._audit, self._estate_version = store, audit, estate_version

    def terms(self, estate_version: str | None) -> Terms:
        """What approvals count under as policy and controllers are now."""
        return Terms.of(self._directory.policy(), self._directory.controllers(), estate_version)

    async def approve(self, envelope: bytes) -> str:
        """Take one controller's approval; the bundle's digest.

        Raises FlipError as ``verify_approval`` and ``refuse_own``, and ``unknown-request``, ``audit-broken``.
        """
        self._audit.require_whole()
        version = await self._estate_version()
        terms = self.terms(version)
        verified = verify_approval(
            envelope,
            controllers=self._directory.controllers(),
            own_key=self._own_key,
            policy=terms.policy,
            estate_version=version,
        )
        bundle = verified.approval.bundle
        request = self._requests.get(bundle)
        refuse_own(verified, request.researcher_key)
        if request.state == "refused":
            raise FlipError("refused", f"The agent refused this bundle: {request.reason}", status=409)
        self._requests.require_runnable(bundle)
        controller = verified.controller
        known = {(given.approval, given.controller_key) for given in self._store.approvals.of(bundle)}
        if (verified.digest, controller.key_id) not in known:
            self._audit.append(
                "approved",
                then=partial(keep_approval, self._store, verified, terms),
                bundle=bundle,
                approval=verified.digest,
                controller=controller.name,
                controller_key=controller.key_id,
                executions=verified.approval.executions,
                demanded=terms.demanded,
            )
        return bundle

    async def decline(self, decline: Decline) -> None:
        """Refuse a bundle, and withdraw what was approved of it and has not started."""
        self._requests.get(decline.bundle)

        def withdrawn() -> None:
            self._store.approvals.withdraw(decline.bundle)
            self._store.requests.decide(decline.bundle, "declined", code="declined", reason=decline.reason)
            for run in self._store.runs.of(decline.bundle):
                if run.started is None and run.state in ("notified", "waiting", "approved", "queued"):
                    self._store.runs.advance(run.run, "declined", code="declined", reason=decline.reason)

        self._audit.append("declined", then=withdrawn, bundle=decline.bundle, reason=decline.reason)

    async def deal(self, bundle: str) -> None:
        """Let each run of a bundle that has not started be ``approved``, as far as executions are left, else
        ``waiting``.

        Raises FlipError ``declined``: no run of it is ever approved.
        """
        terms = self.terms(await self._estate_version())
        request = self._requests.get(bundle)
        if request.state == "declined":
            raise FlipError("declined", request.reason or "The Trust's data controller declined the bundle.")
        deal(self._store, bundle, terms)

    async def require_startable(self, run: StoredRun, members: tuple[str, ...]) -> None:
        """Whether ``start`` with the same would be let through now; nothing is taken.

        Raises FlipError as it does, and ``executions-spent`` where what is left is promised to others: a Trust that
        let them be overtaken would break its word to them, after other Trusts have kept theirs.
        """
        require_members(self._requests.require_runnable(run.bundle), members, own_key=self._own_key)
        terms = self.terms(await self._estate_version())
        Approvals(self._store.approvals.of(run.bundle), terms).usable()
        deal(self._store, run.bundle, terms)
        dealt = self._store.runs.get(run.run)
        if dealt is None or dealt.state != "approved":
            raise FlipError(*SPENT, status=409)

    async def start(self, run: StoredRun, members: tuple[str, ...]) -> None:
        """Let a run start with ``members``: one execution is taken from each approval that is demanded.

        Raises FlipError where it may not, or not with these: as ``require_runnable``, ``require_members`` and
        ``take_execution``.
        """
        require_members(self._requests.require_runnable(run.bundle), members, own_key=self._own_key)
        version = await self._estate_version()
        started = take_execution(self._store, run.run, members, self.terms(version))
        told = self._directory.estate_name(run.study, version or "")
        self._audit.append(
            "run-started",
            run=run.run,
            bundle=run.bundle,
            estate_version=version,
            estate_told=told,
            members=list(members),
        )
        if started:
            self._store.runs.tell_estate(run.run, told)
