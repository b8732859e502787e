"""Signed requests: what the hub verifies, what an answer may be, and what is no answer."""

import asyncio
import contextlib
import gzip
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_hub import AUDIENCE, ScriptedHub, blob, hangs_up, says, sha256
from starlette.requests import Request

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.hub.authentication import Authentication, KeyRing
from flipnb.hub.configuration import Principal
from flipnb.hub.store.database import Database
from flipnb.link.bulk import Download
from flipnb.link.client import AsyncSignedClient, SignedClient
from flipnb.link.exchange import Answer, NotNow, Peer
from flipnb.link.retry import Retry

QUICK = {"patience": 10.0, "silence": 10.0}
ONCE_MORE = Retry(first=0.01, longest=0.01)


def asked_of(access, method, path, content=b"", **limits):
    client = SignedClient(access, **QUICK)
    try:
        return client.ask(method, path, content, **limits)
    finally:
        client.close()


def asked_async(access, method, path, content=b"", **limits):
    async def ask():
        client = AsyncSignedClient(access, **QUICK)
        try:
            return await client.ask(method, path, content, **limits)
        finally:
            await client.close()

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [asked_of, asked_async])


def received(method, target, headers):
    """What the hub's application is given of a request."""
    path, _, query = target.partition("?")
    return Request(
        {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "state": {},
        }
    )


def test_the_hub_verifies_what_every_client_signs(hub, tmp_path):
    key = SigningKey.generate()
    ring = KeyRing([Principal(name="a researcher", role="researcher", public_key=key.public_key)])
    verifier = Authentication(ring, Database(tmp_path / "hub.sqlite"), AUDIENCE)
    access = hub.access(key)
    asked_of(access, "POST", "/v1/runs?study=a&x=%C3%A9", b"body")
    asked_async(access, "PUT", "/v1/card", b"another body")
    asked_of(access, "GET", "/v1/feed?after=-1&pulse=&wait=0.0")
    hub.answers = [blob(b"weights")]
    with (hub_file := tmp_path / "weights").open("wb") as file:
        Download(access, sha256(b"weights"), file.fileno()).run(ONCE_MORE)
    assert hub_file.read_bytes() == b"weights"
    assert len(hub.asked) == 4
    for method, path, headers, body in hub.asked:
        signed = verifier.verify(received(method, path, headers))
        assert (signed.caller.name, signed.content_digest) == ("a researcher", sha256(body))


@both
def test_what_is_tried_again_is_signed_anew(hub, ask):
    hub.answers = [hangs_up, says(503), says(200, b"at last")]
    access = hub.access()
    assert ONCE_MORE.call(lambda: ask(access, "POST", "/v1/x", b"once")) == b"at last"
    assert [body for *_, body in hub.asked] == [b"once"] * 3
    assert len({headers["signature-input"].partition("nonce=")[2] for _, _, headers, _ in hub.asked}) == 3


def test_connections_are_kept_alive(hub):
    client = SignedClient(hub.access(), **QUICK)
    for _ in range(5):
        client.ask("GET", "/v1/studies")
    client.close()
    assert hub.connections == 1


@both
def test_an_answer_is_bounded(hub, ask):
    hub.answers = [says(200, bytes(1000))]
    assert len(ask(hub.access(), "GET", "/v1/x", limit=1000)) == 1000
    with pytest.raises(FlipError) as caught:
        ask(hub.access(), "GET", "/v1/x", limit=999)
    assert (caught.value.code, caught.value.status) == ("document-too-large", 502)


@both
def test_an_answer_without_end_is_left_at_its_bound(hub, ask):
    def for_ever(handler):
        handler.start(200, 1 << 60)
        while True:
            handler.wfile.write(bytes(1 << 16))

    hub.answers = [for_ever]
    with pytest.raises(FlipError, match="more than 1000000 bytes"):
        ask(hub.access(), "GET", "/v1/x", limit=1_000_000)


@both
def test_a_refusal_without_end_is_a_refusal(hub, ask):
    def for_ever(handler):
        handler.start(403, 1 << 60)
        while True:
            handler.wfile.write(bytes(1 << 16))

    hub.answers = [for_ever]
    with pytest.raises(FlipError) as caught:
        ask(hub.access(), "GET", "/v1/x")
    assert (caught.value.code, caught.value.status) == ("hub-error", 403)


@both
def test_a_refusal_whose_words_break_off_is_a_refusal(hub, ask):
    def breaks_off(handler):
        handler.start(409, 1000)
        handler.wfile.write(b'{"code": "wrong-st')
        handler.hang_up()

    hub.answers = [breaks_off]
    with pytest.raises(FlipError) as refused:
        ask(hub.access(), "GET", "/v1/x")
    assert not isinstance(refused.value, NotNow)
    assert refused.value.status == 409


@both
def test_an_answer_that_breaks_off_is_not_one(hub, ask):
    def breaks_off(handler):
        handler.start(200, 1000)
        handler.wfile.write(b"half")
        handler.hang_up()

    hub.answers = [breaks_off]
    with pytest.raises(NotNow):
        ask(hub.access(), "GET", "/v1/x")


@both
def test_what_is_compressed_is_not_unpacked(hub, ask):
    bomb = gzip.compress(bytes(16 << 20))
    hub.answers = [says(200, bomb, content_encoding="gzip")]
    assert ask(hub.access(), "GET", "/v1/x", limit=1 << 20) == bomb
    assert {headers["accept-encoding"] for _, _, headers, _ in hub.asked} == {"identity"}


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(hub, tmp_path, ask, status):
    elsewhere = ScriptedHub(tmp_path / "elsewhere")
    hub.answers = [says(status, location=f"{elsewhere.url}/v1/x")]
    with pytest.raises(FlipError) as caught:
        ask(hub.access(), "POST", "/v1/x", b"for the hub alone")
    assert caught.value.status == status
    assert not isinstance(caught.value, NotNow)
    assert (len(hub.asked), len(elsewhere.asked)) == (1, 0)
    elsewhere.shutdown()
    elsewhere.server_close()


@both
def test_a_refusal_says_what_the_hub_said(hub, ask):
    said = {"code": "not-yours", "message": "This is another's.", "remedy": "Ask them."}
    hub.answers = [says(404, json.dumps(said).encode())]
    with pytest.raises(FlipError) as caught:
        ask(hub.access(), "GET", "/v1/x")
    assert not isinstance(caught.value, NotNow)
    assert (caught.value.problem().model_dump(), caught.value.status) == (said, 404)


@both
@pytest.mark.parametrize(
    ("status", "may_pass"),
    [
        (400, False),
        (401, True),
        (403, False),
        (404, False),
        (408, True),
        (409, False),
        (413, False),
        (422, False),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
        (504, True),
        (507, True),
    ],
)
def test_not_now_is_told_from_a_refusal(hub, ask, status, may_pass):
    hub.answers = [says(status, b"<html>")]
    with pytest.raises(FlipError) as caught:
        ask(hub.access(), "GET", "/v1/x")
    assert (isinstance(caught.value, NotNow), caught.value.status) == (may_pass, status)


@both
def test_nobody_else_is_believed_and_nobody_asked_in_between(hub, tmp_path, ask, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", str(hub.ca))
    stranger = ScriptedHub(tmp_path / "stranger")
    assert ask(hub.access(), "GET", "/v1/x") == b""
    with pytest.raises(NotNow, match="can't be reached") as caught:
        ask(stranger.access(ca=hub.ca), "GET", "/v1/x")
    assert caught.value.code == "hub-unreachable"
    with pytest.raises(NotNow):
        ask(hub.access(ca=stranger.ca), "GET", "/v1/x")
    assert stranger.asked == []
    with pytest.raises(FlipError) as caught:
        ask(hub.access(ca=tmp_path / "none.pem"), "GET", "/v1/x")
    assert caught.value.code == "no-ca"
    stranger.shutdown()
    stranger.server_close()


def test_a_wait_at_the_hub_can_be_cancelled(hub):
    there, release = threading.Event(), threading.Event()

    def waits(handler):
        there.set()
        release.wait(20)

    hub.answers = [waits]

    async def run():
        client = AsyncSignedClient(hub.access(), patience=60.0, silence=60.0)
        asking = asyncio.create_task(client.ask("GET", "/v1/tasks"))
        await asyncio.to_thread(there.wait, 20)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await client.close()

    asyncio.run(asyncio.wait_for(run(), 60))
    release.set()


def test_an_async_client_knows_whether_the_hub_was_there(hub):
    async def run():
        client = AsyncSignedClient(hub.access(), **QUICK)
        found = [client.reachable]
        for answer in (says(200), says(401), says(404), hangs_up, says(409)):
            hub.answers = [answer]
            with contextlib.suppress(FlipError):
                await client.ask("GET", "/v1/x")
            found.append(client.reachable)
        await client.close()
        return found

    assert asyncio.run(run()) == [False, True, False, True, False, True]


PEER = Peer("hub", "hub-unreachable", "The hub can't be reached", "Wait.")


@given(st.lists(st.binary(max_size=40)), st.integers(0, 200), st.sampled_from([200, 201, 204, 206]))
def test_an_answer_is_its_chunks_or_too_large(chunks, limit, status):
    answer = Answer(PEER, status, limit)
    whole = b"".join(chunks)
    if len(whole) > limit:
        with pytest.raises(FlipError, match=f"more than {limit} bytes"):
            for chunk in chunks:
                answer.take(chunk)
    else:
        assert all(answer.take(chunk) for chunk in chunks)
        assert answer.content() == whole
