"""``--cpu-seconds``: what the tests of each folder cost, as a busy machine tells it as well as a quiet one.

Counted are the process that runs the tests and all that descends from it, after each test, so that a server of the
whole session is counted where it works. A process that detached itself (its parent ended first) is no longer counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

TESTS = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_COLLECTING = "collecting"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-seconds", action="store_true", help="print the CPU seconds of each folder's tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cpu-seconds"):
        config.pluginmanager.register(_Account(), "cpu-account")


class _Account:
    """Folder → CPU seconds, of this process and, where it has workers, of theirs."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()
        self._until_now = 0.0

    def _charge(self, folder: str) -> None:
        # What a process that detached itself had used is missing from now on.
        now = used(os.getpid())
        self._seconds[folder] += max(0.0, now - self._until_now)
        self._until_now = now

    def pytest_collection_finish(self) -> None:
        self._charge(_COLLECTING)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        done = yield
        folder = str(item.path.parent.relative_to(TESTS))
        self._charge(folder)
        self._tests[folder] += 1
        return done

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        told = getattr(session.config, "workeroutput", None)
        if told is not None:
            told["cpu_seconds"], told["cpu_tests"] = dict(self._seconds), dict(self._tests)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {})
        self._seconds.update(told.get("cpu_seconds", {}))
        self._tests.update(told.get("cpu_tests", {}))

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        terminalreporter.section("CPU seconds, with all processes but those that detached themselves")
        for folder, seconds in sorted(self._seconds.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{seconds:8.1f}  {folder:28} {self._tests[folder] or '':>5}")
        terminalreporter.write_line(f"{sum(self._seconds.values()):8.1f}  {'all':28} {sum(self._tests.values()):>5}")


def used(pid: int) -> float:
    """CPU seconds of a process, of its ended children, and of all that descends from it and lives."""
    seconds = 0.0
    with suppress(OSError):
        # After the name, which may hold anything: state is field 3, utime, stime, cutime and cstime 14 to 17.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(int(field) for field in fields[11:15]) / _TICKS
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                seconds += sum(used(int(child)) for child in (thread / "children").read_text().split())
    return seconds
