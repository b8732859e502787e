"""Results: a finished run's files beside the notebooks, each checked; and the records of runs to compare."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import RunId
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.lab.bench import Bench
from flipnb.workbench.lab.endpoint import endpoint
from flipnb.workbench.results import fetch_results

FOLDER = "results"


class ResultFile(Document):
    """``path`` as the file browser names it; ``size`` in bytes."""

    path: str
    size: int
    sha256: Digest


class RunResults(Document):
    """The record, and the files that were fetched; the weights' digest is the one that the record names."""

    record: RunRecord
    files: tuple[ResultFile, ...]


@endpoint("POST", "runs/{run}/results", "results")
def fetch_run_results(bench: Bench, run: RunId) -> RunResults:
    """Fetch weights, metrics and record into ``results/RUN``; the weights are refused where their digest is wrong."""
    target = bench.root / FOLDER / run
    found = fetch_results(bench.home, run, target)
    files = tuple(_file(bench, path) for path in sorted(target.iterdir()) if path.is_file())
    return RunResults(record=found.record, files=files)


@endpoint("GET", "runs/{run}/record", "results")
def view_record(bench: Bench, run: RunId) -> RunRecord:
    """A run's record as the hub has it now, of a run that goes on too."""
    with HubClient.of(bench.home) as hub:
        return RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record"))


def _file(bench: Bench, path: Path) -> ResultFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return ResultFile(path=path.relative_to(bench.root).as_posix(), size=path.stat().st_size, sha256=digest)
