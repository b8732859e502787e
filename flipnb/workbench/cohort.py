"""A cohort in a notebook: a definition that the Python object and the screen share, and questions about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.cohorts import Definition
from flipnb.contracts.cohort import CohortExpression
from flipnb.workbench import counting
from flipnb.workbench.chart_words import chart_words, read_chart
from flipnb.workbench.home import Home
from flipnb.workbench.plan_file import load_cohort
from flipnb.workbench.twin_count import twin_count as counted_on_twin

if TYPE_CHECKING:
    import pandas as pd

    from flipnb.twin import Preview

Given = str | Path | Mapping[str, Any] | Definition


def read_definition(definition: Given) -> dict[str, Any]:
    """The expression of a definition in any form. Raises FlipError ``no-cohort``, ``unsupported-cohort``."""
    if isinstance(definition, Definition):
        return definition.expression()
    if isinstance(definition, Mapping):
        expression = deepcopy(dict(definition))
        CohortExpression.parse(expression)
        return expression
    return load_cohort(Path(definition))


class Cohort:
    """A definition, never a list of people: an OHDSI cohort expression that the Trusts' compilers support.

    It shows itself as the cohort builder. What is edited there is taken here as soon as it is valid, and what
    ``define`` gives appears there; ``revision`` rises by one with each change, from whichever side it came.

        cohort = flip.cohort("heart_disease.cohort.json")
        cohort.twin_count()                                 # of invented people, for nothing
        cohort.count("heart")                               # of each Trust, for 1 of its budget
    """

    def __init__(self, expression: Mapping[str, Any]) -> None:
        self._expression = dict(expression)
        self._revision = 1
        self._changed_in = ""
        self._followers: list[Callable[[], None]] = []
        self._lock = threading.RLock()  # JupyterLab brings a screen's messages while a cell runs, in another thread
        self._widget: Any = None

    @property
    def expression(self) -> dict[str, Any]:
        """The definition as ATLAS JSON: a copy, so that a change comes through ``define``."""
        return deepcopy(self._expression)

    @property
    def revision(self) -> int:
        """1 at first; it rises by one with each change."""
        return self._revision

    @property
    def changed_in(self) -> str:
        """Where the last change was made, for a person: ``cell 4``; empty where there was none."""
        return self._changed_in

    def define(self, definition: Given) -> None:
        """Give the cohort another definition, in any form that ``flip.cohort`` takes; screens follow.

        Raises FlipError ``no-cohort``, ``unsupported-cohort``; the definition then stays as it was.
        """
        self._change(read_definition(definition), _this_cell())

    def take(self, expression: Mapping[str, Any], base: int) -> int | None:
        """A screen's change, made on revision ``base``: its own revision, or None where this is no longer the last one.

        Raises FlipError ``unsupported-cohort``, ``invalid-cohort``; the definition then stays as it was.
        """
        taken = read_definition(expression)
        with self._lock:
            if base != self._revision:
                return None
            self._change(taken, "another window")
            return self._revision

    def follow(self, follower: Callable[[], None]) -> None:
        """Call ``follower`` after each change."""
        self._followers.append(follower)

    def _change(self, expression: dict[str, Any], where: str) -> None:
        with self._lock:
            if expression == self._expression:
                return
            self._expression = expression
            self._revision += 1
            self._changed_in = where
            for follower in self._followers:
                follower()

    def __repr__(self) -> str:
        title = self._expression.get("Title") or "Cohort"
        rules = len(self._expression.get("InclusionRules") or [])
        return f"<{title}: {rules} rule{'' if rules == 1 else 's'}, revision {self._revision}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        """The builder where there are widgets, with the text for where there are none."""
        if self._widget is None:
            from flipnb.workbench.widgets import builder_of

            self._widget = builder_of(self)
        text = {"text/plain": repr(self)}
        shown = self._widget._repr_mimebundle_() if self._widget is not None else None
        if shown is None:
            return text
        data, metadata = shown
        return {**data, **text}, metadata

    def price(self, study: str | None = None, *, funnel: bool = False, charts: Sequence[str] = ()) -> int:
        """What asking costs of each Trust's budget, at most: what a Trust told before is free.

        With a ``study`` it is what asking its Trusts will cost, at the one where it is most: 0 where you were told all
        of it at each. ``charts`` in words: ``"age"``, ``"age:5"``, ``"sex"``, ``"year:2010-2020"``,
        ``"missing:measurement:CONCEPT"``. Raises FlipError ``unknown-chart``, ``unknown-study``.
        """
        drawn = [read_chart(words) for words in charts]
        if study is None:
            return counting.price(self._expression, funnel=funnel, charts=drawn)
        prices = counting.prices(Home.find(), study, self._expression, funnel=funnel, charts=drawn)
        return max(cost for _, cost in prices)

    def count(self, study: str, *, wait_seconds: float = 30.0) -> pd.DataFrame:
        """Ask every Trust of a study; costs each 1, and nothing where it was asked before.

        Columns ``trust``, ``people`` (noisy and rounded; missing where fewer than the Trust's threshold, or not
        answered in its time, which of the two is not told), ``shown``, and what was charged
        and is left of the Trust's budget: ``cost``, ``left``. Returns when all have answered, or after
        ``wait_seconds``. Raises FlipError ``hub-unreachable``, ``not-configured``, and what the hub says.
        """
        import pandas as pd

        answers = counting.count(Home.find(), study, self._expression, wait_seconds=wait_seconds)
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
        return counted_on_twin(self._expression, Path(plan) if plan is not None else None)

    def funnel(self, study: str, *, wait_seconds: float = 30.0) -> pd.DataFrame:
        """People left after each inclusion rule: a row per Trust and rule, ``people`` and ``shown`` as in ``count``.

        Each step is the number that its cohort has when it is asked for alone, the last that of ``count``. All have
        noise of their own, so that a rule that keeps nearly everybody may seem to add a few.
        """
        answers = counting.count(Home.find(), study, self._expression, funnel=True, wait_seconds=wait_seconds)
        names = counting.rule_names(self._expression)
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
        """People by bar: one row per Trust, chart and bar, ``people`` and ``shown`` as in ``count``.

            cohort.charts("heart", "age", "sex")

        ``charts`` in words, as in ``price``. Raises FlipError ``unknown-chart``, and what ``count`` raises.
        """
        wanted = [read_chart(words) for words in charts]
        answers = counting.count(
            Home.find(), study, self._expression, people=False, charts=wanted, wait_seconds=wait_seconds
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


def _this_cell() -> str:
    """The cell that runs, by its number: ``cell 4``; outside of IPython ``Python``."""
    from IPython import get_ipython

    shell = get_ipython()
    # The history has the running cell already; execution_count is its number or the next one's.
    return f"cell {len(shell.history_manager.input_hist_parsed) - 1}" if shell is not None else "Python"
