"""What ``import flipnb as flip`` offers in a researcher's own kernel: the twin, and the way to the Trusts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.cohort_builder import Definition
from flipnb.contracts.parameters import Scalar
from flipnb.workbench import counting, rehearsal, submission
from flipnb.workbench import results as fetched
from flipnb.workbench import runs as at_the_hub
from flipnb.workbench.chart_words import chart_words, read_chart
from flipnb.workbench.home import Home
from flipnb.workbench.narrative import describe
from flipnb.workbench.plan_file import load_cohort
from flipnb.workbench.twin_count import twin_count as counted_on_twin

if TYPE_CHECKING:
    import pandas as pd

    from flipnb.records import Records
    from flipnb.session.rounds import Rounds
    from flipnb.twin import Preview

__all__ = ["cohort", "data", "follow", "results", "rounds", "runs", "submit", "total"]


@dataclass(frozen=True)
class Cohort:
    """A definition, never a list of people: an OHDSI cohort expression that the Trusts' compilers support."""

    expression: dict[str, Any]

    def price(self, *, funnel: bool = False, charts: Sequence[str] = ()) -> int:
        """What asking costs of each Trust's budget, at most. ``charts`` in words: ``"age"``, ``"year:2010-2020"``, …"""
        return counting.price(self.expression, funnel=funnel, charts=[read_chart(words) for words in charts])

    def count(self, study: str, *, wait_seconds: float = 30.0) -> pd.DataFrame:
        """Ask every Trust of a study; costs each 1, and nothing where it was asked before.

        Columns ``trust``, ``people`` (noisy and rounded; missing where suppressed), ``shown``, and what was charged
        and is left of the Trust's budget: ``cost``, ``left``.
        """
        import pandas as pd

        answers = counting.count(Home.find(), study, self.expression, wait_seconds=wait_seconds)
        replies = [answer.reply for answer in answers]
        budgets = [reply.budget if reply is not None else None for reply in replies]
        return pd.DataFrame(
            {
                "trust": [answer.trust.title for answer in answers],
                "people": pd.array([reply.people if reply is not None else None for reply in replies], dtype="Int64"),
                "shown": [answer.text for answer in answers],
                "cost": pd.array([budget.cost if budget is not None else None for budget in budgets], dtype="Int64"),
                "left": pd.array([budget.left if budget is not None else None for budget in budgets], dtype="Int64"),
            }
        )

    def twin_count(self, plan: str | Path | None = None) -> Preview:
        """How many of the twin's invented people fit, of how many: at once, for nothing, and nobody is asked.

        ``plan`` as for ``flip.data``. Raises FlipError ``twin-cannot-say``.
        """
        return counted_on_twin(self.expression, Path(plan) if plan is not None else None)

    def funnel(self, study: str, *, wait_seconds: float = 30.0) -> pd.DataFrame:
        """People left after each inclusion rule: a row per Trust and rule, ``people`` and ``shown`` as in ``count``."""
        answers = counting.count(Home.find(), study, self.expression, funnel=True, wait_seconds=wait_seconds)
        names = ["start", *(rule.get("name", "") for rule in self.expression.get("InclusionRules") or [])]
        return _numbers(
            ["trust", "rules", "rule"],
            [
                (answer, [answer.trust.title, step.rules, names[step.rules]], step.people)
                for answer in answers
                if answer.reply is not None
                for step in answer.reply.funnel
            ],
        )

    def charts(self, study: str, *charts: str, wait_seconds: float = 30.0) -> pd.DataFrame:
        """People by bar: one row per Trust, chart and bar. ``charts`` in words, as in ``price``."""
        wanted = [read_chart(words) for words in charts]
        answers = counting.count(
            Home.find(), study, self.expression, people=False, charts=wanted, wait_seconds=wait_seconds
        )
        return _numbers(
            ["trust", "chart", "bar"],
            [
                (answer, [answer.trust.title, chart_words(chart.chart), bar.label], bar.people)
                for answer in answers
                if answer.reply is not None
                for chart in answer.reply.charts
                for bar in chart.bars
            ],
        )


def _numbers(columns: list[str], rows: list[tuple[counting.TrustCount, list[Any], int | None]]) -> pd.DataFrame:
    """Rows of (answer, the columns' values, people), with ``people`` and ``shown`` behind them."""
    import pandas as pd

    frame = pd.DataFrame([values for _, values, _ in rows], columns=columns)
    frame["people"] = pd.array([people for _, _, people in rows], dtype="Int64")
    frame["shown"] = [answer.number(people) for answer, _, people in rows]
    return frame


def data(plan: str | Path | None = None) -> Records:
    """A twin: invented people with the columns of the cohort in the notebook's plan file.

    The plan file is ``plan``, else ``$FLIP_PLAN``, else the only ``*.flip.json`` in the working directory.
    """
    return rehearsal.local_records(plan)


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The loop that a Trust's kernel runs, here alone and for at most two rounds; same arguments, same checks."""
    from flipnb.session.rounds import Rounds

    return Rounds(rehearsal.local_channel(), model, state=state, exclude=exclude)


def total(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of the arrays over the Trusts: here of the twin alone, checked and rounded as a Trust would."""
    from flipnb.session.total import ask_total

    return ask_total(rehearsal.local_channel(), arrays)


def cohort(definition: str | Path | Mapping[str, Any] | Definition) -> Cohort:
    """A cohort from ATLAS JSON, a file or a dictionary, or from ``flipnb.contracts.cohort_builder``.

    Raises FlipError ``no-cohort``, ``unsupported-cohort``.
    """
    if isinstance(definition, Definition):
        return Cohort(definition.expression())
    if isinstance(definition, Mapping):
        expression = dict(definition)
        CohortExpression.parse(expression)
        return Cohort(expression)
    return Cohort(load_cohort(Path(definition)))


def submit(
    notebook: str | Path, study: str, *points: Mapping[str, Scalar], rounds: int | None = None, **changes: Any
) -> submission.Submitted:
    """Freeze, sign and send a rehearsed notebook; one run for each point (none: the defaults).

    ``changes``: ``seed`` of the split, ``trusts`` by name, ``minimum_trusts``, ``start_from`` (a run's id or a SHA-256
    of weights), instead of the plan file's.
    """
    home = Home.find()
    changes = {"rounds": rounds, **changes}
    return submission.submit(home, submission.prepare(home, Path(notebook), study, points, changes))


def runs(study: str) -> pd.DataFrame:
    """The runs of a study, one row each: run, title, state, rounds done, of, submitted, parameters."""
    import pandas as pd

    columns = ["run", "title", "state", "rounds_done", "rounds", "submitted", "point"]
    return pd.DataFrame(
        [[getattr(view, column) for column in columns] for view in at_the_hub.list_runs(Home.find(), study)],
        columns=columns,
    ).set_index("run")


def follow(run: str) -> Iterator[str]:
    """What happens in a run, as sentences that name the Trust, until it has ended; interrupt to stop listening."""
    home = Home.find()
    names = {part.trust: part.name for part in at_the_hub.view_run(home, run).trusts}
    return (describe(event, names) for event in at_the_hub.follow(home, run))


def results(run: str, to: str | Path | None = None) -> fetched.Results:
    """A finished run's final weights, metrics and record, kept in the folder ``to`` (else ``results/RUN``)."""
    return fetched.fetch_results(Home.find(), run, Path(to) if to is not None else Path("results") / run)
