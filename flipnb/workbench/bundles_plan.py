"""The plan file of a bundle, as somebody would write it to make the same bundle again."""

from __future__ import annotations

import json
from typing import Any

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.dataset import Dataset
from flipnb.contracts.window import Window
from flipnb.workbench.plan_file import PlanChoosable, PlanFile


def plan_of_bundle(bundle: Bundle, cohort: str) -> PlanFile:
    """The plan beside a cohort file of this name; it begins with the bundle's own weights, at all Trusts.

    What a bundle means by saying nothing is said: an older one is silent of its variables' windows, and a plan file may
    not be.
    """
    free = bundle.choosable
    return PlanFile(
        title=bundle.title,
        cohort=cohort,
        dataset=Dataset.model_validate(bundle.dataset.model_dump()),
        split=bundle.split,
        outputs=bundle.outputs,
        totals=bundle.totals,
        plan=bundle.plan,
        minimum_trusts=bundle.minimum_trusts,
        start_from=bundle.initial_weights,
        choosable=PlanChoosable(
            minimum_rounds=free.minimum_rounds, seeds=free.seeds, folds=free.folds, start_from=free.initial_weights
        ),
        files=tuple(file.name for file in bundle.files),
    )


def plan_text(plan: PlanFile) -> str:
    """As JSON without what is not given; a window says both of its ends, an open one too."""
    content: dict[str, Any] = plan.model_dump(mode="json", exclude_none=True)
    for variable, written in zip(plan.dataset.variables, content["dataset"]["variables"], strict=True):
        if isinstance(variable.window, Window):
            written["window"] = variable.window.model_dump(mode="json")
        elif not variable.is_windowed:
            del written["window"]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
