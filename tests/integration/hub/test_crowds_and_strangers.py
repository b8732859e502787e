"""Many requests, studies and connections, of members and of strangers: the hub answers all others meanwhile."""

import asyncio
import socket
import sqlite3
import threading
import time

import httpx
import pytest
import uvicorn
from test_worst_bodies import SECONDS

from flipnb.contracts import envelope
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import Researcher
from flipnb.hub import connections, waits
from flipnb.hub.connections import BoundedProtocol
from flipnb.hub.waits import Waits


def connect(hub):
    plain = socket.create_connection(("127.0.0.1", httpx.URL(hub.url).port))
    return hub.trusted.wrap_socket(plain, server_hostname="localhost")


def test_a_researcher_of_300_studies_holds_nobody_up(own_hub):
    """Each list of studies and each step of a feed read the rosters of all studies: 18 s of 300 with 1,000 people."""
    study = own_hub.study
    others = tuple(Researcher(name="R" * 300, public_key=SigningKey.generate().public_key) for _ in range(999))
    roster = study.roster.model_copy(update={"study": "crowd", "researchers": (*study.roster.researchers, *others)})
    study.researcher.post("/v1/studies", envelope.seal(roster, envelope.ROSTER, study.researcher_key), 201)
    with sqlite3.connect(own_hub.root / "hub.sqlite", timeout=30) as db:
        for n in range(300):
            db.execute(
                "INSERT INTO studies SELECT ?, ?, envelope, created, purpose FROM studies WHERE name='crowd'",
                (f"crowd-{n}", f"{n:064x}"),
            )
            db.execute(
                "INSERT INTO members SELECT key_id, role, ? FROM members WHERE study='crowd' AND key_id=?",
                (f"crowd-{n}", study.researcher_key.key_id),
            )
    db.close()
    for path, client in (("/v1/studies", study.researcher), ("/v1/feed", study.researcher)):
        began = time.monotonic()
        assert client.call("GET", path).status_code == 200
        assert time.monotonic() - began < SECONDS
    assert len(study.researcher.get("/v1/studies")) == 302
    assert [found["study"] for found in study.trusts[0].get("/v1/studies")] == ["crowd", "study"]


@pytest.mark.parametrize("part", ["url", "name", "value", "many"])
def test_a_head_without_an_end_is_cut_off(hub, part):
    """It was kept in memory for as long as a stranger sent."""
    begun = {
        "url": b"GET /v1/health?",
        "name": b"GET /v1/health HTTP/1.1\r\n",
        "value": b"GET /v1/health HTTP/1.1\r\nx: ",
        "many": b"GET /v1/health HTTP/1.1\r\n",
    }
    with connect(hub) as stranger:
        stranger.sendall(begun[part])
        filler = b"x: yyyyyyyyyyyyy\r\n" * 3000 if part == "many" else b"x" * 60_000
        with pytest.raises(OSError):
            for _ in range(200):
                stranger.sendall(filler)
                time.sleep(0.01)
            raise AssertionError("12 MB of a head were taken")


def test_a_body_that_breaks_off_is_no_defect_of_the_hub(own_hub):
    client = own_hub.study.researcher
    request = client.prepare("POST", "/v1/studies/study/bundles", b"x" * 1000)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "host")
    with connect(own_hub) as broken:
        broken.sendall(f"POST /v1/studies/study/bundles HTTP/1.1\r\nhost: h\r\n{head}\r\nxxx".encode())
        time.sleep(0.2)
    deadline = time.monotonic() + 20
    while not (ended := [line for line in own_hub.log() if line.get("path") == "/v1/studies/study/bundles"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [line["status"] for line in ended] == [400]
    assert [line for line in own_hub.log() if line["level"] == "error"] == []


@pytest.fixture
def hasty_server(monkeypatch):
    """The hub's protocol before an application of no account, with a patience that a test can wait out."""
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.5)

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(application, http=BoundedProtocol, lifespan="off", log_config=None, timeout_keep_alive=1)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join(20)


@pytest.mark.parametrize("drops", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\nhost: h\r\n\r\n\r\n"])
def test_who_says_nothing_whole_is_not_waited_for(hasty_server, drops):
    """Slowly, or blank lines alone, or on after a first whole request: such a connection was open for ever."""
    with socket.create_connection(hasty_server) as slow:
        began = time.monotonic()
        with pytest.raises(OSError):
            slow.sendall(drops)
            for _ in range(200):
                time.sleep(0.1)
                slow.sendall(b"\r\n" if drops.startswith(b"\r") or len(drops) > 2 else drops[:1])
                slow.setblocking(False)
                try:
                    if slow.recv(65536) == b"":
                        raise ConnectionError
                except BlockingIOError:
                    pass
                slow.setblocking(True)
            raise AssertionError("open after 20 s")
        assert time.monotonic() - began < 15


def test_a_crowd_that_waits_lets_others_in_between():
    """A ring had all of 500 look before anyone else was answered."""
    looks = []

    async def play():
        crowd = Waits()

        def look():
            looks.append(1)
            return len(looks) > 600, None

        tasks = [asyncio.create_task(crowd.until("topic", look, 30, who=f"w{n % 5}")) for n in range(300)]
        await asyncio.sleep(0.1)
        assert len(looks) == 300
        crowd.ring("topic")
        between = []
        for _ in range(5):
            await asyncio.sleep(0)
            between.append(len(looks))
        assert between[-1] <= 306
        crowd.close()
        await asyncio.gather(*tasks)

    asyncio.run(play())


def test_one_caller_has_only_so_many_waits(monkeypatch):
    monkeypatch.setattr(waits, "MOST_WAITS", 3)

    async def play():
        crowd = Waits()
        tasks = [asyncio.create_task(crowd.until("topic", lambda: (False, None), 30, who="one")) for _ in range(5)]
        other = asyncio.create_task(crowd.until("topic", lambda: (False, None), 30, who="other"))
        await asyncio.sleep(0.1)
        assert [task.done() for task in tasks] == [True, True, False, False, False]
        assert not other.done()
        crowd.close()
        await asyncio.gather(*tasks, other)

    asyncio.run(play())
