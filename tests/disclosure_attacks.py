"""Published attacks on counts, each played against the path that counts really take.

The attacker knows everything but one bit: whether John is ill. A coin decides it, a Trust with a new secret answers,
the attacker guesses; 0.5 is blind guessing. Each person can be named by a condition that nobody else has, as an
attacker can who knows enough of a person. Whoever is asked, the way is the same: ``Questions`` over a small DuckDB
estate, counted by ``tabulate``. Only the policy differs, or, for practices that were never built, ``Practice`` says
so. Time stands still, but for what an answer waits: ``time_attack`` has the attacks that look at time, on real time.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from typing import Any

from small_estate import EVERYBODY, FEMALE, MALE, Person, aged, but_not, concept_set, fill, group, has, ruled

from flipnb.contracts.bound import best_guess
from flipnb.contracts.chart import SexChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.count import Budget, CountAnswer
from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.counting.pace import Pace, Turn
from flipnb.enclave.counting.questions import Question, Questions
from flipnb.enclave.stores.ledger import Ledger
from flipnb.estate.disclosure import Cell, tabulate

ILL, NAMES, WRITTEN = 7, 1000, 8
JOHN = 0
PEOPLE, SICK = 130, 61
KNOWN = tuple(range(PEOPLE - 4, PEOPLE))
"""Healthy people whom the attacker knows, to pad a question with."""


def people(john_is_ill: bool) -> list[Person]:
    sick = {number for number in range(SICK) if number != JOHN or john_is_ill}
    return [
        Person(
            number,
            gender=MALE if number % 2 else FEMALE,
            born=1930 + number % 50,
            conditions=frozenset({NAMES + number, *([ILL] if number in sick else [])}),
            note="moved to Ruritania" if number == JOHN and john_is_ill else "",
            mentions=frozenset({WRITTEN}) if number == JOHN and john_is_ill else frozenset(),
        )
        for number in range(PEOPLE)
    ]


class World:
    """An estate whose every question is counted once, by the real tabulation; noise and ledger come after it."""

    def __init__(self, directory: Path, john_is_ill: bool) -> None:
        self.john_is_ill = john_is_ill
        self._estate = directory
        self._version = fill(directory, people(john_is_ill))
        self._counted: dict[str, list[list[Cell]]] = {}

    async def current(self) -> str:
        return self._version

    async def check(self, version: str, cohort: Any, *, rules: Any, charts: Any) -> None:
        """Every question here can be asked."""

    async def tabulate(
        self, version: str, cohort: Any, *, rules: Any, charts: Any, members: bool, seconds: float
    ) -> list[list[Cell]]:
        key = json.dumps([cohort, rules, members, [chart.by for chart in charts]])
        if key not in self._counted:
            expression = CohortExpression.parse(cohort)
            self._counted[key] = tabulate(
                self._estate, version, expression, rules=rules, charts=charts, members=members
            )
        return self._counted[key]

    def exact(self, cohort: dict[str, Any]) -> int:
        rules = (len(cohort["InclusionRules"]),)
        tables = self.tabulate(self._version, cohort, rules=rules, charts=(), members=False, seconds=1.0)
        return RUNNER.run(tables)[0][0].people


RUNNER = asyncio.Runner()


@dataclass
class Practice:
    """How a Trust releases counts. ``fresh``: new noise each time and no ledger, as some systems have it.

    ``audits``: refuses a question by how many people it differs in from an earlier one. ``reads_text``: criteria on
    free text are answered.
    """

    name: str
    policy: CountPolicy
    fresh: bool = False
    audits: bool = False
    reads_text: bool = False


class NoLedger:
    """Charges nothing and forgets all."""

    def charge(self, *_: Any) -> Budget:
        return Budget(cost=0, left=0, of=0, days=1)

    def answer(self, *_: Any) -> None:
        return None

    def keep(self, *_: Any) -> None:
        return None


@dataclass
class Trust:
    """One Trust for one game: a secret, a ledger, a clock; ``spent`` is what the ledger charged."""

    world: World
    practice: Practice
    chance: random.Random
    spent: int = 0
    time: float = 0.0
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pace = Pace(lambda: self.time, self._sleep)
        self._questions = self._new()

    def _new(self) -> Questions:
        return Questions(
            secret=self.chance.randbytes(32),
            ledger=NoLedger() if self.practice.fresh else Ledger(Path(":memory:")),
            tabulator=self.world,
            policy=lambda: self.practice.policy,
            pace=self._pace,
        )

    async def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def count(self, cohort: dict[str, Any], study: str = "one") -> int:
        """The released number, 0 where it is suppressed. Raises FlipError where the question is refused."""
        exact = 0
        if self.practice.audits or self.practice.reads_text:
            exact = self.world.exact(cohort)
        if self.practice.audits:
            if any(0 < abs(exact - before) < self.practice.policy.threshold for before in self.asked):
                raise FlipError("differs-too-little", "Too few people differ.")
            self.asked.append(exact)
        if self.practice.reads_text:
            return exact
        return self._told(Question(cohort), study).people or 0

    def steps(self, cohort: dict[str, Any]) -> list[int]:
        """The numbers of a funnel, 0 where one is suppressed."""
        return [step.people or 0 for step in self._told(Question(cohort, funnel=True)).funnel or ()]

    def bar(self, cohort: dict[str, Any], label: str) -> int:
        """One bar of a chart by sex, 0 where it is suppressed."""
        (chart,) = self._told(Question(cohort, people=False, charts=(SexChart(),))).charts
        return next(bar.people or 0 for bar in chart.bars if bar.label == label)

    def _told(self, question: Question, study: str = "one") -> CountAnswer:
        questions = self._new() if self.practice.fresh else self._questions
        turn = Turn(self._pace, self.time, self.practice.policy.answer_seconds)
        told = RUNNER.run(questions.answer(study, question, turn))
        self.spent += told.budget.cost
        return told.answer


SICK_ONES = has([ILL])
WITHOUT_JOHN = but_not(SICK_ONES, [NAMES + JOHN])

Attack = Callable[[list[Trust], random.Random], bool]


def ill(difference: float, if_ill: float, chance: random.Random) -> bool:
    """The guess from a difference that is ``if_ill`` where John is ill and 0 where he isn't, but for noise."""
    return difference > if_ill / 2 if difference != if_ill / 2 else chance.random() < 0.5


def differencing(trusts: list[Trust], chance: random.Random) -> bool:
    """All who are ill, and all of them but John."""
    (trust,) = trusts
    return ill(trust.count(SICK_ONES) - trust.count(WITHOUT_JOHN), 1, chance)


def padding(trusts: list[Trust], chance: random.Random) -> bool:
    """The same with 0 to 4 people added who are known: where rounding jumps tells the exact number."""
    (trust,) = trusts
    padded = [has([ILL, *(NAMES + k for k in KNOWN[:number])]) for number in range(len(KNOWN) + 1)]
    asked, difference = 0, 0
    with suppress(FlipError):  # the budget is spent
        for one in padded:
            difference += trust.count(one) - trust.count(but_not(one, [NAMES + JOHN]))
            asked += 1
    return ill(difference, asked, chance)


def repeated(times: int) -> Attack:
    """The same two questions again and again; averages."""

    def attack(trusts: list[Trust], chance: random.Random) -> bool:
        (trust,) = trusts
        difference = sum(trust.count(SICK_ONES) - trust.count(WITHOUT_JOHN) for _ in range(times))
        return ill(difference, times, chance)

    return attack


def rewordings(cohort: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same people by ever other definitions: everybody is older than a few years."""
    for years in range(1, 30):
        for more_years in range(years, 30):
            yield ruled(cohort, group(aged("gte", years)), group(aged("gt", more_years)))


def rephrased(times: int, studies: tuple[str, ...] = ("one",)) -> Attack:
    """The two questions in other words, for each of ``studies`` until the Trust refuses; averages."""

    def attack(trusts: list[Trust], chance: random.Random) -> bool:
        (trust,) = trusts
        asked, difference, left = 0, 0, list(studies)
        for first, second in zip(rewordings(SICK_ONES), rewordings(WITHOUT_JOHN), strict=True):
            while left and asked < times:
                try:
                    difference += trust.count(first, left[0]) - trust.count(second, left[0])
                    asked += 1
                    break
                except FlipError as error:
                    assert error.code == "budget-spent"
                    left.pop(0)
        return ill(difference, asked, chance)

    return attack


def funnels(trusts: list[Trust], chance: random.Random) -> bool:
    """A funnel whose rules leave everybody out of nothing tells the same number twice; with and without John."""
    (trust,) = trusts
    with_him, without_him = (trust.steps(ruled(one, group(aged("gte", 1)))) for one in (SICK_ONES, WITHOUT_JOHN))
    # The first step of the second has him still.
    return ill(sum(with_him) - sum(without_him[1:]), len(with_him), chance)


def charts(trusts: list[Trust], chance: random.Random) -> bool:
    """The bar of a chart that John stands in, with and without him."""
    (trust,) = trusts
    return ill(trust.bar(SICK_ONES, "female") - trust.bar(WITHOUT_JOHN, "female"), 1, chance)


def intersecting(trusts: list[Trust], chance: random.Random) -> bool:
    """John is a patient of each of the Trusts; the differences add up."""
    return ill(sum(trust.count(SICK_ONES) - trust.count(WITHOUT_JOHN) for trust in trusts), len(trusts), chance)


def tracker(trusts: list[Trust], chance: random.Random) -> bool:
    """Denning's tracker: a count too small to be told, out of three that are large."""
    (trust,) = trusts
    sets = [concept_set(0, [EVERYBODY]), concept_set(1, [NAMES + JOHN]), concept_set(2, [ILL])]
    everybody = has([EVERYBODY]) | {"ConceptSets": sets}
    john_ill = group(having=[1, 2])
    halves = group({"Gender": [{"CONCEPT_ID": MALE}]}), group({"Gender": [{"CONCEPT_ID": FEMALE}]})
    either = [ruled(everybody, group(kind="ANY", groups=[john_ill, half])) for half in halves]
    # Where John is ill he is in both, his own half and the other one.
    return ill(sum(trust.count(one) for one in either) - trust.count(everybody), 1, chance)


def equal_sets(trusts: list[Trust], chance: random.Random) -> bool:
    """Noise by members: two answers that differ show that John makes a difference (Gadotti et al., 2019)."""
    (trust,) = trusts
    del chance
    return trust.count(SICK_ONES) != trust.count(WITHOUT_JOHN)


def refusals(trusts: list[Trust], chance: random.Random) -> bool:
    """A refusal because too few people differ tells that they do."""
    (trust,) = trusts
    trust.count(SICK_ONES)
    try:
        trust.count(WITHOUT_JOHN)
    except FlipError:
        return True
    return not trust.practice.audits and chance.random() < 0.5


def free_text(trusts: list[Trust], chance: random.Random) -> bool:
    """A phrase that is in John's record alone."""
    (trust,) = trusts
    try:
        return trust.count(has([ILL], StopReason={"Text": "Ruritania", "Op": "contains"})) > 0
    except FlipError as error:
        assert error.code == "text-refused"
        return chance.random() < 0.5


def unique_mention(trusts: list[Trust], chance: random.Random) -> bool:
    """A concept that is found in John's notes alone: those who are ill or have it, padded, and all but John."""
    (trust,) = trusts
    text = {"FlipText": {"CodesetId": 0, "TermExists": "Y"}}

    def written(*concepts: int) -> dict[str, Any]:
        start = has([WRITTEN, *concepts])
        (condition,) = start["PrimaryCriteria"]["CriteriaList"]
        return start | {"PrimaryCriteria": start["PrimaryCriteria"] | {"CriteriaList": [text, condition]}}

    healthy = [NAMES + number for number in range(SICK, SICK + 20)]
    alone, padded = trust.count(written()), trust.count(written(*healthy))
    return alone > 0 or ill(padded - trust.count(but_not(written(*healthy), [NAMES + JOHN])), 1, chance)


@dataclass(frozen=True)
class Game:
    """An attack, the practice that it was made for, and how many Trusts it asks."""

    name: str
    attack: Attack
    without: Practice
    trusts: int = 1


@dataclass(frozen=True)
class Outcome:
    """Shares of right guesses over ``n`` games, and the bound of what was charged at most in any of them."""

    without: float
    ours: float
    bound: float
    cost: int
    n: int

    @property
    def slack(self) -> float:
        """Two standard errors of a share."""
        return 2 * sqrt(0.25 / self.n)


def games(policy: CountPolicy, *, repeats: int, rewords: int) -> tuple[Game, ...]:
    """Every attack, with its number of repetitions where there is no control."""
    unlimited = {"budget": 10**9, "budget_per_study": 10**9}
    exact = Practice("exact counts", CountPolicy(threshold=1, rounding=1, noise=0, **unlimited))
    rounded = Practice("below 10 suppressed, nearest 5", CountPolicy(noise=0, **unlimited))
    suppressed = Practice("below 10 suppressed", CountPolicy(rounding=1, noise=0, **unlimited))
    noisy = policy.model_copy(update=unlimited)
    fresh = Practice("new noise each time, no ledger", noisy, fresh=True)
    each = Practice("a ledger per study alone", policy.model_copy(update={"budget": 10**9}))
    members = Practice("noise by members", noisy.model_copy(update={"seed": "members"}))
    audited = Practice("refused where too few differ", exact.policy.model_copy(update={"threshold": 10}), audits=True)
    text = Practice("free text answered", exact.policy, reads_text=True)
    studies = tuple(f"study-{number}" for number in range(2 * rewords // max(1, policy.budget_per_study) + 1))
    return (
        Game("differencing", differencing, exact),
        Game("padding with known people", padding, rounded),
        Game("the same question again", repeated(repeats), fresh),
        Game("the question rephrased", rephrased(rewords), fresh),
        Game("colluding studies", rephrased(rewords, studies), each),
        Game("a funnel of the same people", funnels, exact),
        Game("a bar of a chart", charts, exact),
        Game("intersecting Trusts", intersecting, exact, trusts=4),
        Game("tracker", tracker, suppressed),
        Game("equal answers for equal sets", equal_sets, members),
        Game("refusals", refusals, audited),
        Game("unique free text", free_text, text),
        Game("a concept in one person's notes", unique_mention, suppressed),
    )


def play(
    game: Game, policy: CountPolicy, worlds: tuple[World, World], *, n: int, n_without: int, seed: int = 1
) -> Outcome:
    """``n`` games with the control, and ``n_without`` against the practice that the attack was made for."""
    without, _ = _shares(game, game.without, worlds, n_without, seed)
    ours, cost = _shares(game, Practice("ours", policy), worlds, n, seed)
    return Outcome(without, ours, best_guess(cost, policy.noise), cost, n)


def _shares(game: Game, practice: Practice, worlds: tuple[World, World], n: int, seed: int) -> tuple[float, int]:
    chance = random.Random(f"{seed} {game.name} {practice.name}")
    right, most = 0, 0
    for _ in range(n):
        world = worlds[chance.random() < 0.5]
        trusts = [Trust(world, replace(practice), chance) for _ in range(game.trusts)]
        right += game.attack(trusts, chance) == world.john_is_ill
        most = max(most, sum(trust.spent for trust in trusts))
    return right / n, most


def make_worlds(directory: Path) -> tuple[World, World]:
    os.makedirs(directory, exist_ok=True)
    return World(directory / "well", False), World(directory / "ill", True)
