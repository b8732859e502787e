"""Cohorts: definitions as files below the folder that JupyterLab shows, concepts, and what the Trusts count."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from flipnb.contracts.document import Digest, Document, canonical_bytes, load_json, sha256
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Name
from flipnb.files.whole import write
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.twin import Preview
from flipnb.workbench import cohort_questions, vocabulary
from flipnb.workbench.cohort_questions import CohortCheck, Question, TrustAnswers, check_cohort
from flipnb.workbench.json_places import describe_mistake
from flipnb.workbench.plan_file import read_plan
from flipnb.workbench.twin_count import twin_count
from flipnb.workbench.vocabulary import FoundConcepts

SUFFIX = ".cohort.json"


class CohortFile(Document):
    """``path`` is relative to the root, with slashes, as the file browser names it."""

    path: str
    name: str


class CohortList(Document):
    """The cohort files below the folder that JupyterLab shows."""

    cohorts: tuple[CohortFile, ...]


class CohortDefinition(Document):
    """A cohort file's content. ``version`` is its SHA-256, so that a save on top of another change is noticed."""

    path: str
    expression: dict[str, Any]
    version: Digest


class SavedCohort(Document):
    """``base`` is the version that was read; None for a new file."""

    path: str
    expression: dict[str, Any]
    base: Digest | None = None


class DraftCohort(Document):
    """What is to be asked about a cohort. ``path`` is that of its file, None while it has none: the twin of a plan
    beside it may tell something. ``study`` is whose Trusts would be asked."""

    question: Question
    path: str | None = None
    study: Name | None = None


@endpoint("GET", "concepts", "cohorts")
def search_concepts(bench: Bench, text: str, domain: str = "") -> FoundConcepts:
    """Concepts of the researcher's own vocabulary by name, code or id."""
    return vocabulary.find_concepts(bench.home, text, domain)


@endpoint("GET", "cohorts/definition", "cohorts")
def read_definition(bench: Bench, path: str) -> CohortDefinition:
    """The definition in a cohort file, whether it is supported or not."""
    return _read(bench.file(path), path)


@endpoint("PUT", "cohorts/definition", "cohorts")
def save_definition(bench: Bench, body: SavedCohort) -> CohortDefinition:
    """Write a cohort file, whole or not at all. 409 where it is not as it was read."""
    target = bench.place(body.path)
    found = _read(target, body.path).version if target.exists() else None
    if found != body.base:
        raise FlipError(
            "changed-elsewhere", f"{body.path} was changed elsewhere.", remedy="Reload it, or keep yours.", status=409
        )
    write(target, json.dumps(body.expression, indent=2, ensure_ascii=False).encode() + b"\n")
    return _read(target, body.path)


@endpoint("POST", "cohorts/checks", "cohorts")
def check_definition(bench: Bench, body: DraftCohort) -> CohortCheck:
    """Whether the Trusts' compilers support a definition, what questions about it cost, and what the twin says."""
    return check_cohort(bench.home, body.study, body.question, lambda: _on_twin(bench, body))


@endpoint("POST", "studies/{study}/counts", "cohorts")
def ask_trusts(bench: Bench, study: Name, body: Question) -> TrustAnswers:
    """Ask every Trust of a study; each answer is noisy, rounded, and charged to the budget there."""
    return cohort_questions.ask_trusts(bench.home, study, body)


@endpoint("GET", "cohorts", "cohorts")
def list_cohorts(bench: Bench) -> CohortList:
    """Cohort files, by path; hidden folders and those deeper than four are left out."""
    found = [
        CohortFile(path=path.relative_to(bench.root).as_posix(), name=path.name.removesuffix(SUFFIX))
        for path in bench.files(SUFFIX)
    ]
    return CohortList(cohorts=tuple(sorted(found, key=lambda cohort: cohort.path)))


def _on_twin(bench: Bench, draft: DraftCohort) -> Preview | None:
    if draft.path is None:
        return None
    file = bench.place(draft.path)
    for plan in sorted(file.parent.glob("*.flip.json")):
        with suppress(FlipError):
            if read_plan(plan).cohort == file.name:
                return twin_count(draft.question.expression, plan)
    return None


def _read(file: Path, path: str) -> CohortDefinition:
    content = file.read_bytes()
    mistake = describe_mistake(content.decode(errors="replace"))
    if mistake is not None:
        raise FlipError("not-json", f"This is not a cohort: {mistake}.", status=422)
    expression = load_json(content, path)
    if not isinstance(expression, dict):
        raise FlipError("no-cohort", f"{path} holds no cohort expression.", status=422)
    return CohortDefinition(path=path, expression=expression, version=sha256(canonical_bytes(expression)))
