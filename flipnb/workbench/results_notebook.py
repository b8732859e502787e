"""A notebook that opens a run's results: the table of its numbers, its curves, and its weights."""

from __future__ import annotations

from typing import Any

from flipnb.contracts.record import RunRecord
from flipnb.workbench.names import run_name

_CURVES = """import plotly.express as px

curves = results.curves().melt(["round", "trust"], var_name="number").dropna()
figure = px.line(curves, x="round", y="value", color="trust", line_dash="trust", facet_col="number", markers=True)
figure.update_yaxes(matches=None, showticklabels=True)"""
_TOTALS = [("markdown", "The sums of `flip.total`, by name."), ("code", "results.totals()")]


def results_notebook(record: RunRecord, files: str, *, totals: bool = False) -> dict[str, Any]:
    """In nbformat 4.5. ``files`` is the folder for the fetched files, from the notebook's own; ``totals``: any."""
    facts = [record.notebook, f"study {record.study}", f"run {record.run[:8]}", record.state, record.reason or ""]
    sources = [
        ("markdown", f"# {_plain(run_name(record))}\n\n{_plain(' · '.join(filter(None, facts)))}"),
        (
            "code",
            f"import flipnb as flip\n\nresults = flip.results({record.run!r}, to={files!r})\n"
            "table = results.metrics()\ntable",
        ),
        ("markdown", "The training rounds, by Trust where its policy lets its numbers out."),
        ("code", _CURVES),
        ("markdown", "The final model, evaluated once, after training: no point of the curves."),
        ("code", "results.final()"),
        *(_TOTALS if totals else []),
        *_of_weights(record),
    ]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, kind, source) for number, (kind, source) in enumerate(sources)],
    }


def _of_weights(record: RunRecord) -> list[tuple[str, str]]:
    """Of a run without final weights, those that its last round began with."""
    shapes = "{{name: array.shape for name, array in results.weights({}).items()}}"
    if record.final_weights is not None:
        said = "The final global weights, by tensor; the file is checked against its SHA-256."
        return [("markdown", said), ("code", shapes.format(""))]
    if not record.rounds:
        return []
    last = record.rounds[-1].round
    return [("markdown", f"The weights that round {last} began with."), ("code", shapes.format(f"round={last}"))]


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"results-{number}", "metadata": {}, "source": source}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def _plain(text: str) -> str:
    """``text`` as Markdown shows it letter by letter."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|$" else letter for letter in text)
