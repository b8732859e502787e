"""The estate worker: answers its agent's questions, one line each, until the agent hangs up."""

from __future__ import annotations

import logging
import shutil
import socket
import sys
from pathlib import Path

import duckdb
from pydantic import ValidationError

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError, Problem
from flipnb.enclave.estate_worker.order import (
    LINE_BYTES,
    WORKER_REQUEST,
    Answer,
    Count,
    Current,
    ExactCell,
    Freeze,
    FrozenFacts,
    Tabulate,
)
from flipnb.estate.disclosure import tabulate
from flipnb.estate.freezing import count, freeze
from flipnb.estate.versions import Bounds, Estate
from flipnb.files.logs import log_to_stderr

_LOG = logging.getLogger("flipnb.enclave.estate_worker")


class Worker:
    """Answers questions about ``estate`` within ``bounds``; frozen cohorts go to the directory ``frozen``.

    The version that was asked last stays open, with what DuckDB has read of it, so that the next question about it
    starts at once.
    """

    def __init__(self, estate: Path, frozen: Path, bounds: Bounds) -> None:
        self._estate, self._frozen, self._bounds = estate, frozen, bounds
        self._open: tuple[str, duckdb.DuckDBPyConnection] | None = None

    def answer(self, request: Current | Count | Tabulate | Freeze) -> Answer:
        """Do what ``request`` asks. Raises FlipError where the estate refuses."""
        if isinstance(request, Current):
            return Answer(version=Estate.open(self._estate).current())
        # A frozen cohort is written by a second database, which gets all of the memory.
        self._keep_open(None if isinstance(request, Freeze) else request.version)
        return _answer(request, self._estate, self._frozen, self._bounds)

    def _keep_open(self, version: str | None) -> None:
        if self._open is not None and self._open[0] != version:
            self._open[1].close()
            self._open = None
        if self._open is None and version is not None:
            self._open = version, Estate.open(self._estate, self._bounds).connect(version)


def _answer(request: Count | Tabulate | Freeze, estate: Path, frozen: Path, bounds: Bounds) -> Answer:
    expression = CohortExpression.parse(request.cohort)
    if isinstance(request, Count):
        return Answer(people=count(estate, request.version, expression, bounds=bounds))
    if isinstance(request, Tabulate):
        tables = tabulate(
            estate,
            request.version,
            expression,
            rules=request.rules,
            charts=request.charts,
            members=request.members,
            bounds=bounds,
        )
        return Answer(tables=tuple(tuple(ExactCell(people=c.people, members=c.members) for c in t) for t in tables))
    made = freeze(
        estate,
        request.version,
        expression,
        request.dataset,
        request.split,
        bytes.fromhex(request.key),
        frozen / request.name,
        bounds=bounds,
    )
    return Answer(
        frozen=FrozenFacts(
            train=made.train,
            validation=made.validation,
            test=made.test,
            commitment=made.commitment,
            salt=made.salt,
        )
    )


def _safely(worker: Worker, line: bytes) -> Answer:
    try:
        return worker.answer(WORKER_REQUEST.validate_json(line))
    except FlipError as error:
        return Answer(problem=error.problem())
    except ValidationError:
        return Answer(problem=Problem(code="bad-question", message="The estate worker was asked nonsense."))
    except Exception as error:
        _LOG.exception("a question failed")
        if is_full(error) or (isinstance(error, duckdb.IOException) and "No space left" in str(error)):
            return Answer(problem=disk_full("this Trust's").problem())
        return Answer(
            problem=Problem(code="estate-failed", message=f"The estate worker failed with {type(error).__name__}.")
        )


def main() -> int:
    """Answer the questions on the descriptor until it is closed; 0 at the end."""
    log_to_stderr(logging.WARNING)
    descriptor, estate, frozen, memory = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    spill = frozen / ".spill"
    shutil.rmtree(spill, ignore_errors=True)
    worker = Worker(estate, frozen, Bounds(memory, spill))
    with socket.socket(fileno=descriptor) as channel, channel.makefile("rb") as questions:
        while line := questions.readline(LINE_BYTES):
            channel.sendall(_safely(worker, line).model_dump_json().encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
