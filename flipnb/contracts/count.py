"""Asking the Trusts how many people a cohort has, rule by rule and bar by bar; and what a question costs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from flipnb.contracts.chart import Chart, ChartOfTrust
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import Problem
from flipnb.contracts.text import Name

REQUEST_BYTES = 1 << 20
"""The most that what a researcher signed may take: a count, a run request within a task."""

ESTATE_FAILED = "estate-failed"
"""The one code of whatever fails at a Trust before a record is read; which fault it was, its own log says."""

COUNT_COSTS = 1
"""One number, which one person can change by 1."""

CHART_COSTS = 2
"""However many bars: a person stands in one of them; another history moves them, and two bars change by 1."""


class CountRequest(Document):
    """Signed with a session key. An enclave remembers ``nonce`` until ``expires`` and answers once.

    ``people`` asks for the cohort's size, ``funnel`` also for its size after each inclusion rule. With nothing asked
    for, the reply has the budget alone, and costs nothing.
    """

    version: Literal["flip/count-request/1"] = "flip/count-request/1"
    study: Name
    membership: Digest
    cohort: dict[str, Any]
    people: bool = True
    funnel: bool = False
    charts: tuple[Chart, ...] = Field(default=(), max_length=200)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    requested: Moment
    expires: Moment

    @field_validator("cohort")
    @classmethod
    def _cohort_is_supported(cls, cohort: dict[str, Any]) -> dict[str, Any]:
        CohortExpression.parse(cohort)
        return cohort


class Step(Document):
    """How many people the cohort has with its first ``rules`` inclusion rules; None where that is suppressed."""

    rules: int = Field(ge=0)
    people: int | None = Field(default=None, ge=0)


class Budget(Document):
    """What the question cost, and what is left at this Trust for this study, of ``of`` in ``days`` days.

    ``renews`` is when the next part of what was spent comes back.
    """

    cost: int = Field(ge=0)
    left: int = Field(ge=0)
    of: int = Field(ge=0)
    days: int = Field(ge=1)
    renews: Moment | None = None


class CountAnswer(Document):
    """What a Trust says of a cohort; the same question about the same estate version has the same bytes.

    ``people`` is noisy (standard deviation ``noise``), then rounded to ``rounding``; None where it was not asked for or
    is ``suppressed``, because the noisy number is below ``threshold``, or because the question was stopped: it needed
    more time than this Trust gives. Which of the two, is not said. Zero is as any small number.
    """

    people: int | None = Field(default=None, ge=0)
    suppressed: bool = False
    threshold: int | None = None
    rounding: int | None = None
    noise: float | None = None
    estate_version: str | None = None
    funnel: tuple[Step, ...] = ()
    charts: tuple[ChartOfTrust, ...] = ()


class CountReply(CountAnswer):
    """Sealed with the Trust's node key. ``problem`` says why a Trust refused; a suppressed count has none.

    ``answer_seconds``: how long after its turn every question of this Trust is answered.
    """

    version: Literal["flip/count-reply/1"] = "flip/count-reply/1"
    trust: KeyId
    request: Digest
    budget: Budget | None = None
    answer_seconds: float | None = None
    problem: Problem | None = None


class SignedCount(Document):
    """What a researcher posts: the session certificate and the request, both as envelopes (JSON text)."""

    certificate: str = Field(max_length=1 << 16)
    request: str = Field(max_length=REQUEST_BYTES)


class CountStatus(Document):
    """The hub's relay of the Trusts' sealed replies (envelopes, JSON text), by key id."""

    count: str
    study: Name
    asked: tuple[KeyId, ...]
    replies: dict[KeyId, str]
