"""Blobs: whole or not at all, by range, and only for whom they were put."""

import os
import socket
import time

from federation import sha256

DATA = os.urandom(3_000_001)


def path(data):
    return f"/v1/blobs/{sha256(data)}"


def files(hub):
    return {file.name for file in (hub.root / "blobs").rglob("*") if file.is_file()}


def test_a_blob_comes_back_whole_and_in_ranges(hub):
    researcher, trust = hub.first.researcher, hub.first.trusts[0]
    assert researcher.call("PUT", path(DATA) + "?study=first", DATA).status_code == 201
    assert researcher.call("PUT", path(DATA) + "?study=first", DATA).status_code == 200
    assert trust.call("GET", path(DATA)).content == DATA
    head = trust.call("HEAD", path(DATA))
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(DATA)), b"")
    request = trust.prepare("GET", path(DATA))
    request.headers["range"] = "bytes=1000000-"
    rest = trust.send(request)
    assert (rest.status_code, rest.content) == (206, DATA[1_000_000:])
    beyond = trust.prepare("GET", path(DATA))
    beyond.headers["range"] = f"bytes={len(DATA)}-"
    assert trust.send(beyond).status_code == 416


def test_a_blob_of_another_digest_is_refused_and_not_kept(hub):
    before = files(hub)
    researcher = hub.first.researcher
    named = sha256(b"what the path says")
    request = researcher.prepare("PUT", f"/v1/blobs/{named}?study=first", b"what is sent", digest=named)
    response = researcher.send(request)
    assert (response.status_code, response.json()["code"]) == (422, "wrong-digest")
    assert files(hub) == before
    assert researcher.call("GET", f"/v1/blobs/{named}").status_code == 404


def broken_off(hub, data, sent):
    """An upload whose connection is cut once some of ``sent`` bytes of its content are on the hub's disk; how many."""
    request = hub.first.researcher.prepare("PUT", path(data) + "?study=first", data)
    lines = [f"PUT {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    plain = socket.create_connection((request.url.host, request.url.port))
    with hub.trusted.wrap_socket(plain, server_hostname=request.url.host) as tls:
        tls.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data[:sent])
        deadline = time.monotonic() + 30
        while received(hub.first.researcher, data)["size"] == 0:
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.02)
    sizes = [-1, 0]
    while sizes[-1] != sizes[-2]:
        time.sleep(0.2)
        sizes.append(received(hub.first.researcher, data)["size"])
    return sizes[-1]


def received(member, data):
    return member.get(path(data) + "/received?study=first")


def rest(hub, data, offset, content=None, named=None):
    content = data[offset:] if content is None else content
    target = path(data) + f"?study=first&offset={offset}"
    return hub.first.researcher.send(hub.first.researcher.prepare("PUT", target, content, digest=named or sha256(data)))


def test_an_upload_that_broke_off_is_no_blob_and_goes_on_where_it_broke(hub):
    data = os.urandom(8_000_000)
    size = broken_off(hub, data, 5_000_000)
    assert 0 < size <= 5_000_000
    assert hub.first.researcher.call("GET", path(data)).status_code == 404
    assert hub.first.trusts[0].call("GET", path(data) + "/received?study=first").status_code == 403
    assert rest(hub, data, size).status_code == 201
    assert hub.first.trusts[0].call("GET", path(data)).content == data
    assert received(hub.first.researcher, data) == {"size": len(data), "whole": True}
    assert not any((hub.root / "blobs" / "partial").iterdir())


def test_an_upload_may_go_on_before_where_it_broke_and_not_beyond(hub):
    data = os.urandom(6_000_000)
    size = broken_off(hub, data, 4_000_000)
    beyond = rest(hub, data, size + 1)
    assert (beyond.status_code, beyond.json()["code"]) == (409, "wrong-offset")
    assert rest(hub, data, size - 100_000).status_code == 201
    assert hub.first.trusts[0].call("GET", path(data)).content == data


def test_the_whole_content_is_verified_at_the_end(hub):
    data = os.urandom(6_000_000)
    size = broken_off(hub, data, 4_000_000)
    other = rest(hub, data, size, content=os.urandom(len(data) - size))
    assert (other.status_code, other.json()["code"]) == (422, "wrong-digest")
    assert received(hub.first.researcher, data) == {"size": 0, "whole": False}
    assert hub.first.researcher.call("GET", path(data)).status_code == 404


def test_a_blob_of_one_study_is_not_there_for_another_that_has_not_put_it(hub):
    data = b"weights that two studies happen to share"
    assert hub.first.researcher.call("PUT", path(data) + "?study=first", data).status_code == 201
    assert hub.foreign.researcher.call("GET", path(data)).status_code == 404
    assert hub.foreign.trusts[0].call("HEAD", path(data)).status_code == 404
    assert hub.foreign.researcher.call("PUT", path(data) + "?study=foreign", data).status_code == 201
    assert hub.foreign.trusts[0].call("GET", path(data)).content == data


def test_a_blob_says_whose_it_is(hub):
    response = hub.first.researcher.call("PUT", path(b"x"), b"x")
    assert (response.status_code, response.json()["code"]) == (422, "no-owner")
    assert hub.first.trusts[0].call("PUT", path(b"x") + "?study=first", b"x").status_code == 403
