"""Servers that all workers of a test run share: started by the first that asks, ended with the run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Started:
    """A server that runs: its process, and the directory that is removed after it."""

    pid: int
    directory: str


def once(tmp_path_factory: pytest.TempPathFactory, name: str, start: Callable[[], Started]) -> Started:
    """The run's server of this name; ``start`` is called where there is none yet."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    told = _told(root) / f"{name}.json"
    told.parent.mkdir(exist_ok=True)
    with told.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            told.write_text(json.dumps(asdict(start())))
    return Started(**json.loads(told.read_text()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the process that outlives all others: the controller, or the only one."""
    if hasattr(session.config, "workeroutput"):
        return
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    for told in sorted(_told(factory.getbasetemp()).glob("*.json")):
        _end(Started(**json.loads(told.read_text())))


def _told(root: Path) -> Path:
    return root / "servers"


def _end(server: Started) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(server.pid)
        process.send_signal(signal.SIGINT)
        with suppress(psutil.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
        process.kill()
    shutil.rmtree(server.directory, ignore_errors=True)
