"""Whatever a hub asks in whatever order, over restarts of the agent: one answer per round, and rounds only rise."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import pytest
from enclave_scenario import WEIGHTS, Chamber, Study, sealed
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy

ROUNDS = 4
TELLS = Strategy(name="lab.Own", parameters={"variant": 1.0})
VARIANTS: tuple[dict[str, float], ...] = ({}, {"variant": 1.0})
"""Two contexts that an enclave takes of one round: an installed strategy may tell its parameters or not."""
Step = tuple[Literal["ask"], int, int] | tuple[Literal["answer"]] | tuple[Literal["restart"]]
ASK = st.tuples(st.just("ask"), st.integers(1, ROUNDS + 2), st.integers(0, 1))
STEPS = st.lists(st.one_of(ASK, ASK, st.just(("answer",)), st.just(("answer",)), st.just(("restart",))), max_size=14)


@settings(max_examples=40)
@given(steps=STEPS)
def test_one_answer_per_round_and_rounds_only_rise(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        chamber = Chamber(Study(), Path(directory), plan=Plan(rounds=ROUNDS, clip_norm=10.0, strategy=TELLS))
        airlock = chamber.airlock
        given_rounds: dict[int, int] = {}
        answered: dict[int, bytes] = {}
        for step in steps:
            last = max(given_rounds, default=0)
            waits = last if last and last not in answered else None
            if step[0] == "restart":
                airlock.close()
                airlock = chamber.open()
            elif step[0] == "answer":
                chamber.airlock = airlock
                if waits:
                    context = chamber.context(waits, config=VARIANTS[given_rounds[waits]])
                    missing = airlock.missing(context)
                    if missing is not None:  # it has skipped rounds, or never had the first
                        airlock.keep(missing, sealed(WEIGHTS))
                    airlock.offer(context, sealed(WEIGHTS))
                    answered[waits] = chamber.answer(waits)
                else:
                    with pytest.raises(FlipError):
                        chamber.answer(last or 1)
            else:
                _, number, variant = step
                context = chamber.context(number, config=VARIANTS[variant])
                known = given_rounds.get(number)
                rises = waits is None and last < number <= ROUNDS + 1
                tells = number <= ROUNDS or variant == 0  # nothing is told once the training is over
                fits = known == variant if known is not None else rises and tells
                if not fits:
                    with pytest.raises(FlipError, match="refused"):
                        airlock.take(context)
                    continue
                reply = airlock.take(context)
                given_rounds[number] = variant
                assert (reply.envelope if reply is not None else None) == answered.get(number)
        airlock.close()
        stored = {n: chamber.store.rounds.get(chamber.run, n) for n in range(1, ROUNDS + 3)}
        assert {n: row.reply for n, row in stored.items() if row is not None and row.reply is not None} == answered
        chamber.close()
