"""The notebook on a run's results: Jupyter takes it, its code draws, and what strangers wrote is plain text in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    number_of = {1: 1.0, 2: 0.5, 3: 0.125}  # the third is the final model's
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
                training=number < 3,
                members=(TRUST,),
                seconds=1.0,
                weights=digest,
                metrics={"loss": number_of[number]},
                trust_metrics={TRUST: {"loss": 2 * number_of[number]}},
            )
            for number in number_of
        ),
        initial_weights=digest,
        final_weights=digest,
    )


def test_its_curves_are_drawn_from_the_table(tmp_path: Path) -> None:
    made = nbformat.from_dict(results_notebook(record(), "results/1"))  # type: ignore[no-untyped-call]
    nbformat.validate(made)
    assert "to='results/1'" in made.cells[1].source
    found = Results(tmp_path, record(), titles={TRUST: "Cleveland"})
    scope: dict[str, Any] = {"results": found}
    exec(made.cells[3].source, scope)
    lines = {trace.name: list(trace.y) for trace in scope["figure"].data}
    assert lines == {"(all)": [1.0, 0.5], "Cleveland": [2.0, 1.0]}, "the final model's 0.125 is a point of no curve"
    final = found.final()
    assert final["loss"].to_dict() == {"(all)": 0.125, "Cleveland": 0.25}


def test_a_run_that_failed_has_a_notebook_without_final_weights() -> None:
    failed = record().model_copy(update={"state": "failed", "reason": "Too few Trusts.", "final_weights": None})
    made = results_notebook(failed, "results/1", totals=True)
    sources = [cell["source"] for cell in made["cells"]]
    assert "Too few Trusts" in sources[0]
    assert "results.totals()" in sources
    assert "weights(round=3)" in sources[-1]


def test_a_title_is_no_markup_in_it() -> None:
    shown = results_notebook(record("<img src=x> ![a](b)"), "results/1")["cells"][0]["source"]
    assert "<img" not in shown.replace("\\<", "")
    assert "](b" not in shown.replace("\\]", "").replace("\\(", "")
