"""A twin's marginals: asked of the Trusts once, kept beside the plan file, used while the plan asks for the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.chart import VariableChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.meaning import meaning
from flipnb.contracts.problem import FlipError
from flipnb.files.whole import write
from flipnb.twin import Marginals
from flipnb.workbench.counting import count, price
from flipnb.workbench.home import Home
from flipnb.workbench.plan_file import PlanFile, read_cohort, read_plan


def marginals_file(plan_file: Path) -> Path:
    """Where a plan's marginals are kept, whether they are there or not."""
    return plan_file.parent / ".flip" / f"{plan_file.name.removesuffix('.flip.json')}.marginals.json"


def marginals_price(plan_file: Path) -> int:
    """What ``fetch_marginals`` costs of each Trust's budget, at most."""
    plan = read_plan(plan_file)
    return price(read_cohort(plan, plan_file.parent), people=False, charts=_charts(plan))


def fetch_marginals(home: Home, study: str, plan_file: Path, *, wait_seconds: float = 60.0) -> Marginals:
    """Ask every Trust for the plan's variables, one at a time, and keep what they tell; a Trust may give nothing.

    Raises FlipError ``no-marginals`` where none told anything (and the twin stays one of the schema).
    """
    plan = read_plan(plan_file)
    cohort = read_cohort(plan, plan_file.parent)
    answers = count(home, study, cohort, people=False, charts=_charts(plan), wait_seconds=wait_seconds)
    told = {answer.trust.title: answer.reply for answer in answers if answer.reply is not None and answer.reply.charts}
    if not told:
        said = "; ".join(f"{answer.trust.title}: {answer.text or 'no charts'}" for answer in answers)
        raise FlipError("no-marginals", f"No Trust told of the variables. {said}")
    made = Marginals(
        study=study,
        cohort=meaning(CohortExpression.parse(cohort)),
        dataset=plan.dataset.digest(),
        asked=datetime.now(UTC),
        noise=max(reply.noise or 0.0 for reply in told.values()),
        trusts={trust: reply.charts for trust, reply in told.items()},
    )
    file = marginals_file(plan_file)
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, made.to_bytes())
    return made


def kept_marginals(plan_file: Path, plan: PlanFile) -> Marginals | None:
    """What was fetched for this very cohort and dataset; None otherwise."""
    try:
        kept = Marginals.model_validate_json(marginals_file(plan_file).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    cohort = CohortExpression.parse(read_cohort(plan, plan_file.parent))
    return kept if (kept.dataset, kept.cohort) == (plan.dataset.digest(), meaning(cohort)) else None


def _charts(plan: PlanFile) -> list[VariableChart]:
    return [VariableChart(variable=variable) for variable in plan.dataset.variables]
