"""The sums of flip.total among a run's results: by name, as numbers, in the shapes that the plan declares."""

import json

import numpy as np
from enclave_scenario import Study

from flipnb.contracts.total import DeclaredArray, RunTotals, TotalContext, TotalStep, TotalSum
from flipnb.workbench.results import TOTALS, Results, _write_totals

TRUST = "a" * 64
STEPS = (
    TotalStep(arrays=(DeclaredArray(name="people", shape=(), minimum=0, maximum=1000, decimals=0),)),
    TotalStep(arrays=(DeclaredArray(name="bins", shape=(2, 3), minimum=0, maximum=1, decimals=2),)),
)


def summed(step, values):
    context = TotalContext(run="0" * 32, bundle="0" * 64, step=step, members=(TRUST,))
    return TotalSum(context=context, members=(TRUST,), values=values)


def test_sums_are_there_by_name_in_their_shapes(tmp_path):
    bundle = Study().bundle(totals=STEPS)
    sums = (summed(1, {"people": (303,)}), summed(2, {"bins": (0, 25, 50, 75, 100, 125)}))
    _write_totals(tmp_path / TOTALS, bundle, RunTotals(sums=sums))
    totals = Results(tmp_path, record=None).totals()
    assert totals["people"].shape == ()
    assert totals["people"] == 303
    np.testing.assert_array_equal(totals["bins"], [[0, 0.25, 0.5], [0.75, 1, 1.25]])
    assert json.loads((tmp_path / TOTALS).read_text())["people"] == 303


def test_a_run_that_ended_before_a_total_has_the_others(tmp_path):
    _write_totals(tmp_path / TOTALS, Study().bundle(totals=STEPS), RunTotals(sums=(summed(1, {"people": (7,)}),)))
    assert set(Results(tmp_path, record=None).totals()) == {"people"}


def test_without_totals_there_is_no_file(tmp_path):
    _write_totals(tmp_path / TOTALS, Study().bundle(), RunTotals(sums=()))
    assert not (tmp_path / TOTALS).exists()
    assert Results(tmp_path, record=None).totals() == {}
