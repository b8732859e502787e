"""Cohorts and plans as kinds of files: what opens them, what the editor says of them, what the file browser offers."""

import json

import pytest

pytestmark = pytest.mark.timeout(600)


def item(lab, name):
    return lab.page.locator(f".jp-DirListing-item[title*='Name: {name}']")


def test_a_cohort_opens_in_the_builder_and_a_broken_one_says_why(lab, demo):
    folder = demo.notebook.parent
    whole = (folder / "heart_disease.cohort.json").read_text()
    broken = whole.replace('"STANDARD_CONCEPT": "N",', '"STANDARD_CONCEPT": "N"', 1)
    line = broken[: broken.index('"STANDARD_CONCEPT": "N"\n')].count("\n") + 1
    (folder / "broken.cohort.json").write_text(broken)
    lab.command("filebrowser:refresh")
    item(lab, "broken.cohort.json").wait_for()  # which moves the others down
    item(lab, "heart_disease.cohort.json").dblclick()
    lab.page.locator(".jp-FlipCohort").get_by_role("heading", name="heart_disease").wait_for()
    item(lab, "broken.cohort.json").dblclick()
    door = lab.page.locator(".jp-FlipDoor:visible")
    door.get_by_text(f"This is not a cohort: line {line}, a comma is missing.").wait_for()
    door.get_by_role("button", name="Open as Text").click()
    lab.page.locator(".jp-FileEditor:visible .cm-lintRange-error").first.wait_for()
    (folder / "broken.cohort.json").unlink()


def test_a_plan_opens_in_the_editor_which_marks_what_is_wrong_and_completes_keys(lab, demo):
    plan = json.loads(demo.notebook.with_name("heart_disease.flip.json").read_text())
    wrong = demo.notebook.with_name("wrong.flip.json")
    wrong.write_text(json.dumps({"titel": "x", **plan}, indent=2))
    lab.command("filebrowser:refresh")
    item(lab, "wrong.flip.json").dblclick()
    editor = lab.page.locator(".jp-FileEditor:visible")
    editor.locator(".cm-lint-marker-error").first.wait_for(state="attached")
    editor.locator(".cm-line").nth(1).click()
    for key in ("Home", "Enter", "ArrowUp"):
        lab.page.keyboard.press(key)
    lab.page.keyboard.type('"mi')
    lab.page.locator(".cm-tooltip-autocomplete").get_by_text("minimum_trusts").wait_for()
    wrong.unlink()


def test_the_file_browser_offers_what_fits_a_file(lab):
    for name, offered in (
        ("heart_disease.cohort.json", ("Open in Cohort Builder", "Use Cohort in Notebook")),
        ("heart_disease.ipynb", ("Rehearse on Twin", "Send to Trusts…")),
    ):
        item(lab, name).click(button="right")
        for label in offered:
            lab.page.locator(".lm-Menu-itemLabel").get_by_text(label, exact=True).first.wait_for()
        lab.page.keyboard.press("Escape")
