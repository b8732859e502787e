"""Signed requests (RFC 9421): any change of what is covered is refused."""

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta

import pytest
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from flipnb.contracts.document import sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request, verify_request

KEY = SigningKey.generate()
KEYS = {KEY.key_id: KEY.public_key}


def signed() -> Request:
    request = Request("POST", "https://hub.test:8443/v1/runs/ab?x=1", {})
    sign_request(request, KEY, audience="hub", body_sha256=sha256(b"body"))
    return request


def test_a_signed_request_verifies_and_tells_the_body_digest():
    verified = verify_request(signed(), KEYS, audience="hub")
    assert verified.key_id == KEY.key_id
    assert verified.content_digest == sha256(b"body")
    assert verify_request(signed(), KEYS, audience="hub").nonce != verified.nonce


def test_the_host_may_differ_as_behind_a_proxy():
    request = signed()
    verify_request(Request("POST", "https://10.0.0.1/v1/runs/ab?x=1", request.headers), KEYS, audience="hub")


@pytest.mark.parametrize(
    ("method", "url", "header", "value"),
    [
        ("PUT", "https://h/v1/runs/ab?x=1", None, None),
        ("POST", "https://h/v1/runs/ac?x=1", None, None),
        ("POST", "https://h/v1/runs/ab?x=2", None, None),
        ("POST", "https://h/v1/runs/ab", None, None),
        ("POST", "https://h/v1/runs/ab?x=1", "flip-audience", "other"),
        ("POST", "https://h/v1/runs/ab?x=1", "content-digest", "sha-256=:" + "A" * 43 + "=:"),
        ("POST", "https://h/v1/runs/ab?x=1", "Signature-Input", 'flip=("@method");created=1;tag="flip-1"'),
    ],
)
def test_a_change_is_refused(method, url, header, value):
    headers = dict(signed().headers)
    if header:
        headers[header] = value
    with pytest.raises(FlipError) as caught:
        verify_request(Request(method, url, headers), KEYS, audience="hub")
    assert caught.value.status == 401


def test_an_unsigned_request_an_unknown_key_and_another_audience_are_refused():
    with pytest.raises(FlipError, match="not signed"):
        verify_request(Request("GET", "https://h/", {}), KEYS, audience="hub")
    with pytest.raises(FlipError) as unknown:
        verify_request(signed(), {}, audience="hub")
    assert (unknown.value.status, unknown.value.code) == (401, "unknown-key")
    with pytest.raises(FlipError, match="another receiver"):
        verify_request(signed(), KEYS, audience="other")


def library_signed(**changed: object) -> Request:
    """Signed by the library, in the form that it writes."""

    class Key(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> object:
            return KEY.private

    digest = base64.b64encode(hashlib.sha256(b"body").digest()).decode()
    request = Request(
        "POST",
        "https://hub.test:8443/v1/runs/ab?x=1",
        {"content-digest": f"sha-256=:{digest}:", "flip-audience": "hub"},
    )
    now = datetime.now(UTC)
    given = {
        "key_id": KEY.key_id,
        "created": now,
        "expires": now + timedelta(seconds=300),
        "nonce": "ab" * 16,
        "tag": "flip-1",
        "label": "flip",
        "covered_component_ids": ("@method", "@path", "@query", "content-digest", "flip-audience"),
    }
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Key())
    signer.sign(request, use_existing_digest=True, **{**given, **changed})
    return request


def library_verifies(request: Request) -> str:
    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> object:
            return KEY.private.public_key()

    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    (result,) = verifier.verify(request, max_age=timedelta(seconds=300), expect_tag="flip-1")
    return str(result.parameters["nonce"])


@pytest.mark.parametrize(
    "url", ["https://h", "https://h/v1/a%20b?", "https://h:1/v1/x?a=%C3%A9&b=c+d", "https://h/?a?b"]
)
def test_what_is_signed_here_the_library_verifies(url):
    request = Request("GET", url, {})
    sign_request(request, KEY, audience="a hub", body_sha256=sha256(b""))
    assert library_verifies(request) == verify_request(request, KEYS, audience="a hub").nonce


def test_what_the_library_signs_is_verified_in_its_own_order_of_parts_too():
    turned = ("flip-audience", "content-digest", "@query", "@path", "@method")
    for changed in ({}, {"covered_component_ids": turned}, {"label": "other"}):
        verified = verify_request(library_signed(**changed), KEYS, audience="hub")
        assert (verified.nonce, verified.content_digest) == ("ab" * 16, sha256(b"body"))


@pytest.mark.parametrize("seconds", [-400, 400])
def test_an_old_and_a_future_signature_are_refused_in_either_form(seconds, monkeypatch):
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    by_library = library_signed(created=moment, expires=moment + timedelta(seconds=300))
    monkeypatch.setattr(time, "time", moment.timestamp)
    ours = signed()
    monkeypatch.undo()
    for request in (by_library, ours):
        with pytest.raises(FlipError, match="does not hold"):
            verify_request(request, KEYS, audience="hub")


def test_what_no_request_holds_is_not_signed():
    for url in ("https://h/a\nb", "https://h/é", "https://h/a#b"):
        with pytest.raises(ValueError, match="can't be signed"):
            sign_request(Request("GET", url, {}), KEY, audience="hub", body_sha256=sha256(b""))
