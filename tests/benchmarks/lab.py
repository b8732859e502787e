"""How long a person waits in JupyterLab: for the panel, and from sending a notebook to the first round.

The rival of the first is the same JupyterLab without FLIP, in the same browser, taken in turns.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab_page import LabPage, chromium
from lab_server import LabServer
from open_demo import open_demo
from playwright.sync_api import Browser

from benchmarks.figures import Figures
from flipnb.contracts.run import RunEvent
from flipnb.demo.job import Job
from flipnb.workbench.runs import follow, list_runs

OPENINGS = 7
SENDINGS = 3
ROUNDS = "2"


def measure(figures: Figures) -> None:
    with tempfile.TemporaryDirectory() as name, open_demo(Path(name)) as demo, chromium() as browser:
        demo.rehearse()
        directory = Path(name)
        ours = LabServer(directory / "lab", demo.notebook.parent, demo.federation.workbench)
        plain = LabServer(directory / "plain", demo.notebook.parent, demo.federation.workbench)
        page_config = directory / "plain" / "config_dir" / "labconfig" / "page_config.json"
        page_config.parent.mkdir(parents=True)
        page_config.write_text(json.dumps({"disabledExtensions": {"flipnb": True}}))
        try:
            ours.start()
            plain.start()
            _open(figures, browser, ours, plain)
            _send(figures, browser, ours, demo)
        finally:
            ours.end()
            plain.end()


def _open(figures: Figures, browser: Browser, ours: LabServer, plain: LabServer) -> None:
    """A fresh browser profile each time; one opening of each beforehand, so that the servers are warm."""
    waits: dict[str, list[float]] = {"ours": [], "plain": [], "panel": []}
    for opening in range(OPENINGS + 1):
        for which, server in (("ours", ours), ("plain", plain)):
            page = LabPage(browser, server)
            took = _seconds(page.open)
            panel = _seconds(_show_panel, page) if which == "ours" else 0.0
            page.close()
            if opening > 0:
                waits[which].append(took)
                if which == "ours":
                    waits["panel"].append(took + panel)
    rival = "JupyterLab without FLIP"
    figures.add("from opening JupyterLab to its launcher", "s", waits["ours"], waits["plain"], rival)
    figures.add("from opening JupyterLab to the panel with Trusts and runs", "s", waits["panel"], waits["plain"], rival)


def _show_panel(page: LabPage) -> None:
    page.command("flip:show-panel")
    page.page.locator(".jp-FlipPanel .jp-FlipRow").first.wait_for()


def _send(figures: Figures, browser: Browser, server: LabServer, demo: Job) -> None:
    """What the controllers take is left out: from the click until all Trusts have it, and from the last approval on."""
    reached, started = [], []
    for _ in range(SENDINGS):
        page = LabPage(browser, server)
        page.open()
        page.notebook("heart_disease.ipynb")
        page.command("flip:send-notebook")
        form = page.page.locator(".jp-FlipSend")
        form.get_by_label("Rounds", exact=True).fill(ROUNDS)
        form.locator(".jp-FlipDigest code").wait_for()
        form.get_by_role("button", name="Sign and Send to").click()
        reached.append(_seconds(_sign_and_send, page))
        run = list_runs(demo.home, "heart")[0]
        demo.approve(run.bundle, executions=1)
        events = list(follow(demo.home, run.run))
        page.close()
        approved = max(event.at for event in events if event.trust_state == "approved")
        started.append((_first_round(events).at - approved).total_seconds())
    figures.add("from the click on Sign and Send until four Trusts ask for approval", "s", reached)
    figures.add("from the last approval to the end of the first round", "s", started)
    totals = [a + b for a, b in zip(reached, started, strict=True)]
    figures.add("from the click on Sign and Send to the first round, without approvals", "s", totals)


def _sign_and_send(page: LabPage) -> None:
    page.page.locator(".jp-Dialog").get_by_role("button", name="Sign and Send").click()
    page.page.locator(".jp-FlipRun").get_by_text("awaiting approval").nth(3).wait_for()


def _first_round(events: list[RunEvent]) -> RunEvent:
    return next(event for event in events if event.kind == "round")


def _seconds(act: Callable[..., object], *arguments: object) -> float:
    began = time.monotonic()
    act(*arguments)
    return time.monotonic() - began


MEASURES = {"lab": measure}
