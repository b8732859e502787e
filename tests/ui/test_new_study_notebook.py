"""New Study Notebook: its files, its rehearsal, what Send says of them; and a plan for a notebook without one."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(600)


def open_page(lab):
    lab.command("flip:new-study-notebook")
    page = lab.page.locator(".jp-FlipNewNotebook:visible")
    page.get_by_role("radio", name=re.compile("^Table, survival")).wait_for()
    return page


def test_a_new_notebook_is_made_by_keyboard_rehearses_and_has_no_problem_at_send(lab, demo):
    page = open_page(lab)
    expect(page.get_by_role("textbox", name="Name")).to_be_focused()
    page.get_by_text("numpy, at 4 of 4 Trusts").or_(page.get_by_text("torch, at 4 of 4 Trusts")).wait_for()
    page.get_by_role("radio", name=re.compile("^Totals only")).check()
    page.get_by_role("textbox", name="Name").fill("my_totals")
    page.get_by_text("my_totals.ipynb, .flip.json, .cohort.json").wait_for()
    found = Axe().run(lab.page, context=".jp-FlipNewNotebook")
    assert [violation["id"] for violation in found.response["violations"]] == []
    lab.page.keyboard.press("Tab")
    page.get_by_role("textbox", name="Name").press("Enter")
    line = lab.page.locator(".jp-FlipRehearsal")
    line.get_by_text(re.compile(r"^Rehearsed on the twin in \d+ s: mean ")).wait_for(timeout=150_000)
    assert page.count() == 0, "the page has done its work"
    line.get_by_role("button", name="Send").click()
    lab.see("0 problems, 0 warnings", ".jp-FlipSend")
    line.get_by_role("button", name="Open Executed Notebook").click()
    lab.page.locator(".jp-NotebookPanel:visible .jp-OutputArea-output").first.wait_for()
    made = demo.notebook.parent
    assert {path.name for path in made.glob("my_totals.*")} == {
        "my_totals.ipynb", "my_totals.flip.json", "my_totals.cohort.json", "my_totals.rehearsed.ipynb",
    }  # fmt: skip


def test_where_the_name_is_taken_nothing_is_written_and_it_is_said(lab, demo):
    before = demo.notebook.read_bytes()
    page = open_page(lab)
    expect(page.get_by_role("button", name="Make and Rehearse")).to_be_disabled()
    page.get_by_role("textbox", name="Name").fill("no name")
    page.get_by_text("A name has letters, digits, - and _.").wait_for()
    page.get_by_role("textbox", name="Name").fill("heart_disease")
    page.get_by_role("button", name="Make and Rehearse").click()
    page.get_by_role("alert").get_by_text("heart_disease.ipynb").wait_for()
    assert demo.notebook.read_bytes() == before


def test_send_offers_a_plan_to_a_notebook_that_has_none(lab, demo):
    notebook = demo.notebook.with_name("without_plan.ipynb")
    content = json.loads(demo.notebook.read_text())
    notebook.write_text(json.dumps(content))
    lab.notebook("without_plan.ipynb")
    lab.command("flip:send-notebook")
    lab.page.locator(".jp-FlipIssue[data-code=no-plan]").get_by_role("button", name="Make a Plan").click()
    lab.page.locator(".jp-FlipIssue[data-code=no-plan]").wait_for(state="detached")
    assert json.loads(notebook.with_name("without_plan.flip.json").read_text())["cohort"] == "without_plan.cohort.json"
