"""``--cpu-seconds``: what the tests of each folder cost, and which are the dearest, also on a busy machine.

Counted are the process that runs the tests and all that descends from it, after each test, so that a server of the
whole session is counted where it works. A process that detached itself (its parent ended first) is no longer counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
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
        self._collecting = 0.0
        self._before = Reading({}, {})

    def _since(self) -> float:
        now, before = Reading.of(os.getpid()), self._before
        self._before = now
        return now.since(before)

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


@dataclass(frozen=True)
class Reading:
    """CPU seconds of living processes, by pid and start: what each used itself, and what its ended children used."""

    own: dict[tuple[int, str], float]
    ended: dict[tuple[int, str], float]

    @classmethod
    def of(cls, pid: int) -> Reading:
        """Of a process and of all that descends from it."""
        reading = cls({}, {})
        reading._add(pid)
        return reading

    def _add(self, pid: int) -> None:
        with suppress(OSError):
            # After the name, which may hold anything: field 3 is the state, 14 to 17 the times, 22 the start.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system, ended_user, ended_system = (int(field) / _TICKS for field in fields[11:15])
            self.own[pid, fields[19]] = user + system
            self.ended[pid, fields[19]] = ended_user + ended_system
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    for child in (thread / "children").read_text().split():
                        self._add(int(child))

    def since(self, before: Reading) -> float:
        """What was used between two readings. What a process used that is gone now is among its parent's ended ones."""
        own = sum(seconds - before.own.get(process, 0.0) for process, seconds in self.own.items())
        ended = sum(seconds - before.ended.get(process, 0.0) for process, seconds in self.ended.items())
        gone = sum(before.own[process] + before.ended[process] for process in before.own.keys() - self.own.keys())
        return own + max(0.0, ended - gone)
