"""``flip cohort``: how many people a definition has, and what asking costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_table, speaks_plainly

if TYPE_CHECKING:
    from flipnb.workbench.counting import TrustCount

app = typer.Typer(help="Cohorts: how many people a definition has.", no_args_is_help=True)

CohortArgument = Annotated[Path, typer.Argument(help="An OHDSI cohort expression (ATLAS JSON).")]
FunnelOption = Annotated[bool, typer.Option("--funnel", help="Also the size after each inclusion rule.")]
ChartOption = Annotated[
    list[str] | None,
    typer.Option(help="Also people by bar: age, age:5, sex, year:2010-2020, missing:measurement:CONCEPT. Repeatable."),
]
WaitOption = Annotated[float, typer.Option(help="Seconds to wait for the Trusts.")]


@app.command()
@speaks_plainly
def count(
    cohort: CohortArgument,
    study: Annotated[str | None, typer.Option(help="The study's name.")] = None,
    funnel: FunnelOption = False,
    chart: ChartOption = None,
    twin: Annotated[
        bool, typer.Option("--twin", help="Count the twin's invented people instead; asks nobody.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="The plan file of the twin; else the only one here.")] = None,
    wait: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Ask every Trust of a study how many people a cohort has: noisy, rounded, suppressed where few or not in time.

    Each answers a fixed time after the question's turn comes, 2 s unless its policy says another, and charges its
    budget: ``flip cohort price`` says how much. With ``--twin`` the twin of a plan file answers.
    """
    if twin:
        _count_twin(cohort, plan, as_json)
        return
    if study is None:
        raise typer.BadParameter("Give --study, or --twin.")
    from flipnb.workbench.chart_words import read_chart
    from flipnb.workbench.counting import count as ask
    from flipnb.workbench.home import Home
    from flipnb.workbench.plan_file import load_cohort

    charts = [read_chart(words) for words in chart or ()]
    counts = ask(Home.find(), study, load_cohort(cohort), funnel=funnel, charts=charts, wait_seconds=wait)
    if as_json:
        print_json([_answer(item) for item in counts])
        return
    print_table(["Trust", "people", "cost", "left"], [[item.trust.title, item.text, *_budget(item)] for item in counts])
    for item in counts:
        if item.reply is not None and (item.reply.funnel or item.reply.charts):
            _print_parts(item)


def _count_twin(cohort: Path, plan: Path | None, as_json: bool) -> None:
    from flipnb.workbench.plan_file import load_cohort
    from flipnb.workbench.twin_count import twin_count

    found = twin_count(load_cohort(cohort), plan)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(f"twin: {found.people} of {found.of} invented people")


@app.command()
@speaks_plainly
def price(
    cohort: CohortArgument,
    study: Annotated[str | None, typer.Option(help="Also show what is left at each Trust of this study.")] = None,
    funnel: FunnelOption = False,
    chart: ChartOption = None,
    wait: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """What asking would cost of each Trust's budget, at most: nobody is asked for a count.

    A count costs 1, each further step of a funnel 1, a chart 2. What a Trust has told before is free.
    """
    from flipnb.workbench.chart_words import read_chart
    from flipnb.workbench.counting import count as ask
    from flipnb.workbench.counting import price as price_of
    from flipnb.workbench.home import Home
    from flipnb.workbench.plan_file import load_cohort

    expression = load_cohort(cohort)
    cost = price_of(expression, funnel=funnel, charts=[read_chart(words) for words in chart or ()])
    budgets = ask(Home.find(), study, expression, people=False, wait_seconds=wait) if study is not None else []
    if as_json:
        trusts = [
            {"trust": item.trust.name, "left": _budget(item)[1], "answer_seconds": _seconds(item)} for item in budgets
        ]
        print_json({"price": cost, "trusts": trusts})
        return
    print(f"It costs {cost} at each Trust, at most.")
    if budgets:
        rows = [
            [item.trust.title, _budget(item)[1], f"{seconds:g} s" if (seconds := _seconds(item)) else "", item.text]
            for item in budgets
        ]
        print_table(["Trust", "left", "answers in", ""], rows)


@app.command()
@speaks_plainly
def twin(
    plan: Annotated[Path, typer.Argument(help="A plan file, NAME.flip.json.")],
    study: Annotated[str, typer.Option(help="The study's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before spending.")] = False,
    wait: WaitOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Ask the Trusts for the shape of the plan's variables, so that twins are drawn from it instead of the schema.

    Costs 2 per variable of each Trust's budget, once; variables are told one at a time, noisy, rare values as other.
    """
    from flipnb.workbench.home import Home
    from flipnb.workbench.twin_marginals import fetch_marginals, marginals_file, marginals_price

    if not yes and not as_json:
        typer.confirm(f"It costs {marginals_price(plan)} at each Trust, at most. Ask?", abort=True)
    made = fetch_marginals(Home.find(), study, plan, wait_seconds=wait)
    if as_json:
        print_json({"file": str(marginals_file(plan)), "trusts": sorted(made.trusts)})
    else:
        print(f"{marginals_file(plan)}: told by {', '.join(sorted(made.trusts))}")


def _budget(item: TrustCount) -> tuple[int | None, int | None]:
    """What was charged, and what is left."""
    budget = item.reply.budget if item.reply is not None else None
    return (budget.cost, budget.left) if budget is not None else (None, None)


def _seconds(item: TrustCount) -> float | None:
    """How long after its turn a question is answered there."""
    return item.reply.answer_seconds if item.reply is not None else None


def _answer(item: TrustCount) -> dict[str, Any]:
    cost, left = _budget(item)
    reply = item.reply
    return {
        "trust": item.trust.name,
        "people": reply.people if reply else None,
        "suppressed": reply.suppressed if reply else None,
        "shown": item.text,
        "cost": cost,
        "left": left,
        "funnel": [step.model_dump(mode="json") for step in reply.funnel] if reply else [],
        "charts": [chart.model_dump(mode="json") for chart in reply.charts] if reply else [],
    }


def _print_parts(item: TrustCount) -> None:
    from flipnb.workbench.chart_words import chart_words

    assert item.reply is not None
    if item.reply.funnel:
        print(f"\n{item.trust.title}")
        print_table(["inclusion rules", "people"], [[s.rules, item.number(s.people)] for s in item.reply.funnel])
    for chart in item.reply.charts:
        print(f"\n{item.trust.title}")
        print_table([chart_words(chart.chart), "people"], [[bar.label, item.number(bar.people)] for bar in chart.bars])
