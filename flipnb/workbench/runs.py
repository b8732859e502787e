"""Runs at the hub: list, follow, stop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.document import load_json
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import FINAL_RUN_STATES, RoundSummary, RunEvent, RunPage, RunView
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient

_PATIENCE_S, _RETRY_S = 300.0, 1.0
_PAGE = 200


def list_runs(home: Home, study: str) -> list[RunView]:
    """All runs of a study, the newest first, however many they are.

    Raises FlipError ``endless-pages`` where the hub's pages lead back to an earlier one.
    """
    found: list[RunView] = []
    seen: set[str] = set()
    with HubClient.of(home) as hub:
        page = _page(hub, study, None)
        found += page.runs
        while page.next is not None:
            if page.next in seen:
                raise FlipError("endless-pages", "The hub's list of runs leads back to its beginning.", status=502)
            seen.add(page.next)
            page = _page(hub, study, page.next)
            found += page.runs
    return found


def page_of_runs(home: Home, study: str, after: str | None) -> RunPage:
    """Some runs of a study: the newest, or those that are next older than the run ``after``."""
    with HubClient.of(home) as hub:
        return _page(hub, study, after)


def view_run(home: Home, run: str) -> RunView:
    """A run as the hub shows it, with each Trust's part."""
    with HubClient.of(home) as hub:
        return RunView.model_validate_json(hub.get(f"/v1/runs/{run}"))


def view_rounds(home: Home, run: str) -> tuple[RoundSummary, ...]:
    """The rounds that a run has finished so far."""
    with HubClient.of(home) as hub:
        return RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record")).rounds


def view_rule(home: Home, run: str) -> Consensus | None:
    """A run's rule of when to end; None where it ends at its last round alone."""
    with HubClient.of(home) as hub:
        return RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record")).consensus


def stop_run(home: Home, run: str) -> RunView:
    """Ask the hub to stop a run at every Trust; the run as it is then, stopping or stopped."""
    with HubClient.of(home) as hub:
        return RunView.model_validate_json(hub.post(f"/v1/runs/{run}/stop"))


def follow(home: Home, run: str, *, after: int = 0, to_the_end: bool = True) -> Iterator[RunEvent]:
    """The run's events from number ``after`` + 1; with ``to_the_end`` it waits until the run has ended.

    A hub that goes away while it is followed is waited for: runs go on when it is back. Raises FlipError
    ``hub-unreachable`` where it can't be reached at first, or for five minutes.
    """
    with HubClient.of(home) as hub:
        heard: float | None = None
        while True:
            wait = 20 if to_the_end else 0
            try:
                answer = hub.get(f"/v1/runs/{run}/events?after={after}&wait={wait}")
            except FlipError as error:
                if error.status < 500 or heard is None or time.monotonic() - heard > _PATIENCE_S:
                    raise
                time.sleep(_RETRY_S)
                continue
            heard = time.monotonic()
            page = load_json(answer, "The hub's answer")["events"]
            for item in page:
                event = RunEvent.model_validate_json(_json(item))
                after = event.number
                yield event
                if event.kind == "state" and event.state in FINAL_RUN_STATES:
                    return
            if not page and not to_the_end:
                return


def _page(hub: HubClient, study: str, after: str | None) -> RunPage:
    older = f"&after={after}" if after is not None else ""
    return RunPage.model_validate_json(hub.get(f"/v1/runs?study={study}&limit={_PAGE}{older}"))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
