"""``make pictures``: every view, light and dark, 1280 and 1920 wide, from real runs on the demo federation.

Writes docs/images/VIEW-THEME-WIDTH.png, each with at most 256 colours, so that the repository stays small.
"""

import io
import json
import re
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab_page import DARK, LIGHT, LabPage, chromium
from lab_server import LabServer
from open_demo import ROOT, open_demo

from flipnb.demo.job import Job

IMAGES = ROOT / "docs" / "images"
SIZES = {1280: 800, 1920: 1080}
THEMES = {"light": LIGHT, "dark": DARK}
ROUNDS = "12"
CHANGES = {
    "lr: float = 0.5 ": "lr: float = 0.25 ",
    'describe().loc[["mean", "std", "min", "max"]]': 'describe().loc[["mean", "std"]]',
}
"""What the researcher changes in the notebook after two runs of it, so that the controller has a difference to read."""


@dataclass(frozen=True)
class Story:
    """What the pictures show: two runs that succeeded, and a changed notebook that waits for approval."""

    runs: tuple[str, ...]
    waiting: str


def happen(demo: Job) -> Story:
    demo.rehearse()
    runs = []
    for lr in ("0.1", "0.5"):
        bundle, run = demo.submit("--param", f"lr={lr}", "--rounds", ROUNDS)
        demo.approve(bundle, executions=1)
        demo.train(run)
        runs.append(run)
    notebook = json.loads(demo.notebook.read_text())
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        for before, after in CHANGES.items():
            source = source.replace(before, after)
        cell["source"] = source
    demo.notebook.write_text(json.dumps(notebook, indent=1))
    demo.rehearse()
    waiting, _ = demo.submit("--param", "lr=0.25", "--rounds", ROUNDS)
    return Story(tuple(runs), waiting)


@contextmanager
def servers(demo, directory):
    """The researcher's JupyterLab, and one inside an enclave for its data controller."""
    controller_root = directory / "controller"
    controller_root.mkdir()
    hungary = demo.federation.enclaves[1].directory
    researcher = LabServer(directory / "lab", demo.notebook.parent, demo.federation.workbench)
    controller = LabServer(directory / "desk", controller_root, directory / "no-home", enclave=hungary)
    try:
        researcher.start()
        controller.start()
        yield researcher, controller
    finally:
        researcher.end()
        controller.end()


def show_panel(lab, story):
    lab.notebook("heart_disease.ipynb")
    lab.page.locator(".jp-FlipPanel .jp-FlipRow").first.click()
    lab.page.locator(".jp-FlipPanel .jp-FlipFacts").wait_for()


def show_cohort(lab, story):
    lab.command("flip:open-cohort", path="heart_disease.cohort.json")
    view = lab.page.locator(".jp-FlipCohort:visible")
    view.get_by_role("checkbox", name="age").check()
    view.get_by_role("button", name="Ask the Trusts").click()
    view.get_by_text("4 of 4 Trusts").wait_for()
    view.locator(".js-plotly-plot").first.wait_for()


def show_send(lab, story):
    lab.notebook("heart_disease.ipynb")
    lab.command("flip:send-notebook")
    lab.page.locator(".jp-FlipSend .jp-FlipDigest").wait_for()


def show_runs(lab, story):
    lab.command("flip:show-runs")
    lab.page.locator(".jp-FlipRuns tbody tr").first.wait_for()


def show_run(lab, story):
    lab.command("flip:open-run", run=story.runs[-1])
    lab.page.locator(".jp-FlipChart-plot .scatterlayer .trace").first.wait_for()


def show_compare(lab, story):
    lab.command("flip:compare-runs", runs=list(story.runs))
    lab.page.locator(".jp-FlipResults:visible .js-plotly-plot").first.wait_for()


def show_results(lab, story):
    lab.command("flip:open-results", run=story.runs[-1])
    lab.page.get_by_text("as the record names it").wait_for()


def show_desk(lab, story):
    lab.command("flip:show-desk")
    lab.page.locator(".jp-FlipDesk .jp-FlipTable tbody tr").first.wait_for()


def show_request(lab, story):
    lab.command("flip:open-request", bundle=story.waiting)
    lab.page.locator(".jp-FlipDesk:visible .jp-FlipBrief").wait_for()


def show_audit(lab, story):
    lab.command("flip:open-audit")
    lab.page.get_by_role("button", name="Verify").click()
    lab.page.get_by_text(re.compile("Whole and unchanged")).wait_for()


RESEARCHER = {
    "panel": show_panel,
    "cohort": show_cohort,
    "send": show_send,
    "runs": show_runs,
    "run": show_run,
    "compare": show_compare,
    "results": show_results,
}
CONTROLLER = {"desk": show_desk, "request": show_request, "audit": show_audit}


def take(browser, server, views, story, into: Path):
    for (width, height), (theme, full) in product(SIZES.items(), THEMES.items()):
        lab = LabPage(browser, server, width=width, height=height)
        lab.open()
        lab.theme(full)
        lab.command("flip:show-panel")
        for view, show in views.items():
            lab.page.evaluate("[...window.jupyterapp.shell.widgets('main')].forEach(widget => widget.dispose())")
            show(lab, story)
            lab.page.wait_for_timeout(1500)  # the last transitions of layout and charts
            save(lab, into / f"{view}-{theme}-{width}.png")
        lab.theme(LIGHT)
        lab.close()


def save(lab, path):
    picture = Image.open(io.BytesIO(lab.page.screenshot())).convert("RGB")
    picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


def main():
    with tempfile.TemporaryDirectory() as name, open_demo(Path(name)) as demo:
        story = happen(demo)
        with servers(demo, Path(name)) as (researcher, controller), chromium() as browser:
            IMAGES.mkdir(parents=True, exist_ok=True)
            take(browser, researcher, RESEARCHER, story, IMAGES)
            take(browser, controller, CONTROLLER, story, IMAGES)


if __name__ == "__main__":
    main()
