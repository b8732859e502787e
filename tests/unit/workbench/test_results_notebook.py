"""The notebook on a run's results: Jupyter takes it, its code draws, and what strangers wrote is plain text in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import nbformat

from flipnb.contracts.bundle import Environment
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import RoundSummary
from flipnb.workbench.results import Results
from flipnb.workbench.results_notebook import results_notebook

TRUST = "a" * 64
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def record(title: str = "Heart disease") -> RunRecord:
    digest = "0" * 64
    return RunRecord(
        run="1" * 32,
        study="heart",
        title=title,
        bundle=digest,
        membership=digest,
        researcher="b" * 64,
        cohort=digest,
        environment=Environment(name="demo", lock=digest),
        point={"lr": 0.5},
        state="succeeded",
        submitted=NOW,
        members={TRUST: "cleveland"},
        rounds=tuple(
            RoundSummary(
                round=number,
                of=2,
                training=True,
                members=(TRUST,),
                seconds=1.0,
                weights=digest,
                metrics={"loss": 1.0 / number},
                trust_metrics={TRUST: {"loss": 2.0 / number}},
            )
            for number in (1, 2)
        ),
        initial_weights=digest,
        final_weights=digest,
    )


def test_its_curves_are_drawn_from_the_table(tmp_path: Path) -> None:
    made = nbformat.from_dict(results_notebook(record(), "results/1"))  # type: ignore[no-untyped-call]
    nbformat.validate(made)
    assert "to='results/1'" in made.cells[1].source
    scope = {"table": Results(tmp_path, record()).metrics()}
    exec(made.cells[2].source, scope)
    lines = {trace.name: list(trace.y) for trace in scope["figure"].data}  # type: ignore[attr-defined]
    assert lines == {"(all)": [1.0, 0.5], "cleveland": [2.0, 1.0]}


def test_a_title_is_no_markup_in_it() -> None:
    shown = results_notebook(record("<img src=x> ![a](b)"), "results/1")["cells"][0]["source"]
    assert "<img" not in shown.replace("\\<", "")
    assert "](b" not in shown.replace("\\]", "").replace("\\(", "")
