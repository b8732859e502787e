"""Results: a finished run's files beside the notebooks, each checked; a notebook on them; records to compare."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import chain
from pathlib import Path
from typing import Any

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import RunId
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.plan_file import plan_path, read_plan
from flipnb.workbench.results import results_of
from flipnb.workbench.results_notebook import results_notebook
from flipnb.workbench.sent_bundles import was_sent
from flipnb.workbench.submission import fetch_bundle

FOLDER = "results"
_PLAN = ".flip.json"
_SHOWN_ELEMENTS = 12


class ResultFile(Document):
    """``path`` as the file browser names it; ``size`` in bytes."""

    path: str
    size: int
    sha256: Digest


class ShownTotal(Document):
    """A sum that ``flip.total`` gave: its name, its shape, and its first elements in C order."""

    name: str
    shape: tuple[int, ...]
    first: tuple[float, ...]


class RunResults(Document):
    """The record, and the files that were fetched into ``folder``, as the file browser names them.

    The weights' digest is the one that the record names; a run that failed may have none. ``packages`` are versions by
    distribution, of the environment in which it ran.
    """

    record: RunRecord
    folder: str
    files: tuple[ResultFile, ...]
    totals: tuple[ShownTotal, ...]
    packages: dict[str, str]


class ResultsNotebook(Document):
    """A notebook's path, as the file browser names it."""

    path: str


@endpoint("POST", "runs/{run}/results", "results")
def fetch_run_results(bench: Bench, run: RunId) -> RunResults:
    """Fetch all that came of an ended run into ``results/RUN``; weights are refused where their digest is wrong."""
    target = bench.root / FOLDER / run
    found = results_of(bench.home, run, target)
    files = tuple(_file(bench, path) for path in found.files())
    return RunResults(
        record=found.record,
        folder=target.relative_to(bench.root).as_posix(),
        files=files,
        totals=tuple(_shown(name, array) for name, array in found.totals().items()),
        packages=found.packages(),
    )


@endpoint("GET", "runs/{run}/record", "results")
def view_record(bench: Bench, run: RunId) -> RunRecord:
    """A run's record as the hub has it now, of a run that goes on too."""
    return _record(bench, run)


@endpoint("POST", "runs/{run}/notebook", "results")
def make_results_notebook(bench: Bench, run: RunId) -> ResultsNotebook:
    """Make ``NAME-results-RUN.ipynb`` beside the notebook that was sent, if it is not there yet."""
    record = _record(bench, run)
    sent = _notebook_of(bench, record)
    path = sent.with_name(f"{sent.stem}-results-{run[:8]}.ipynb")
    if not path.exists():
        files = os.path.relpath(bench.root / FOLDER / run, path.parent)
        totals = bool(fetch_bundle(bench.home, record.bundle).totals)
        path.write_text(json.dumps(results_notebook(record, files, totals=totals), indent=1) + "\n")
    return ResultsNotebook(path=path.relative_to(bench.root).as_posix())


def _record(bench: Bench, run: str) -> RunRecord:
    with HubClient.of(bench.home) as hub:
        return RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record"))


def _notebook_of(bench: Bench, record: RunRecord) -> Path:
    """The notebook that the run's bundle was made of; of one that was not sent from here, a notebook of its title."""
    notebooks = [plan.with_name(f"{plan.name.removesuffix(_PLAN)}.ipynb") for plan in sorted(bench.files(_PLAN))]
    sent = (notebook for notebook in notebooks if was_sent(notebook, record.bundle))
    titled = (notebook for notebook in notebooks if _title(notebook) == record.title)
    return next(chain(sent, titled), bench.root / "run.ipynb")


def _title(notebook: Path) -> str | None:
    """What the plan says; the form may have sent another."""
    try:
        return read_plan(plan_path(notebook)).title
    except FlipError:
        return None


def _shown(name: str, array: Any) -> ShownTotal:
    return ShownTotal(name=name, shape=array.shape, first=tuple(array.ravel()[:_SHOWN_ELEMENTS].tolist()))


def _file(bench: Bench, path: Path) -> ResultFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return ResultFile(path=path.relative_to(bench.root).as_posix(), size=path.stat().st_size, sha256=digest)
