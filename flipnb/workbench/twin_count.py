"""How many of a twin's invented people a cohort definition fits, while one edits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flipnb.contracts.cohort import CohortExpression
from flipnb.twin import Preview, preview
from flipnb.workbench.plan_file import read_plan
from flipnb.workbench.rehearsal import current_plan, local_twin


def twin_count(cohort: Mapping[str, Any], plan_file: Path | None = None) -> Preview:
    """How many of the twin's invented people the cohort fits: the twin of ``plan_file``, else of the current plan.

    Raises FlipError ``twin-cannot-say``, ``no-plan``, ``unsupported-cohort``.
    """
    expression = CohortExpression.parse(dict(cohort))
    path, plan = (plan_file, read_plan(plan_file)) if plan_file is not None else current_plan()
    return preview(local_twin(path, plan), expression)
