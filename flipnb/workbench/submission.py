"""From a rehearsed notebook to a sealed bundle at the hub, and runs of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.bundle import AttachedFile, Bundle
from flipnb.contracts.document import invalid, parse
from flipnb.contracts.parameters import Scalar, check_point
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest, RunView
from flipnb.contracts.study import Roster
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.plan_file import PlanFile, plan_path, read_cohort, read_plan
from flipnb.workbench.point import fix_point
from flipnb.workbench.rehearsal import last_rehearsal, rehearsal_directory
from flipnb.workbench.sent_bundles import keep_sent
from flipnb.workbench.starting_weights import fetch_start
from flipnb.workbench.studies import read_roster


@dataclass(frozen=True)
class Submitted:
    """A bundle at the hub and the runs that were asked for."""

    bundle: str
    runs: tuple[RunView, ...]


@dataclass(frozen=True)
class Signed:
    """What goes to the hub: the sealed bundle, and the sealed request for each run."""

    prepared: Prepared
    bundle: bytes
    requests: tuple[bytes, ...]


@dataclass(frozen=True)
class Prepared:
    """A bundle before it is signed, and what goes with it."""

    notebook: Path
    bundle: Bundle
    points: tuple[dict[str, Scalar], ...]
    initial_weights: Path
    files: dict[str, Path]


def prepare(
    home: Home,
    notebook: Path,
    study: str,
    points: Sequence[Mapping[str, Scalar]],
    changes: Mapping[str, Any] | None = None,
) -> Prepared:
    """Everything of a bundle, checked; nothing is sent.

    ``changes`` override fields of the plan file: ``title``, ``seed``, ``trusts``, ``minimum_trusts``, ``start_from``,
    ``plan`` (all of it) and its ``rounds``. Raises FlipError for what is wrong with notebook, plan, cohort, rehearsal
    or parameters.
    """
    changes = dict(changes or {})
    roster = read_roster(home, study)
    frozen = freeze_notebook(notebook)
    plan_file = read_plan(plan_path(notebook))
    rehearsal = last_rehearsal(notebook)
    wanted = points or [{}]
    space, first = fix_point(notebook_parameters(frozen), wanted[0])
    full = (first, *(check_point(space, point) for point in wanted[1:]))
    files = {name: plan_path(notebook).parent / name for name in plan_file.files}
    weights, start_from = rehearsal.initial_weights, changes.get("start_from") or plan_file.start_from
    if start_from is not None:
        weights = fetch_start(home, start_from, rehearsal.tensors, rehearsal_directory(notebook))
    now = datetime.now(UTC).replace(microsecond=0)
    trusts = _trusts(roster, changes.get("trusts") or plan_file.trusts)
    try:
        bundle = Bundle(
            study=study,
            title=changes.get("title") or plan_file.title,
            membership=roster.digest(),
            trusts=trusts,
            minimum_trusts=changes.get("minimum_trusts") or plan_file.minimum_trusts or len(trusts),
            notebook=frozen,
            notebook_name=notebook.name,
            files=tuple(_attached(name, path) for name, path in files.items()),
            parameters=space,
            cohort=read_cohort(plan_file, plan_path(notebook).parent),
            dataset=plan_file.dataset,
            split=_split(plan_file, changes),
            plan=_plan(plan_file, changes),
            tensors=rehearsal.tensors,
            initial_weights=_digest(weights),
            outputs=plan_file.outputs,
            totals=plan_file.totals,
            environment=home.configuration.environment,
            not_before=now - timedelta(minutes=5),
            expires=now + timedelta(days=plan_file.valid_days),
        )
    except ValidationError as error:
        raise invalid(error, "The bundle") from None
    parse(Bundle, bundle.to_bytes(), "The bundle")  # what a Trust will read must be readable
    return Prepared(notebook, bundle, full, weights, files)


def submit(home: Home, prepared: Prepared) -> Submitted:
    """Sign and send. Blobs first, the bundle next, runs last, so that nothing at the hub lacks what it names.

    A hub that goes away in between has no run: what it kept is found again at the next submission. Raises FlipError
    ``hub-unreachable``, and what the hub says.
    """
    return send(home, sign(home, prepared))


def sign(home: Home, prepared: Prepared) -> Signed:
    """Sign the bundle and a request for each of its runs; nothing is sent."""
    bundle = prepared.bundle
    digest = bundle.digest()
    requests = tuple(_sealed_request(home, bundle.study, digest, point) for point in prepared.points)
    return Signed(prepared, envelope.seal(bundle, envelope.BUNDLE, home.key), requests)


def send(home: Home, signed: Signed) -> Submitted:
    """Send what was signed. The same again is the same bundle and the same runs, so that it may be repeated."""
    bundle = signed.prepared.bundle
    keep_sent(signed.prepared.notebook, bundle.digest())
    with HubClient.of(home) as hub:
        hub.put_blob(bundle.study, signed.prepared.initial_weights)
        for path in signed.prepared.files.values():
            hub.put_blob(bundle.study, path)
        hub.post(f"/v1/studies/{bundle.study}/bundles", signed.bundle)
        runs = tuple(_post_run(hub, bundle.study, request) for request in signed.requests)
    return Submitted(bundle.digest(), runs)


def run_again(home: Home, bundle: str, point: Mapping[str, Scalar]) -> RunView:
    """Ask for another run of a bundle that is at the hub, at a point of its space; Trusts decide by their approvals."""
    known = fetch_bundle(home, bundle)
    full = check_point(known.parameters, point)
    with HubClient.of(home) as hub:
        return _post_run(hub, known.study, _sealed_request(home, known.study, bundle, full))


def fetch_bundle(home: Home, digest: str) -> Bundle:
    """A bundle that is at the hub, by its digest. FlipError ``wrong-blob`` where the hub gives other bytes."""
    with HubClient.of(home) as hub:
        payload = envelope.peek(hub.get(f"/v1/bundles/{digest}"), "The bundle")
    if hashlib.sha256(payload).hexdigest() != digest:
        raise FlipError("wrong-blob", "The hub gave another bundle.")
    return parse(Bundle, payload, "The bundle")


def _sealed_request(home: Home, study: str, bundle: str, point: dict[str, Scalar]) -> bytes:
    request = RunRequest(
        study=study, bundle=bundle, point=point, requested=datetime.now(UTC), nonce=secrets.token_hex(16)
    )
    return envelope.seal(request, envelope.RUN_REQUEST, home.key)


def _post_run(hub: HubClient, study: str, sealed: bytes) -> RunView:
    return RunView.model_validate_json(hub.post(f"/v1/studies/{study}/runs", sealed))


def _trusts(roster: Roster, names: Sequence[str]) -> tuple[str, ...]:
    known = {trust.name: trust.key_id for trust in roster.trusts}
    for name in names:
        if name not in known:
            raise FlipError("unknown-trust", f"The study has no Trust {name!r}; it has {', '.join(sorted(known))}.")
    return tuple(sorted(known[name] for name in names or known))


def _split(plan_file: PlanFile, changes: Mapping[str, Any]) -> Any:
    seed = changes.get("seed")
    return plan_file.split if seed is None else plan_file.split.model_copy(update={"seed": seed})


def _plan(plan_file: PlanFile, changes: Mapping[str, Any]) -> Any:
    rounds, plan = changes.get("rounds"), changes.get("plan") or plan_file.plan
    return plan if rounds is None else plan.model_copy(update={"rounds": rounds})


def _attached(name: str, path: Path) -> AttachedFile:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise FlipError("no-file", f"The plan file names {name}, which is not beside it.") from None
    return AttachedFile(name=name, sha256=digest, size=path.stat().st_size)


def _digest(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
