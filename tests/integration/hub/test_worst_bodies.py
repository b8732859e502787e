"""Bodies made to take long, of members who may send them: whoever else asks the hub is answered meanwhile.

One of 6.8 MB, a bundle's 3 million cells of which each was an error of its own, held it for 17 s.
"""

import json
import threading
import time

import pytest
from federation import Client
from test_studies import signed_count

from flipnb.contracts import envelope
from flipnb.contracts.count import SignedCount
from flipnb.contracts.document import canonical_bytes

SIZE = 6_800_000
SECONDS = 1.0
"""Within which others are answered."""


def many(unit, size):
    return [unit] * (size // (len(json.dumps(unit)) + 1))


def named(size):
    return {f"{number:07x}": 1 for number in range(size // 13)}


def nested(depth, size):
    part = 1
    for _ in range(depth):
        part = {"a": part}
    return many(part, size)


SHAPES = {
    "errors": lambda size: many(1, size),
    "objects": lambda size: many({}, size),
    "keys": named,
    "nesting": lambda size: nested(100, size),
    "texts": lambda size: many("x", size),
    "numbers": lambda size: many(1.2345678901234567e-300, size),
}


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
    study, make = hub.first, SHAPES[shape]
    half = 3 * SIZE // 4  # base64
    bundle = json.loads(study.bundle().to_bytes())
    roster = json.loads(study.roster.to_bytes()) | {"study": "worst"}
    signed = SignedCount.model_validate_json(signed_count(study))
    run = json.loads(envelope.peek(study.request(study.bundle())[0], "x"))
    task = "0" * 32
    sent = [
        ("/v1/studies/first/bundles", seal(study, bundle | {"notebook": {"cells": make(half)}}, envelope.BUNDLE)),
        (
            "/v1/studies/first/bundles",
            seal(study, bundle | {"cohort": {"InclusionRules": make(half)}}, envelope.BUNDLE),
        ),
        ("/v1/studies/first/bundles", seal(study, bundle | {"more": make(half)}, envelope.BUNDLE)),
        ("/v1/studies", seal(study, roster | {"trusts": make(half)}, envelope.ROSTER)),
        ("/v1/studies/first/runs", seal(study, run | {"point": make(half)}, envelope.RUN_REQUEST)),
        ("/v1/studies/first/counts", json.dumps(signed.model_dump() | {"more": make(SIZE)}).encode()),
        (f"/v1/tasks/{task}/answer", json.dumps({"envelope": make(SIZE)}).encode()),
        ("/v1/runs/" + task + "/reports", json.dumps(make(SIZE)).encode()),
        ("/v1/studies/first/joins", json.dumps({"study": make(SIZE)}).encode()),
        ("/v1/card", json.dumps(make(SIZE)).encode()),
    ]
    with Others(hub) as others:
        for path, body in sent:
            client = study.researcher if "stud" in path else study.trusts[0]
            refused = client.call("PUT" if path == "/v1/card" else "POST", path, body)
            assert 400 <= refused.status_code < 500, (path, refused.text)
    assert others.asked > 10
    assert others.longest < SECONDS, (shape, others.longest)


def seal(study, document, kind):
    return envelope.seal(canonical_bytes(document), kind, study.researcher_key)


def test_a_bundle_that_is_large_and_whole_holds_nobody_up(hub):
    """It takes as long as it takes to read, in a thread of its own."""
    study = hub.first
    bundle = json.loads(study.bundle(title="Large").to_bytes())
    tensor = bundle["tensors"]["tensors"][0]
    tensors = [tensor | {"name": f"layer{number:06}.weight"} for number in range(80_000)]
    body = seal(study, bundle | {"tensors": {"tensors": tensors}}, envelope.BUNDLE)
    with Others(hub) as others:
        assert study.researcher.call("POST", "/v1/studies/first/bundles", body).status_code == 201
    assert others.longest < SECONDS


@pytest.mark.parametrize(("route", "size"), [("/v1/studies/first/runs", 600_000), ("/v1/studies/first/joins", 100_000)])
def test_a_body_that_is_too_large_for_its_route_is_named(hub, route, size):
    answer = hub.first.researcher.call("POST", route, b"x" * size)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
