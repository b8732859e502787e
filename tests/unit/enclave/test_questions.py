"""A question's way through disclosure control, over stand-in data: what is free, and what a refusal is made of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_estate import aged, group, has, ruled

from flipnb.contracts.chart import AgeChart, SexChart, YearChart
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.counting.pace import Pace, padded
from flipnb.enclave.counting.questions import Question, Questions
from flipnb.enclave.stores.ledger import Ledger
from flipnb.estate.disclosure import Cell

CHARTS = (AgeChart(), SexChart(), YearChart(first=2010, last=2012))


class Clock:
    """Time passes when somebody says so."""

    def __init__(self) -> None:
        self.time = 100.0
        self.pace = Pace(lambda: self.time, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class StandIn:
    """An estate of ``people`` in every cell; counting takes ``seconds`` by the clock, or fails."""

    def __init__(self, people: int, clock: Clock | None = None, *, seconds: float = 0.0, fails: str = "") -> None:
        self.people, self.clock, self.seconds, self.fails, self.asked = people, clock, seconds, fails, 0

    async def current(self) -> str:
        return "v1"

    async def check(self, version: str, cohort: Any, *, rules: Any, charts: Any) -> None:
        pass

    async def tabulate(
        self, version: str, cohort: Any, *, rules: Any, charts: Any, members: bool, seconds: float
    ) -> list[list[Cell]] | None:
        self.asked += 1
        if self.clock is not None:
            self.clock.time += self.seconds
        if self.fails:
            return None
        return [[Cell(self.people)] for _ in rules] + [[Cell(self.people)] * len(c.labels) for c in charts]


def make(estate: StandIn, policy: CountPolicy, path: Any = None, clock: Clock | None = None) -> Questions:
    return Questions(
        secret=bytes(32),
        ledger=Ledger(path or Path(":memory:")),
        tabulator=estate,
        policy=lambda: policy,
        pace=(clock or Clock()).pace,
    )


def ask(questions: Questions, question: Question, study: str = "one") -> Any:
    return asyncio.run(questions.answer(study, question))


def old(years: int) -> dict[str, Any]:
    return ruled(has([1]), group(aged("gte", years)))


def test_the_same_question_has_the_same_answer_for_nothing_for_anybody() -> None:
    estate = StandIn(120)
    questions = make(estate, CountPolicy())
    first = ask(questions, Question(old(40), funnel=True, charts=CHARTS))
    again = ask(questions, Question(old(40), funnel=True, charts=CHARTS), "two")
    assert (first.budget.cost, again.budget.cost, estate.asked) == (2 + 6, 0, 1)
    assert first.answer.to_bytes() == again.answer.to_bytes()
    # A funnel holds the count of the whole cohort, and that of the cohort without its rule.
    assert ask(questions, Question(old(40))).budget.cost == 0
    assert ask(questions, Question(has([1]))).budget.cost == 0
    assert ask(questions, Question(old(41))).budget.cost == 1


def test_totals_are_sums_of_what_is_shown() -> None:
    told = ask(make(StandIn(14), CountPolicy()), Question(old(40), charts=CHARTS)).answer
    for chart in told.charts:
        assert [bar.label for bar in chart.bars] == list(chart.chart.labels)
        assert chart.people == sum(bar.people or 0 for bar in chart.bars)


def test_a_budget_question_costs_nothing_and_touches_nothing() -> None:
    estate = StandIn(120)
    told = ask(make(estate, CountPolicy()), Question(old(40), people=False))
    assert (told.budget.cost, told.budget.left, told.answer.people, estate.asked) == (0, 100, None, 0)


def test_a_policy_may_give_no_charts() -> None:
    questions = make(StandIn(120), CountPolicy(charts=False))
    with pytest.raises(FlipError) as caught:
        ask(questions, Question(old(40), charts=CHARTS))
    assert caught.value.code == "charts-refused"


def test_free_text_is_refused_by_name() -> None:
    estate = StandIn(120)
    text = {"ConditionOccurrence": {"CodesetId": 0, "StopReason": {"Text": "%moved to Ruritania%", "Op": "contains"}}}
    cohort = has([1])
    cohort["PrimaryCriteria"]["CriteriaList"] = [text]
    with pytest.raises(FlipError) as caught:
        ask(make(estate, CountPolicy()), Question(cohort))
    assert caught.value.code == "text-refused"
    assert "StopReason" in caught.value.message
    assert estate.asked == 0


def test_a_charge_comes_before_the_data_and_outlives_a_crash(tmp_path: Any) -> None:
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(FlipError) as caught:
        ask(make(StandIn(120, fails="estate-failed"), CountPolicy(), path), Question(old(40)))
    assert caught.value.status == 503, "an estate's fault is told to nobody outside"
    assert Ledger(path).budget("one", CountPolicy()).left == 99
    told = ask(make(StandIn(120), CountPolicy(), path), Question(old(40)))
    assert (told.budget.cost, told.budget.left) == (0, 99)


questions_asked = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 5), st.booleans(),
              st.lists(st.sampled_from(CHARTS), max_size=2, unique=True)),
    max_size=12,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(questions_asked, st.tuples(st.integers(0, 500), st.integers(0, 500)))
def test_a_refusal_is_the_same_over_any_data(asked: Any, people: tuple[int, int]) -> None:
    """Two Trusts with the same ledger and other people: the same refusals, charges and budgets, word for word."""
    policy = CountPolicy(budget=12, budget_per_study=9)

    def play(count: int) -> list[Any]:
        questions, heard = make(StandIn(count), policy), []
        for study, years, funnel, charts in asked:
            try:
                told = ask(questions, Question(old(years), funnel=funnel, charts=tuple(charts)), study)
                heard.append(told.budget.model_copy(update={"renews": None}))
            except FlipError as error:
                heard.append(error.code)
        return heard

    assert play(people[0]) == play(people[1])


def test_answers_leave_on_a_grid_and_a_repeat_as_late_as_the_first() -> None:
    assert [padded(s) for s in (0, 0.25, 0.26, 1.1, 40, 65, 129)] == [0.25, 0.25, 0.5, 2, 64, 128, 192]
    clock = Clock()
    estate = StandIn(120, clock, seconds=0.9)
    questions = make(estate, CountPolicy(), clock=clock)

    def took() -> float:
        began = clock.time
        told = ask(questions, Question(old(40)))
        asyncio.run(clock.pace.until_grid(began, told.seconds))
        return clock.time - began

    assert took() == pytest.approx(1.0)
    estate.seconds = 0.0
    assert took() == pytest.approx(1.0)
    assert estate.asked == 1
