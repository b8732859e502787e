"""``flip cohort``: how many people a definition has, and what asking costs."""

from __future__ import annotations

from collections.abc import Sequence
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
    from flipnb.workbench.counting import total
    from flipnb.workbench.home import Home
    from flipnb.workbench.plan_file import load_cohort

    charts = [read_chart(words) for words in chart or ()]
    expression = load_cohort(cohort)
    counts = ask(Home.find(), study, expression, funnel=funnel, charts=charts, wait_seconds=wait)
    if as_json:
        print_json([_answer(item) for item in counts])
        return
    rows = [[item.trust.title, item.text, *_budget(item)] for item in counts]
    people = total([item.reply.people if item.reply is not None else None for item in counts])
    print_table(["Trust", "people", "cost", "left"], [*rows, ["all", people, None, None]])
    _print_funnel(expression, counts)
    for item in counts:
        if item.reply is not None and item.reply.charts:
            _print_charts(item)


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

    A count costs 1, each further step of a funnel 1, a chart 2. What a Trust has told before is free: with ``--study``
    what it told you is left out.
    """
    from flipnb.workbench.chart_words import read_chart
    from flipnb.workbench.counting import count as ask
    from flipnb.workbench.counting import price as price_of
    from flipnb.workbench.counting import prices
    from flipnb.workbench.home import Home
    from flipnb.workbench.plan_file import load_cohort

    expression = load_cohort(cohort)
    charts = [read_chart(words) for words in chart or ()]
    if study is None:
        cost = price_of(expression, funnel=funnel, charts=charts)
        print_json({"price": cost, "trusts": []}) if as_json else print(f"It costs {cost} at each Trust, at most.")
        return
    home = Home.find()
    budgets = ask(home, study, expression, people=False, wait_seconds=wait)
    costs = {trust.name: cost for trust, cost in prices(home, study, expression, funnel=funnel, charts=charts)}
    dearest = max(costs.values())
    if as_json:
        trusts = [
            {
                "trust": item.trust.name,
                "cost": costs[item.trust.name],
                "left": _budget(item)[1],
                "answer_seconds": _seconds(item),
            }
            for item in budgets
        ]
        print_json({"price": dearest, "trusts": trusts})
        return
    print(f"It costs {dearest} at each Trust, at most." if dearest else "It is free: each Trust told you all of it.")
    rows = [
        [
            item.trust.title,
            costs[item.trust.name],
            _budget(item)[1],
            f"{seconds:g} s" if (seconds := _seconds(item)) else "",
            item.text,
        ]
        for item in budgets
    ]
    print_table(["Trust", "costs", "left", "answers in", ""], rows)


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


def _print_funnel(cohort: dict[str, Any], counts: Sequence[TrustCount]) -> None:
    """A row for each rule by its name, a column for each Trust that told its funnel, and all of them together."""
    from flipnb.workbench.counting import rule_names, total

    told = [item for item in counts if item.reply is not None and item.reply.funnel]
    if not told:
        return
    rows = []
    for step, name in enumerate(rule_names(cohort)):
        people = [_step(item, step) for item in told]
        shown = [_short(item, number) for item, number in zip(told, people, strict=True)]
        rows.append([name, *shown, total([*people, *[None] * (len(counts) - len(told))])])
    print()
    print_table(["rule", *(item.trust.title for item in told), "all"], rows)
    print("Each number has noise of its own: a rule that keeps nearly everybody may seem to add a few.")
    if any(_step(item, step) is None for item in told for step in range(len(rows))):
        print("<: fewer, or not answered in time; such Trusts are not in all.")


def _step(item: TrustCount, rules: int) -> int | None:
    assert item.reply is not None
    return next((step.people for step in item.reply.funnel if step.rules == rules), None)


def _short(item: TrustCount, people: int | None) -> str:
    """One of a table's many numbers."""
    assert item.reply is not None
    return f"<{item.reply.threshold}" if people is None else f"≈ {people:,}"


def _print_charts(item: TrustCount) -> None:
    from flipnb.workbench.chart_words import chart_words

    assert item.reply is not None
    for chart in item.reply.charts:
        print(f"\n{item.trust.title}")
        print_table([chart_words(chart.chart), "people"], [[bar.label, item.number(bar.people)] for bar in chart.bars])
