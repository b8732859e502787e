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
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices
from flipnb.contracts.document import invalid, parse
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar, check_point
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest, RunView
from flipnb.contracts.study import Roster
from flipnb.workbench import shapes
from flipnb.workbench.attached import laid_out
from flipnb.workbench.choosing import choose
from flipnb.workbench.earlier_bundle import find_earlier
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.plan_file import PlanFile, plan_path, read_cohort, read_plan
from flipnb.workbench.point import fix_point
from flipnb.workbench.rehearsal import Rehearsal, last_rehearsal, rehearsal_directory
from flipnb.workbench.sent_bundles import keep_sent
from flipnb.workbench.starting_weights import fetch_start
from flipnb.workbench.studies import read_roster

BUNDLES_OWN = Choices()
_KEPT = "shapes.json"
"""In the researcher's home, so that it serves runs of a bundle that was sent, too."""


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
    """A bundle before it is signed, and what goes with it: a run for each of ``points``, with ``choices`` in their
    order.

    ``other_weights`` are those that runs may choose to begin with, ``files`` those beside the notebook as they were
    rehearsed, by name. ``executions_left``: where the bundle was sent
    before, how many runs each Trust (by key) has approved and not used; empty where nothing is known of it.
    """

    notebook: Path
    bundle: Bundle
    points: tuple[dict[str, Scalar], ...]
    choices: tuple[Choices, ...]
    initial_weights: Path
    other_weights: tuple[Path, ...]
    files: dict[str, Path]
    subject: shapes.Subject
    executions_left: Mapping[KeyId, int]


def prepare(
    home: Home,
    notebook: Path,
    study: str,
    points: Sequence[Mapping[str, Scalar]],
    changes: Mapping[str, Any] | None = None,
) -> Prepared:
    """Everything of a bundle, checked; nothing is sent.

    ``changes`` override fields of the plan file: ``title``, ``seed`` and ``fold`` (several make a sweep), ``trusts``,
    ``minimum_trusts``, ``start_from``, ``plan`` (all of it) and its ``rounds``. Where the same content was sent before
    and still holds for a while, it is that bundle: what was approved of it counts. Raises FlipError for what is wrong
    with notebook, plan, cohort, rehearsal or parameters.
    """
    changes = dict(changes or {})
    roster = read_roster(home, study)
    frozen = freeze_notebook(notebook)
    plan_file = read_plan(plan_path(notebook))
    rehearsal = last_rehearsal(notebook)
    wanted = points or [{}]
    space, first = fix_point(notebook_parameters(frozen), wanted[0])
    full = (first, *(check_point(space, point) for point in wanted[1:]))
    files = laid_out(rehearsal.files, rehearsal.attached)
    weights = _weights(home, plan_file, rehearsal, rehearsal_directory(notebook), changes.get("start_from"))
    chosen = choose(plan_file, changes, weights.chosen)
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
            files=rehearsal.files,
            parameters=space,
            cohort=read_cohort(plan_file, plan_path(notebook).parent),
            dataset=plan_file.dataset,
            split=chosen.split,
            plan=chosen.plan,
            tensors=rehearsal.tensors,
            initial_weights=_digest(weights.first),
            outputs=plan_file.outputs,
            totals=plan_file.totals,
            environment=home.configuration.environment,
            choosable=chosen.choosable.contract(tuple(map(_digest, weights.others))),
            not_before=now - timedelta(minutes=5),
            expires=now + timedelta(days=plan_file.valid_days),
        )
    except ValidationError as error:
        raise invalid(error, "The bundle") from None
    for choices in chosen.choices:
        bundle.at(choices)
    parse(Bundle, bundle.to_bytes(), "The bundle")  # what a Trust will read must be readable
    earlier = find_earlier(home, bundle)
    runs = [(point, choices) for choices in chosen.choices for point in full]
    return Prepared(
        notebook,
        earlier.bundle if earlier is not None else bundle,
        tuple(point for point, _ in runs),
        tuple(choices for _, choices in runs),
        weights.first,
        weights.others,
        files,
        shapes.Subject(
            frozen,
            plan_path(notebook),
            rehearsal.attached,
            rehearsal.files,
            rehearsal.tensors,
            rehearsal.point,
            home.directory / _KEPT,
        ),
        earlier.executions_left if earlier is not None else {},
    )


def check_shapes(
    prepared: Prepared, heard: shapes.Heard = lambda done, of: None, *, most: int | None = None
) -> tuple[int, int]:
    """Whether the points have the model that was rehearsed: those not known yet, ``most`` of them, are run on the twin
    until their model is. How many are known then, and of how many.

    Raises FlipError ``other-shape``, ``point-fails``, which name the point.
    """
    subject, points = prepared.subject, prepared.points
    shapes.require_same(subject, points)
    shapes.check(subject, points, heard, most=most)
    shapes.require_same(subject, points)
    of = len({subject.key(point) for point in points})
    return of - len(shapes.unchecked(subject, points)), of


def submit(home: Home, prepared: Prepared, heard: shapes.Heard = lambda done, of: None) -> Submitted:
    """Check each point's model, sign and send. Blobs first, the bundle next, runs last, so that nothing at the hub
    lacks what it names.

    A hub that goes away in between has no run: what it kept is found again at the next submission. Raises FlipError as
    ``check_shapes``, ``hub-unreachable``, and what the hub says.
    """
    check_shapes(prepared, heard)
    return send(home, sign(home, prepared))


def sign(home: Home, prepared: Prepared) -> Signed:
    """Sign the bundle and a request for each of its runs; nothing is sent."""
    bundle = prepared.bundle
    digest = bundle.digest()
    requests = tuple(
        _sealed_request(home, bundle.study, digest, point, choices)
        for point, choices in zip(prepared.points, prepared.choices, strict=True)
    )
    return Signed(prepared, envelope.seal(bundle, envelope.BUNDLE, home.key), requests)


def send(home: Home, signed: Signed) -> Submitted:
    """Send what was signed. The same again is the same bundle and the same runs, so that it may be repeated."""
    bundle = signed.prepared.bundle
    keep_sent(signed.prepared.notebook, bundle.digest())
    with HubClient.of(home) as hub:
        prepared = signed.prepared
        for path in (prepared.initial_weights, *prepared.other_weights, *prepared.files.values()):
            hub.put_blob(bundle.study, path)
        hub.post(f"/v1/studies/{bundle.study}/bundles", signed.bundle)
        runs = tuple(_post_run(hub, bundle.study, request) for request in signed.requests)
    return Submitted(bundle.digest(), runs)


def run_again(home: Home, bundle: str, point: Mapping[str, Scalar], choices: Choices = BUNDLES_OWN) -> RunView:
    """Ask for another run of a bundle that is at the hub, at a point of its space; Trusts decide by their approvals.

    Raises FlipError as ``run_all_again``.
    """
    (view,) = run_all_again(home, bundle, [(point, choices)])
    return view


def run_all_again(
    home: Home,
    bundle: str,
    runs: Sequence[tuple[Mapping[str, Scalar], Choices]],
    heard: shapes.Heard = lambda done, of: None,
) -> tuple[RunView, ...]:
    """Ask for other runs of a bundle that is at the hub: all of them are looked at before the first is asked for.

    Raises FlipError as ``Bundle.at``, ``check_point``, and ``check_shapes`` where the bundle is of this researcher.
    """
    with HubClient.of(home) as hub:
        sealed = hub.get(f"/v1/bundles/{bundle}")
        known = _known(bundle, sealed)
        points = [check_point(known.parameters, point) for point, _ in runs]
        for _, choices in runs:
            known.at(choices)
        if envelope.signer_of(sealed, "The bundle") == home.key.key_id:
            envelope.unseal(sealed, envelope.BUNDLE, {home.key.key_id: home.key.public_key}, "The bundle")
            with shapes.subject_of(known, home.directory / _KEPT, hub.save_blob) as subject:
                shapes.check(subject, points, heard)
                shapes.require_same(subject, points)
        asked = zip(points, (choices for _, choices in runs), strict=True)
        requests = [_sealed_request(home, known.study, bundle, point, choices) for point, choices in asked]
        return tuple(_post_run(hub, known.study, request) for request in requests)


def fetch_bundle(home: Home, digest: str) -> Bundle:
    """A bundle that is at the hub, by its digest. FlipError ``wrong-blob`` where the hub gives other bytes."""
    with HubClient.of(home) as hub:
        return _known(digest, hub.get(f"/v1/bundles/{digest}"))


def _known(digest: str, sealed: bytes) -> Bundle:
    payload = envelope.peek(sealed, "The bundle")
    if hashlib.sha256(payload).hexdigest() != digest:
        raise FlipError("wrong-blob", "The hub gave another bundle.")
    return parse(Bundle, payload, "The bundle")


def _sealed_request(home: Home, study: str, bundle: str, point: dict[str, Scalar], choices: Choices) -> bytes:
    request = RunRequest(
        study=study,
        bundle=bundle,
        point=point,
        choices=choices,
        requested=datetime.now(UTC),
        nonce=secrets.token_hex(16),
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


@dataclass(frozen=True)
class _Weights:
    """The bundle's own, the others that its runs may choose, and the digest of those that these runs choose."""

    first: Path
    others: tuple[Path, ...]
    chosen: str | None


def _weights(home: Home, plan_file: PlanFile, rehearsal: Rehearsal, kept: Path, asked: str | None) -> _Weights:
    """``asked``, a ``Start``, is a choice where the plan file lets runs choose it; else the bundle's own are those."""
    own = plan_file.start_from if asked in (None, *plan_file.choosable.start_from) else asked
    first = rehearsal.initial_weights if own is None else fetch_start(home, own, rehearsal.tensors, kept)
    others = {start: fetch_start(home, start, rehearsal.tensors, kept) for start in plan_file.choosable.start_from}
    return _Weights(first, tuple(others.values()), _digest(others[asked]) if asked in others else None)


def _digest(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
