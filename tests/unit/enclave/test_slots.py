"""Slots: no more kernels than the policy allows, and one order in which runs get them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flipnb.enclave.runs.slots import Slots

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def test_no_more_kernels_than_slots_and_a_stop_does_not_wait_for_one() -> None:
    async def scene() -> None:
        slots = Slots(lambda: 1)
        stopped = False
        order: list[str] = []
        waited: list[str] = []

        async def run(name: str, *, given_up: bool) -> None:
            place = BEGAN, name
            async with slots.one(place, lambda: given_up and stopped, lambda: waited.append(name)) as slot:
                order.append(f"{name} {slot}")
                await release.wait()

        release = asyncio.Event()
        first = asyncio.create_task(run("first", given_up=False))
        await asyncio.sleep(0)
        second = asyncio.create_task(run("second", given_up=False))
        third = asyncio.create_task(run("third", given_up=True))
        await asyncio.sleep(0.05)
        assert order == ["first 0"]
        assert slots.used == 1
        assert waited == ["second", "third"]
        stopped = True
        while len(order) < 2:
            await asyncio.sleep(0.01)
        assert order[1] == "third None"
        release.set()
        await asyncio.gather(first, second, third)
        assert order == ["first 0", "third None", "second 0"]
        assert slots.used == 0

    asyncio.run(scene())


@given(st.permutations(range(7)), st.integers(1, 3))
def test_whoever_asks_first_the_earliest_run_gets_the_next_slot(arrival: list[int], limit: int) -> None:
    async def scene() -> list[int]:
        got: list[int] = []
        slots = Slots(lambda: limit)

        async def run(number: int, hold: asyncio.Event) -> None:
            async with slots.one((BEGAN + timedelta(seconds=number), "run"), lambda: False):
                got.append(number)
                await hold.wait()

        full = asyncio.Event()
        holders = [asyncio.create_task(run(-1 - n, full)) for n in range(limit)]
        await asyncio.sleep(0)
        asking = []
        ended = asyncio.Event()
        ended.set()
        for number in arrival:
            asking.append(asyncio.create_task(run(number, ended)))
            await asyncio.sleep(0)
        full.set()
        await asyncio.gather(*holders, *asking)
        return got[limit:]

    got = asyncio.run(scene())
    if limit == 1:
        assert got == sorted(got)
    assert sorted(got) == list(range(7))
    assert got[0] < limit
