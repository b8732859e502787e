"""All runs of an enclave: what the hub asks for, what the data controllers decided, and who has a slot."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from functools import partial
from typing import Literal

from flipnb.contracts.approval import Decline
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse
from flipnb.contracts.envelope import peek
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import TrustState
from flipnb.contracts.study import Roster
from flipnb.contracts.task import (
    SMALL_BYTES,
    RoundTask,
    RunTask,
    StartTask,
    StopTask,
    SummedTask,
    TaskAnswer,
    TotalTask,
)
from flipnb.enclave.airlock.airlock import Airlock, Reply, stored_reply
from flipnb.enclave.airlock.lease import Lease, fill
from flipnb.enclave.approvals.admission import VerifiedBundle, admit, require_valid, verify_bundle, verify_request
from flipnb.enclave.approvals.approvals import Approvals, Terms, refuse_own, verify_approval
from flipnb.enclave.approvals.executions import keep_approval, take_execution
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.runs.hub import Hub
from flipnb.enclave.runs.run import ActiveRun, Enclave, Outcome
from flipnb.enclave.stores.stored import StoredRequest, StoredRun

_LOG = logging.getLogger("flipnb.enclave.runs")
_TOLD_S = 30.0
_TOTAL_S = 0.05


class Runs:
    """Handles the tasks ``run``, ``start``, ``round`` and ``stop``, and the controller's approvals and declines.

    Every handler may be called again with the same task: it decides from what is on disk.
    """

    def __init__(self, enclave: Enclave, memberships: Memberships, hub: Hub) -> None:
        self._enclave, self._memberships, self._hub = enclave, memberships, hub
        self._store, self._audit = enclave.store, enclave.audit
        self._active: dict[str, ActiveRun] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ending = False

    @property
    def running(self) -> int:
        return self._enclave.slots.used

    async def resume(self) -> None:
        """Start anew what ran when the agent ended; the kernel gets the round again that is still open."""
        for run in self._store.runs.all():
            last = self._store.rounds.last(run.run)
            if run.state in ("starting", "running"):
                if last is not None and last.reply is not None and not last.training:
                    # It ended between the last answer and the word of it.
                    self._store.runs.advance(run.run, "finished")
                else:
                    self._launch(run)
            elif run.state == "left-out":
                self._store.runs.advance(run.run, "failed", code="agent-restarted", reason="The enclave was restarted.")

    async def close(self, within_s: float) -> None:
        """End all kernels; their runs go on when the agent starts again."""
        self._ending = True
        for active in list(self._active.values()):
            active.interrupt(Outcome(None))
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=within_s)
            for life in late:
                life.cancel()

    # What the hub asks

    async def on_run(self, task: RunTask) -> TaskAnswer:
        async with self._turns[task.run]:
            if self._store.runs.get(task.run) is None:
                try:
                    await self._admit(task)
                except FlipError as error:
                    return self._refuse(task.run, task.study, error)
            return TaskAnswer()

    async def on_start(self, task: StartTask) -> TaskAnswer:
        async with self._turns[task.run]:
            try:
                stored = self._known(task.run)
                if stored.state not in ("starting", "running"):
                    await self._consume(stored, task.members)
            except FlipError as error:
                return self._refuse(task.run, task.study, error)
            self._launch(self._known(task.run))
            return TaskAnswer()

    async def on_round(self, task: RoundTask, weights: bytes | None = None) -> TaskAnswer:
        """The sealed reply, once the kernel has answered; a large update is at the hub then, a small one goes with it.

        ``weights`` are what came with the task; they are fetched where nothing did.
        """
        try:
            reply = await self._reply(task.run, task.context, weights)
            if not reply.update.exists():
                raise FlipError("round-over", f"Round {task.context.round} was summed up long ago.", status=409)
            small = reply.update.read_bytes() if reply.update.stat().st_size <= SMALL_BYTES else None
            if small is None:
                await self._hub.put_blob(reply.update, reply.update_sha256, task.run)
        except FlipError as error:
            await self._told(task.run)
            return TaskAnswer(code=error.code, reason=error.message[:400])
        return TaskAnswer(envelope=reply.envelope.decode(), update=small)

    async def on_total(self, task: TotalTask) -> TaskAnswer:
        """The sealed reply, once the notebook has called ``flip.total``."""
        try:
            active = self._active.get(task.run)
            airlock = await asyncio.shield(active.airlock) if active is not None else None
            if active is None or airlock is None or task.total.run != task.run:
                raise FlipError("run-ended", "The run does not run here.", status=409)
            airlock.totals.take(task.total)
            while (reply := airlock.totals.reply(task.total.step)) is None:
                if active.over.is_set():
                    raise FlipError("run-ended", "The run ended here before the total was answered.", status=409)
                await asyncio.sleep(_TOTAL_S)
        except FlipError as error:
            await self._told(task.run)
            return TaskAnswer(code=error.code, reason=error.message[:400])
        return TaskAnswer(envelope=reply.decode())

    async def on_summed(self, task: SummedTask) -> TaskAnswer:
        active = self._active.get(task.run)
        airlock = await asyncio.shield(active.airlock) if active is not None else None
        if active is not None and airlock is not None:
            airlock.totals.give(task.summed)
            active.asked()
        return TaskAnswer()

    def tell_progress(self) -> None:
        """Put into the outbox what is new of where the runs are."""
        for active in self._active.values():
            active.tell_progress()

    def delivered(self, task: RoundTask) -> None:
        """The hub has the answer to ``task``, or does not know the task any more."""
        self._store.rounds.delivered(task.run, task.context.round)

    async def on_stop(self, task: StopTask) -> TaskAnswer:
        await self.stop(task.run, by="hub")
        return TaskAnswer()

    async def stop(self, run: str, *, by: str) -> None:
        """End the run's kernel; returns when it is gone. Raises FlipError ``unknown-run`` to the desk only."""
        stored = self._store.runs.get(run)
        if stored is None:
            if by == "hub":
                return
            raise FlipError("unknown-run", f"There is no run {run} here.", status=404)
        reason = "Stopped by the Trust's data controller." if by == "controller" else None
        active = self._active.get(run)
        if active is not None:
            await active.stop(Outcome("stopped", "stopped", reason))
        elif self._store.runs.advance(run, "stopped", code="stopped", reason=reason):
            self._audit.append("stopped", run=run, by=by)

    # What the data controller decides

    async def approve(self, envelope: bytes) -> str:
        """Take one controller's approval; the bundle's digest.

        Raises FlipError as ``verify_approval`` and ``refuse_own``, and ``unknown-request``, ``audit-broken``.
        """
        self._audit.require_whole()
        directory = self._enclave.directory
        version = await self._enclave.worker.current()
        terms = self.terms(version)
        verified = verify_approval(
            envelope,
            controllers=directory.controllers(),
            own_key=self._enclave.key.key_id,
            policy=terms.policy,
            estate_version=version,
        )
        bundle = verified.approval.bundle
        request = self.request(bundle)
        refuse_own(verified, request.researcher_key)
        if request.state == "refused":
            raise FlipError("refused", f"The agent refused this bundle: {request.reason}", status=409)
        content = self.content(request)
        directory.policy().refuse_bundle(content)
        require_valid(
            content,
            self._memberships.roster(request.study),
            own_key=self._enclave.key.key_id,
            environments=directory.environment_locks(),
        )
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

    def terms(self, estate_version: str | None) -> Terms:
        """What approvals count under as policy and controllers are now."""
        directory = self._enclave.directory
        return Terms.of(directory.policy(), directory.controllers(), estate_version)

    async def decline(self, decline: Decline) -> None:
        """Refuse a bundle, and withdraw what was approved of it and has not started."""
        self.request(decline.bundle)
        self._store.approvals.withdraw(decline.bundle)
        self._store.requests.decide(decline.bundle, "declined", code="declined", reason=decline.reason)
        self._audit.append("declined", bundle=decline.bundle, reason=decline.reason)
        for run in self._store.runs.of(decline.bundle):
            if run.state in ("notified", "waiting", "approved"):
                self._store.runs.advance(run.run, "declined", code="declined", reason=decline.reason)

    def request(self, bundle: str) -> StoredRequest:
        request = self._store.requests.get(bundle)
        if request is None:
            raise FlipError("unknown-request", f"No bundle {bundle[:16]}… was put before this Trust.", status=404)
        return request

    def content(self, request: StoredRequest) -> Bundle:
        """The bundle of a stored request; its envelope was verified when it came."""
        return parse(Bundle, peek(request.envelope, "The bundle"), "The bundle")

    # Steps

    async def _admit(self, task: RunTask) -> None:
        roster = self._memberships.roster(task.study)
        verified = verify_request(task.run_request.encode(), roster, run=task.run)
        digest = verified.request.bundle
        envelope = await self._hub.bundle(digest)
        bundle = verify_bundle(envelope, roster, verified)
        try:
            point = admit(
                bundle,
                verified.request,
                roster,
                own_key=self._enclave.key.key_id,
                policy=self._enclave.directory.policy(),
                environments=self._enclave.directory.environment_locks(),
            )
        except FlipError as error:
            self._keep_request(bundle, envelope, error)
            raise
        self._keep_request(bundle, envelope, None)
        content = bundle.bundle
        state = await self._decided(bundle.digest)
        if state == "waiting":
            self._store.requests.decide(bundle.digest, "waiting")  # what was approved before covers no more
        self._store.runs.add(task.run, bundle=bundle.digest, study=content.study, title=content.title, point=point)
        if isinstance(state, FlipError):
            raise state
        self._store.runs.advance(task.run, state)

    def _keep_request(self, bundle: VerifiedBundle, envelope: bytes, refused: FlipError | None) -> None:
        new = self._store.requests.add(
            bundle.digest,
            envelope,
            study=bundle.bundle.study,
            title=bundle.bundle.title,
            researcher=bundle.researcher,
            researcher_key=bundle.signer,
            state="waiting" if refused is None else "refused",
            code=refused.code if refused else None,
            reason=refused.message if refused else None,
        )
        if new and refused is None:
            self._audit.append("request-received", bundle=bundle.digest, researcher=bundle.signer)
        elif not new and refused is None and self.request(bundle.digest).state == "refused":
            # Its reason is gone: a policy was changed, an environment built.
            self._store.requests.decide(bundle.digest, "waiting")

    async def _decided(self, bundle: str) -> FlipError | Literal["approved", "waiting"]:
        """Whether the controllers' earlier decisions cover one more run: ``approved``, ``waiting``, or a refusal."""
        terms = self.terms(await self._enclave.worker.current())
        request = self.request(bundle)
        if request.state == "declined":
            return FlipError("declined", request.reason or "The Trust's data controller declined the bundle.")
        approvals = Approvals(self._store.approvals.of(bundle), terms)
        promised = sum(run.state == "approved" for run in self._store.runs.of(bundle))
        if approvals.executions_left > promised:
            return "approved"
        if approvals.spent:
            return FlipError(
                "executions-spent",
                "The approved number of executions is used up.",
                remedy="Ask the Trust's data controller for a new approval, and submit again then.",
                status=403,
            )
        return "waiting"

    async def _consume(self, stored: StoredRun, members: tuple[str, ...]) -> None:
        if self._ending:
            raise FlipError("agent-ends", "The enclave is being stopped.", status=503)
        request = self.request(stored.bundle)
        bundle = self.content(request)
        roster: Roster = self._memberships.roster(stored.study)
        own = self._enclave.key.key_id
        policy = self._enclave.directory.policy()
        require_valid(bundle, roster, own_key=own, environments=self._enclave.directory.environment_locks())
        policy.refuse_bundle(bundle)
        if own not in members or len(set(members)) != len(members) or not set(members) <= set(bundle.trusts):
            raise FlipError("wrong-members", "The start names other Trusts than the bundle, or not this one.")
        if len(members) < bundle.minimum_trusts:
            raise FlipError(
                "quorum-missing", f"{len(members)} Trusts are fewer than the {bundle.minimum_trusts} of the bundle."
            )
        version = await self._enclave.worker.current()
        take_execution(self._store, stored.run, members, self.terms(version))
        self._audit.append(
            "run-started", run=stored.run, bundle=stored.bundle, estate_version=version, members=list(members)
        )

    def _launch(self, stored: StoredRun) -> None:
        if stored.run in self._active or self._ending:
            return
        active = ActiveRun(
            self._enclave, stored, self.content(self.request(stored.bundle)), self._enclave.directory.policy()
        )
        self._active[stored.run] = active
        life = asyncio.create_task(self._live(active), name=f"run-{stored.run[:8]}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _live(self, active: ActiveRun) -> None:
        try:
            await active.live()
        finally:
            self._active.pop(active.run, None)

    async def _reply(self, run: str, context: RoundContext, sent: bytes | None) -> Reply:
        """Answered before: the stored bytes. Else what the kernel answers, once it has."""
        if context.run != run:
            raise FlipError("round-refused", "The context is of another run than the task.", status=409)
        active = self._active.get(run)
        airlock = await asyncio.shield(active.airlock) if active is not None else None
        if active is None or airlock is None:
            return self._of_ended(run, context)
        reply = airlock.take(context)
        if reply is not None:
            return reply
        while not await active.answered(context.round, or_if=lambda: airlock.lacks(context.round)):
            if active.over.is_set():
                raise FlipError("run-ended", "The run ended here before the round was answered.", status=409)
            airlock.offer(context, await self._weights(airlock, context, sent))
            active.asked()
            sent = None  # a kernel that is started anew has them fetched anew
        stored = self._store.rounds.get(run, context.round)
        assert stored is not None
        return stored_reply(stored)

    def _of_ended(self, run: str, context: RoundContext) -> Reply:
        stored = self._store.rounds.get(run, context.round)
        if stored is not None and stored.reply is not None and stored.digest == context.digest():
            return stored_reply(stored)
        if stored is not None and stored.digest != context.digest():
            self._audit.append("round-refused", run=run, round=context.round, context=context.digest())
            raise FlipError("round-refused", f"Round {context.round} was given another context before.", status=409)
        raise FlipError("run-ended", "The run does not run here.", status=409)

    async def _told(self, run: str) -> None:
        """Wait until the hub has heard of what happened to the run: why it ended says more than a round refused."""
        deadline = asyncio.get_running_loop().time() + _TOLD_S
        while self._store.outbox.waits(run) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)

    async def _weights(self, airlock: Airlock, context: RoundContext, sent: bytes | None) -> Lease:
        """The global weights in sealed memory, their size and SHA-256 as the context says."""

        lease = Lease(context.weights_size)
        try:
            if sent is not None:
                fill(lease.descriptor, sent, context.weights, context.weights_size)
            else:
                await self._hub.fetch_blob(context.weights, context.weights_size, lease.descriptor)
            lease.seal()
        except BaseException as error:
            lease.close()
            if isinstance(error, FlipError):
                airlock.refuse_weights(context, error)
            raise
        return lease

    def _known(self, run: str) -> StoredRun:
        stored = self._store.runs.get(run)
        if stored is None:
            raise FlipError("unknown-run", "The run was not admitted here.", status=404)
        if stored.over or stored.state == "left-out":
            raise FlipError(stored.code or "run-ended", stored.reason or f"The run is {stored.state} here.", status=409)
        return stored

    def _refuse(self, run: str, study: str, error: FlipError) -> TaskAnswer:
        if error.status >= 500:
            raise error
        _LOG.warning("run %s of study %s: %s", run, study, error)
        stored = self._store.runs.get(run)
        if stored is None:
            self._store.outbox.add_refusal(run, error.code, error.message[:400])
            self._audit.append("request-refused", run=run, study=study, code=error.code, reason=error.message)
        elif not stored.over:
            to: TrustState = "declined" if error.code == "declined" else "refused"
            if self._store.runs.advance(run, to, code=error.code, reason=error.message):
                self._audit.append("request-refused", run=run, study=study, code=error.code, reason=error.message)
            if to == "declined":
                return TaskAnswer()
        return TaskAnswer(code=error.code, reason=error.message[:400])
