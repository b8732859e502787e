"""``--cpu-seconds``: what the tests of each folder cost, and which are the dearest, also on a busy machine.

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

_TICKS = os.sysconf("SC_CLK_TCK")
_DEAREST = 25


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-seconds", action="store_true", help="print CPU seconds by folder, and of the dearest tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cpu-seconds"):
        config.pluginmanager.register(_Account(), "cpu-account")


class _Account:
    """Test → CPU seconds, of this process and, where it has workers, of theirs."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._collecting = self._until_now = 0.0

    def _since(self) -> float:
        # What a process that detached itself had used is missing from now on.
        now, before = used(os.getpid()), self._until_now
        self._until_now = now
        return max(0.0, now - before)

    def pytest_collection_finish(self) -> None:
        self._collecting = self._since()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        done = yield
        self._seconds[item.nodeid] = self._since()
        return done

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (told := getattr(session.config, "workeroutput", None)) is not None:
            told["cpu_seconds"] = (self._seconds, self._collecting)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        seconds, collecting = getattr(node, "workeroutput", {}).get("cpu_seconds", ({}, 0.0))
        self._seconds |= seconds
        self._collecting += collecting

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        folders: Counter[str] = Counter({"collecting": self._collecting})
        tests: Counter[str] = Counter()
        for test, seconds in self._seconds.items():
            folder = test.partition("::")[0].rpartition("/")[0]
            folders[folder] += seconds
            tests[folder] += 1
        terminalreporter.section("CPU seconds, with all processes but those that detached themselves")
        for folder, seconds in folders.most_common():
            terminalreporter.write_line(f"{seconds:8.1f}  {folder:28} {tests[folder] or '':>5}")
        terminalreporter.write_line(f"{sum(folders.values()):8.1f}  {'all':28} {sum(tests.values()):>5}")
        for test, seconds in Counter(self._seconds).most_common(_DEAREST):
            terminalreporter.write_line(f"{seconds:8.1f}  {test}")


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
