"""The same way in Notebook 7, whose main area holds one document alone: buttons, panel, rehearsal, sending."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from lab_page import LabPage
from lab_server import LabServer

from flipnb.workbench.runs import list_runs

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server(demo, tmp_path_factory):
    server = LabServer(
        tmp_path_factory.mktemp("notebook"),
        demo.notebook.parent,
        demo.federation.workbench,
        application="notebook",
    )
    server.start()
    yield server
    server.end()


@pytest.fixture
def window(browser, server):
    """A fresh window on the notebook; whatever the page logs as an error fails the test."""
    page = LabPage(browser, server)
    page.open("notebooks/heart_disease.ipynb")
    page.kernel()
    yield page
    errors = page.errors + page.console
    page.close()
    assert errors == []


def test_every_plugin_is_active(window):
    plugins = ["workbench", "panel", "cohort", "desk", "notebook", "runs", "results", "presence"]
    assert window.page.evaluate("() => window.jupyterapp.name") == "Jupyter Notebook"
    active = window.page.evaluate(
        "names => names.filter(name => window.jupyterapp.isPluginActivated(`flipnb:${name}`))", plugins
    )
    assert active == plugins


def test_the_panel_opens_from_the_view_menu_and_by_keyboard(window):
    panel = window.page.locator(".jp-FlipPanel")
    window.page.get_by_role("menuitem", name="View", exact=True).click()
    items = window.page.locator(".lm-Menu-item")
    items.filter(has_text="Left Sidebar").click()
    items.filter(has_text="Show FLIP: Trusts, cohorts and runs").click()
    for name in ("Cleveland", "Hungary", "Switzerland", "Long Beach VA"):
        panel.get_by_role("button", name=re.compile(f"^{name}, online")).wait_for()
    window.page.locator("#jp-left-stack").get_by_role("button", name=re.compile("^Collapse")).click()
    panel.wait_for(state="hidden")
    window.page.keyboard.press("Alt+Shift+F")
    panel.get_by_role("button", name=re.compile("^Cleveland, online")).wait_for()


def test_rehearse_and_send_from_the_toolbar(window, demo):
    toolbar = window.page.locator(".jp-NotebookPanel-toolbar")
    toolbar.get_by_role("button", name="Rehearse").click()
    window.page.get_by_text(re.compile("^Rehearsed on the twin in")).first.wait_for(timeout=150_000)
    toolbar.get_by_role("button", name="Send").click()
    right = window.page.locator("#jp-right-stack")
    form = right.locator(".jp-FlipSend")
    form.get_by_label("lr").fill("0.125")
    form.locator(".jp-FlipDigest code").wait_for()
    assert window.page.locator(".jp-NotebookPanel").is_visible(), "the form is beside the notebook"
    found = Axe().run(window.page, context=".jp-FlipSend").response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
    form.get_by_role("button", name=re.compile("^Sign and Send to")).click()
    window.page.locator(".jp-Dialog").get_by_role("button", name="Sign and Send").click()
    run = right.locator(".jp-FlipRun")
    run.get_by_text("awaiting approval").first.wait_for()
    assert run.evaluate("node => node.scrollWidth <= node.clientWidth"), "nothing is cut off beside the notebook"
    assert list_runs(demo.home, "heart")[0].point["lr"] == 0.125
    run.get_by_role("button", name="Stop…").click()
    window.page.locator(".jp-Dialog").get_by_role("button", name="Stop Run").click()
    run.locator(".jp-FlipRun-state").get_by_text("stopped").wait_for(timeout=120_000)
    toolbar.get_by_role("button", name="Send").click()
    form.get_by_text("Sent to 4 Trusts").wait_for()
