"""The tutorials, run in order by a real kernel: the tour by itself, the others on the demo federation."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    for file in (ROOT / "notebooks").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    return folder


def run(folder, name, monkeypatch, home):
    """Execute every cell; an error in one of them is the test's. Returns the texts of all outputs."""
    monkeypatch.setenv("FLIP_HOME", str(home))
    notebook = nbformat.read(folder / name, as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(str(output.get("text", "")) + str(output.get("data", {})) for output in outputs)


@pytest.mark.timeout(600)
def test_the_tour_needs_no_federation(folder, monkeypatch, tmp_path):
    said = run(folder, "00_tour.ipynb", monkeypatch, tmp_path)
    assert "twin-1" in said
    assert "twin-2" in said
    assert "application/vnd.plotly.v1+json" in said


@pytest.mark.timeout(1200)
def test_the_tutorials_run_in_order(folder, monkeypatch, demo):
    home = demo.federation.workbench
    said = run(folder, "01_cohorts.ipynb", monkeypatch, home)
    assert "≈" in said
    assert "High blood pressure" in said
    said = run(folder, "02_train.ipynb", monkeypatch, home)
    assert "Round 5 of 5" in said
    assert "The data controller of Cleveland reads" in said
    said = run(folder, "03_results.ipynb", monkeypatch, home)
    assert "All keys matched" in said
    assert os.listdir(folder / "results")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_no_output_is_committed(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
