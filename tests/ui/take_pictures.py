"""``make pictures``: every view, light and dark, 1280 and 1920 wide, from a real run on the demo federation.

Writes docs/images/VIEW-THEME-WIDTH.png, each with at most 256 colours, so that the repository stays small.
"""

import io
import sys
import tempfile
from itertools import product
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab_page import DARK, LIGHT, LabPage, chromium
from lab_server import LabServer
from open_demo import ROOT, open_demo

IMAGES = ROOT / "docs" / "images"
SIZES = {1280: 800, 1920: 1080}
THEMES = {"light": LIGHT, "dark": DARK}
ROUNDS = "12"


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, open_demo(Path(name)) as demo, chromium() as browser:
        demo.rehearse()
        server = LabServer(Path(name) / "lab", demo.notebook.parent, demo.federation.workbench)
        server.start()
        try:
            for lr in ("0.1", "0.5"):
                bundle, run = demo.submit("--param", f"lr={lr}", "--rounds", ROUNDS)
                demo.approve(bundle, executions=1)
                demo.train(run)
            demo.submit("--param", "lr=1", "--rounds", ROUNDS)
            for (width, height), (theme, full) in product(SIZES.items(), THEMES.items()):
                lab = LabPage(browser, server, width=width, height=height)
                lab.open()
                lab.theme(full)
                for view, show in VIEWS.items():
                    show(lab, run)
                    lab.page.wait_for_timeout(1500)
                    save(lab, IMAGES / f"{view}-{theme}-{width}.png")
                lab.theme(LIGHT)
                lab.close()
        finally:
            server.end()


def show_panel(lab, run):
    lab.command("flip:show-panel")
    lab.page.locator(".jp-FlipRow").first.click()


def show_send(lab, run):
    lab.notebook("heart_disease.ipynb")
    lab.command("flip:send-notebook")
    lab.page.locator(".jp-FlipSend .jp-FlipDigest").wait_for()


def show_run(lab, run):
    lab.command("application:close-all")
    lab.command("flip:open-run", run=run)
    lab.page.locator(".jp-FlipChart-plot .scatterlayer .trace").first.wait_for()


def show_runs(lab, run):
    lab.command("flip:show-runs")
    lab.page.locator(".jp-FlipRuns tbody tr").first.wait_for()


VIEWS = {"panel": show_panel, "send": show_send, "run": show_run, "runs": show_runs}


def save(lab, path):
    picture = Image.open(io.BytesIO(lab.page.screenshot())).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
