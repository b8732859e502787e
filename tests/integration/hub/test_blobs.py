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


def test_an_upload_that_breaks_off_leaves_nothing(hub):
    before = files(hub)
    data = os.urandom(2_000_000)
    request = hub.first.researcher.prepare("PUT", path(data) + "?study=first", data)
    lines = [f"PUT {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    plain = socket.create_connection((request.url.host, request.url.port))
    with hub.trusted.wrap_socket(plain, server_hostname=request.url.host) as tls:
        tls.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data[:1_500_000])
        deadline = time.monotonic() + 5
        while files(hub) == before:
            assert time.monotonic() < deadline, "the upload never began"
            time.sleep(0.01)
    deadline = time.monotonic() + 5
    while files(hub) != before:
        assert time.monotonic() < deadline, files(hub) - before
        time.sleep(0.02)
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
