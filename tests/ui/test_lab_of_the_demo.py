"""What `make lab` and `make desk` open: the tour on copies, a desk of its own, and a Lab that asks nobody outside."""

import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_page import PATIENCE

from flipnb.demo.lab import desk_lab, find_enclave, researcher_lab
from flipnb.demo.notebook_copies import copy_notebooks

pytestmark = pytest.mark.timeout(600)

QUIET = ["--no-browser", "--LabApp.expose_app_in_browser=True"]
HERE = re.compile(r"(https?|ws)://(127\.0\.0\.1|localhost)[:/]|(blob|data):")
ASKS_OUTSIDE = re.compile(r"/lab/api/(news|update|extensions)\b")


@contextmanager
def window(browser, address):
    """A page, and the addresses that it asks for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    yield page, asked
    context.close()


def test_lab_opens_the_tour_asks_nobody_outside_and_a_desk_beside_it_is_a_desk(demo, browser, tmp_path):
    copied = copy_notebooks(Path(__file__).parents[2] / "notebooks", tmp_path / "notebooks")
    enclave = find_enclave(demo.federation, "hungary")
    with (
        researcher_lab(demo.federation, copied.folder, QUIET) as lab,
        desk_lab(demo.federation, enclave, QUIET) as desk,
    ):
        with window(browser, lab.address) as (page, asked):
            page.locator(".jp-Notebook h1").get_by_text("A tour of FLIP").wait_for()
            page.evaluate("() => { void window.jupyterapp.commands.execute('flip:show-panel'); }")
            page.locator(".jp-FlipPanel").get_by_role("button", name=re.compile("^Hungary, online")).wait_for()
            page.wait_for_function("() => window.jupyterapp.restored.then(() => true)")
            assert [url for url in asked if not HERE.match(url)] == []
            assert [url for url in asked if ASKS_OUTSIDE.search(url)] == []
            plugins = page.evaluate("() => window.jupyterapp.listPlugins()")
            assert "@jupyterlab/apputils-extension:announcements" not in plugins
        with window(browser, desk.address) as (page, asked):
            page.locator(".jp-FlipDesk").get_by_role("heading", name="Desk at Hungary").wait_for()
            assert page.locator(".jp-NotebookPanel").count() == 0, "the researcher's workspace is not restored here"
            page.evaluate("() => { void window.jupyterapp.commands.execute('flip:show-panel'); }")
            page.locator(".jp-FlipPanel").get_by_text("Desk").first.wait_for()
            assert page.locator(".jp-FlipPanel").get_by_text("heart_disease").count() == 0
            assert [url for url in asked if not HERE.match(url)] == []
