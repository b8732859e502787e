"""Bodies made to take long, of members who may send them: whoever else asks the hub is answered meanwhile.

One of 6.8 MB, a bundle's 3 million cells of which each was an error of its own, held it for 17 s.
"""

import json
import threading
import time

import pytest
from federation import Client

from flipnb.contracts import envelope
from flipnb.contracts.document import canonical_bytes

SIZE = 6_800_000
SECONDS = 8.0
"""Within which others are answered on a machine that has much else to do; alone they are within a few hundred ms, and
were after 17 s while one body was read on the only event loop."""

PARTS = {
    "errors": b"1,",
    "objects": b"{},",
    "nesting": b'{"a":' * 100 + b"1" + b"}" * 100 + b",",
    "texts": b'"x",',
    "numbers": b"1.2345678901234567e-300,",
}
LESS = 4


def array(part, size):
    return b"[" + (part * (size // len(part)))[:-1] + b"]"


def members(size):
    return b"{" + b",".join(b'"%07x":1' % number for number in range(size // 12)) + b"}"


SHAPES = {
    name: value
    for part, text in PARTS.items()
    for name, value in ((part, array(text, SIZE)), (f"fewer {part}", array(text, SIZE // LESS)))
} | {"members": members(SIZE), "fewer members": members(SIZE // LESS)}


def sealed(study, document, kind, shape):
    """The document with the shape in the place of ``"@@"``."""
    content = canonical_bytes(document).replace(b'"@@"', shape)
    return envelope.seal(content, kind, study.researcher_key)


class Others:
    """Another researcher and the world, who ask all the while; the longest that they waited."""

    def __init__(self, hub):
        self.hub, self.longest, self.asked = hub, 0.0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *failed):
        self._over.set()
        self._thread.join(60)

    def _ask(self):
        client = Client(self.hub, self.hub.foreign.researcher_key)
        while not self._over.is_set():
            for ask in (lambda: client.http.get("/v1/health"), lambda: client.call("GET", "/v1/studies")):
                began = time.monotonic()
                assert ask().status_code == 200
                self.longest = max(self.longest, time.monotonic() - began)
                self.asked += 1
            time.sleep(0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_others_are_answered_while_the_worst_bodies_are_read(hub, shape):
    study, part = hub.first, SHAPES[shape]
    bundle = json.loads(study.bundle().to_bytes())
    roster = json.loads(study.roster.to_bytes()) | {"study": "worst"}
    task = "0" * 32
    sent = [
        ("/v1/studies/first/bundles", sealed(study, bundle | {"notebook": {"cells": "@@"}}, envelope.BUNDLE, part)),
        ("/v1/studies/first/bundles", sealed(study, bundle | {"more": "@@"}, envelope.BUNDLE, part)),
        ("/v1/studies", sealed(study, roster | {"trusts": "@@"}, envelope.ROSTER, part)),
        ("/v1/studies/first/runs", part),
        ("/v1/studies/first/counts", part),
        (f"/v1/tasks/{task}/answer", part),
        (f"/v1/runs/{task}/reports", part),
        ("/v1/card", part),
    ]
    with Others(hub) as others:
        for path, body in sent:
            client = study.researcher if "stud" in path else study.trusts[0]
            refused = client.call("PUT" if path == "/v1/card" else "POST", path, body)
            assert 400 <= refused.status_code < 500, (path, refused.text)
    assert others.asked > 2
    assert others.longest < SECONDS, (shape, others.longest)


def test_a_bundle_that_is_large_and_whole_holds_nobody_up(hub):
    """It takes as long as it takes to read, in a thread of its own."""
    study = hub.first
    bundle = json.loads(study.bundle(title="Large").to_bytes())
    tensor = bundle["tensors"]["tensors"][0]
    tensors = [tensor | {"name": f"layer{number:06}.weight"} for number in range(80_000)]
    body = study.seal(canonical_bytes(bundle | {"tensors": {"tensors": tensors}}))
    with Others(hub) as others:
        assert study.researcher.call("POST", "/v1/studies/first/bundles", body).status_code == 201
    assert others.longest < SECONDS


@pytest.mark.parametrize(("route", "size"), [("/v1/studies/first/runs", 600_000), ("/v1/studies/first/joins", 100_000)])
def test_a_body_that_is_too_large_for_its_route_is_named(hub, route, size):
    answer = hub.first.researcher.call("POST", route, b"x" * size)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
