"""Runs: list, look, follow, stop."""

from __future__ import annotations

from flipnb.contracts.run import RunId, RunPage, RunView
from flipnb.contracts.text import Name
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench import runs
from flipnb.workbench.hub_feed import RunEvents


@endpoint("GET", "studies/{study}/runs", "runs")
def list_runs(bench: Bench, study: Name, after: RunId | None = None) -> RunPage:
    """Some of a study's runs, the newest first: those that are older than the run ``after``."""
    return runs.page_of_runs(bench.home, study, after)


@endpoint("GET", "runs/{run}", "runs")
def view_run(bench: Bench, run: RunId) -> RunView:
    """One run, Trust by Trust."""
    return runs.view_run(bench.home, run)


@endpoint("GET", "runs/{run}/events", "runs")
def list_events(bench: Bench, run: RunId, after: int = 0) -> RunEvents:
    """The run's events above the number ``after``."""
    return RunEvents(events=tuple(runs.follow(bench.home, run, after=after, to_the_end=False)))


@endpoint("POST", "runs/{run}/stop", "runs")
def stop_run(bench: Bench, run: RunId) -> RunView:
    """Stop the run at every Trust."""
    return runs.stop_run(bench.home, run)
