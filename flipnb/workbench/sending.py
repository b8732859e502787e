"""Whether a notebook can be sent: every check there is before it, in one place for Lab's form and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flipnb.contracts.parameters import Scalar
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import TensorSpec
from flipnb.workbench.attached import find_beside, sibling_of
from flipnb.workbench.choosing import choose
from flipnb.workbench.freezing import freeze_notebook
from flipnb.workbench.home import Home
from flipnb.workbench.plan_file import PlanFile, plan_path, read_plan
from flipnb.workbench.rehearsal import last_rehearsal
from flipnb.workbench.studies import read_roster
from flipnb.workbench.submission import check_shapes, prepare
from flipnb.workbench.trust_cards import StudyTrust, study_trusts
from flipnb.workbench.trust_checks import find_trust_issues
from flipnb.workbench.validation import Issue, find_imports, find_issues, in_order


def find_send_issues(
    home: Home,
    notebook: Path,
    study: str,
    points: Sequence[Mapping[str, Scalar]] = (),
    changes: Mapping[str, Any] | None = None,
    *,
    all_trusts: bool = False,
    shapes: bool = False,
    lock: Path | None = None,
) -> list[Issue]:
    """All that is wrong with sending ``notebook`` to the Trusts of ``study``; errors first. Nothing is sent.

    The notebook and its plan (``find_issues``), the bundle that would be made of it with ``points`` and ``changes``
    (``prepare``), and the card of each Trust that it names: study, data, environment, policy. With ``all_trusts`` the
    cards of the others, too; with ``shapes`` each point's model is looked at as well, which takes as long as it takes
    to run the notebook on the twin until its model is known. Raises FlipError ``unknown-study``, ``hub-unreachable``,
    and what the hub says.
    """
    changes = dict(changes or {})
    issues = find_issues(notebook, lock=lock)
    roster = read_roster(home, study)
    trusts = study_trusts(home, roster)
    try:
        plan_file = read_plan(plan_path(notebook))
        beside, _ = find_beside(plan_file, notebook.parent)
        found = find_imports(freeze_notebook(notebook), beside)
        imported = [one for one in found if sibling_of(one.module, notebook.parent) is None]  # those have been named
    except FlipError:
        return issues  # which name it
    everybody = [trust.name for trust in trusts]
    asked = changes.get("trusts") or plan_file.trusts
    named = [name for name in asked if name in everybody] or everybody  # who is unknown is named by ``prepare``
    plan, tensors = _plan(plan_file, changes), _tensors(notebook)
    minimum = changes.get("minimum_trusts") or plan_file.minimum_trusts or len(named)
    for trust in trusts:
        if not all_trusts and trust.name not in named:
            continue
        issues += _presence(trust)
        if trust.card is not None:
            issues += find_trust_issues(
                trust.title,
                trust.card,
                plan=plan,
                outputs=plan_file.outputs,
                totals=plan_file.totals,
                tensors=tensors,
                minimum_trusts=minimum,
                environment=home.configuration.environment,
                imported=imported,
                attached_bytes=sum(one.file.size for one in beside),
            )
    general = any(issue.severity == "error" and issue.trust is None for issue in issues)
    if tensors is not None and not general:
        try:
            prepared = prepare(home, notebook, study, points, changes)
            if shapes:
                check_shapes(prepared)
        except FlipError as error:
            issues.append(Issue("error", error.code, str(error)))
    return in_order(issues)


def _presence(trust: StudyTrust) -> Iterator[Issue]:
    if not trust.joined:
        yield Issue("error", "not-joined", f"{trust.title} has not joined the study yet.", trust=trust.key)
    elif not trust.online:
        message = f"{trust.title} is offline: it will hear of the run when it is back."
        yield Issue("warning", "offline", message, trust=trust.key)
    if trust.joined and trust.card is None:
        message = f"{trust.title} has not said yet what its policy allows: it may refuse."
        yield Issue("warning", "no-card", message, trust=trust.key)


def _plan(plan_file: PlanFile, changes: Mapping[str, Any]) -> Plan:
    """What the Trusts judge: the bundle's plan, with the most rounds that its runs may choose."""
    try:
        return choose(plan_file, changes).plan
    except FlipError:  # ``prepare`` names it
        plan: Plan = changes.get("plan") or plan_file.plan
        return plan


def _tensors(notebook: Path) -> TensorSpec | None:
    """Those of the last rehearsal; None where this very notebook was not rehearsed with this very plan."""
    try:
        return last_rehearsal(notebook).tensors
    except FlipError:
        return None
