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
from flipnb.enclave.counting.pace import Pace, Turn
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

    def __init__(self, people: int, clock: Clock | None = None, *, seconds: float = 0.0) -> None:
        self.people, self.clock, self.seconds, self.asked, self.given = people, clock, seconds, 0, 0.0
        self.refuses = self.fails = ""
        self.breaks: BaseException | None = None

    async def current(self) -> str:
        return "v1"

    async def check(self, version: str, cohort: Any, *, rules: Any, charts: Any) -> None:
        if self.refuses:
            raise FlipError(self.refuses, "This can't be asked.")

    async def tabulate(
        self, version: str, cohort: Any, *, rules: Any, charts: Any, members: bool, seconds: float
    ) -> list[list[Cell]] | None:
        self.asked, self.given = self.asked + 1, seconds
        if self.clock is not None:
            self.clock.time += self.seconds
        if self.fails:
            raise FlipError(self.fails, "Something is wrong.")
        if self.breaks is not None:
            raise self.breaks
        return [[Cell(self.people)] for _ in rules] + [[Cell(self.people)] * len(c.labels) for c in charts]


def make(estate: StandIn, policy: CountPolicy, path: Any = None) -> Questions:
    clock = estate.clock = estate.clock or Clock()
    return Questions(
        secret=bytes(32),
        ledger=Ledger(path or Path(":memory:")),
        tabulator=estate,
        policy=lambda: policy,
        pace=clock.pace,
    )


def ask(questions: Questions, question: Question, study: str = "one") -> Any:
    """The answer, in a turn of its own where it needs one."""

    async def asked() -> Any:
        told = await questions.told(study, question)
        if told is not None:
            return told
        pace = questions._pace
        turn = Turn(pace, pace.now(), questions.policy.answer_seconds)
        try:
            return await questions.answer(study, question, turn)
        finally:
            await turn.over()

    return asyncio.run(asked())


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


def test_a_funnels_steps_are_the_numbers_that_their_cohorts_have_alone() -> None:
    """Headline and funnel are one number, whichever was asked first: no step is lowered to the one before it."""
    cohort = ruled(has([1]), *(group(aged("gte", years)) for years in range(30, 60)))
    funnel = ask(make(StandIn(120), CountPolicy()), Question(cohort, funnel=True)).answer
    assert [step.rules for step in funnel.funnel] == list(range(31))
    alone = make(StandIn(120), CountPolicy())
    for step in funnel.funnel:
        part = cohort | {"InclusionRules": cohort["InclusionRules"][: step.rules]}
        assert ask(alone, Question(part)).answer.people == step.people
    assert funnel.people == funnel.funnel[-1].people
    assert funnel.people > min(step.people for step in funnel.funnel)


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
    estate = StandIn(120)
    estate.breaks = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        ask(make(estate, CountPolicy(), path), Question(old(40)))
    assert Ledger(path).budget("one", CountPolicy()).left == 99
    told = ask(make(StandIn(120), CountPolicy(), path), Question(old(40)))
    assert (told.budget.cost, told.budget.left) == (0, 99)


def test_what_fails_by_its_text_is_refused_and_not_charged() -> None:
    estate = StandIn(120)
    estate.refuses = "unanswerable-cohort"
    questions = make(estate, CountPolicy())
    with pytest.raises(FlipError) as caught:
        ask(questions, Question(old(40)))
    assert caught.value.code == "unanswerable-cohort"
    assert questions.budget("one").left == 100
    assert estate.asked == 0


@pytest.mark.parametrize("how", ["too long", "out of memory", "none"])
def test_what_is_stopped_or_fails_is_told_as_a_small_number_for_good(how: str, tmp_path: Path) -> None:
    question = Question(old(40), funnel=True, charts=CHARTS)
    small = ask(make(StandIn(-1000), CountPolicy()), question)
    estate = StandIn(120, seconds=5.0 if how == "too long" else 0.0)
    estate.breaks = MemoryError() if how == "out of memory" else None
    if how == "none":
        estate.tabulate = nothing  # type: ignore[method-assign]
    questions = make(estate, CountPolicy(), tmp_path / "ledger.sqlite")
    told = ask(questions, question)
    assert told.answer.to_bytes() == small.answer.to_bytes()
    assert told.budget.cost == small.budget.cost
    again = ask(make(StandIn(120), CountPolicy(), tmp_path / "ledger.sqlite"), question)
    assert again.answer.to_bytes() == told.answer.to_bytes(), "asking again is no second try"
    # A controller's way out: more time is another policy, under which the same question is counted anew, for nothing.
    longer = ask(make(StandIn(120), CountPolicy(answer_seconds=20), tmp_path / "ledger.sqlite"), question)
    assert not longer.answer.suppressed
    assert longer.budget.cost == 0
    assert [took.whole for took in Ledger(tmp_path / "ledger.sqlite").times()] == [False, True]


async def nothing(*_: Any, **__: Any) -> None:
    return None


def test_a_fault_before_any_record_was_read_is_no_answer() -> None:
    estate = StandIn(120)
    estate.fails = "estate-failed"
    questions = make(estate, CountPolicy())
    with pytest.raises(FlipError) as caught:
        ask(questions, Question(old(40)))
    assert caught.value.code == "estate-failed"
    estate.fails = ""
    assert ask(questions, Question(old(40))).budget.cost == 0


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


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.39, 1.0, 1.39, 5.0])
def test_every_answer_leaves_when_its_turn_is_over(seconds: float) -> None:
    estate = StandIn(120, seconds=seconds)
    questions = make(estate, CountPolicy())
    assert estate.clock is not None
    began = estate.clock.time
    told = ask(questions, Question(old(40)))
    assert estate.clock.time - began == pytest.approx(2.0 if seconds <= 2 else 6.0)
    assert 0.3 <= estate.given < 1.2
    assert (told.answer.people is None) == (seconds > estate.given)


def test_when_a_statement_is_stopped_is_drawn_once_for_each_cohort() -> None:
    def given(question: Question, policy: CountPolicy = CountPolicy()) -> float:  # noqa: B008
        estate = StandIn(120)
        ask(make(estate, policy), question)
        return estate.given

    drawn = [given(Question(old(years))) for years in range(40)]
    assert len(set(drawn)) == 40
    assert min(drawn) < 0.5 < 1.0 < max(drawn)
    same = {
        given(Question(old(40))),
        given(Question(old(40), funnel=True)),
        given(Question(old(40), people=False, charts=CHARTS)),
        given(Question(old(40), charts=CHARTS[:1]), CountPolicy(budget=1000)),
    }
    assert len(same) == 1


def test_a_turn_is_longer_by_one_more_where_reading_could_not_begin_in_time() -> None:
    clock = Clock()
    turn = Turn(clock.pace, clock.time, 2.0)
    began = clock.time
    clock.time += 0.57  # more than what comes before a record is read may take
    assert turn.statement(0.999) == pytest.approx(1.2, abs=0.01)
    clock.time += 1.2
    asyncio.run(turn.over())
    assert clock.time - began == pytest.approx(4.0)
    assert turn.ended == clock.time
