"""How much a run can tell: the formulas against all that can be seen, counted one by one."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from enclave_scenario import Chamber, Study
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.broker import Tell
from flipnb.contracts.channels import DEATHS_IN_A_RUN, _orders, channels, step_bits
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.dataset import Shares, Split
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.enclave.runs.progress import ProgressKeeper
from flipnb.enclave.stores.grid import Grid


def rising(steps: int, ticks: int) -> set[tuple[int, ...]]:
    """All that a value which only rises can look like."""
    return {seen for seen in itertools.product(range(steps + 1), repeat=ticks) if list(seen) == sorted(seen)}


@given(steps=st.integers(0, 4), ticks=st.integers(0, 5))
def test_a_value_that_only_rises_is_counted_exactly(steps: int, ticks: int) -> None:
    assert step_bits(steps, ticks) == math.ceil(math.log2(len(rising(steps, ticks))))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 8))
def test_rounds_that_share_the_time_equally_tell_most(first: int, second: int, steps: int) -> None:
    """What one round has more of the run's ticks than another does not make up for what that one has less."""
    equal = math.comb(math.ceil((first + second) / 2) + steps, steps)
    assert math.comb(first + steps, steps) * math.comb(second + steps, steps) <= equal**2


@given(replies=st.integers(1, 3), points=st.integers(1, 5))
def test_replies_one_after_the_other_are_counted(replies: int, points: int) -> None:
    """Each waits for some points of its own grid, all of them for no more than the run's; any may be the last."""
    seen = {
        waits
        for answered in range(replies + 1)
        for waits in itertools.product(range(points + 1), repeat=answered)
        if sum(waits) <= points
    }
    assert len(seen) == math.comb(points + 1 + replies, replies)
    assert step_bits(replies, points + 1) == math.ceil(math.log2(len(seen)))


@given(totals=st.integers(0, 4), place=st.integers(0, 1))
def test_orders_of_answers_are_counted(totals: int, place: int) -> None:
    """Every sequence in which totals of one place can be answered, with the answer to their round among them."""
    steps = [*range(totals), *(["round"] if place else [])]
    seen = {
        order
        for length in range(len(steps) + 1)
        for order in itertools.permutations(steps, length)
        if not place or "round" in order
    }
    assert _orders(totals, place) == len(seen)


class Listener:
    """A store that keeps what an observer sees of a run's progress."""

    def __init__(self) -> None:
        self.runs = self
        self.seen: list[tuple[object, ...]] = []

    def progress(self, run: str, said: object, *, due: float | None) -> None:
        self.seen.append((said.seconds, said.cell, said.round, said.eighths))  # type: ignore[attr-defined]


def told_by(doings: tuple[tuple[str, ...], ...], *, epochs: int | None) -> tuple[tuple[object, ...], ...]:
    """What a notebook tells that does these things within each tick, where time is looked at four times a tick."""
    now = [0.0]
    listener = Listener()
    keeper = ProgressKeeper(listener, "0" * 32, epochs=epochs, grid=Grid(0.0, 2.0, lambda: now[0]))  # type: ignore[arg-type]
    cell = epoch = 0
    for tick, doing in enumerate(doings):
        for quarter in range(4):
            now[0] = 2.0 * tick + 0.5 * quarter + 0.1
            keeper.flush()
            for what in doing[quarter : quarter + 1]:
                if what == "cell":
                    cell += 1
                    keeper.cell(cell, 3)
                elif what == "epoch":
                    epoch += 1
                    keeper.tell(Tell(epoch=epoch))
                elif what == "round":
                    keeper.round(1)
    now[0] = 2.0 * len(doings) + 0.1
    keeper.flush()
    return tuple(listener.seen)


def test_no_notebook_tells_more_by_its_cells_than_the_formula_says() -> None:
    """Every way in which three cells can begin within four ticks, to a quarter of a tick."""
    ticks, cells = 4, 3
    seen = set()
    for when in itertools.combinations_with_replacement(range(4 * ticks + 1), cells):
        doings = [[""] * 4 for _ in range(ticks)]
        free = [place for place in when if place < 4 * ticks]
        if len(set(free)) < len(free):
            continue
        for place in free:
            doings[place // 4][place % 4] = "cell"
        seen.add(told_by(tuple(tuple(doing) for doing in doings), epochs=None))
    assert len(seen) == math.comb(ticks + cells, cells)
    assert all(len(told) <= ticks for told in seen)
    assert math.ceil(math.log2(len(seen))) == step_bits(cells, ticks)


@pytest.mark.parametrize(("epochs", "different"), [(None, 1), (2, math.comb(3 + 2, 2)), (4, math.comb(3 + 4, 4))])
def test_no_notebook_tells_more_by_its_epochs_than_the_formula_says(epochs: int | None, different: int) -> None:
    """Three ticks after the round's own, in each of which up to four epochs end; nothing where none are declared."""
    seen = set()
    for ended in itertools.product(range(5), repeat=3):
        doings = [("round", "", "", "")] + [("epoch",) * number + ("",) * (4 - number) for number in ended]
        seen.add(told_by(tuple(doings), epochs=epochs))
    assert len(seen) == different
    assert epochs is None or math.ceil(math.log2(len(seen))) == step_bits(min(8, epochs), 3)


def test_a_clock_that_is_looked_at_late_tells_no_more() -> None:
    """What happens between a tick and the agent's look at it waits for the next: when it looks is its own doing."""
    now = [0.0]
    listener = Listener()
    keeper = ProgressKeeper(listener, "0" * 32, epochs=None, grid=Grid(0.0, 2.0, lambda: now[0]))  # type: ignore[arg-type]
    for at, cell in ((2.05, None), (2.3, 1), (2.55, None), (3.9, None), (4.1, None)):
        now[0] = at
        if cell is not None:
            keeper.cell(cell, 3)
        keeper.flush()
    assert listener.seen == [(4.0, 1, None, None)]


def test_channels_of_a_bundle() -> None:
    study = Study()
    cells = (
        Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
        Cell(id="t", type="markdown", source="words"),
        Cell(id="b", type="code", source="one\ntwo\nthree"),
    )
    bundle = study.bundle(
        notebook=FrozenNotebook(cells=cells),
        plan=Plan(rounds=3, clip_norm=1.0, epochs=20, consensus=Consensus(), run_seconds=3600),
        split=Split(seed=1, shares=Shares(train=2, validation=1, test=1)),
        totals=(TotalStep(arrays=(DeclaredArray(name="a", shape=(2,), minimum=0, maximum=1, decimals=2),)),),
    )
    policy = Policy(memory_use=True, per_trust_metrics=True)
    found = {channel.name: channel for channel in channels(bundle, policy)}
    ticks, points = 1800, 36_000
    log2 = math.log2
    assert found["weights"].bits == 3 * (3 * 32 + 2 * 3)
    assert found["numbers"].bits + found["votes"].bits + found["totals"].bits == bundle.report_bits
    assert found["agreements"].bits == bundle.agreement_bits
    assert {name for name, channel in found.items() if channel.counted} == {"numbers", "votes", "totals", "agreements"}
    assert found["cells"].bits == math.ceil(log2(math.comb(ticks + 2, 2))) + math.ceil(log2(ticks + 1))
    assert found["epochs"].bits == 4 * math.ceil(log2(math.comb(450 + 8, 8)))
    assert found["memory"].bits == found["gpu"].bits == math.ceil(log2(math.comb(ticks + 8, 8)))
    assert found["replies"].bits == math.ceil(log2(math.comb(points + 1 + 5, 5))) + 1  # the total is asked, or not
    assert found["deaths"].bits == sum(
        math.ceil(bits)
        for bits in (
            (DEATHS_IN_A_RUN - 1) * log2(3),
            log2(math.comb(ticks + 12, 11)),
            log2(math.comb(points + 13, 12)),  # a kernel may also have given its slot back at the total
        )
    )
    assert 10 <= found["end"].bits <= 30
    fewer = {channel.name for channel in channels(study.bundle(), Policy())}
    assert fewer == {"weights", "numbers", "cells", "replies", "deaths", "end", "estate"}
    assert found["estate"].bits == 0, "no notebook has a part in it"


def test_a_coarser_grid_tells_less(tmp_path: Path) -> None:
    bundle = Chamber(Study(), tmp_path, plan=Plan(rounds=2, clip_norm=1.0, epochs=8)).bundle
    fine = channels(bundle, Policy(memory_use=True))
    coarse = channels(bundle, Policy(memory_use=True, progress_seconds=60, reply_seconds=10))
    told = {channel.name: channel.bits for channel in coarse}
    for channel in fine:
        grids = channel.name not in ("weights", "numbers", "estate")
        assert told[channel.name] < channel.bits if grids else told[channel.name] == channel.bits
