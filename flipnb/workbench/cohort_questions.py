"""What a cohort builder asks about a definition: is it valid, what does a question cost, how many people are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from flipnb.contracts.chart import Chart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.count import CHART_COSTS, COUNT_COSTS, CountReply
from flipnb.contracts.document import Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line
from flipnb.twin import Preview
from flipnb.workbench import counting
from flipnb.workbench.home import Home


class TwinCount(Document):
    """``people`` of the twin's ``of`` invented people fit: nobody was asked, and it is no Trust's number."""

    people: int
    of: int


class CohortCheck(Document):
    """``problem`` says what is not supported or not valid, and where; None where all is well.

    ``twin`` is None where no plan names this cohort, or its twin has not what the definition asks for.
    What a question costs: ``count_costs`` for each number (a funnel has ``rules`` + 1), ``chart_costs`` for each chart.
    """

    problem: str | None
    rules: int
    twin: TwinCount | None = None
    count_costs: int = COUNT_COSTS
    chart_costs: int = CHART_COSTS


class Question(Document):
    """What to ask the Trusts of a study; nothing at all asks for the budgets alone, and is free."""

    expression: dict[str, Any]
    people: bool = True
    funnel: bool = False
    charts: tuple[Chart, ...] = Field(default=(), max_length=20)


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


def check_cohort(expression: Mapping[str, Any], twin: Callable[[], Preview | None]) -> CohortCheck:
    """Whether the Trusts' compilers support a definition, and what its twin says, where it can say something."""
    try:
        parsed = CohortExpression.parse(dict(expression))
    except FlipError as error:
        return CohortCheck(problem=str(error), rules=0)
    found = twin()
    told = TwinCount(people=found.people, of=found.of) if found is not None else None
    return CohortCheck(problem=None, rules=len(parsed.inclusion_rules), twin=told)


def ask_trusts(home: Home, study: str, question: Question) -> TrustAnswers:
    """Ask every Trust of a study; each answer is noisy, rounded, and charged to the budget there."""
    asked = counting.count(
        home, study, question.expression, people=question.people, funnel=question.funnel, charts=question.charts
    )
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
