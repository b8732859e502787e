"""A member who listens a thousand times at once: all of them would look at each event, before anybody is answered."""

import asyncio
import time

import httpx
from federation import Client

from flipnb.hub.waits import MOST_OF_ONE

LISTENERS, MORE = MOST_OF_ONE + 40, 40


def test_the_oldest_of_a_keys_many_waits_are_answered_at_once(hub):
    researcher = hub.first.researcher
    feed = researcher.get("/v1/feed")
    path = f"/v1/feed?after={feed['position']}&pulse={feed['pulse']}&wait=50"
    other = Client(hub, hub.foreign.researcher_key)

    async def listen():
        limits = httpx.Limits(max_connections=LISTENERS + 1)
        async with httpx.AsyncClient(verify=hub.trusted, timeout=90, limits=limits, trust_env=False) as http:
            waiting = {asyncio.create_task(http.send(researcher.prepare("GET", path))) for _ in range(LISTENERS)}
            deadline, answered = time.monotonic() + 40, set()
            while len(answered) < MORE and time.monotonic() < deadline:
                done, waiting = await asyncio.wait(waiting, timeout=1, return_when=asyncio.FIRST_COMPLETED)
                answered |= done
            assert [one.result().status_code for one in answered] == [200] * MORE
            assert await asyncio.to_thread(other.get, "/v1/feed")
            await asyncio.sleep(0.5)
            assert sum(one.done() for one in waiting) == 0  # the others go on waiting
            for one in waiting:
                one.cancel()

    asyncio.run(listen())
