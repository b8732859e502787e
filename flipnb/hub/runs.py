"""Runs as the hub keeps them: submission, view, numbered events, and the record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from sqlalchemy import select
from sqlalchemy.orm import Session

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.images import FrozenShare
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import check_point, telling
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import (
    FINAL_RUN_STATES,
    Failure,
    Progress,
    RoundSummary,
    RunEvent,
    RunRequest,
    RunState,
    RunView,
    TrustPart,
    TrustState,
    advance_run,
    run_id,
)
from flipnb.contracts.study import Roster, Trust
from flipnb.contracts.task import RunTask
from flipnb.contracts.text import Identifier
from flipnb.hub.authentication import KeyRing
from flipnb.hub.blob_grants import is_there
from flipnb.hub.bundles import all_executions_left, bundle_of
from flipnb.hub.store.tables import BundleRow, EventRow, PartRow, RoundRow, RunRow
from flipnb.hub.tasks import ask
from flipnb.hub.waits import EVENTS, RUNS, events_of, ring


def moment(seconds: float) -> datetime:
    """Unix seconds as a point in time, in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


@dataclass(frozen=True)
class Submitted:
    """A run request that a researcher of its study signed; ``sealed`` is its envelope, ``run`` the run's id."""

    run: str
    request: RunRequest
    signer: str
    sealed: bytes


def read_request(study: str, roster: Roster, sealed: bytes) -> Submitted:
    """Raises FlipError ``unknown-key``, ``bad-signature`` (403), ``wrong-study`` (422)."""
    opened = envelope.unseal(sealed, envelope.RUN_REQUEST, roster.researcher_keys(), "The run request")
    request = opened.parse(RunRequest, "The run request")
    if request.study != study:
        raise FlipError("wrong-study", f"The request is for the study {request.study}, not {study}.", status=422)
    return Submitted(run_id(opened.payload), request, opened.signer, sealed)


def submit(session: Session, ring_of_keys: KeyRing, roster: Roster, submitted: Submitted) -> tuple[str, bool]:
    """Take on a run request; returns the run's id and whether it is new. The same request again is the same run.

    Raises FlipError with status 409 ``unknown-bundle``, ``expired``, ``not-yet-valid``, ``missing-blob``,
    ``unknown-trust``; ``unknown-parameter``, ``wrong-type``, ``out-of-bounds``, ``not-choosable`` for the point.
    """
    request, identity, study = submitted.request, submitted.run, submitted.request.study
    if session.get(RunRow, identity) is not None:
        return identity, False
    row = session.get(BundleRow, request.bundle)
    if row is None or row.study != study:
        raise FlipError(
            "unknown-bundle",
            f"The hub has no bundle {request.bundle[:16]}… of the study {study}.",
            remedy="Post the bundle before the run.",
            status=409,
        )
    bundle = bundle_of(session, request.bundle).at(request.choices)
    point = check_point(bundle.parameters, request.point)
    now = datetime.now(UTC)
    trusts = {trust.key_id: trust for trust in roster.trusts}
    _require_valid(bundle, now)
    _require_blobs(session, study, bundle)
    _require_access(ring_of_keys, bundle, trusts)
    run = RunRow(
        id=identity,
        study=study,
        bundle=request.bundle,
        request=submitted.sealed,
        researcher=submitted.signer,
        title=bundle.title,
        notebook=bundle.notebook_name,
        point=canonical_bytes(point).decode(),
        telling=json.dumps(telling(bundle.parameters, point)),
        choices=request.choices.model_dump_json(exclude_none=True),
        rounds=bundle.plan.rounds,
        state="waiting",
        submitted=time.time(),
        rounds_done=0,
        last_event=0,
    )
    session.add(run)
    for trust in bundle.trusts:
        session.add(
            PartRow(run=identity, trust=trust, name=trusts[trust].name, state="notified", member=False, last_report=0)
        )
        ask(session, trust, partial(RunTask, study=study, run=identity, run_request=submitted.sealed.decode()))
    session.flush()
    tell(session, run, RunEvent(run=identity, number=1, at=now, kind="state", state="waiting"))
    return identity, True


def bundle_at(session: Session, run: RunRow) -> Bundle:
    """The bundle of a run with what the run chose of it."""
    return bundle_of(session, run.bundle).at(Choices.model_validate_json(run.choices))


def _require_valid(bundle: Bundle, now: datetime) -> None:
    if now >= bundle.expires:
        raise FlipError("expired", f"The bundle was valid until {bundle.expires.isoformat()}.", status=409)
    if now < bundle.not_before:
        raise FlipError("not-yet-valid", f"The bundle is valid from {bundle.not_before.isoformat()} on.", status=409)


def _require_blobs(session: Session, study: str, bundle: Bundle) -> None:
    for what, digest in [("initial weights", bundle.initial_weights), *((f.name, f.sha256) for f in bundle.files)]:
        if not is_there(session, digest, study=study):
            raise FlipError(
                "missing-blob",
                f"The hub has no blob {digest[:16]}… ({what}) for {study}.",
                remedy=f"Put it to /v1/blobs/{digest}?study={study} before the run.",
                status=409,
            )


def _require_access(ring_of_keys: KeyRing, bundle: Bundle, trusts: Mapping[KeyId, Trust]) -> None:
    for trust in bundle.trusts:
        if not ring_of_keys.knows_trust(trust):
            raise FlipError(
                "unknown-trust",
                f"The Trust {trusts[trust].title} has no access to this hub.",
                remedy="The operator enters its key among the hub's principals.",
                status=409,
            )


def parts_of(session: Session, run: str) -> Sequence[PartRow]:
    """A run's parts, by the Trusts' names."""
    return session.scalars(select(PartRow).where(PartRow.run == run).order_by(PartRow.name)).all()


def parts_of_all(session: Session, runs: Sequence[str]) -> Mapping[str, Sequence[PartRow]]:
    """As ``parts_of``, by run."""
    found: dict[str, list[PartRow]] = {run: [] for run in runs}
    for part in session.scalars(select(PartRow).where(PartRow.run.in_(runs)).order_by(PartRow.name)):
        found[part.run].append(part)
    return found


Heard = Callable[[str], float | None]
"""As in ``Presence``."""


def view(session: Session, run: RunRow, heard: Heard = lambda trust: None) -> RunView:
    """The run as the hub shows it to the study's members."""
    return views(session, [run], heard)[0]


def views(session: Session, runs: Sequence[RunRow], heard: Heard) -> tuple[RunView, ...]:
    """Each run as ``view`` shows it, in their order."""
    parts = parts_of_all(session, [run.id for run in runs])
    left = all_executions_left(session, {run.bundle for run in runs})
    return tuple(_view(run, parts[run.id], left[run.bundle], heard) for run in runs)


def _view(run: RunRow, parts: Sequence[PartRow], left: Mapping[str, int], heard: Heard) -> RunView:
    return RunView(
        run=run.id,
        study=run.study,
        title=run.title,
        notebook=run.notebook,
        bundle=run.bundle,
        researcher=run.researcher,
        point=json.loads(run.point),
        telling=json.loads(run.telling),
        choices=Choices.model_validate_json(run.choices),
        state=run.state,
        code=run.code,
        reason=run.reason,
        submitted=moment(run.submitted),
        started=moment(run.starting) if run.starting else None,
        finished=moment(run.finished) if run.finished else None,
        rounds_done=run.rounds_done,
        rounds=run.rounds,
        trusts=tuple(
            TrustPart(
                trust=part.trust,
                name=part.name,
                state=part.state,
                code=part.code,
                reason=part.reason,
                failure=Failure.model_validate_json(part.failure) if part.failure else None,
                progress=Progress.model_validate_json(part.progress) if part.progress else None,
                executions_left=left.get(part.trust),
                heard=moment(at) if (at := heard(part.trust)) is not None else None,
            )
            for part in parts
        ),
        final_weights=run.final_weights,
        last_event=run.last_event,
    )


def tell(session: Session, run: RunRow, event: RunEvent) -> None:
    """Append an event under the run's next number and wake its listeners once that is on disk."""
    run.last_event += 1
    body = event.model_copy(update={"number": run.last_event}).model_dump_json(exclude_none=True)
    session.add(EventRow(run=run.id, number=run.last_event, body=body))
    ring(session, events_of(run.id))
    ring(session, EVENTS)


def events(session: Session, run: str, after: int, limit: int = 500) -> list[str]:
    """The bodies (JSON) of a run's events with a number above ``after``."""
    found = select(EventRow.body).where(EventRow.run == run, EventRow.number > after)
    return list(session.scalars(found.order_by(EventRow.number).limit(limit)))


def become(
    session: Session, run: RunRow, state: RunState, *, code: str | None = None, reason: str | None = None
) -> None:
    """Take a step of the run's state machine, with its event. Raises FlipError ``wrong-state``."""
    run.state = advance_run(run.state, state)
    run.code, run.reason = code, reason[:400] if reason else None
    now = time.time()
    if state in FINAL_RUN_STATES:
        run.finished = now
    elif state == "starting":
        run.starting = now
    elif state == "running":
        run.running = now
    elif state == "stopping":
        run.stopping = now
    tell(session, run, _event(run, kind="state", state=state, code=run.code, reason=run.reason))
    ring(session, RUNS)


def tell_estate(session: Session, run: RunRow, part: PartRow, estate: str) -> None:
    """Tell the run's listeners on which version of its estate a Trust runs."""
    event = _event(run, kind="trust", trust=part.trust, trust_state=part.state)
    tell(session, run, event.model_copy(update={"estate": estate}))


def tell_images(session: Session, run: RunRow, part: PartRow, images: dict[Identifier, FrozenShare]) -> None:
    """Tell the run's listeners how much of its images a Trust could use."""
    event = _event(run, kind="trust", trust=part.trust, trust_state=part.state)
    tell(session, run, event.model_copy(update={"images": images}))


def _images(session: Session, run: str) -> dict[KeyId, dict[Identifier, FrozenShare]]:
    """What each Trust said last of its images."""
    found = select(EventRow.body).where(EventRow.run == run, EventRow.body.contains('"images":{'))
    told = (RunEvent.model_validate_json(body) for body in session.scalars(found.order_by(EventRow.number)))
    return {event.trust: event.images for event in told if event.trust and event.images}


def _estates(session: Session, run: str) -> dict[KeyId, str]:
    """The version of its estate that each Trust said last."""
    found = select(EventRow.body).where(EventRow.run == run, EventRow.body.contains('"estate":"'))
    told = (RunEvent.model_validate_json(body) for body in session.scalars(found.order_by(EventRow.number)))
    return {event.trust: event.estate for event in told if event.trust and event.estate}


def tell_part(session: Session, run: RunRow, part: PartRow, state: TrustState, failure: Failure | None) -> None:
    """Tell the run's listeners that a Trust's part is in another state."""
    event = _event(run, kind="trust", trust=part.trust, trust_state=state, code=part.code, reason=part.reason)
    tell(session, run, event.model_copy(update={"failure": failure}))


def tell_progress(session: Session, run: RunRow, part: PartRow, progress: Progress) -> None:
    """Tell the run's listeners how far a Trust is."""
    tell(session, run, _event(run, kind="progress", trust=part.trust).model_copy(update={"progress": progress}))


def tell_round(session: Session, run: RunRow, summary: RoundSummary) -> None:
    """Tell the run's listeners of a finished round."""
    tell(session, run, _event(run, kind="round").model_copy(update={"round": summary}))


def _event(run: RunRow, **fields: str | None) -> RunEvent:
    return RunEvent.model_validate({"run": run.id, "number": 1, "at": datetime.now(UTC), **fields})


def summaries(session: Session, run: str) -> tuple[RoundSummary, ...]:
    """The finished rounds of a run, in their order."""
    found = select(RoundRow.summary).where(RoundRow.run == run, RoundRow.summary.is_not(None)).order_by(RoundRow.round)
    return tuple(RoundSummary.model_validate_json(text) for text in session.scalars(found) if text)


def record(session: Session, run: RunRow) -> RunRecord:
    """What a reader needs to believe or repeat the run, as far as the hub knows it."""
    bundle = bundle_at(session, run)
    ended = run.finished or time.time()
    stages = {"waiting": (run.submitted, run.starting), "starting": (run.starting, run.running)}
    stages |= {"running": (run.running, ended), "total": (run.submitted, ended)}
    return RunRecord(
        run=run.id,
        study=run.study,
        title=run.title,
        notebook=bundle.notebook_name,
        bundle=run.bundle,
        membership=bundle.membership,
        researcher=run.researcher,
        cohort=sha256(canonical_bytes(bundle.cohort)),
        environment=bundle.environment,
        strategy=bundle.plan.strategy,
        point=json.loads(run.point),
        telling=json.loads(run.telling),
        choices=Choices.model_validate_json(run.choices),
        consensus=bundle.plan.consensus,
        state=run.state,
        reason=run.reason,
        submitted=moment(run.submitted),
        started=moment(run.starting) if run.starting else None,
        finished=moment(run.finished) if run.finished else None,
        seconds={
            stage: round((until or ended) - since, 3) for stage, (since, until) in stages.items() if since is not None
        },
        versions=_versions(),
        members={part.trust: part.name for part in parts_of(session, run.id) if part.member},
        estates=_estates(session, run.id),
        images=_images(session, run.id),
        rounds=summaries(session, run.id),
        initial_weights=bundle.initial_weights,
        final_weights=run.final_weights,
    )


@cache
def _versions() -> dict[str, str]:
    versions = {"python": python_version()}
    for package in ("flipnb", "flwr"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
