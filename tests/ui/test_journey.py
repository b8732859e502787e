"""A researcher's way in the browser, on a real federation: panel, rehearsal, sending, approval, rounds, stop."""

import json
import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from enclave_federation import until
from lab_page import DARK, LIGHT
from playwright.sync_api import expect

from flipnb.demo import federation
from flipnb.workbench.runs import list_runs, view_run

pytestmark = pytest.mark.timeout(900)
"""Sandboxed kernels start and train behind these screens, at a busy machine's pace."""


def newest(demo):
    return list_runs(demo.home, "heart")[0]


def open_send(lab):
    lab.notebook("heart_disease.ipynb")
    lab.command("flip:send-notebook")
    lab.page.locator(".jp-FlipSend .jp-FlipIssues, .jp-FlipSend .jp-FlipIssue").first.wait_for()


def send(lab):
    """Sign and send as the form stands."""
    lab.page.locator(".jp-FlipSend .jp-FlipDigest code").wait_for()
    digest = lab.text(".jp-FlipSend .jp-FlipDigest code")
    lab.page.get_by_role("button", name=re.compile("^Sign and Send to")).click()
    dialog = lab.page.locator(".jp-Dialog")
    assert digest[:8] in dialog.inner_text()
    dialog.get_by_role("button", name="Sign and Send").click()
    return digest


def test_the_panel_shows_trusts_cohorts_and_runs_and_is_reached_by_keyboard(lab):
    lab.page.keyboard.press("Alt+Shift+F")
    panel = lab.page.locator(".jp-FlipPanel")
    for name in ("Cleveland", "Hungary", "Switzerland", "Long Beach VA"):
        panel.get_by_role("button", name=re.compile(f"^{name}, online")).wait_for()
    panel.get_by_role("button", name="heart_disease").wait_for()
    lab.see("No runs yet", ".jp-FlipPanel")
    panel.get_by_role("button", name=re.compile("^Cleveland")).focus()
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    lab.see("Own metrics leave", ".jp-FlipFacts")
    assert panel.locator(".jp-FlipRow[aria-expanded=true]").get_attribute("aria-label").startswith("Hungary, online")
    new = panel.get_by_role("button", name="New", exact=True)
    new.press("Enter")
    menu = lab.page.get_by_role("menu").filter(visible=True)
    menu.get_by_role("menuitem", name="New Cohort").wait_for()
    expect(menu.get_by_role("menuitem", name="New Study Notebook")).to_be_visible()
    lab.page.keyboard.press("Escape")
    expect(new).to_be_focused()
    commands = lab.page.evaluate("() => window.jupyterapp.commands.listCommands().filter(id => id.startsWith('flip:'))")
    undescribed = lab.page.evaluate(
        """async ids => { const c = window.jupyterapp.commands; const found = [];
        for (const id of ids) if (!c.label(id, {run: ''}) || !(await c.describedBy(id)).args) found.push(id);
        return found; }""",
        commands,
    )
    assert undescribed == []


def test_what_is_wrong_with_a_notebook_is_said_cell_by_cell_before_anything_is_sent(lab, demo):
    broken = demo.notebook.with_name("broken.ipynb")
    content = json.loads(demo.notebook.read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    code[1]["source"] = "import xgboost\n" + "".join(code[1]["source"])
    code[2]["source"] = 'data.train.frame().to_csv("/home/me/out.csv")'
    broken.write_text(json.dumps(content))
    plan = demo.notebook.with_name("heart_disease.flip.json")
    broken.with_name("broken.flip.json").write_text(json.dumps(json.loads(plan.read_text()) | {"title": "Broken"}))
    lab.notebook("broken.ipynb")
    lab.command("flip:check-notebook")
    issues = lab.page.locator(".jp-FlipSend .jp-FlipIssues")
    for title in ("Cleveland", "Hungary", "Switzerland", "Long Beach VA"):
        issues.get_by_text(f"Imports xgboost, which {title} lacks.").wait_for()
    assert issues.locator("[data-code=undeclared-file]").count() == 1
    assert issues.locator("[data-code=absolute-path]").count() == 1
    assert issues.locator("[data-code=not-rehearsed]").count() <= 1
    assert lab.page.get_by_role("button", name=re.compile("^Sign and Send")).is_disabled()
    issues.locator("[data-code=undeclared-file]").get_by_role("button", name="Go to Cell").click()
    active = lab.page.locator(".jp-Notebook .jp-mod-active .cm-content").first
    assert "to_csv" in active.inner_text()


def test_rehearse_send_approve_follow_and_clone(lab, demo):
    lab.command("flip:show-panel")
    lab.notebook("heart_disease.ipynb")
    lab.page.locator(".jp-NotebookPanel-toolbar").get_by_role("button", name="Rehearse").click()
    lab.page.get_by_text(re.compile("^Rehearsed on the twin in")).first.wait_for(timeout=150_000)
    open_send(lab)
    form = lab.page.locator(".jp-FlipSend")
    form.get_by_label("Rounds", exact=True).fill("3")
    form.get_by_label("lr").fill("200")
    lab.see("200 is outside 0.0001 to 10", ".jp-FlipSend")
    form.get_by_label("lr").fill("0.25")
    digest = send(lab)
    view = lab.page.locator(".jp-FlipRun")
    view.get_by_text("awaiting approval").first.wait_for()
    run = newest(demo)
    assert (run.bundle, run.point["lr"], run.rounds, len(run.trusts)) == (digest, 0.25, 3, 4)
    assert "1 waiting" in lab.text(".jp-FlipStatus")
    demo.approve(digest, executions=3)
    view.locator(".jp-FlipRun-state").get_by_text("succeeded").wait_for(timeout=240_000)
    # A run has succeeded a moment before the last Trust's own word of it arrives.
    expect(view.locator("td").get_by_text("finished")).to_have_count(4, timeout=60_000)
    view.locator(".jp-FlipChart-plot .scatterlayer .trace").first.wait_for()
    view.get_by_role("button", name="Table").first.click()
    assert view.locator(".jp-FlipChart table tbody tr").count() >= 3
    view.get_by_role("tab", name="Log").click()
    lab.see("Round 3 of 3", ".jp-FlipLog")
    view.get_by_role("tab", name="Bundle").click()
    lab.see("flip/bundle/1", ".jp-FlipRun .jp-FlipContents pre")
    view.get_by_role("button", name="Clone…").click()
    dialog = lab.page.locator(".jp-Dialog")
    dialog.get_by_label("local_steps").fill("2")
    dialog.get_by_role("button", name="Sign and Send").click()
    lab.page.locator(".jp-FlipRun:visible").get_by_text("local_steps 2").first.wait_for()
    clone = newest(demo)
    assert (clone.bundle, clone.point["local_steps"]) == (digest, 2)
    look_at_results(lab, demo, run.run, clone.run)


def look_at_results(lab, demo, finished, other):
    """The results of a run as files and numbers, and two runs side by side."""
    lab.command("flip:open-results", run=finished)
    results = lab.page.locator(".jp-FlipResults:visible")
    results.get_by_role("row", name=re.compile("weights.safetensors")).get_by_text("as the record names it").wait_for()
    assert results.get_by_text("kept inside").count() == 4, "two of four hospitals keep their own two numbers"
    file = demo.notebook.parent / "results" / finished / "weights.safetensors"
    assert file.is_file()
    results.get_by_role("button", name="Open as Notebook").click()
    lab.page.locator(".jp-NotebookPanel:visible").get_by_text("results.metrics()").wait_for()
    made = demo.notebook.with_name(f"heart_disease-results-{finished[:8]}.ipynb")
    assert nbformat.read(made, as_version=4).cells[1].source.startswith("import flipnb as flip")
    lab.command("flip:compare-runs", runs=[finished, other])
    compared = lab.page.locator(".jp-FlipResults:visible")
    compared.get_by_role("row", name=re.compile("^local_steps")).wait_for()
    assert compared.get_by_role("row", name=re.compile("^l2")).count() == 0, "only differences are shown"
    compared.get_by_label("Only differences").uncheck()
    compared.get_by_role("row", name=re.compile("^l2")).wait_for()


def saved_layout(server):
    """What JupyterLab has saved of its layout, which it does a moment after a change."""
    saved = server.get("lab/api/workspaces").json()["workspaces"]["values"]
    return json.dumps([workspace["data"].get("layout-restorer:data") for workspace in saved])


def test_a_run_outlives_the_server_is_found_again_after_a_reload_and_is_stopped(lab, server, demo):
    open_send(lab)
    send(lab)
    view = lab.page.locator(".jp-FlipRun")
    view.get_by_text("awaiting approval").first.wait_for()
    run = newest(demo).run
    until(lambda: run in saved_layout(server))
    server.end()
    server.start()
    lab.page.reload()
    view.get_by_text("awaiting approval").first.wait_for()
    lab.page.locator(".jp-FlipSend").wait_for(state="attached")
    view.get_by_role("button", name="Stop…").click()
    lab.see("Stop at all Trusts?", ".jp-Dialog")
    lab.page.locator(".jp-Dialog").get_by_role("button", name="Stop Run").click()
    view.locator(".jp-FlipRun-state").get_by_text("stopped").wait_for(timeout=120_000)
    assert view_run(demo.home, run).state == "stopped"
    lab.command("flip:show-runs")
    rows = lab.page.locator(".jp-FlipRuns tbody tr")
    rows.first.focus()
    lab.page.keyboard.press("End")
    assert rows.last.evaluate("row => row === document.activeElement")


def test_the_hub_away_is_said_with_the_time_and_comes_back_by_itself(lab, demo):
    lab.command("flip:show-panel")
    lab.page.locator(".jp-FlipPanel .jp-FlipRow").first.wait_for()
    federation.down(demo.federation.directory)
    lab.see("No contact with the hub since", ".jp-FlipPanel")
    lab.page.get_by_role("button", name="Try Now").click()
    assert lab.page.locator(".jp-FlipPanel .jp-FlipRow").count() >= 5, "what was known stays on the screen"
    lab.command("flip:open-cohort", path="heart_disease.cohort.json")
    ask = lab.page.locator(".jp-FlipCohort").get_by_role("button", name=re.compile("^Ask the Trusts"))
    expect(ask).to_be_disabled()
    expect(ask).to_have_attribute("title", re.compile(r"^Needs the hub, away since .+\.$"))
    federation.up(demo.federation.directory, attached=True)
    lab.page.locator(".jp-FlipPanel .jp-FlipBanner").wait_for(state="detached", timeout=120_000)


def test_no_view_has_a_serious_fault_of_accessibility(lab, demo):
    lab.command("flip:show-panel")
    lab.page.locator(".jp-FlipPanel .jp-FlipRow").first.click()
    run = newest(demo).run
    views = {
        ".jp-FlipPanel": lambda: None,
        ".jp-FlipRuns": lambda: lab.command("flip:show-runs"),
        ".jp-FlipRun": lambda: lab.command("flip:open-run", run=run),
        ".jp-FlipSend": lambda: open_send(lab),
    }
    for theme in (LIGHT, DARK):
        lab.theme(theme)
        for view, show in views.items():
            show()
            lab.page.locator(f"{view} :is(li, table)").first.wait_for()
            found = Axe().run(lab.page, context=view).response["violations"]
            assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == [], view
    lab.theme(LIGHT)
