"""Which notebook a kernel runs, and so which plan is its own: kernels of a real Jupyter server, and others."""

import json
import shutil
import subprocess
import sys

import nbformat
import pytest
from lab_kernel import CellFailed, LabKernel, text_of
from lab_server import LabServer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from workbench_samples import NOTEBOOKS

LOOK = "import flipnb; print([variable.name for variable in flipnb.data().dataset.variables])"
WHO = "from flipnb.workbench.running_notebook import running_notebook; print(running_notebook())"
EMPTY = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with two notebooks and their two plans, below the server's root."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "studies"
    folder.mkdir()
    for name in ("heart_disease", "until_agreement"):
        for ending in (".ipynb", ".flip.json"):
            shutil.copy(NOTEBOOKS / f"{name}{ending}", folder)
    shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", folder)
    (folder / "scratch.ipynb").write_text(json.dumps(EMPTY))
    server = LabServer(tmp_path_factory.mktemp("lab"), root, tmp_path_factory.mktemp("home"))
    server.start()
    yield server
    server.end()


@pytest.mark.parametrize(("name", "coded"), [("heart_disease", True), ("until_agreement", False)])
def test_in_a_folder_of_several_plans_a_notebook_has_the_one_of_its_name(lab, name, coded):
    with LabKernel(lab, f"studies/{name}.ipynb") as kernel:
        assert text_of(kernel.run(WHO)).strip() == str(lab.root / "studies" / f"{name}.ipynb")
        assert ("restecg" in text_of(kernel.run(LOOK))) is coded
        assert ("restecg" in text_of(kernel.run("import os; os.chdir('/')\n" + LOOK))) is coded


def test_a_notebook_that_is_renamed_has_its_new_name_at_once(lab):
    folder = lab.root / "studies"
    for ending in (".ipynb", ".flip.json"):
        shutil.copy(folder / f"until_agreement{ending}", folder / f"first{ending}")
    shutil.copy(folder / "heart_disease.flip.json", folder / "second.flip.json")
    with LabKernel(lab, "studies/first.ipynb") as kernel:
        assert "restecg" not in text_of(kernel.run(LOOK))
        kernel.rename("studies/second.ipynb")
        assert text_of(kernel.run("import os; print(os.environ['JPY_SESSION_NAME'])")).strip().endswith("first.ipynb")
        assert "restecg" in text_of(kernel.run(LOOK))
    for name in ("first.flip.json", "second.flip.json", "second.ipynb"):
        (folder / name).unlink()


def test_a_notebook_without_a_plan_takes_no_others(lab):
    with LabKernel(lab, "studies/scratch.ipynb") as kernel:
        with pytest.raises(
            CellFailed, match=r"scratch\.ipynb has no plan file scratch\.flip\.json beside it; the folder"
        ):
            kernel.run(LOOK)
        named = 'import flipnb; print(len(flipnb.data("heart_disease.flip.json").train) > 0)'
        assert text_of(kernel.run(named)).strip() == "True"
        assert "restecg" in text_of(kernel.run(LOOK)), "what was named holds"


def test_a_console_in_a_folder_of_several_plans_is_told_what_to_write(lab):
    told = r"2 plan files \(heart_disease.*\n?.*flip\.data\(\"NAME\.flip\.json\"\)"
    with LabKernel(lab, "studies/console-1-0000", kind="console") as kernel, pytest.raises(CellFailed, match=told):
        kernel.run(LOOK)


def test_a_kernel_that_a_notebooks_kernel_started_is_not_that_notebook(lab):
    inner = f"""
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
done = NotebookClient(new_notebook(cells=[new_code_cell({WHO!r})]), kernel_name="python3").execute()
print(done.cells[0].outputs[0]["text"])
"""
    with LabKernel(lab, "studies/heart_disease.ipynb") as kernel:
        assert text_of(kernel.run(inner)).strip() == "None"


def test_where_the_server_does_not_answer_the_name_of_the_start_holds(lab):
    away = "import os; os.environ['JPY_PARENT_PID'] = '1'\n"
    with LabKernel(lab, "studies/until_agreement.ipynb") as kernel:
        assert "restecg" not in text_of(kernel.run(away + LOOK))


def test_vs_code_names_the_notebook_in_the_kernels_namespace(lab):
    folder = lab.root / "studies"
    cell = f"__vsc_ipynb_file__ = {str(folder / 'until_agreement.ipynb')!r}\n"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell), nbformat.v4.new_code_cell(LOOK)])
    done = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    assert "restecg" not in done.cells[1].outputs[0]["text"]


def test_nobody_names_it_in_plain_nbclient_nor_in_a_script(lab):
    folder = lab.root / "studies"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LOOK)])
    with pytest.raises(CellExecutionError, match="this kernel does not say which notebook it runs"):
        NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    said = subprocess.run([sys.executable, "-c", WHO], cwd=folder, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "None"
