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
from flipnb.contracts.count import ESTATE_FAILED
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError, Problem
from flipnb.enclave.estate_worker.decoder import jailed
from flipnb.enclave.estate_worker.order import (
    CHECK_WALL_S,
    LINE_BYTES,
    WORKER_REQUEST,
    Answer,
    AnyRequest,
    Check,
    Count,
    ExactCell,
    Freeze,
    FrozenFacts,
    Open,
    Tabulate,
    unanswerable,
)
from flipnb.enclave.estate_worker.watchdog import interrupted
from flipnb.estate.cohort.generation import count_people
from flipnb.estate.database import DuckDBDatabase
from flipnb.estate.disclosure import Tabulation
from flipnb.estate.empty import empty_copy
from flipnb.estate.freezing import freeze
from flipnb.estate.versions import Bounds, Estate
from flipnb.files.logs import log_to_stderr

_LOG = logging.getLogger("flipnb.enclave.estate_worker")
_SAID = 200
"""Characters of an engine's own words that a refusal repeats."""


class _OpenVersion:
    """One version, with what DuckDB has read of it, and its tables without rows."""

    def __init__(self, estate: Path, version: str, bounds: Bounds) -> None:
        self.version = version
        self._records = Estate.open(estate, bounds).connect(version)
        self._empty = empty_copy(self._records)

    def records(self) -> duckdb.DuckDBPyConnection:
        """A connection of the caller's own, with temporary tables of its own."""
        return self._records.cursor()

    def empty(self) -> duckdb.DuckDBPyConnection:
        """The same to the empty tables."""
        return self._empty.cursor()

    def close(self) -> None:
        self._records.close()
        self._empty.close()


class Worker:
    """Answers questions about ``estate`` within ``bounds``; frozen cohorts go to the directory ``frozen``.

    The version that was asked last stays open, so that the next question about it starts at once.
    """

    def __init__(self, estate: Path, frozen: Path, bounds: Bounds) -> None:
        self._estate, self._frozen, self._bounds = estate, frozen, bounds
        self._open: _OpenVersion | None = None

    def answer(self, request: AnyRequest) -> Answer:
        """Do what ``request`` asks. Raises FlipError where its text is refused; ``estate-failed`` before anything
        was read."""
        match request:
            case Open():
                self._opened(request.version)
                return Answer()
            case Check():
                return _check(self._opened(request.version), request)
            case Tabulate():
                return _tabulate(self._opened(request.version), request)
            case Count():
                return _count(self._opened(request.version), request)
            case Freeze():
                return self._freeze(request)

    def _opened(self, version: str) -> _OpenVersion:
        if self._open is not None and self._open.version != version:
            self._close()
        if self._open is None:
            try:
                self._open = _OpenVersion(self._estate, version, self._bounds)
            except Exception as error:
                _LOG.exception("the version %s can't be opened", version)
                raise FlipError(
                    ESTATE_FAILED, f"The estate could not be opened ({type(error).__name__}).", status=409
                ) from None
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _freeze(self, request: Freeze) -> Answer:
        # A frozen cohort is written by a second database, which gets all of the memory.
        self._close()
        made = freeze(
            self._estate,
            request.version,
            CohortExpression.parse(request.cohort),
            request.dataset,
            request.split,
            bytes.fromhex(request.key),
            self._frozen / request.name,
            bounds=self._bounds,
            start_decoder=jailed,
        )
        return Answer(
            frozen=FrozenFacts(
                train=made.train,
                validation=made.validation,
                test=made.test,
                commitment=made.commitment,
                salt=made.salt,
                images=made.images,
            )
        )


def _check(opened: _OpenVersion, request: Check) -> Answer:
    expression = CohortExpression.parse(request.cohort)
    with opened.records() as records, opened.empty() as empty:
        database = DuckDBDatabase(records, opened.version)
        with interrupted(CHECK_WALL_S, database, empty, cpu=request.cpu_seconds):
            _bind(database, expression, request, empty)
    return Answer()


def _bind(
    database: DuckDBDatabase, expression: CohortExpression, request: Check, empty: duckdb.DuckDBPyConnection
) -> None:
    try:
        Tabulation.of(database, expression, request.rules, request.charts).bind(empty)
    except FlipError:
        raise
    except duckdb.InterruptException:
        raise unanswerable(f"It could not be planned within {request.cpu_seconds:g} s of a processor.") from None
    except Exception as error:
        _LOG.warning("a question can't be bound", exc_info=True)
        raise unanswerable(f"{type(error).__name__}: {_first_line(error)}.") from None


def _tabulate(opened: _OpenVersion, request: Tabulate) -> Answer:
    expression = CohortExpression.parse(request.cohort)
    with opened.records() as records:
        database = DuckDBDatabase(records, opened.version)
        try:
            with interrupted(request.seconds, database):
                made = Tabulation.of(database, expression, request.rules, request.charts)
                tables = made.run(records, members=request.members)
        except FlipError:
            raise
        except duckdb.InterruptException:
            _LOG.warning("a question was stopped after %g s", request.seconds)
            return Answer(stopped=True)
        except Exception:
            _LOG.exception("a question failed over what it read")
            return Answer(stopped=True)
    return Answer(tables=tuple(tuple(ExactCell(people=c.people, members=c.members) for c in t) for t in tables))


def _count(opened: _OpenVersion, request: Count) -> Answer:
    expression = CohortExpression.parse(request.cohort)
    with opened.records() as records:
        database = DuckDBDatabase(records, opened.version)
        with interrupted(request.seconds, database):
            return Answer(people=count_people(database, expression))


def _first_line(error: Exception) -> str:
    said = next(iter(str(error).splitlines()), "")[:_SAID]
    return said.encode("ascii", "backslashreplace").decode()


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
            problem=Problem(code=ESTATE_FAILED, message=f"The estate worker failed with {type(error).__name__}.")
        )


def main() -> int:
    """Answer the questions on the descriptor until it is closed; 0 at the end."""
    log_to_stderr(logging.WARNING)
    descriptor, estate, frozen, memory, spill = sys.argv[1:]
    shutil.rmtree(spill, ignore_errors=True)
    worker = Worker(Path(estate), Path(frozen), Bounds(memory, Path(spill)))
    with socket.socket(fileno=int(descriptor)) as channel, channel.makefile("rb") as questions:
        while line := questions.readline(LINE_BYTES):
            channel.sendall(_safely(worker, line).model_dump_json().encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
