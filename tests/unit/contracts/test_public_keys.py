"""Public keys for which anybody can sign are refused wherever a document names one, and no signature is of them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from flipnb.contracts.controller import Controller
from flipnb.contracts.document import canonical_bytes, parse
from flipnb.contracts.envelope import ROSTER, seal, unseal
from flipnb.contracts.keys import SigningKey, key_id, verify
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request, verify_request
from flipnb.contracts.study import Membership, Researcher, Roster, SessionCertificate, Trust

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """The addition of RFC 8032, section 5.1.4, in affine coordinates."""
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def times(n: int, point: Point) -> Point:
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point, n = add(point, point), n >> 1
    return total


def on_curve(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x, y
    return None


def torsion() -> set[Point]:
    """The eight points whose order divides 8: the multiples of L of points of the curve."""
    found: set[Point] = set()
    for y in range(2, 200):
        point = on_curve(y)
        if point is not None:
            found |= {times(L * k, point) for k in range(8)}
        if len(found) == 8:
            break
    return found


def encoded(y: int, sign: int) -> str:
    return base64.b64encode((y | sign << 255).to_bytes(32, "little")).decode()


SMALL = sorted({encoded(y, sign) for _, y in torsion() for sign in (0, 1)})
OTHER_ENCODINGS = [encoded(P + y, sign) for y in range(19) for sign in (0, 1)]


def documents(key: str) -> list[object]:
    good = SigningKey.generate().public_key
    now = datetime.now(UTC)
    return [
        lambda: Controller(name="anna", public_key=key),
        lambda: Researcher(name="R", public_key=key),
        lambda: Trust(name="a", title="A", public_key=key),
        lambda: SessionCertificate(study="s", session_key=key, not_before=now, expires=now + timedelta(hours=1)),
        lambda: Roster(
            study="s",
            purpose="p",
            researchers=({"name": "R", "public_key": good},),
            trusts=({"name": "a", "title": "A", "public_key": key},),
        ),
    ]


def test_there_are_eight_points_and_twelve_ways_to_write_them_with_a_y_below_p() -> None:
    assert len(torsion()) == 8
    assert len(SMALL) == 10, "five y, each with either sign"


@pytest.mark.parametrize("key", SMALL)
def test_a_key_of_small_order_is_refused_by_every_document(key: str) -> None:
    for document in documents(key):
        with pytest.raises(ValueError, match="small order"):
            document()  # type: ignore[operator]


@pytest.mark.parametrize("key", OTHER_ENCODINGS)
def test_a_key_has_one_encoding(key: str) -> None:
    for document in documents(key):
        with pytest.raises(ValueError, match="not below 2"):
            document()  # type: ignore[operator]


def test_a_membership_with_such_a_key_is_refused_by_the_place_where_it_stands() -> None:
    good, node = SigningKey.generate(), SigningKey.generate()
    roster = Roster(
        study="heart",
        purpose="p",
        researchers=(Researcher(name="R", public_key=good.public_key),),
        trusts=(Trust(name="a", title="A", public_key=node.public_key),),
    )
    membership = Membership(roster=roster, trust=node.key_id, joined=datetime.now(UTC))
    plain = membership.model_dump(mode="json")
    plain["roster"]["researchers"][0]["public_key"] = encoded(1, 0)
    with pytest.raises(FlipError, match=r"researchers.*public_key.*small order") as caught:
        parse(Membership, canonical_bytes(plain), "The membership")
    assert caught.value.code == "invalid-document"


@pytest.mark.parametrize("key", [encoded(1, 0), encoded(1, 1), encoded(P + 1, 0)])
def test_the_signature_that_is_of_every_message_under_the_neutral_element_is_of_none_here(key: str) -> None:
    """R = (0, 1) and S = 0, which OpenSSL takes for any message."""
    forged = (1).to_bytes(32, "little") + bytes(32)
    for message in (b"", b"anything", b"approve everything"):
        assert not verify(key, forged, message)
    stranger = SigningKey.generate()
    sealed = json.loads(seal(b"{}", ROSTER, stranger))
    sealed["signatures"] = [{"keyid": key_id(key), "sig": base64.b64encode(forged).decode()}]
    with pytest.raises(FlipError) as caught:
        unseal(json.dumps(sealed).encode(), ROSTER, {key_id(key): key}, "It")
    assert caught.value.code == "bad-signature"


def test_no_request_is_signed_by_such_a_key() -> None:
    """In the form that clients write, and in another that the library verifies."""
    stranger, key = SigningKey.generate(), encoded(1, 0)
    keys = {key_id(key): key}
    for label in ("flip", "other"):
        request = Request("POST", "https://hub.test/v1/runs", {})
        sign_request(request, stranger, audience="hub", body_sha256=hashlib.sha256(b"").hexdigest())
        forged = base64.b64encode((1).to_bytes(32, "little") + bytes(32)).decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        named = headers["signature-input"].replace(stranger.key_id, key_id(key)).replace("flip=", f"{label}=", 1)
        request.headers.update(headers | {"signature-input": named, "signature": f"{label}=:{forged}:"})
        with pytest.raises(FlipError) as caught:
            verify_request(request, keys, audience="hub")
        assert caught.value.code in ("bad-signature", "unknown-key")


def test_ordinary_keys_are_taken() -> None:
    for _ in range(200):
        key = SigningKey.generate()
        assert verify(Trust(name="a", title="A", public_key=key.public_key).public_key, key.sign(b"m"), b"m")
