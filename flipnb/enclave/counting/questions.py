"""A question's way through disclosure control: refuse by its text, charge, count, add noise, suppress, remember.

A refusal depends on the question's text, the policy and the ledger. Once records are read there is an answer: where the
statement was stopped or failed, that of a small number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from flipnb.contracts.asked import Asked
from flipnb.contracts.chart import Bar, Chart, ChartOfTrust
from flipnb.contracts.count import ESTATE_FAILED, Budget, CountAnswer, Step
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.counting.pace import Pace, Turn
from flipnb.enclave.stores.ledger import Ledger, Took
from flipnb.estate.disclosure import Cell, bars, noisy, seed, shown

_LOG = logging.getLogger("flipnb.enclave.counting")


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

    @cached_property
    def meant(self) -> Asked:
        """The question by meaning, which of a large one takes a tenth of a second: first asked for in a thread.

        Raises FlipError as ``CohortExpression.parse``.
        """
        return Asked.of(self.cohort, people=self.people, funnel=self.funnel, charts=self.charts)

    @property
    def counts(self) -> bool:
        """Whether it asks for more than the budget."""
        return self.people or self.funnel or bool(self.charts)


@dataclass(frozen=True)
class Answered:
    """What may leave, and what it cost."""

    answer: CountAnswer
    budget: Budget


class Questions:
    """Answers questions about one Trust's estate. ``secret`` is what all noise is drawn from."""

    def __init__(
        self, *, secret: bytes, ledger: Ledger, tabulator: Tabulator, policy: Callable[[], CountPolicy], pace: Pace
    ) -> None:
        self._secret, self._ledger, self._tabulator = secret, ledger, tabulator
        self._policy, self._pace = policy, pace
        self._stopped: set[asyncio.Task[list[list[Cell]] | None]] = set()
        """Statements that were given up and have not ended yet."""

    @property
    def policy(self) -> CountPolicy:
        """The policy of now."""
        return self._policy()

    def budget(self, study: str) -> Budget:
        """What a study has spent and has left by the policy of now."""
        return self._ledger.budget(study, self._policy())

    async def told(self, study: str, question: Question) -> Answered | None:
        """What needs no turn with the estate: an answer that was given before, or the budget alone; else None.

        Raises FlipError ``charts-refused``, ``text-refused``, ``no-estate``, ``unsupported-cohort``, and what
        ``current`` raises.
        """
        policy = self._policy()
        asked = _asked(question, policy)
        version = await self._version()
        if not asked.costs:
            budget = self._ledger.charge(study, version, {}, policy)
            return Answered(self._release(version, asked, [], policy), budget)
        return self._told(study, version, asked, policy)

    async def answer(self, study: str, question: Question, turn: Turn) -> Answered:
        """The answer, within a ``turn`` of its own.

        Raises FlipError ``budget-spent``, and as ``told`` and ``check`` raise: all before any record is read.
        """
        policy = self._policy()
        asked = _asked(question, policy)
        version = await self._version()
        told = self._told(study, version, asked, policy)
        if told is not None:
            return told
        await self._tabulator.check(version, question.cohort, rules=asked.rules, charts=asked.charts)
        budget = self._ledger.charge(study, version, asked.costs, policy)
        tables, took = await self._tables(version, question, asked, policy, turn)
        answer = self._release(version, asked, tables, policy)
        self._ledger.keep(version, asked.digest, policy.digest(), answer.to_bytes(), took)
        return Answered(answer, budget)

    async def _version(self) -> str:
        try:
            version = await self._tabulator.current()
        except FlipError as error:
            raise FlipError(error.code, error.message, remedy=error.remedy, status=503) from None
        if version is None:
            raise FlipError("no-estate", "This Trust's estate has not been filled yet.", status=409)
        return version

    def _told(self, study: str, version: str, asked: Asked, policy: CountPolicy) -> Answered | None:
        kept = self._ledger.answer(version, asked.digest, policy.digest())
        if kept is None:
            return None
        budget = self._ledger.charge(study, version, asked.costs, policy)  # paid for already, so it costs 0
        return Answered(CountAnswer.model_validate_json(kept), budget)

    async def _tables(
        self, version: str, question: Question, asked: Asked, policy: CountPolicy, turn: Turn
    ) -> tuple[list[list[Cell]] | None, Took]:
        """The cells, or None; at the moment at which the statement is stopped, whether it had to be or not.

        When that is, is drawn by the Trust's secret over the cohort's meaning, so that asking for the same people in
        another chart, which may be free, is no second try.
        """
        drawn = seed(self._secret, "time", version, asked.whole, repr(policy.answer_seconds))
        seconds = turn.statement(int.from_bytes(drawn[:8], "big") / 2**64)
        began, asked_at = self._pace.now(), datetime.now(UTC)
        ended, fault = began + seconds, None

        async def timed() -> list[list[Cell]] | None:
            nonlocal ended, fault
            try:
                return await self._tabulator.tabulate(
                    version,
                    question.cohort,
                    rules=asked.rules,
                    charts=asked.charts,
                    members=policy.seed == "members",
                    seconds=seconds,
                )
            except Exception as error:
                if isinstance(error, FlipError) and error.code == ESTATE_FAILED:
                    fault = error
                # Whatever else fails may fail because of a record that was read.
                _LOG.warning("a statement failed, and is answered as a small number is: %s", error)
                return None
            finally:
                ended = self._pace.now()

        work = asyncio.create_task(timed(), name="statement")
        try:
            await asyncio.wait({work}, timeout=seconds)
        except asyncio.CancelledError:
            work.cancel()
            raise
        tables = None
        if not work.done():
            self._stopped.add(work)
            work.add_done_callback(self._stopped.discard)
        elif ended - began <= seconds:
            tables = work.result()
        took = Took(asked_at, min(ended - began, seconds), tables is not None, policy.answer_seconds)
        await self._pace.until(began + seconds)
        if fault is not None:
            raise fault
        return tables, took

    def _release(self, version: str, asked: Asked, tables: list[list[Cell]] | None, policy: CountPolicy) -> CountAnswer:
        draw = repr(policy.noise)

        def numbers(digest: str, labels: Sequence[str], cells: Sequence[Cell]) -> list[int]:
            def seed_of(cell: Cell, label: str) -> bytes:
                over = ("members", cell.members) if policy.seed == "members" else ("question", digest, label)
                return seed(self._secret, version, draw, *over)

            return [noisy(cell, label, policy, seed_of) for label, cell in zip(labels, cells, strict=True)]

        if tables is None:
            released: list[int | None] = [None] * len(asked.rules)
            drawn: list[list[int | None]] = [[None] * len(chart.labels) for chart in asked.charts]
        else:
            cells = zip(asked.sizes, tables[: len(asked.rules)], strict=True)
            sizes = [numbers(digest, ("",), table)[0] for digest, table in cells]
            released = [shown(size, policy) for size in sizes]
            parts = zip(asked.charts, asked.drawn, tables[len(asked.rules) :], strict=True)
            drawn = [bars(numbers(digest, chart.labels, table), policy) for chart, digest, table in parts]
        charts = []
        for chart, people in zip(asked.charts, drawn, strict=True):
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


def _asked(question: Question, policy: CountPolicy) -> Asked:
    """Raises FlipError where the text, or the policy for every text, refuses."""
    if question.charts and not policy.charts:
        raise FlipError("charts-refused", "This Trust's policy gives no charts.", status=403)
    meant = question.meant
    if meant.text is not None:
        raise FlipError(
            "text-refused",
            f"{meant.text} asks for free text, by which a single person can be named.",
            remedy="Ask by concepts.",
            status=403,
        )
    return meant
