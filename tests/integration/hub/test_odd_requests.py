"""Requests that no client of ours sends, from members who may send them: each is refused by name, none breaks a hub."""

import base64
import copy
import json
import os
import random
from urllib.parse import quote

import httpx
import pytest
from federation import Client
from test_access import calls, code, resources  # noqa: F401 - fixtures
from test_studies import signed_count

from flipnb.contracts import envelope
from flipnb.contracts.count import SignedCount
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.keys import SigningKey

ODD_VALUES = (
    None,
    True,
    -1,
    0,
    2**63,
    2**70,
    1e308,
    -1e308,
    "",
    "x",
    "\ud800",
    "\u202e",
    "9" * 400,
    [],
    [1],
    {},
    {"a": 1},
)
ODD_BODIES = (
    b"", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"{", b'{"a":NaN}', b'{"a":1,"a":1}', b'{"a":' + b"9" * 5000 + b"}",
    b"[" * 2000 + b"]" * 2000, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"\\ud800":"\\ud800"}',
)  # fmt: skip
WAITS = ("nan", "inf", "-inf", "-1", "1e999", "", "x", "0x1", "１")
NUMBERS = ("-2", str(2**63), str(2**64), "9" * 5000, "1.5", "nan", "", "x", "１")
NAMES = ("%00", "..", "%2e%2e%2f", "x" * 3000, quote("\u202e\u0000é"), "%ff%fe", "0" * 32, "f" * 64, "a'b--")


def odd_envelopes(sealed):
    """An envelope with each of its parts replaced by what is none."""
    plain = json.loads(sealed)
    for name in plain:
        for value in ODD_VALUES:
            yield plain | {name: value}
        yield {key: value for key, value in plain.items() if key != name}
    (signature,) = plain["signatures"]
    for name in signature:
        for value in (*ODD_VALUES, "zz", "é" * 88, "A" * 88, "0" * 64):
            yield plain | {"signatures": [signature | {name: value}]}
    yield plain | {"signatures": [signature, signature]}
    yield plain | {"signatures": [signature] * 500}
    yield plain | {"more": 1}


def places(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def changed(value, path, new):
    made = copy.deepcopy(value)
    within = made
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = new
    return made


def odd_documents(plain, number, seed):
    """So many documents, each with one place of ``plain`` replaced by something odd."""
    chance = random.Random(seed)
    known = [path for path in places(plain) if path]
    for _ in range(number):
        yield changed(plain, chance.choice(known), chance.choice(ODD_VALUES))


def plain_of(sealed):
    return json.loads(envelope.peek(sealed, "x"))


def resealed(document, kind, key):
    try:
        content = canonical_bytes(document)
    except Exception:  # what has no canonical form is sent as it is
        content = json.dumps(document).encode()
    return envelope.seal(content, kind, key)


def refused_or_heard(response):
    said = response.text
    assert response.status_code < 500, (response.request.method, str(response.request.url)[:300], said[:300])
    if response.status_code >= 400 and response.content:
        assert set(response.json()) == {"code", "message", "remedy"}, said[:300]
        assert "Traceback" not in said
    return response.status_code


def test_odd_bodies_are_refused_everywhere(hub, calls):  # noqa: F811
    for call in calls:
        if call.body:
            for client in (hub.first.researcher, hub.first.trusts[0]):
                for body in ODD_BODIES:
                    refused_or_heard(client.call(call.method, call.path, body))


def test_odd_queries_and_names_are_refused_everywhere(hub, calls, resources):  # noqa: F811
    odd = [("wait", wait) for wait in WAITS] + [(name, n) for name in ("after", "limit", "offset") for n in NUMBERS]
    for call in calls:
        client = hub.first.trusts[0] if "task" in call.route else hub.first.researcher
        path, _, query = call.path.partition("?")
        for name, value in odd if call.method in ("GET", "PUT") else ():
            refused_or_heard(client.call(call.method, f"{path}?{query}&{name}={value}", call.body))
        for value in resources.values():
            for name in NAMES if f"/{value}" in path else ():
                refused_or_heard(client.call(call.method, path.replace(value, name, 1), call.body))


@pytest.mark.parametrize("query", ["wait=nan", "wait=inf", "wait=-1", f"after={2**63}", "after=-1"])
def test_a_wait_that_is_no_time_and_a_number_beyond_all_are_named(hub, query):
    refused = hub.first.trusts[0].call("GET", f"/v1/tasks?{query}")
    assert (refused.status_code, code(refused)) == (422, "invalid-request")
    assert query.split("=")[0] in refused.json()["message"]


def test_odd_envelopes_are_refused_everywhere(hub):
    study = hub.first
    sealed = {
        "/v1/studies": study.sealed_roster,
        "/v1/studies/first/bundles": study.seal(study.bundle()),
        "/v1/studies/first/runs": study.request(study.bundle())[0],
    }
    for path, good in sealed.items():
        for odd in odd_envelopes(good):
            assert refused_or_heard(study.researcher.call("POST", path, json.dumps(odd).encode())) >= 400
    card = envelope.seal(b"{}", envelope.CARD, study.trusts[0].key)
    for odd in odd_envelopes(card):
        assert refused_or_heard(study.trusts[0].call("PUT", "/v1/card", json.dumps(odd).encode())) >= 400
    count = SignedCount.model_validate_json(signed_count(study))
    for name in ("certificate", "request"):
        for odd in odd_envelopes(getattr(count, name)):
            body = json.dumps(count.model_dump() | {name: json.dumps(odd)}).encode()
            assert refused_or_heard(study.researcher.call("POST", "/v1/studies/first/counts", body)) >= 400


def test_odd_documents_in_good_envelopes_are_refused(hub):
    """Signed by who may: a bundle with bounds of 1e308 was a 500 here, and was tried for ever at each Trust."""
    study, key = hub.first, hub.first.researcher_key
    bundle = json.loads(study.bundle().to_bytes())
    for document in odd_documents(bundle, 250, 1):
        refused_or_heard(
            study.researcher.call("POST", "/v1/studies/first/bundles", resealed(document, envelope.BUNDLE, key))
        )
    output = bundle["outputs"][0]
    for minimum, maximum, decimals in ((-1e308, 1e308, 3), (-1e308, 1e308, 9), (0, 1.7e308, 9), (0, 1, 2**60)):
        document = bundle | {"outputs": [output | {"minimum": minimum, "maximum": maximum, "decimals": decimals}]}
        refused_or_heard(
            study.researcher.call("POST", "/v1/studies/first/bundles", resealed(document, envelope.BUNDLE, key))
        )
    roster = json.loads(study.roster.to_bytes()) | {"study": "odd"}
    for document in odd_documents(roster, 60, 2):
        refused_or_heard(study.researcher.call("POST", "/v1/studies", resealed(document, envelope.ROSTER, key)))
    request = plain_of(study.request(study.bundle())[0])
    for document in odd_documents(request | {"point": {"lr": 0.1}}, 60, 3):
        refused_or_heard(
            study.researcher.call("POST", "/v1/studies/first/runs", resealed(document, envelope.RUN_REQUEST, key))
        )


def test_odd_answers_and_reports_are_refused(hub, resources):  # noqa: F811
    trust, run = hub.first.trusts[1], resources["run"]
    answer = {"envelope": "{}", "update": base64.urlsafe_b64encode(b"x").decode(), "code": "a-code", "reason": "why"}
    report = {
        "run": run, "sequence": 3, "state": "waiting", "code": "a", "reason": "b",
        "progress": {"cell": 1, "cells": 2, "round": 1, "epoch": 1, "epochs": 2, "seconds": 1.0},
        "failure": {"error_class": "E", "cell": 1, "line": 1, "round": 1},
    }  # fmt: skip
    task = trust.task("run", run)["id"]
    for document in odd_documents(answer, 60, 4):
        refused_or_heard(trust.call("POST", f"/v1/tasks/{task}/answer", json.dumps(document).encode()))
    for document in odd_documents(report, 150, 5):
        refused_or_heard(trust.call("POST", f"/v1/runs/{run}/reports", json.dumps(document).encode()))


def test_odd_signatures_are_refused(hub):
    """Of who has no key at all."""
    client = hub.first.researcher
    good = client.prepare("GET", "/v1/studies")
    odd = (
        "",
        "x",
        "flip=",
        "flip=()",
        "flip=:x:",
        'flip=("@method");created=9999999999999999999',
        "a=1,b=2",
        "é",
        "flip=:" + "A" * 88,
    )
    for name in ("signature", "signature-input", "content-digest", "flip-audience"):
        for value in odd:
            headers = [(k, v) for k, v in good.headers.multi_items() if k != name] + [(name, value.encode())]
            answer = client.http.request("GET", "/v1/studies", headers=headers)
            assert refused_or_heard(answer) == 401, (name, value)
    for value in odd:
        given = good.headers["signature-input"]
        for start, end in (("created=", ";expires"), ('nonce="', '"'), ('keyid="', '"')):
            before, _, rest = given.partition(start)
            changed_input = before + start + value + end + rest.split(end, 1)[1]
            headers = dict(good.headers) | {"signature-input": changed_input.encode()}
            assert refused_or_heard(client.http.request("GET", "/v1/studies", headers=headers)) == 401
    refused_or_heard(client.http.get(httpx.URL(client.hub.url).copy_with(raw_path=b"/v1/studies?x=%ff")))


@pytest.mark.parametrize("body", ["{", "[]", '{"id":1}', "[" * 50_000])
def test_a_nonce_is_used_up_whatever_the_answer(hub, body, monkeypatch):
    study = hub.first
    strange = [
        ("POST", "/v1/studies", body),  # 400: it can't be read
        ("POST", f"/v1/studies/{study.name}/counts", body),
        ("GET", "/v1/tasks?wait=nan", ""),  # 422, before the route
        ("GET", "/v1/runs/nothing", ""),  # 404
        ("POST", "/v1/runs/nothing/stop", "x" * 100_000),  # 413
    ]
    for method, path, content in strange:
        nonce = os.urandom(16).hex()
        monkeypatch.setattr("flipnb.contracts.request_signature.secrets.token_hex", lambda size, nonce=nonce: nonce)
        first = study.researcher.call(method, path, content.encode())
        assert first.status_code in (400, 404, 413, 422)
        assert code(study.researcher.call("GET", "/v1/studies")) == "replayed", (path, first.text)


def test_the_body_that_was_signed_does_not_follow_one_that_was_not(hub):
    """A relay sends another body first: the signed one, which it holds back, is refused then."""
    study = hub.first
    body = study.sealed_roster
    request = study.researcher.prepare("POST", "/v1/studies", body)
    altered = study.researcher.http.build_request("POST", "/v1/studies", content=b"{}")
    altered.headers.update({k: v for k, v in request.headers.items() if k != "content-length"})
    assert code(study.researcher.send(altered)) == "altered-body"
    assert code(study.researcher.send(request)) == "replayed"


def test_the_hub_has_logged_no_defect(hub):
    assert Client(hub, SigningKey.generate()).call("GET", "/v1/studies").status_code == 401
    assert [line for line in hub.log() if line.get("status", 0) >= 500] == []
