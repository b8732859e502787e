"""``import flipnb`` is what every kernel and the Jupyter server pay for: it must stay light."""

import inspect
import os
import subprocess
import sys

import pytest

import flipnb

HEAVY = {"torch", "flwr", "plotly", "pandas", "numpy", "duckdb", "httpx", "papermill"}


def imported(statement):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True
    )
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}


def test_importing_flipnb_imports_nothing_heavy():
    assert not imported("import flipnb") & HEAVY


def test_writing_a_cohort_imports_nothing_heavy():
    assert not imported("import flipnb; flipnb.cohorts.enter") & HEAVY


def test_the_measure_notices_a_heavy_import():
    assert "numpy" in imported("import flipnb, numpy")


def test_importing_the_session_imports_no_torch():
    assert not imported("import flipnb.session.enclave") & {"torch", "flwr", "plotly", "pandas", "papermill", "pynvml"}


def test_the_command_line_starts_light():
    assert not imported("import flipnb.cli.main") & {"torch", "flwr", "plotly", "pandas", "numpy", "papermill"}


def test_looking_a_notebook_over_needs_no_jupyter():
    assert not imported("import flipnb.workbench.validation") & {
        "torch",
        "pandas",
        "papermill",
        "nbformat",
        "jsonschema",
    }


def test_every_name_that_is_offered_is_there():
    modules = {name for name in flipnb.__all__ if inspect.ismodule(getattr(flipnb, name))}
    assert modules == {"cohorts"}
    for name in set(flipnb.__all__) - modules:
        assert callable(getattr(flipnb, name))


def test_a_name_that_is_not_offered_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        flipnb.nonsense  # noqa: B018


def test_inside_an_enclave_there_is_no_workbench(monkeypatch):
    monkeypatch.setitem(os.environ, "FLIP_BROKER", "/run/broker.sock")
    assert flipnb.rounds.__module__ == "flipnb.session.enclave"
    with pytest.raises(AttributeError, match="inside an enclave"):
        flipnb.submit  # noqa: B018
