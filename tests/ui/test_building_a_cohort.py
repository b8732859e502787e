"""A researcher defines a cohort in the browser and asks real Trusts; the file is ATLAS JSON that the compiler takes."""

from __future__ import annotations

import json
import shutil

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from enclave_federation import AUDIENCE
from lab_page import DARK, LabPage
from lab_server import LabServer

from flipnb.contracts.cohort import CohortExpression
from flipnb.demo.hospitals import CONCEPTS
from flipnb.link.key_files import save_key
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


def test_define_ask_save_and_reopen(server, page):
    view = page.page.locator(".jp-FlipCohort:visible")
    page.command("flip:new-cohort")
    view.get_by_role("button", name="Add Concept Set").click()
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
    view.get_by_role("textbox", name="Name of rule 1").fill("Born before 1970")
    view.get_by_role("button", name="Add Age or Sex").click()
    view.get_by_role("button", name="Add Rule").click()
    view.get_by_role("textbox", name="Name of rule 2").fill("High pressure")
    second = view.locator(".jp-FlipRule").nth(1)
    second.get_by_role("button", name="Add Records").click()
    second.get_by_role("combobox", name="Domain").select_option("Measurement")
    second.get_by_role("combobox", name="Value: compared how").select_option("gte")
    second.get_by_role("spinbutton", name="Value").fill("150")

    view.get_by_role("checkbox", name="rule by rule").check()
    view.get_by_role("checkbox", name="age").check()
    view.get_by_text("answers in 1 s").first.wait_for()
    ask = view.get_by_role("button", name="Ask the Trusts (5)")
    ask.click()
    view.get_by_text("0 s so far").wait_for()
    view.get_by_text("2 of 2 Trusts").wait_for()
    view.get_by_text("Attrition").wait_for()
    numbers = view.locator(".jp-FlipAnswers .jp-FlipTable").first.inner_text()
    assert "≈" in numbers or "<10" in numbers
    suppressed = view.locator(".jp-FlipAnswers td", has_text="<10")
    for index in range(suppressed.count()):
        assert "fewer than 10, or not answered in time" in suppressed.nth(index).inner_text()
    view.get_by_text("<10: fewer than 10, or not answered in time").first.wait_for()
    view.locator(".js-plotly-plot").first.wait_for()

    found = Axe().run(page.page, context=".jp-FlipCohort")
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == [], found.generate_report()

    view.get_by_role("checkbox", name="Rule 2 counts").uncheck()
    view.get_by_text("for an earlier definition").wait_for()
    view.get_by_role("button", name="Undo").click()
    view.get_by_text("counted").first.wait_for()
    view.get_by_role("checkbox", name="Rule 2 counts").uncheck()

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
    view.get_by_role("button", name="Remove Rule").first.click()
    page.command("flip:save-cohort")
    page.see("pressure.cohort.json was changed elsewhere")
    page.page.get_by_role("button", name="Keep Mine").click()
    view.get_by_text("saved", exact=True).wait_for()
    assert json.loads(file.read_text())["InclusionRules"] == []

    page.theme(DARK)
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
    rule.get_by_role("button", name="Add Text").press("Enter")
    rule.get_by_role("combobox", name="Concept set").select_option("0")
    rule.get_by_role("combobox", name="Asserted or negated").select_option("negated")
    rule.get_by_role("combobox", name="Present or past").select_option("past")
    rule.get_by_role("button", name="Add Image").press("Enter")
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

    view.get_by_role("checkbox", name="Rule 1 counts").uncheck()
    view.get_by_text("Missing values").click()
    search = view.get_by_role("combobox", name="Chart for how many people a concept is missing")
    search.fill("systolic pressure")
    view.locator(".jp-FlipSearch-option").first.wait_for()
    search.press("Enter")
    view.get_by_role("combobox", name="recorded as").wait_for()
    view.get_by_role("button", name="Ask the Trusts (3)").click()
    view.get_by_text("Recorded: ").first.wait_for()
    view.locator(".js-plotly-plot").first.wait_for()
    found = Axe().run(page.page, context=".jp-FlipCohort")
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == [], found.generate_report()
    assert page.errors == []


def test_what_no_compiler_supports_is_said_and_can_not_be_asked(server, page):
    (server.root / "strange.cohort.json").write_text(
        json.dumps({"PrimaryCriteria": {"CriteriaList": [{"ConditionOccurrence": {"Wizardry": True}}]}})
    )
    page.command("flip:open-cohort", path="strange.cohort.json")
    view = page.page.locator(".jp-FlipCohort:visible")
    view.get_by_text("Wizardry").first.wait_for()
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
    widget.get_by_text("counts left at").wait_for()
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
    assert rule.input_value() == "Men" and days.input_value() == "0"
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
    widget.get_by_role("button", name="Ask the Trusts (3)").click()
    widget.get_by_text("2 of 2 Trusts").wait_for()
    numbers = widget.locator(".jp-FlipAnswers .jp-FlipTable").first.inner_text()
    assert "≈" in numbers or "<10" in numbers
    found = Axe().run(page.page, context=".jp-FlipWidget")
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == [], found.generate_report()
    assert page.errors == []
