"""From the open notebook to the Trusts: check, look at the exact bundle, sign and send."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from flipnb.contracts.attached import ShownFile
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices, Seed
from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter, Scalar
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunView
from flipnb.contracts.strategy import FLOWER, Aggregation
from flipnb.contracts.text import Identifier, Line, Name
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench import submission
from flipnb.workbench.attached import Beside, shown
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.plan_file import PlanFile, plan_path, read_plan
from flipnb.workbench.rehearsal import Rehearsal, last_rehearsal
from flipnb.workbench.sending import find_send_issues

MAX_SWEEP: Final = 200
SHAPES_AT_ONCE: Final = 8
"""Points that one request checks: some seconds, after which a person may stop."""

CHECKS: Final[Mapping[str, frozenset[str]]] = {
    "notebook": frozenset({"no-notebook", "bad-notebook", "attachment", "invisible-character", "invalid-document"}),
    "parameters": frozenset({"no-parameters-cell", "bad-parameters", "unused-parameter"}),
    "plan": frozenset({"no-plan", "no-file"}),
    "cohort": frozenset({"no-cohort", "unsupported-cohort", "invalid-cohort", "cohort-too-large"}),
    "code": frozenset({"not-python", "shell-command"}),
    "rounds": frozenset({"no-rounds", "no-report"}),
    "outputs": frozenset({"undeclared-output", "missing-output"}),
    "files": frozenset(
        {
            "undeclared-file",
            "undeclared-module",
            "relative-import",
            "wrong-kind",
            "name-clash",
            "file-too-large",
            "not-text",
            "wrong-encoding",
            "bad-weights",
        }
    ),
    "paths": frozenset({"absolute-path"}),
    "imports": frozenset({"not-in-environment", "no-module", "no-environment"}),
    "size": frozenset({"long-cell", "document-too-large"}),
    "policy": frozenset({"policy-refuses"}),
    "rehearsal": frozenset({"not-rehearsed"}),
}
"""What is looked at, and by which codes its issues are known."""


class CheckRequest(Document):
    """``plan`` and ``minimum_trusts`` are those of the form; without them the plan file's hold."""

    path: str
    study: Name
    plan: Plan | None = None
    minimum_trusts: int | None = Field(default=None, ge=1)


class CheckIssue(Document):
    """``cell`` counts from 1 without empty cells; ``cell_id`` finds it. ``trust`` is the key of the one that minds."""

    severity: Literal["error", "warning"]
    code: str
    message: str
    cell: int | None
    cell_id: str | None
    line: int | None
    trust: str | None


class SendPlan(Document):
    """What the plan file says, as far as the form may change it."""

    title: Line
    cohort: str
    plan: Plan
    seed: int
    trusts: tuple[Name, ...]
    minimum_trusts: int | None
    valid_days: int
    outputs: tuple[DeclaredOutput, ...]


class CheckReport(Document):
    """``plan`` is None where the plan file can't be read; ``passed`` names the checks that found nothing."""

    issues: tuple[CheckIssue, ...]
    passed: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    plan: SendPlan | None
    rehearsed: bool


class BundleRequest(Document):
    """What the form says. ``points`` are the runs: one, or a sweep; of several ``seeds``, a run for each at each
    point."""

    path: str
    study: Name
    title: Line
    plan: Plan
    seeds: tuple[Seed, ...] = Field(min_length=1, max_length=MAX_SWEEP)
    trusts: tuple[Name, ...] = Field(min_length=1)
    minimum_trusts: int = Field(ge=1)
    points: tuple[dict[Identifier, Scalar], ...] = Field(min_length=1, max_length=MAX_SWEEP)


class BundlePreview(Document):
    """The exact bundle that will be signed; ``size`` in bytes of its canonical JSON.

    ``executions_left``: where it was sent before, how many runs each Trust (by key) has approved and not used.
    ``files`` go with it, as a Trust will be shown them.
    """

    bundle: Digest
    size: int
    points: tuple[dict[Identifier, Scalar], ...]
    choices: tuple[Choices, ...]
    executions_left: dict[KeyId, int]
    files: tuple[ShownFile, ...]
    content: Bundle


class ShapeCheck(Document):
    """At how many of a bundle's points the notebook was found to have the model that was rehearsed, and of how many.

    ``problem`` says which point has another or fails; None where none does.
    """

    checked: int
    of: int
    problem: str | None


class Receipt(Document):
    """What was sent: the bundle's digest, and a run for each point."""

    bundle: Digest
    runs: tuple[RunView, ...]


class RunAgain(Document):
    """The parameters of another run of a bundle; those left out have their defaults, as what is not chosen has."""

    point: dict[Identifier, Scalar]
    choices: Choices = Choices()


class StrategyRange(Document):
    """The values that a strategy's parameter may have; ``whole``: integers only."""

    minimum: float
    maximum: float
    whole: bool


class KnownStrategy(Document):
    """A strategy of Flower, what it aggregates, and its own parameters."""

    name: str
    aggregation: Aggregation
    parameters: dict[Identifier, StrategyRange]


class StrategyList(Document):
    """The strategies that a plan may name without the hub's operator installing any."""

    strategies: tuple[KnownStrategy, ...]


@endpoint("POST", "notebooks/checks", "notebooks")
def check_notebook(bench: Bench, body: CheckRequest) -> CheckReport:
    """Look a saved notebook over, and each Trust's card against it; nothing is sent."""
    notebook = bench.file(body.path)
    changes = {"plan": body.plan, "minimum_trusts": body.minimum_trusts}
    issues = find_send_issues(bench.home, notebook, body.study, changes=changes, all_trusts=True)
    plan_file, parameters, ids = _read(notebook)
    found = tuple(
        CheckIssue(
            severity=issue.severity,
            code=issue.code,
            message=bench.shown(issue.message),
            cell=issue.cell,
            cell_id=ids[issue.cell - 1] if issue.cell is not None and issue.cell <= len(ids) else None,
            line=issue.line,
            trust=issue.trust,
        )
        for issue in issues
    )
    codes = {issue.code for issue in found}
    return CheckReport(
        issues=found,
        passed=tuple(name for name, known in CHECKS.items() if not known & codes),
        parameters=parameters,
        plan=_send_plan(plan_file) if plan_file is not None else None,
        rehearsed=_last_rehearsal(notebook) is not None,
    )


@endpoint("POST", "bundles", "bundles")
def prepare_bundle(bench: Bench, body: BundleRequest) -> BundlePreview:
    """Make the exact bundle and keep it until it is signed; nothing is sent."""
    changes = {
        "title": body.title,
        "plan": body.plan,
        "seed": body.seeds,
        "trusts": body.trusts,
        "minimum_trusts": body.minimum_trusts,
    }
    prepared = submission.prepare(bench.home, bench.file(body.path), body.study, body.points, changes)
    return BundlePreview(
        bundle=bench.outbox.put(prepared),
        size=len(prepared.bundle.to_bytes()),
        points=prepared.points,
        choices=prepared.choices,
        executions_left=dict(prepared.executions_left),
        files=tuple(shown(Beside(file, prepared.files[file.name])) for file in prepared.bundle.files),
        content=prepared.bundle,
    )


@endpoint("POST", "bundles/{bundle}/shapes", "bundles")
def check_shapes(bench: Bench, bundle: Digest) -> ShapeCheck:
    """Run a bundle that was shown at some more of its points, on the twin, until its model is known; nothing is
    sent."""
    prepared = bench.outbox.shown(bundle)
    try:
        checked, of = submission.check_shapes(prepared, most=SHAPES_AT_ONCE)
    except FlipError as error:
        if error.code not in ("other-shape", "point-fails"):
            raise
        return ShapeCheck(checked=0, of=len(prepared.points), problem=bench.shown(str(error)))
    return ShapeCheck(checked=checked, of=of, problem=None)


@endpoint("POST", "bundles/{bundle}/sending", "bundles")
def send_bundle(bench: Bench, bundle: Digest) -> Receipt:
    """Sign a bundle that was shown, and send it; the same again sends the same."""
    sent = bench.outbox.send(bench.home, bundle)
    return Receipt(bundle=sent.bundle, runs=sent.runs)


@endpoint("GET", "bundles/{bundle}", "bundles")
def get_bundle(bench: Bench, bundle: Digest) -> Bundle:
    """A bundle that is at the hub."""
    return submission.fetch_bundle(bench.home, bundle)


@endpoint("POST", "bundles/{bundle}/runs", "bundles")
def run_again(bench: Bench, bundle: Digest, body: RunAgain) -> RunView:
    """Ask for another run of a bundle at a point of its space; each Trust's approval decides."""
    return submission.run_again(bench.home, bundle, body.point, body.choices)


@endpoint("GET", "strategies", "notebooks")
def list_strategies(bench: Bench) -> StrategyList:
    """Flower's strategies and their parameters' ranges."""
    return StrategyList(
        strategies=tuple(
            KnownStrategy(
                name=name,
                aggregation=known.aggregation,
                parameters={
                    parameter: StrategyRange(minimum=given.minimum, maximum=given.maximum, whole=given.whole)
                    for parameter, given in known.parameters.items()
                },
            )
            for name, known in FLOWER.items()
        )
    )


def _read(notebook: Path) -> tuple[PlanFile | None, tuple[Parameter, ...], tuple[str, ...]]:
    """Plan file, parameters and cell ids, each as far as it can be read: what is wrong is among the issues."""
    plan_file: PlanFile | None = None
    parameters: tuple[Parameter, ...] = ()
    ids: tuple[str, ...] = ()
    with suppress(FlipError):
        plan_file = read_plan(plan_path(notebook))
    with suppress(FlipError):
        frozen = freeze_notebook(notebook)
        ids = tuple(cell.id for cell in frozen.cells)
        parameters = notebook_parameters(frozen)
    return plan_file, parameters, ids


def _send_plan(plan_file: PlanFile) -> SendPlan:
    return SendPlan(
        title=plan_file.title,
        cohort=plan_file.cohort,
        plan=plan_file.plan,
        seed=plan_file.split.seed,
        trusts=plan_file.trusts,
        minimum_trusts=plan_file.minimum_trusts,
        valid_days=plan_file.valid_days,
        outputs=plan_file.outputs,
    )


def _last_rehearsal(notebook: Path) -> Rehearsal | None:
    """None where this very notebook was not rehearsed with this very plan."""
    try:
        return last_rehearsal(notebook)
    except FlipError:
        return None
