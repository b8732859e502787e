"""What a cohort builder asks about a definition: is it valid, what does a question cost, how many people are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from flipnb.contracts.asked import Asked
from flipnb.contracts.chart import Chart
from flipnb.contracts.count import CountReply
from flipnb.contracts.document import Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line
from flipnb.twin import Preview
from flipnb.workbench import counting, kept_counts
from flipnb.workbench.home import Home
from flipnb.workbench.studies import read_roster

_ESTATES_WITHIN = 5.0
"""Seconds within which Trusts that are there say which version of their estate they have."""


class TwinCount(Document):
    """``people`` of the twin's ``of`` invented people fit: nobody was asked, and it is no Trust's number."""

    people: int
    of: int


class TrustPrice(Document):
    """What the question will cost of one Trust's budget, as far as this workbench knows: nothing for what it told."""

    key: KeyId
    title: Line
    cost: int


class Question(Document):
    """What to ask the Trusts of a study; nothing at all asks for the budgets alone, and is free.

    ``agreed`` is the price that a person saw. Where it has become higher, since a Trust has loaded new records, nobody
    is asked.
    """

    expression: dict[str, Any]
    people: bool = True
    funnel: bool = False
    charts: tuple[Chart, ...] = Field(default=(), max_length=20)
    agreed: int | None = None


class TrustAnswer(Document):
    """``reply`` is None where a Trust has not answered; ``problem`` says why an answer can't be used."""

    key: KeyId
    title: Line
    reply: CountReply | None
    problem: str | None


class TrustAnswers(Document):
    """``people`` adds the released numbers, without Trusts that suppress or are silent; None where there is none."""

    answers: tuple[TrustAnswer, ...]
    people: int | None


class LastAnswers(Document):
    """What the Trusts said of this very cohort when they were last asked."""

    asked: Moment
    answers: TrustAnswers


class CohortCheck(Document):
    """``problem`` says what is not supported or not valid, and where; None where all is well.

    ``twin`` is None where no plan names this cohort, or its twin has not what the definition asks for. ``cost`` is what
    the question about it will be charged, at the Trust where it is most; by Trust in ``prices``. ``last`` is what was
    told of it before, in another session too.
    """

    problem: str | None
    rules: int
    cost: int = 0
    prices: tuple[TrustPrice, ...] = ()
    twin: TwinCount | None = None
    last: LastAnswers | None = None


def check_cohort(
    home: Home, study: str | None, question: Question, twin: Callable[[], Preview | None] = lambda: None
) -> CohortCheck:
    """Whether the Trusts' compilers support a definition, what a question about it costs, and what is known of it.

    Nobody is asked; without a study, or without its roster, the cost is that of what nobody was asked before.
    """
    try:
        asked = _asked(question)
    except FlipError as error:
        return CohortCheck(problem=str(error), rules=0)
    rules = len(question.expression.get("InclusionRules") or ())
    found = twin()
    told = TwinCount(people=found.people, of=found.of) if found is not None else None
    check = CohortCheck(problem=None, rules=rules, cost=sum(asked.costs.values()), twin=told)
    try:
        trusts = read_roster(home, study).trusts if study is not None else ()
    except FlipError:
        trusts = ()
    if study is None or not trusts:
        return check
    prices = tuple(
        TrustPrice(key=one.key_id, title=one.title, cost=kept_counts.price_at(home, one.key_id, asked))
        for one in trusts
    )
    kept = kept_counts.last_counts(home, study, asked.whole)
    last = None
    if kept is not None:
        counts = [counting.TrustCount(trust, kept.replies.get(trust.key_id)) for trust in trusts]
        last = LastAnswers(asked=kept.asked, answers=_answers(counts))
    return check.model_copy(update={"cost": max(one.cost for one in prices), "prices": prices, "last": last})


def ask_trusts(home: Home, study: str, question: Question) -> TrustAnswers:
    """Ask every Trust of a study; each answer is noisy, rounded, and charged to the budget there.

    Raises FlipError ``price-changed`` where that would cost more than was agreed: nobody was asked then.
    """
    if question.agreed is not None:
        _require_agreed(home, study, question, question.agreed)
    asked = counting.count(
        home, study, question.expression, people=question.people, funnel=question.funnel, charts=question.charts
    )
    return _answers(asked)


def _asked(question: Question) -> Asked:
    return Asked.of(question.expression, people=question.people, funnel=question.funnel, charts=question.charts)


def _require_agreed(home: Home, study: str, question: Question, agreed: int) -> None:
    """A price that counts on what was told before is held against the Trusts' estates of now, which they tell free."""
    asked = _asked(question)
    if agreed < sum(asked.costs.values()):
        counting.count(home, study, question.expression, people=False, wait_seconds=_ESTATES_WITHIN)
    trusts = read_roster(home, study).trusts
    dearest = max(((one, kept_counts.price_at(home, one.key_id, asked)) for one in trusts), key=lambda pair: pair[1])
    if dearest[1] > agreed:
        raise FlipError(
            "price-changed",
            f"This costs {dearest[1]} at {dearest[0].title} now, not {agreed}: it has loaded new records.",
            remedy="Nothing was asked. Look at the price, then ask again.",
            status=409,
        )


def _answers(asked: Sequence[counting.TrustCount]) -> TrustAnswers:
    answers = tuple(
        TrustAnswer(key=a.trust.key_id, title=a.trust.title, reply=a.reply, problem=_problem(a)) for a in asked
    )
    released = [a.reply.people for a in answers if a.reply is not None and a.reply.people is not None]
    return TrustAnswers(answers=answers, people=sum(released) if released else None)


def _problem(answer: counting.TrustCount) -> str | None:
    if answer.problem is not None:
        return answer.problem
    if answer.reply is not None and answer.reply.problem is not None:
        problem = answer.reply.problem
        return f"{problem.message} {problem.remedy}".strip()
    return None
