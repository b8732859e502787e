"""A researcher defines a cohort in the browser and asks real Trusts; the file is ATLAS JSON that the compiler takes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from enclave_federation import AUDIENCE
from lab_page import DARK, LabPage
from lab_server import LabServer
from public_data import PHENOTYPES
from small_estate import aged, group, has, ruled

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.meaning import meaning
from flipnb.demo.hospitals import CONCEPTS
from flipnb.link.key_files import save_key
from flipnb.workbench import counting
from flipnb.workbench.home import Home
from flipnb.workbench.studies import roster_path


@pytest.fixture(scope="module")
def home(federation, tmp_path_factory):
    """The researcher's home, with the roster and a vocabulary."""
    directory = tmp_path_factory.mktemp("home")
    configuration = {
        "hub": federation.url,
        "audience": AUDIENCE,
        "ca": str(federation.ca),
        "name": "Test researcher",
        "environment": {"name": "test", "lock": "0" * 64},
    }
    (directory / "config.json").write_text(json.dumps(configuration))
    save_key(federation.study.researcher, directory / "keys" / "researcher.pem")
    home = Home(directory)
    kept = roster_path(home, federation.study.roster.study)
    kept.parent.mkdir()
    kept.write_bytes(federation.study.roster_envelope())
    (directory / "vocabulary").mkdir()
    shutil.copy(CONCEPTS, directory / "vocabulary" / "CONCEPT.csv")
    return home


@pytest.fixture(scope="module")
def server(home, tmp_path_factory):
    server = LabServer(tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("root"), home.directory)
    server.start()
    yield server
    server.end()


@pytest.fixture
def page(browser, server):
    lab = LabPage(browser, server, width=1500, height=900)
    yield lab.open()
    lab.close()


def menu(view, button, item):
    """Choose from one of the builder's menus, by the keyboard alone."""
    button.press("Enter")
    entry = view.get_by_role("menuitem", name=item, exact=True)
    entry.wait_for()
    entry.press("Enter")


def focused(page):
    """What a screen reader calls the field that has the focus."""
    return page.page.evaluate("document.activeElement.getAttribute('aria-label')")


def serious(page, context):
    found = Axe().run(page.page, context=context)
    return [violation for violation in found.response["violations"] if violation["impact"] in ("serious", "critical")]


def budgets(home):
    """What is left at each Trust, by its own word."""
    answers = counting.count(home, "heart", has([1]), people=False)
    return {answer.trust.name: answer.reply.budget.left for answer in answers}


def test_define_ask_save_and_reopen(server, page, home):
    view = page.page.locator(".jp-FlipCohort:visible")
    page.command("flip:new-cohort")
    view.get_by_role("button", name="Add Concept Set").click()
    assert focused(page) == "Name of the concept set"
    search = view.get_by_role("combobox", name="Add a concept to")
    search.fill("systolic pressure")
    view.get_by_role("option").first.wait_for()
    search.press("Enter")
    view.get_by_text("2000000101").wait_for()
    with page.page.expect_response(lambda answer: "3004249" in answer.url):
        search.fill("3004249")
    search.press("Enter")
    view.get_by_text("Concept 3004249").wait_for()

    view.get_by_role("combobox", name="Domain").first.select_option("Measurement")
    view.get_by_role("combobox", name="Concept set").first.select_option("0")
    view.get_by_role("button", name="Add Rule").click()
    assert focused(page) == "Name of rule 1"
    view.get_by_role("textbox", name="Name of rule 1").fill("Born before 1970")
    first, second = view.locator(".jp-FlipRule").nth(0), view.locator(".jp-FlipRule").nth(1)
    menu(view, first.get_by_role("button", name="Add to this group"), "Age or Sex")
    assert focused(page) == "Age: compared how"
    view.get_by_role("button", name="Add Rule").click()
    view.get_by_role("textbox", name="Name of rule 2").fill("High pressure")
    menu(view, second.get_by_role("button", name="Add to this group"), "Records")
    second.get_by_role("combobox", name="Domain").select_option("Measurement")
    second.get_by_role("combobox", name="Value: compared how").select_option("gte")
    second.get_by_role("spinbutton", name="Value").fill("150")

    before = budgets(home)
    view.get_by_role("button", name="Ask the Trusts, 1 count").wait_for()
    view.get_by_role("checkbox", name="step by step").check()
    view.get_by_role("checkbox", name="age").check()
    view.get_by_text("answers in 1 s").first.wait_for()
    view.get_by_role("button", name="Ask the Trusts, 5 counts").click()
    view.get_by_text("0 s so far").wait_for()
    view.get_by_text("2 of 2 Trusts").wait_for()
    view.get_by_text("Who stays").first.wait_for()
    free = view.get_by_role("button", name="Ask the Trusts, free")
    free.wait_for()
    after = budgets(home)
    assert {name: left - after[name] for name, left in before.items()} == dict.fromkeys(before, 5)
    free.click()
    view.get_by_text("0 s so far").wait_for()
    free.wait_for()
    assert budgets(home) == after
    view.get_by_role("checkbox", name="step by step").uncheck()
    free.wait_for()
    view.get_by_role("checkbox", name="sex").check()
    view.get_by_role("button", name="Ask the Trusts, 2 counts").wait_for()

    numbers = view.locator(".jp-FlipAnswers .jp-FlipTable").first.inner_text()
    assert "≈" in numbers or "<10" in numbers
    suppressed = view.locator(".jp-FlipAnswers td", has_text="<10")
    for index in range(suppressed.count()):
        assert "fewer than 10, or not answered in time" in suppressed.nth(index).text_content()
    assert (view.locator(".jp-FlipBar.jp-mod-suppressed").count() > 0) == ("<10" in numbers)
    view.locator(".js-plotly-plot").first.wait_for()

    # The headline is the last step, and the number at the end of the last rule's line.
    headline = re.search(r"n ≈ ((\d|,\d)+)", view.locator(".jp-FlipAnswers").inner_text())
    last = view.locator(".jp-FlipSteps").inner_text().split()[-1]
    assert headline is None or headline[1] == last
    line = view.locator(".jp-FlipRule .jp-FlipLine-number [aria-hidden]").last.inner_text()
    assert headline is None or line == f"≈ {last}"
    assert serious(page, ".jp-FlipCohort") == []

    switch = view.get_by_role("switch", name="Rule 2 counts")
    switch.press("Space")
    view.get_by_text("before your changes").wait_for()
    page.page.get_by_role("button", name="Undo").click()
    view.get_by_text("asked").first.wait_for()
    switch.press("Alt+ArrowUp")
    assert view.get_by_role("textbox", name="Name of rule 1").input_value() == "High pressure"
    page.page.keyboard.press("Alt+ArrowDown")
    assert view.get_by_role("textbox", name="Name of rule 2").input_value() == "High pressure"
    switch.press("Space")

    page.command("flip:save-cohort")
    page.page.get_by_role("textbox", name="The name of the file").fill("pressure")
    page.page.get_by_role("button", name="Save", exact=True).click()
    file = server.root / "pressure.cohort.json"
    view.get_by_text("saved", exact=True).wait_for()
    expression = json.loads(file.read_text())
    parsed = CohortExpression.parse(expression)
    assert [rule.name for rule in parsed.inclusion_rules] == ["Born before 1970"]
    assert [item.concept.concept_id for item in parsed.concept_sets[0].expression.items] == [2000000101, 3004249]

    file.write_text(json.dumps({**expression, "Title": "changed by somebody else"}))
    view.get_by_role("switch", name="Rule 1 counts").press("Delete")
    page.command("flip:save-cohort")
    page.see("pressure.cohort.json was changed elsewhere")
    page.page.get_by_role("button", name="Keep Mine").click()
    view.get_by_text("saved", exact=True).wait_for()
    assert json.loads(file.read_text())["InclusionRules"] == []

    page.theme(DARK)
    assert serious(page, ".jp-FlipCohort") == []
    assert page.errors == []


def test_counts_come_back_with_their_cohort_and_dim_when_it_is_edited(server, browser):
    (server.root / "again.cohort.json").write_text(json.dumps(ruled(has([1]), group(aged("gte", 30)))))
    page = LabPage(browser, server).open()
    page.command("flip:open-cohort", path="again.cohort.json")
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_role("button", name="Ask the Trusts, 1 count").click()
    view.get_by_text("2 of 2 Trusts").wait_for()
    told = view.locator(".jp-FlipAnswers [role=status] strong").inner_text()
    page.close()
    for kept in server.log.parent.rglob("workspaces/*"):
        assert '"suppressed"' not in kept.read_text()  # counts are no part of a workspace

    page = LabPage(browser, server).open()
    page.command("flip:open-cohort", path="again.cohort.json")
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_text("asked ").first.wait_for()
    assert view.locator(".jp-FlipAnswers [role=status] strong").inner_text() == told
    view.get_by_role("button", name="Ask the Trusts, free").wait_for()
    view.get_by_role("switch", name="Rule 1 counts").press("Space")
    view.get_by_text("before your changes").wait_for()
    assert page.errors == []
    page.close()


WHOLE = {
    "ConceptSets": [
        {"id": 0, "name": "Pressure", "expression": {"items": [{"concept": {"CONCEPT_ID": 2000000101}}]}},
        {"id": 1, "name": "Metformin", "expression": {"items": [{"concept": {"CONCEPT_ID": 8588}}]}},
    ],
    "PrimaryCriteria": {
        "CriteriaList": [{"Measurement": {"CodesetId": 0}}],
        "ObservationWindow": {"PriorDays": 365, "PostDays": 30},
        "PrimaryCriteriaLimit": {"Type": "First"},
    },
    "InclusionRules": [
        {
            "name": "odd",
            "expression": {
                "Type": "ANY",
                "Groups": [
                    {"Type": "ALL"},
                    {
                        "Type": "ALL",
                        "CriteriaList": [
                            {
                                "Criteria": {
                                    "Measurement": {
                                        "CodesetId": 0,
                                        "ValueAsConcept": [{"CONCEPT_ID": 9191, "CONCEPT_NAME": "<b>Positive</b>"}],
                                    }
                                },
                                "StartWindow": {"Start": {"Days": 30, "Coeff": -1}, "End": {"Days": 0, "Coeff": 1}},
                                "Occurrence": {"Type": 2, "Count": 1},
                            }
                        ],
                    },
                ],
            },
        }
    ],
    "EndStrategy": {"DateOffset": {"DateField": "EndDate", "Offset": 730}},
    "CensoringCriteria": [{"Death": {}}],
    "CensorWindow": {"StartDate": "2015-01-01"},
    "CollapseSettings": {"CollapseType": "ERA", "EraPad": 30},
}


def test_exits_censoring_dates_and_eras_of_a_file_are_seen_and_edited_and_the_rest_is_named(server, browser):
    file = server.root / "whole.cohort.json"
    file.write_text(json.dumps(WHOLE))
    page = LabPage(browser, server).open()
    page.command("flip:open-cohort", path=file.name)
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_text("730 days after the end of what they entered on, at once on death").wait_for()
    view.get_by_text("from 2015-01-01; periods at most 30 days apart are joined").wait_for()
    enter = view.get_by_text("365 days observed before, 30 days observed after")
    box = enter.bounding_box()
    assert box["y"] + box["height"] < 800  # seen without scrolling, at 1280 by 800
    assert view.locator(".jp-FlipRule details[open], .jp-FlipSets details[open]").count() == 0
    view.get_by_text("1 part of this file can’t be edited here.").wait_for()
    view.get_by_role("button", name="Show").click()
    view.get_by_text("Keep, rule 1, group 2, line 1").wait_for()
    assert view.locator(".jp-FlipRemainder dd").inner_text() == "value as concept: <b>Positive</b>"
    assert serious(page, ".jp-FlipCohort") == []

    # In half of a window nothing is cut: every line of an open rule breaks instead.
    view.locator(".jp-FlipRule summary").press("Enter")
    page.page.set_viewport_size({"width": 800, "height": 800})
    fits = "node => node.scrollWidth <= node.clientWidth"
    assert view.evaluate(fits)
    page.page.set_viewport_size({"width": 1280, "height": 800})
    assert view.evaluate(fits)

    view.get_by_role("spinbutton", name="Days until people leave").fill("365")
    menu(view, view.get_by_role("button", name="Add what people leave on at once"), "Records")
    assert focused(page) == "Domain"
    view.get_by_role("combobox", name="Domain").last.select_option("DrugExposure")
    view.locator("summary", has_text="Dates and eras").press("Enter")
    view.get_by_label("Last day").fill("2020-12-31")
    view.get_by_role("spinbutton", name="Days between periods that are joined").fill("7")
    page.command("flip:save-cohort")
    view.get_by_text("saved", exact=True).wait_for()
    assert json.loads(file.read_text()) == WHOLE | {
        "EndStrategy": {"DateOffset": {"DateField": "EndDate", "Offset": 365}},
        "CensoringCriteria": [{"Death": {}}, {"DrugExposure": {}}],
        "CensorWindow": {"StartDate": "2015-01-01", "EndDate": "2020-12-31"},
        "CollapseSettings": {"CollapseType": "ERA", "EraPad": 7},
    }

    view.get_by_role("radio", name="when exposure ends").check()
    view.get_by_role("combobox", name="Drugs of the exposure").select_option("1")
    view.get_by_role("combobox", name="Days of supply").select_option("days")
    view.get_by_role("spinbutton", name="Days of each supply").fill("28")
    page.command("flip:save-cohort")
    view.get_by_text("saved", exact=True).wait_for()
    era = {"DrugCodesetId": 1, "GapDays": 30, "Offset": 0, "DaysSupplyOverride": 28}
    assert json.loads(file.read_text())["EndStrategy"] == {"CustomEra": era}
    view.get_by_role("radio", name="when observation ends").check()
    page.command("flip:save-cohort")
    view.get_by_text("saved", exact=True).wait_for()
    assert "EndStrategy" not in json.loads(file.read_text())
    view.get_by_text("when observation ends, at once on").wait_for()
    assert page.errors == []
    page.close()


def test_each_ohdsi_definition_is_equal_in_meaning_when_it_is_saved_unedited(server, page):
    """Opened in the builder, changed and changed back, saved: 59 definitions that people made."""
    definitions = sorted(PHENOTYPES.directory().glob("*.json"))
    assert len(definitions) == 59
    for definition in definitions:
        read = json.loads(definition.read_text())
        expression = read.get("expression", read)
        file = server.root / f"phenotype-{definition.stem}.cohort.json"
        file.write_text(json.dumps(expression))
        page.command("flip:open-cohort", path=file.name)
        view = page.page.locator(".jp-FlipCohort:visible")
        view.get_by_role("heading", name=f"phenotype-{definition.stem}", exact=True).wait_for()
        view.get_by_role("button", name="Add Rule").click()
        view.get_by_role("button", name="Remove Rule").last.click()
        with page.page.expect_download() as download:
            page.command("flip:export-cohort")
        saved = json.loads(Path(download.value.path()).read_text())
        assert meaning(CohortExpression.parse(saved)) == meaning(CohortExpression.parse(expression)), definition.name
        page.command("application:close")
        view.wait_for(state="detached")
    assert page.errors == []


def test_texts_images_and_missing_values(server, page):
    (server.root / "images.cohort.json").write_text(
        json.dumps(
            {
                "ConceptSets": [
                    {"id": 0, "name": "Pressure", "expression": {"items": [{"concept": {"CONCEPT_ID": 2000000101}}]}},
                    {"id": 1, "name": "Millimetre", "expression": {"items": [{"concept": {"CONCEPT_ID": 8588}}]}},
                ],
                "PrimaryCriteria": {"CriteriaList": [{"Measurement": {"CodesetId": 0}}]},
            }
        )
    )
    page.command("flip:open-cohort", path="images.cohort.json")
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_role("button", name="Add Rule").click()
    rule = view.locator(".jp-FlipRule")
    add = rule.get_by_role("button", name="Add to this group")
    menu(view, add, "Text")
    rule.get_by_role("combobox", name="Concept set").select_option("0")
    rule.get_by_role("combobox", name="Asserted or negated").select_option("negated")
    rule.get_by_role("combobox", name="Present or past").select_option("past")
    menu(view, add, "Image")
    rule.get_by_role("combobox", name="Modality").select_option("0")
    rule.get_by_role("button", name="Add Feature").press("Enter")
    rule.get_by_role("combobox", name="Feature 1").select_option("0")
    rule.get_by_role("combobox", name="Value: compared how").select_option("lte")
    rule.get_by_role("spinbutton", name="Value").fill("3")
    rule.get_by_role("combobox", name="Unit").select_option("1")

    page.command("flip:export-cohort")
    page.see("ATLAS will refuse this definition")
    page.page.get_by_role("button", name="Cancel").click()
    page.command("flip:save-cohort")
    view.get_by_text("saved", exact=True).wait_for()
    expression = json.loads((server.root / "images.cohort.json").read_text())
    assert CohortExpression.parse(expression).beyond_atlas == ("FlipImage", "FlipText")
    assert [one["Criteria"] for one in expression["InclusionRules"][0]["expression"]["CriteriaList"]] == [
        {"FlipText": {"TermExists": "N", "CodesetId": 0, "TermTemporal": "past"}},
        {"FlipImage": {"CodesetId": 0, "Features": [
            {"CodesetId": 0, "ValueAsNumber": {"Value": 3, "Op": "lte"}, "UnitCS": {"CodesetId": 1}}]}},
    ]  # fmt: skip

    view.get_by_role("switch", name="Rule 1 counts").press("Space")
    view.get_by_text("Missing values").click()
    search = view.get_by_role("combobox", name="Chart for how many people a concept is missing")
    search.fill("systolic pressure")
    view.locator(".jp-FlipSearch-option").first.wait_for()
    search.press("Enter")
    view.get_by_role("combobox", name="recorded as").wait_for()
    view.get_by_role("button", name="Ask the Trusts, 3 counts").click()
    view.get_by_text("Recorded: ").first.wait_for()
    view.locator(".js-plotly-plot").first.wait_for()
    assert serious(page, ".jp-FlipCohort") == []
    assert page.errors == []


def test_what_no_compiler_supports_is_said_and_can_not_be_asked(server, page):
    (server.root / "strange.cohort.json").write_text(
        json.dumps({"PrimaryCriteria": {"CriteriaList": [{"ConditionOccurrence": {"Wizardry": True}}]}})
    )
    page.command("flip:open-cohort", path="strange.cohort.json")
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_text("Wizardry").first.wait_for()
    view.get_by_text("1 part of this file can’t be edited here.").wait_for()
    assert view.get_by_role("button", name="Ask the Trusts").is_disabled()


CELLS = (
    "import flipnb as flip\n"
    "from flipnb import cohorts as build\n"
    "adults = build.enter(build.observation_period()).require('Adults', build.age(at_least=18))\n"
    "cohort = flip.cohort(adults)\n"
    "cohort",
    "print([rule['name'] for rule in cohort.expression['InclusionRules']], cohort.revision)",
    "cohort.define(adults.require('Women', build.sex('female')))",
)


def test_in_a_notebook_the_python_object_and_the_screen_stay_in_step(server, page):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), server.root / "cohorts.ipynb")
    page.notebook("cohorts.ipynb")
    page.kernel()
    page.run_cell(0)
    widget = page.page.locator(".jp-OutputArea .jp-FlipWidget")
    widget.get_by_text("in step with Python, revision 1").wait_for()
    widget.get_by_role("button", name="Ask the Trusts, 1 count").wait_for()
    rule = widget.get_by_role("textbox", name="Name of rule 2")

    widget.get_by_role("button", name="Add Rule").click()
    rule.fill("Mine")
    widget.get_by_text("in step with Python, revision 2").wait_for()
    page.run_cell(1)
    page.see("['Adults', 'Mine'] 2")

    page.run_cell(2)
    widget.get_by_text("in step with Python, revision 3").wait_for()
    assert rule.input_value() == "Women"

    days = widget.get_by_role("spinbutton", name="Days of observation before")
    days.fill("-1")
    widget.get_by_text("PriorDays: Input should be greater").wait_for()
    widget.get_by_text("not in Python yet").wait_for()
    widget.get_by_role("button", name="Remove Rule").last.click()
    page.run_cell(1)
    page.see("['Adults', 'Women'] 3")
    page.page.locator(".jp-CodeCell .cm-content").nth(2).fill("cohort.define(adults.require('Men', build.sex('male')))")
    page.run_cell(2)
    widget.get_by_text("Changed in cell 5: Reload Keep Mine").wait_for()
    assert days.input_value() == "-1"
    widget.get_by_role("button", name="Reload").click()
    widget.get_by_text("in step with Python, revision 4").wait_for()
    assert widget.locator(".jp-FlipRule summary").nth(1).inner_text() == "Men" and days.input_value() == "0"
    widget.get_by_role("button", name="Undo").click()
    days.fill("1")
    widget.get_by_text("in step with Python, revision 5").wait_for()
    page.run_cell(1)
    page.see("['Adults'] 5")

    widget.get_by_role("button", name="Add Concept Set").click()
    search = widget.get_by_role("combobox", name="Add a concept to")
    search.fill("systolic pressure")
    widget.get_by_role("option").first.wait_for()
    search.press("Enter")
    widget.get_by_text("2000000101").wait_for()
    widget.get_by_role("checkbox", name="sex").check()
    widget.get_by_role("button", name="Ask the Trusts, 3 counts").click()
    widget.get_by_text("2 of 2 Trusts").wait_for()
    numbers = widget.locator(".jp-FlipAnswers .jp-FlipTable").first.inner_text()
    assert "≈" in numbers or "<10" in numbers
    assert serious(page, ".jp-FlipWidget") == []
    assert page.errors == []
