"""The life of a run: which step follows from what Trusts, researcher, coordinator and clock say.

Every function works within the caller's transaction; processes are started and ended by the supervisor, which looks
at the states that are on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from flipnb.contracts.approval import MENDED_BY_APPROVAL
from flipnb.contracts.coordinator import CoordinatorEvent
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import (
    FINAL_RUN_STATES,
    FINAL_TRUST_STATES,
    GOING_RUN_STATES,
    TRUST_TRANSITIONS,
    Failure,
    RoundSummary,
    RunState,
    TrustReport,
    TrustState,
    advance_trust,
)
from flipnb.contracts.task import RoundTask, TaskAnswer
from flipnb.hub import lateness
from flipnb.hub.blob_grants import is_there
from flipnb.hub.bundles import keep_executions_left, terms_of
from flipnb.hub.configuration import HubConfiguration
from flipnb.hub.reasons import named, title_of, why_of
from flipnb.hub.runs import become, bundle_at, parts_of, tell_estate, tell_images, tell_part, tell_progress, tell_round
from flipnb.hub.store.tables import CoordinatorRow, PartRow, RoundRow, RunRow, TaskRow
from flipnb.hub.tasks import Asking, ask, ask_stop
from flipnb.hub.waits import EVENTS, replies_of, ring

log = logging.getLogger("flip.hub.runs")

BEFORE_THE_START: frozenset[RunState] = frozenset({"waiting", "queued"})
UNDECIDED: frozenset[TrustState] = frozenset({"notified", "waiting"})
WILLING: frozenset[TrustState] = frozenset({"approved", "queued"})
"""Before the start: approved, and maybe asked to accept already."""
ACTIVE: frozenset[TrustState] = frozenset({"approved", "queued", "starting", "running"})
EXCHANGES = ("round", "total")
"""Kinds of tasks that the coordinator waits for."""


def report(session: Session, configuration: HubConfiguration, run: RunRow, part: PartRow, said: TrustReport) -> None:
    """What a Trust says of its part. A repeated sequence changes nothing. Raises FlipError ``wrong-state``."""
    if said.sequence <= part.last_report:
        return
    part.last_report = said.sequence
    if said.executions_left is not None:
        keep_executions_left(session, run.bundle, part.trust, said.executions_left)
    if said.progress is not None:
        part.progress = said.progress.model_dump_json(exclude_none=True)
        if said.state is None:
            tell_progress(session, run, part, said.progress)
    if said.estate is not None:
        tell_estate(session, run, part, said.estate)
    if said.images:
        tell_images(session, run, part, said.images)
    if said.state is not None and said.state != part.state:
        if said.state not in FINAL_TRUST_STATES and lateness.is_late(part):
            return  # it is back when it has answered the round that it is late with
        over = part.state in FINAL_TRUST_STATES or part.state == "left-out"
        if over and said.state not in TRUST_TRANSITIONS[part.state]:
            log.info("late report", extra={"run": run.id, "trust": part.name, "is": part.state, "said": said.state})
            return
        become_part(session, run, part, said.state, code=said.code, reason=said.reason, failure=said.failure)
        if said.state == "running" and run.state == "starting":
            become(session, run, "running")
    elif said.state is not None and said.state in UNDECIDED:
        part.code, part.reason = said.code, said.reason  # why it waits is another than before
        tell_part(session, run, part, part.state, None)
    elif said.failure is not None:
        part.failure = said.failure.model_dump_json(exclude_none=True)
        if not lateness.is_late(part):
            part.code, part.reason = said.code, said.reason
        tell_part(session, run, part, part.state, said.failure)
    consider(session, configuration, run)


def answer(session: Session, configuration: HubConfiguration, task: TaskRow, said: TaskAnswer) -> FlipError | None:
    """A Trust's answer to a task of a run. A task that nobody waits for any more is only marked as answered.

    What is returned is to be raised after the transaction: a reply to a round that is over is refused, and kept so.
    """
    if task.state == "answered" or task.run is None:
        return None
    waited_for = task.state == "open"
    task.state = "answered" if waited_for else task.state
    if not waited_for:
        log.info("late answer", extra={"run": task.run, "kind": task.kind, "round": task.round})
        return None
    task.envelope, task.code, task.reason = said.envelope, said.code, said.reason
    run = session.get_one(RunRow, task.run)
    part = session.get_one(PartRow, (task.run, task.trust))
    if task.kind == "round" and lateness.is_late(part):
        return _late(session, run, part, task)
    exchange = task.kind in EXCHANGES
    refused = said.code is not None or (exchange and said.envelope is None)
    if exchange and not refused and part.state in ACTIVE:
        part.code = part.reason = part.failure = None  # whatever it was, the Trust has recovered from it
    if exchange:
        ring(session, replies_of(run.id))
    elif task.kind == "accept":
        ring(session, EVENTS)  # the line of runs moves on
    before = task.kind in ("run", "accept", "start")
    if refused and before and part.state == "waiting" and said.code in MENDED_BY_APPROVAL:
        part.code, part.reason = said.code, said.reason  # its report came first
    elif refused and before and "refused" in TRUST_TRANSITIONS[part.state]:
        mended = said.code in MENDED_BY_APPROVAL and "waiting" in TRUST_TRANSITIONS[part.state]
        become_part(session, run, part, "waiting" if mended else "refused", code=said.code, reason=said.reason)
    elif refused and exchange and "left-out" in TRUST_TRANSITIONS[part.state]:
        leave_out(session, run, part, said.code or "no-reply", said.reason or f"refused {task.kind} {task.round}")
    elif task.kind == "stop" and part.state not in FINAL_TRUST_STATES:
        become_part(session, run, part, "stopped", code=said.code, reason=said.reason)
    consider(session, configuration, run)
    return None


def _late(session: Session, run: RunRow, part: PartRow, task: TaskRow) -> FlipError | None:
    """A late Trust has answered: it is back, without that reply, or it refuses and is out for good."""
    if task.envelope is None:
        part.code, part.reason = task.code or "no-reply", task.reason or f"refused round {task.round}"
        tell_part(session, run, part, part.state, None)
        ask_stop(session, run, part.trust)
        return None
    refusal = lateness.late_reply(title_of(session, run, part), task)
    task.state, task.envelope = "void", None
    become_part(session, run, part, "running", code=refusal.code, reason=refusal.message)
    return refusal


def stop(session: Session, run: RunRow) -> None:
    """A researcher's stop. Raises FlipError ``wrong-state`` where the run has ended otherwise."""
    if run.state in ("stopping", "stopped"):
        return
    become(session, run, "stopping", code="stopped", reason="Stopped by a researcher of the study.")
    _stop_parts(session, run)
    settle_stop(session, run)


def settle_stop(session: Session, run: RunRow, *, at_deadline: bool = False) -> None:
    """``stopping`` ends when the coordinator is gone and every Trust has answered, or at the deadline."""
    if run.state != "stopping" or session.get(CoordinatorRow, run.id) is not None:
        return
    unanswered = open_tasks_of(session, run.id, ("stop",))
    if unanswered and not at_deadline:
        return
    for part in parts_of(session, run.id):
        if part.state not in FINAL_TRUST_STATES:
            become_part(session, run, part, "stopped", code="unconfirmed", reason="has not confirmed the stop yet")
    become(session, run, "stopped", code=run.code, reason=run.reason)


def fail(session: Session, run: RunRow, code: str, reason: str) -> None:
    """End a run as failed; Trusts that are still in it are told to stop. Nothing where it has ended already."""
    if run.state in FINAL_RUN_STATES or run.state == "stopping":
        return
    become(session, run, "failed", code=code, reason=reason)
    _stop_parts(session, run)


def consider(session: Session, configuration: HubConfiguration, run: RunRow) -> None:
    """Take the step that follows from the parts' states and the clock, if any."""
    if run.state in BEFORE_THE_START:
        _gather(session, run, configuration.gather_seconds)
    elif run.state in ("starting", "running"):
        _keep_quorum(session, run)
    elif run.state == "stopping":
        settle_stop(session, run)


def tick(session: Session, configuration: HubConfiguration) -> None:
    """Steps that follow from the clock alone."""
    now = time.time()
    # Not whole rows: of a thousand that wait, each with its request and its point, the clock moves hardly one.
    clocks = select(RunRow.id, RunRow.bundle, RunRow.state, RunRow.quorum, RunRow.starting, RunRow.stopping)
    going = session.execute(clocks.where(RunRow.state.in_(GOING_RUN_STATES))).tuples().all()
    for run, bundle, state, quorum, starting, stopping in going:
        if state == "stopping":
            at_deadline = now - (stopping or now) >= configuration.stop_seconds
            settle_stop(session, session.get_one(RunRow, run), at_deadline=at_deadline)
            continue
        terms = terms_of(session, bundle)
        if state in BEFORE_THE_START and datetime.now(UTC) >= terms.expires:
            _expire(session, session.get_one(RunRow, run))
        elif starting is not None and now - starting > terms.run_seconds:
            late = f"The run took longer than its plan's {terms.run_seconds} s."
            fail(session, session.get_one(RunRow, run), "time-limit", late)
        elif state == "waiting" and quorum is not None and now - quorum >= configuration.gather_seconds:
            _gather(session, session.get_one(RunRow, run), configuration.gather_seconds)


def _expire(session: Session, run: RunRow) -> None:
    lacked = "enough Trusts had approved" if run.state == "waiting" else "every Trust had a slot"
    undecided = [part for part in parts_of(session, run.id) if part.state in UNDECIDED | {"queued"}]
    names = named(session, run, undecided)
    fail(session, run, "expired", f"The bundle expired before {lacked}. {names}".strip())


def post_round(session: Session, run: RunRow, context: RoundContext) -> None:
    """Ask a round's members. The same context again asks nobody twice.

    Raises FlipError ``wrong-context`` (422), ``other-context`` (409: the round was posted with another one),
    ``wrong-state`` (409), ``missing-blob`` (409).
    """
    bundle = bundle_at(session, run)
    if context.run != run.id or context.bundle != run.bundle or context.of != bundle.plan.rounds:
        raise FlipError("wrong-context", "The context is of another run.", status=422)
    if context.round > context.of + 1 or context.tensors != bundle.tensors.digest():
        raise FlipError("wrong-context", f"Round {context.round} is not in the bundle's plan.", status=422)
    text = context.to_bytes().decode()
    posted = session.get(RoundRow, (run.id, context.round))
    if posted is not None:
        if posted.context != text:
            raise FlipError(
                "other-context", f"Round {context.round} was posted with another context before.", status=409
            )
        return
    if run.state not in ("starting", "running"):
        raise FlipError("wrong-state", f"A run that is {run.state} has no rounds.", status=409)
    if not is_there(session, context.weights, study=run.study, run=run.id) and not is_there(
        session, context.weights, study=run.study
    ):
        raise FlipError("missing-blob", f"The weights {context.weights[:16]}… are not here.", status=409)
    ask_members(session, run, context.members, partial(RoundTask, study=run.study, run=run.id, context=context))
    session.add(RoundRow(run=run.id, round=context.round, context=text, posted=time.time()))


def ask_members(session: Session, run: RunRow, members: Sequence[str], asking: Asking) -> None:
    """Give each member a task, which is void for who takes no part any more; tell the run's coordinator.

    Raises FlipError ``wrong-context`` (422) that names who is no member of the run.
    """
    parts = {part.trust: part for part in parts_of(session, run.id)}
    strangers = [member for member in members if member not in parts or not parts[member].member]
    if strangers:
        raise FlipError("wrong-context", f"{strangers[0][:16]}… is no member of this run.", status=422)
    for member in members:
        task = ask(session, member, asking)
        if parts[member].state not in ACTIVE:
            task.state, task.reason = "void", why_of(parts[member])
    ring(session, replies_of(run.id))


def present(session: Session, run: str) -> tuple[str, ...]:
    """The members that can be asked in a round, sorted."""
    parts = select(PartRow.trust).where(PartRow.run == run, PartRow.member, PartRow.state.in_(ACTIVE))
    return tuple(session.scalars(parts.order_by(PartRow.trust)))


def settled(session: Session, run: str, number: int, kind: Literal["round", "total"]) -> int:
    """How many members of a round (or total) have answered or will not."""
    closed = select(func.count()).where(TaskRow.run == run, TaskRow.kind == kind, TaskRow.round == number)
    return session.scalar(closed.where(TaskRow.state != "open")) or 0


def replies(
    session: Session, run: str, number: int, kind: Literal["round", "total"] = "round"
) -> tuple[dict[str, str], dict[str, str]]:
    """The sealed replies of a round (or total) by Trust, and who will not answer, with the reason."""
    tasks = session.scalars(
        select(TaskRow).where(TaskRow.run == run, TaskRow.kind == kind, TaskRow.round == number)
    ).all()
    answered = {task.trust: task.envelope for task in tasks if task.state == "answered" and task.envelope is not None}
    gone = {
        task.trust: task.reason or task.code or "gave no reply"
        for task in tasks
        if task.state != "open" and task.trust not in answered
    }
    return answered, gone


def coordinator_says(session: Session, configuration: HubConfiguration, run: RunRow, event: CoordinatorEvent) -> None:
    """A finished round or an end. What comes after the end is ignored. Raises FlipError ``missing-blob`` (409)."""
    if run.state in FINAL_RUN_STATES or run.state == "stopping":
        return
    if event.round is not None:
        _round_done(session, configuration, run, event.round)
        return
    if event.state == "failed":
        fail(session, run, event.code or "failed", event.reason or "The coordinator gave no reason.")
        return
    if event.state not in ("running", "succeeded"):
        raise FlipError("wrong-state", f"A coordinator does not decide that a run is {event.state}.", status=409)
    if run.state == "starting":
        become(session, run, "running")
    if event.state == "succeeded":
        weights = event.final_weights
        if weights is None or not (
            is_there(session, weights, study=run.study, run=run.id) or is_there(session, weights, study=run.study)
        ):
            raise FlipError("missing-blob", "The final weights are not here.", status=409)
        run.final_weights = weights
        become(session, run, "succeeded", code=event.code, reason=event.reason)
        _dismiss(session, run)


def _round_done(session: Session, configuration: HubConfiguration, run: RunRow, summary: RoundSummary) -> None:
    posted = session.get(RoundRow, (run.id, summary.round))
    if posted is None:
        raise FlipError("unknown-round", f"Round {summary.round} was never posted.", status=409)
    if posted.summary is not None:
        return
    posted.summary = summary.model_dump_json()
    if run.state == "starting":
        become(session, run, "running")
    if summary.training:
        run.rounds_done = max(run.rounds_done, summary.round)
    tell_round(session, run, summary)
    for trust, reason in summary.left_out.items():
        part = session.get(PartRow, (run.id, trust))
        if part is None or part.state not in ACTIVE:
            continue
        if trust not in summary.late:
            leave_out(session, run, part, "left-out", reason)
        elif open_tasks_of(session, run.id, ("round",), trust):
            become_part(session, run, part, "left-out", code=lateness.LATE, reason=f"round {summary.round}: {reason}")
        # Else its reply came between the deadline and this word of it: it is back already.
    consider(session, configuration, run)


def _gather(session: Session, run: RunRow, gather_seconds: float) -> None:
    """Line a run up for slots once enough Trusts have approved, and take it out of the line where they have not."""
    minimum = terms_of(session, run.bundle).minimum_trusts
    parts = parts_of(session, run.id)
    willing = [part for part in parts if part.state in WILLING]
    undecided = [part for part in parts if part.state in UNDECIDED]
    if len(willing) + len(undecided) < minimum:
        lost = named(session, run, [part for part in parts if part.state not in UNDECIDED | WILLING])
        fail(session, run, "quorum-unreachable", f"{minimum} Trusts must take part. {lost}")
        return
    if len(willing) < minimum:
        run.quorum = None
        if run.state == "queued":
            become(session, run, "waiting")
            asked = select(TaskRow).where(TaskRow.run == run.id, TaskRow.kind == "accept", TaskRow.state != "void")
            for task in session.scalars(asked).all():
                task.state = "void"  # who has accepted is asked anew: its slots are set aside no longer
        return
    now = time.time()
    run.quorum = run.quorum or now
    if run.state == "waiting" and not (undecided and now - run.quorum < gather_seconds):
        become(session, run, "queued")


def _keep_quorum(session: Session, run: RunRow) -> None:
    """One who finished is not lost: whether the next round can do without them is for the coordinator to see."""
    minimum = terms_of(session, run.bundle).minimum_trusts
    members = [part for part in parts_of(session, run.id) if part.member]
    there = [part for part in members if part.state in ACTIVE or part.state == "finished"]
    if len(there) < minimum:
        lost = named(session, run, [part for part in members if part not in there])
        fail(session, run, "quorum-lost", f"{len(there)} of at least {minimum} Trusts are left. {lost}")


def become_part(
    session: Session,
    run: RunRow,
    part: PartRow,
    state: TrustState,
    *,
    code: str | None = None,
    reason: str | None = None,
    failure: Failure | None = None,
) -> None:
    """Take a step of a part's state machine, with its event. Raises FlipError ``wrong-state``."""
    part.state = advance_trust(part.state, state)
    if part.code == lateness.BACK:
        part.code = part.reason = None  # it was late once, which says nothing of how it went on
    part.code, part.reason = (None, None) if state == "approved" else (code or part.code, reason or part.reason)
    if failure is not None:
        part.failure = failure.model_dump_json(exclude_none=True)
    tell_part(session, run, part, state, failure)
    if not _may_still_answer(part):
        for task in open_tasks_of(session, run.id, EXCHANGES, part.trust):
            task.state, task.reason = "void", why_of(part)
            ring(session, replies_of(run.id))


def _may_still_answer(part: PartRow) -> bool:
    """Word that a Trust has finished, or has left after its answer, can overtake that answer."""
    if part.state in ACTIVE or part.state in UNDECIDED or part.state == "finished":
        return True
    return lateness.is_late(part) or (part.state == "left-out" and part.code == "left")


def _dismiss(session: Session, run: RunRow) -> None:
    """After the last round: who was not in it waits for a round that never comes."""
    contexts = select(RoundRow.context).where(RoundRow.run == run.id).order_by(RoundRow.round.desc())
    last = session.scalars(contexts).first()
    members = RoundContext.model_validate_json(last).members if last is not None else ()
    for part in parts_of(session, run.id):
        if part.member and part.state not in FINAL_TRUST_STATES and part.trust not in members:
            for task in open_tasks_of(session, run.id, ("round",), part.trust):
                task.state, task.reason = "void", "the run is over"
            ask_stop(session, run, part.trust)


def leave_out(session: Session, run: RunRow, part: PartRow, code: str, reason: str) -> None:
    """Go on without a Trust, by name and reason, and tell its agent to stop."""
    become_part(session, run, part, "left-out", code=code, reason=reason)
    ask_stop(session, run, part.trust)


def _stop_parts(session: Session, run: RunRow) -> None:
    """Whatever was asked and is unanswered is void; those still in the run are asked to stop, once."""
    for task in open_tasks_of(session, run.id, ("run", "accept", "start", *EXCHANGES)):
        if task.kind != "run":
            task.state, task.reason = "void", f"the run is {run.state}"
    ring(session, replies_of(run.id))
    asked = {task.trust for task in open_tasks_of(session, run.id, ("stop",))}
    for part in parts_of(session, run.id):
        if part.state not in FINAL_TRUST_STATES and part.trust not in asked:
            ask_stop(session, run, part.trust)


def open_tasks_of(session: Session, run: str, kinds: Sequence[str], trust: str | None = None) -> Sequence[TaskRow]:
    """A run's tasks of these kinds that are neither answered nor void; one Trust's where ``trust`` is given."""
    found = select(TaskRow).where(TaskRow.run == run, TaskRow.kind.in_(kinds), TaskRow.state == "open")
    return session.scalars(found if trust is None else found.where(TaskRow.trust == trust)).all()
