"""A question's way through disclosure control: refuse by its text, charge, count, add noise, suppress, remember.

A refusal depends on the question's text, the policy and the ledger. Once data are touched there is an answer, or, where
the estate itself is at fault, none: see ``EstateFault``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flipnb.contracts.chart import Bar, Chart, ChartOfTrust
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.count import CHART_COSTS, COUNT_COSTS, Budget, CountAnswer, Step
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.meaning import free_text, meaning
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.counting.pace import Pace, padded
from flipnb.enclave.stores.ledger import Ledger
from flipnb.estate.disclosure import Cell, bars, funnel, noisy, seed, shown


class Tabulator(Protocol):
    """What counts exactly: the estate worker, for the agent's eyes only."""

    async def current(self) -> str | None:
        """The id of the estate's current version; None where there is none."""
        ...

    async def check(
        self, version: str, cohort: dict[str, Any], *, rules: Sequence[int], charts: Sequence[Chart]
    ) -> None:
        """Raise FlipError where the question fails by its text, which no record decides; ``estate-failed``."""
        ...

    async def tabulate(
        self,
        version: str,
        cohort: dict[str, Any],
        *,
        rules: Sequence[int],
        charts: Sequence[Chart],
        members: bool,
        seconds: float,
    ) -> list[list[Cell]] | None:
        """Exact cells: one list with the sizes after so many ``rules``, then one for each chart, a cell for each bar.

        With ``members`` each cell has a digest of who is in it. None where it was stopped after ``seconds``, or failed.
        Raises FlipError ``estate-failed`` where no record was read.
        """
        ...


@dataclass(frozen=True)
class Question:
    """What a researcher of a study asks about one cohort; see CountRequest."""

    cohort: dict[str, Any]
    people: bool = True
    funnel: bool = False
    charts: tuple[Chart, ...] = ()

    def rules(self, expression: CohortExpression) -> tuple[int, ...]:
        """With how many inclusion rules people are counted, ascending."""
        all_rules = len(expression.inclusion_rules)
        return tuple(range(all_rules + 1)) if self.funnel else (all_rules,) if self.people else ()


@dataclass(frozen=True)
class Answered:
    """``seconds`` is the least time after which the answer may leave: that of its first telling."""

    answer: CountAnswer
    budget: Budget
    seconds: float


class Questions:
    """Answers questions about one Trust's estate. ``secret`` is what all noise is drawn from."""

    def __init__(
        self, *, secret: bytes, ledger: Ledger, tabulator: Tabulator, policy: Callable[[], CountPolicy], pace: Pace
    ) -> None:
        self._secret, self._ledger, self._tabulator = secret, ledger, tabulator
        self._policy, self._pace = policy, pace

    def budget(self, study: str) -> Budget:
        """What a study has spent and has left by the policy of now."""
        return self._ledger.budget(study, self._policy())

    async def answer(self, study: str, question: Question) -> Answered:
        """Raises FlipError ``charts-refused``, ``text-refused``, ``budget-spent``, ``no-estate``; EstateFault."""
        began = self._pace.now()
        policy = self._policy()
        expression = CohortExpression.parse(question.cohort)
        if question.charts and not policy.charts:
            raise FlipError("charts-refused", "This Trust's policy gives no charts.", status=403)
        text = free_text(expression)
        if text is not None:
            raise FlipError(
                "text-refused",
                f"{text} asks for free text, by which a single person can be named.",
                remedy="Ask by concepts.",
                status=403,
            )
        version = await self._tabulator.current()
        if version is None:
            raise FlipError("no-estate", "This Trust's estate has not been filled yet.", status=409)
        asked = _Asked.of(question, expression)
        budget = self._ledger.charge(study, version, asked.costs, policy)
        name, under = asked.digest, policy.digest()
        told = self._ledger.answer(version, name, under)
        if told is not None:
            return Answered(CountAnswer.model_validate_json(told[0]), budget, told[1])
        tables = await self._tables(version, question, asked, policy)
        answer = self._release(version, asked, tables, policy)
        seconds = padded(self._pace.now() - began)
        self._ledger.keep(version, name, under, answer.to_bytes(), seconds)
        return Answered(answer, budget, seconds)

    async def _tables(self, version: str, question: Question, asked: _Asked, policy: CountPolicy) -> list[list[Cell]]:
        if not asked.rules and not asked.charts:
            return []
        await self._tabulator.check(version, question.cohort, rules=asked.rules, charts=asked.charts)
        tables = await self._tabulator.tabulate(
            version,
            question.cohort,
            rules=asked.rules,
            charts=asked.charts,
            members=policy.seed == "members",
            seconds=policy.answer_seconds,
        )
        if tables is None:
            raise EstateFault(FlipError("estate-failed", "The estate was not counted."))
        return tables

    def _release(self, version: str, asked: _Asked, tables: list[list[Cell]], policy: CountPolicy) -> CountAnswer:
        draw = repr(policy.noise)

        def numbers(digest: str, labels: Sequence[str], cells: Sequence[Cell]) -> list[int]:
            def seed_of(cell: Cell, label: str) -> bytes:
                over = ("members", cell.members) if policy.seed == "members" else ("question", digest, label)
                return seed(self._secret, version, draw, *over)

            return [noisy(cell, label, policy, seed_of) for label, cell in zip(labels, cells, strict=True)]

        sizes = [
            numbers(digest, ("",), table)[0]
            for digest, table in zip(asked.sizes, tables[: len(asked.rules)], strict=True)
        ]
        released = funnel(sizes, policy) if asked.funnel else [shown(size, policy) for size in sizes]
        charts = []
        for chart, digest, table in zip(asked.charts, asked.drawn, tables[len(asked.rules) :], strict=True):
            people = bars(numbers(digest, chart.labels, table), policy)
            told = tuple(Bar(label=label, people=n) for label, n in zip(chart.labels, people, strict=True))
            charts.append(ChartOfTrust(chart=chart, bars=told, people=sum(n for n in people if n is not None)))
        steps = tuple(Step(rules=rules, people=n) for rules, n in zip(asked.rules, released, strict=True))
        return CountAnswer(
            people=released[-1] if released else None,
            suppressed=bool(released) and released[-1] is None,
            threshold=policy.threshold,
            rounding=policy.rounding,
            noise=policy.noise,
            estate_version=version,
            funnel=steps if asked.funnel else (),
            charts=tuple(charts),
        )


class EstateFault(FlipError):
    """The estate failed after it was asked: told to nobody outside, since it might depend on what it holds.

    The hub's task stays open and is tried again until it expires; the log names the fault.
    """

    def __init__(self, cause: FlipError) -> None:
        super().__init__(cause.code, cause.message, remedy=cause.remedy, status=503)


@dataclass(frozen=True)
class _Asked:
    """A question by meaning: digests of what is counted, and what each costs."""

    rules: tuple[int, ...]
    sizes: tuple[str, ...]
    charts: tuple[Chart, ...]
    drawn: tuple[str, ...]
    funnel: bool

    @classmethod
    def of(cls, question: Question, expression: CohortExpression) -> _Asked:
        rules = question.rules(expression)
        charts = tuple(dict.fromkeys(question.charts))
        sizes = tuple(meaning(expression, rules=count) for count in rules)
        whole = (sizes[-1] if sizes else meaning(expression)) if charts else ""
        return cls(
            rules=rules,
            sizes=sizes,
            charts=charts,
            drawn=tuple(sha256(f"{whole}\n{chart.digest()}".encode()) for chart in charts),
            funnel=question.funnel,
        )

    @property
    def costs(self) -> dict[str, int]:
        return dict.fromkeys(self.sizes, COUNT_COSTS) | dict.fromkeys(self.drawn, CHART_COSTS)

    @property
    def digest(self) -> str:
        return sha256(canonical_bytes([*self.sizes, self.funnel, *self.drawn]))
