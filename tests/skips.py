"""What is said of tests that were skipped; with FLIP_TEST_ALL=1, as in CI, a skipped test has failed."""

from __future__ import annotations

import os
from collections.abc import Generator

import public_data
import pytest
from _pytest.terminal import TerminalReporter


def _hold(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("FLIP_TEST_ALL") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped (FLIP_TEST_ALL=1), but this was. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _hold(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _hold(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Generator[None, None, None]:
    """After everything else: how many tests want public data, and how to get them."""
    yield
    skipped = terminalreporter.getreports("skipped")
    if count := sum("public data: " in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{count} tests were skipped, since public data are not here:")
        for data in public_data.ALL:
            terminalreporter.write_line(f"  {data.folder}: {data.title} ({data.licence})")
        terminalreporter.write_line("To fetch them from GitHub (10 MB), and to run these tests, too:")
        terminalreporter.write_line("  .venv/bin/python tests/public_data.py DIR | curl --parallel --config -")
        terminalreporter.write_line(f"  {public_data.PLACE}=DIR make test")
