"""A notebook that opens a run's results: the table of its numbers, its curves, and its weights."""

from __future__ import annotations

from typing import Any

from flipnb.contracts.record import RunRecord

_CURVES = """import plotly.express as px

curves = table.drop(columns="training").melt(["round", "trust"], var_name="number").dropna()
figure = px.line(curves, x="round", y="value", color="trust", line_dash="trust", facet_col="number", markers=True)
figure.update_yaxes(matches=None, showticklabels=True)"""


def results_notebook(record: RunRecord, files: str) -> dict[str, Any]:
    """In nbformat 4.5. ``files`` is the folder for the fetched files, from the notebook's own."""
    point = ", ".join(f"{name} {value}" for name, value in record.point.items())
    sources = [
        ("markdown", f"# Results of one run\n\n{_plain(record.title)}: {_plain(point) or 'no parameters'}."),
        (
            "code",
            f"import flipnb as flip\n\nresults = flip.results({record.run!r}, to={files!r})\n"
            "table = results.metrics()\ntable",
        ),
        ("code", _CURVES),
        ("markdown", "The final global weights, by tensor; the file is checked against its SHA-256."),
        ("code", "{name: array.shape for name, array in results.weights().items()}"),
    ]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, kind, source) for number, (kind, source) in enumerate(sources)],
    }


def _cell(number: int, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"results-{number}", "metadata": {}, "source": source}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def _plain(text: str) -> str:
    """``text`` as Markdown shows it letter by letter."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|$" else letter for letter in text)
