"""Signed requests (RFC 9421): any change of what is covered is refused."""

import pytest

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
