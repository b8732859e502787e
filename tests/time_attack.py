"""Attacks on the time that a count takes, played on real time: a worker's process, the agent's counts, the wall clock.

John is on dialysis, or nobody is: a coin decides it. He has 300 records then, and the attacker's question has as many
windows as it may, in each of which every one of his records is held against all of them. A Trust with a new secret and
a new ledger answers each question; the attacker knows what it takes in either case, from Trusts of their own.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from enclave_scenario import Study, signed_count
from small_estate import EVERYBODY, Person, aged, concept_set, fill, has, ruled

from flipnb.contracts.bound import best_guess
from flipnb.contracts.cohort_bounds import MAXIMUM_CRITERIA, MAXIMUM_DISTINCT, MAXIMUM_PAIRED
from flipnb.contracts.controller import Controller
from flipnb.contracts.count import CountReply
from flipnb.contracts.envelope import COUNT_REPLY, unseal
from flipnb.contracts.policy import CountPolicy
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.counting.counts import Counts
from flipnb.enclave.counting.pace import Pace, Turn
from flipnb.enclave.counting.questions import Questions
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.sandbox.uids import estate_worker_uid
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.store import Store

DIALYSIS, PEOPLE = 9, 130
OFTEN, DAILY = 300, 2000
"""Records of one person, on as many days: of dialysis in two years, of daily care in five and a half."""
_KNOWN = 4
"""Games of either kind that the attacker plays at home before guessing."""


def people(johns: int) -> list[Person]:
    """John is the first; so many records of dialysis are his."""
    recorded = tuple((DIALYSIS, date(2010, 1, 1) + timedelta(days=number)) for number in range(johns))
    return [Person(n, recorded=recorded if n == 0 else ()) for n in range(PEOPLE)]


def multiplied(first: int, *, start: tuple[int, ...], everybody: bool) -> dict[str, Any]:
    """Those with a condition of ``start``, by each of its records, with the most that a cohort may ask for around it:
    all of it, or, for ``everybody``, any of it or none. Windows have ``first`` days to either side, or a few more.
    """
    cohort = has(start)
    cohort["ConceptSets"].append(concept_set(1, [DIALYSIS]))
    for limit in ("QualifiedLimit", "ExpressionLimit"):
        cohort[limit] = {"Type": "All"}
    cohort["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "All"}
    days = range(first, first + MAXIMUM_CRITERIA - 2)
    looked_for = [_around(one) for one in days]
    for number, one in enumerate(looked_for[:MAXIMUM_PAIRED]):
        one["EndWindow"] = one["StartWindow"]
        one["Occurrence"]["IsDistinct"] = number < MAXIMUM_DISTINCT
    anybody = [aged("gte", 1)] if everybody else []
    kind = "ANY" if everybody else "ALL"
    return ruled(cohort, {"Type": kind, "CriteriaList": looked_for, "DemographicCriteriaList": anybody, "Groups": []})


def _around(days: int) -> dict[str, Any]:
    """Records of five different days."""
    return {
        "Criteria": {"ConditionOccurrence": {"CodesetId": 1}},
        "StartWindow": {"Start": {"Days": days, "Coeff": -1}, "End": {"Days": days, "Coeff": 1}},
        "Occurrence": {"Type": 2, "Count": 5, "IsDistinct": True, "CountColumn": "START_DATE"},
    }


TIMED = tuple(multiplied(days, start=(DIALYSIS,), everybody=False) for days in (4000, 6000))
"""One person or nobody, which is one answer: only the time can tell. Two questions to the same end."""

LARGE = (multiplied(4000, start=(EVERYBODY, DIALYSIS), everybody=True),)
"""Everybody, so that an answer without a number is one that was stopped."""


class Hurried(Pace):
    """Without the control: what is ready leaves."""

    async def until(self, moment: float) -> None:
        """Wait for nothing."""


class Punctual(Turn):
    """Without the draw: every statement is stopped after the same time, which whoever asks may know."""

    LEAST = MOST = (Turn.LEAST + Turn.MOST) / 2


@dataclass(frozen=True)
class Heard:
    """What a researcher hears, and after how many seconds."""

    reply: CountReply
    seconds: float


class Hospital:
    """One Trust's estate behind its own jailed process; ``ask`` is a new agent's first count."""

    def __init__(self, directory: Path, johns: int) -> None:
        self.john_is_ill, self._directory = johns > 0, directory
        fill(directory / "estate", people(johns))
        self.worker = EstateWorker(
            directory / "estate", directory / "frozen", memory="2GB", uid=estate_worker_uid(directory)
        )

    async def ask(self, cohort: dict[str, Any], policy: CountPolicy, pace: Pace) -> Heard:
        study = Study()
        with tempfile.TemporaryDirectory(dir=self._directory) as place:
            memberships = Memberships(
                Path(place),
                controllers=lambda: [Controller(name="anna", public_key=study.controller.public_key)],
                own_key=study.node.key_id,
            )
            memberships.accept(study.membership())
            store = Store(Path(place) / "state.sqlite")
            audit = AuditLog(Path(place) / "audit.jsonl", study.node, store.anchor)
            ledger = Ledger(Path(place) / "ledger.sqlite")
            questions = Questions(
                secret=secrets.token_bytes(32), ledger=ledger, tabulator=self.worker, policy=lambda: policy, pace=pace
            )
            counts = Counts(
                key=study.node, store=store, audit=audit, memberships=memberships, questions=questions, pace=pace
            )
            signed = signed_count(study, cohort)
            began = time.monotonic()
            answer = await counts.answer("heart", signed)
            seconds = time.monotonic() - began
            audit.close()
            ledger.close()
            store.close()
        assert answer.envelope is not None
        keys = {study.node.key_id: study.node.public_key}
        opened = unseal(answer.envelope.encode(), COUNT_REPLY, keys, "The reply")
        return Heard(opened.parse(CountReply, "The reply"), seconds)


@asynccontextmanager
async def hospitals(directory: Path, johns: int) -> AsyncIterator[tuple[Hospital, Hospital]]:
    """One where John is well, and one where he is ill, and has so many records."""
    both = Hospital(directory / "well", 0), Hospital(directory / "ill", johns)
    try:
        yield both
    finally:
        for one in both:
            await one.worker.close()


Sign = Callable[[Heard], float]
"""What an attacker looks at: it is larger where John is ill."""


def arrival(heard: Heard) -> float:
    """When the answer came."""
    return heard.seconds


def stopped(heard: Heard) -> float:
    """Whether the answer was none, for a cohort that is surely large."""
    return float(heard.reply.suppressed)


@dataclass(frozen=True)
class Played:
    """Of ``n`` games, the share that was guessed right; ``known`` are the signs of the well and of the ill at home.

    ``bound``: what the counts themselves may tell, by their cost.
    """

    right: float
    n: int
    known: tuple[float, float]
    bound: float

    @property
    def slack(self) -> float:
        """Two standard errors of a share."""
        return 2 * sqrt(0.25 / self.n)


async def play(
    both: tuple[Hospital, Hospital],
    cohorts: Sequence[dict[str, Any]],
    policy: CountPolicy,
    sign: Sign,
    *,
    pace: Callable[[], Pace] = Pace,
    turn: type[Turn] = Turn,
    n: int,
    seed: int = 1,
) -> Played:
    """``n`` games, after some at home that show the attacker what the signs are like."""
    with patch("flipnb.enclave.counting.turns.Turn", turn):
        return await _play(both, cohorts, policy, sign, pace, n, random.Random(seed))


async def _play(
    both: tuple[Hospital, Hospital],
    cohorts: Sequence[dict[str, Any]],
    policy: CountPolicy,
    sign: Sign,
    pace: Callable[[], Pace],
    n: int,
    chance: random.Random,
) -> Played:
    async def seen(one: Hospital) -> float:
        """The least sign of all that was heard: what else the machine does makes it larger."""
        return min([sign(await one.ask(cohort, policy, pace())) for cohort in cohorts])

    for one in both:
        await one.ask(cohorts[0], policy, Hurried())
    known = [median([await seen(one) for _ in range(_KNOWN)]) for one in both]
    right, middle = 0, sum(known) / 2
    for _ in range(n):
        one = both[chance.random() < 0.5]
        found = await seen(one)
        guess = chance.random() < 0.5 if found == middle else (found > middle) == (known[1] > known[0])
        right += guess == one.john_is_ill
    return Played(right / n, n, (known[0], known[1]), best_guess(len(cohorts), policy.noise))


def run(playing: Callable[[tuple[Hospital, Hospital]], Any], directory: Path, johns: int = OFTEN) -> Any:
    """Have hospitals, and play in them."""

    async def within() -> Any:
        async with hospitals(directory, johns) as both:
            return await playing(both)

    return asyncio.run(within())
