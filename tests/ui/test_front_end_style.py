"""What no linter of the front end looks at (`make lint` runs those)."""

from pathlib import Path

from flipnb.workbench.widgets import STATIC

SOURCE = Path(__file__).parents[2] / "labextension"


def test_the_cohort_builders_module_is_whole_and_names_no_other_address():
    module = (STATIC / "cohort.js").read_text()
    assert "export{" in module and "import(" not in module
    assert "https://cdn" not in module and "unpkg" not in module


def test_the_style_sheet_names_no_colour_of_its_own():
    for sheet in (SOURCE / "style").glob("*.css"):
        text = sheet.read_text()
        assert "#" not in text, f"{sheet.name} has a colour that is no theme variable"
        assert "rgb(" not in text and "hsl(" not in text
