"""A plan file that is written out of a bundle is one that makes the same bundle, of an earlier version too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import Study

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choosable, SeedRange
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.document import parse
from flipnb.contracts.window import Window
from flipnb.workbench.bundles_plan import plan_of_bundle, plan_text
from flipnb.workbench.plan_file import read_plan


def measured(name: str, **more: Any) -> Variable:
    return Variable(name=name, source="measurement", concept_id=1, **more)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dataset": Dataset(variables=(Variable(name="age", source="age"), measured("silent")))},
        {"dataset": Dataset(variables=(measured("open", window=Window(start_days=None, end_days=0), take="mean"),))},
        {"dataset": Dataset(variables=(measured("named", window="until-cohort-end", role="outcome"),))},
        {"choosable": Choosable(seeds=SeedRange(minimum=1, maximum=9), minimum_rounds=1, initial_weights=("a" * 64,))},
        {"choosable": Choosable(folds=True), "split": Split(seed=1, shares=Shares(train=1), folds=3)},
    ],
)
def test_a_bundles_plan_is_read_again_with_the_same_meaning(tmp_path: Path, changes: dict[str, Any]) -> None:
    bundle = parse(Bundle, Study().bundle(**changes).to_bytes(), "The bundle")  # as a hub gives it
    file = tmp_path / "study.flip.json"
    file.write_text(plan_text(plan_of_bundle(bundle, "study.cohort.json")))
    plan = read_plan(file)
    assert (plan.dataset, plan.split, plan.plan) == (bundle.dataset, bundle.split, bundle.plan)
    assert (plan.outputs, plan.totals, plan.start_from) == (bundle.outputs, bundle.totals, bundle.initial_weights)
    assert plan.choosable.contract(bundle.choosable.initial_weights) == bundle.choosable
