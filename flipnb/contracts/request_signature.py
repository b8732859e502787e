"""Signatures of HTTP requests between zones (RFC 9421) over method, path, query, body digest and audience.

Every signature carries the time, a validity of 300 s and a nonce; the receiver remembers nonces until they expire,
on disk, so that a replay is refused after a restart too.

Signing writes one fixed form of the two headers, and verifying knows that form by heart: the library, which takes every
form that RFC 9421 allows, needs four to ten times the CPU of the signature itself. Whatever has another form is the
library's to verify, and the tests hold both to the same answers.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from flipnb.contracts.keys import SigningKey, verify, verifying_key
from flipnb.contracts.problem import FlipError

AUDIENCE_HEADER = "flip-audience"
VALIDITY = timedelta(seconds=300)
_TAG = "flip-1"
_COVERED = ("@method", "@path", "@query", "content-digest", AUDIENCE_HEADER)
_LABEL = "flip"
_COMPONENTS = "(" + " ".join(f'"{name}"' for name in _COVERED) + ")"
_INPUT = re.compile(
    re.escape(f"{_LABEL}={_COMPONENTS}") + r";created=([0-9]{1,12});expires=([0-9]{1,12})"
    r';keyid="([0-9a-f]{64})";nonce="([0-9a-f]{32})";tag="' + _TAG + '";alg="ed25519"'
)
_SIGNATURE = re.compile(rf"{_LABEL}=:([A-Za-z0-9+/]{{86}}==):")
_SKEW_SECONDS = HTTPMessageVerifier.max_clock_skew.total_seconds()


@dataclass
class Request:
    """The parts of a request that are signed. ``url`` is absolute; its host is not covered, the audience is."""

    method: str
    url: str
    headers: MutableMapping[str, str]


@dataclass(frozen=True)
class Verified:
    """Who signed a request; ``content_digest`` is the SHA-256 (hex) that the body must have."""

    key_id: str
    nonce: str
    expires: datetime
    content_digest: str


class _VerifyWith(HTTPSignatureKeyResolver):
    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        raise KeyError(key_id)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        key = verifying_key(self._keys[key_id])
        if key is None:
            raise KeyError(key_id)
        return key


def sign_request(request: Request, key: SigningKey, *, audience: str, body_sha256: str) -> None:
    """Add the headers that sign ``request``; ``body_sha256`` is the hexadecimal digest of the body (also if empty)."""
    digest = base64.b64encode(bytes.fromhex(body_sha256)).decode()
    request.headers["content-digest"] = f"sha-256=:{digest}:"
    request.headers[AUDIENCE_HEADER] = audience
    created = int(time.time())
    parameters = (
        f"{_COMPONENTS};created={created};expires={created + int(VALIDITY.total_seconds())}"
        f';keyid="{key.key_id}";nonce="{secrets.token_hex(16)}";tag="{_TAG}";alg="ed25519"'
    )
    base = _base(request, parameters)
    if base is None:
        raise ValueError(f"{request.method} {request.url} can't be signed: it holds what no request has")
    signature = base64.b64encode(key.sign(base)).decode()
    request.headers["Signature-Input"] = f"{_LABEL}={parameters}"
    request.headers["Signature"] = f"{_LABEL}=:{signature}:"


def _base(request: Request, parameters: str) -> bytes | None:
    """What is signed (RFC 9421, section 2.5); None where a part is not printable ASCII or the URL has a fragment."""
    url = urlsplit(request.url)
    parts = (
        request.method,
        url.path or "/",
        f"?{url.query}",
        request.headers["content-digest"],
        request.headers[AUDIENCE_HEADER],
    )
    if "#" in request.url or not all(text.isascii() and text.isprintable() for text in (request.url, *parts)):
        return None
    lines = [f'"{name}": {value}' for name, value in zip(_COVERED, parts, strict=True)]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def verify_request(request: Request, keys: Mapping[str, str], *, audience: str) -> Verified:
    """Verify ``request`` against ``keys`` (key id → public key).

    The caller must still compare the body with ``content_digest`` and refuse a nonce that it has seen.
    Raises FlipError with status 401: ``unsigned``, ``unknown-key``, ``bad-signature``, ``wrong-audience``.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "signature-input" not in headers or "signature" not in headers:
        raise FlipError("unsigned", "The request is not signed.", status=401)
    request = Request(request.method, request.url, headers)
    key, nonce, created = _own_form(request, keys) or _any_form(request, keys)
    if headers[AUDIENCE_HEADER] != audience:
        raise FlipError("wrong-audience", "The request was signed for another receiver.", status=401)
    return Verified(
        key_id=key,
        nonce=nonce,
        expires=datetime.fromtimestamp(created, UTC) + VALIDITY,
        content_digest=_content_digest(headers["content-digest"]),
    )


def _own_form(request: Request, keys: Mapping[str, str]) -> tuple[str, str, int] | None:
    """Key, nonce and time of a request that is signed in the form that ``sign_request`` writes, and holds.

    None for every other: what is wrong with it, if anything is, the library finds and names.
    """
    headers = request.headers
    given, signature = _INPUT.fullmatch(headers["signature-input"]), _SIGNATURE.fullmatch(headers["signature"])
    if given is None or signature is None or "content-digest" not in headers or AUDIENCE_HEADER not in headers:
        return None
    created, expires, key, nonce = int(given[1]), int(given[2]), given[3], given[4]
    now, validity = time.time(), VALIDITY.total_seconds()
    if not (created <= now + _SKEW_SECONDS and min(expires, created + validity) >= now - _SKEW_SECONDS):
        return None
    base = _base(request, headers["signature-input"].removeprefix(f"{_LABEL}="))
    if key not in keys or base is None or not verify(keys[key], base64.b64decode(signature[1]), base):
        return None
    return key, nonce, created


def _any_form(request: Request, keys: Mapping[str, str]) -> tuple[str, str, int]:
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_VerifyWith(keys))
    try:
        results = verifier.verify(
            request,
            max_age=VALIDITY,
            expect_tag=_TAG,
            require_components=_COVERED,
        )
    except HTTPMessageSignaturesException as error:
        if isinstance(error.__cause__, KeyError):  # the resolver's, which the library wraps
            raise FlipError("unknown-key", f"The key {str(error)[1:17]}… is not known here.", status=401) from None
        raise FlipError("bad-signature", f"The request's signature does not hold: {error}.", status=401) from None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:  # of headers that it can't read
        said = f"The request's signature can't be read ({type(error).__name__})."
        raise FlipError("bad-signature", said, status=401) from None
    if len(results) != 1:
        raise FlipError("bad-signature", "The request must have exactly one signature.", status=401)
    parameters: dict[str, Any] = results[0].parameters
    nonce, key, created = parameters.get("nonce"), parameters.get("keyid"), parameters.get("created")
    if not nonce or not key or not isinstance(created, int):
        raise FlipError("bad-signature", "The signature lacks nonce, key or time.", status=401)
    return str(key), str(nonce), created


def _content_digest(header: str) -> str:
    if header.startswith("sha-256=:") and header.endswith(":"):
        try:
            return base64.b64decode(header[9:-1], validate=True).hex()
        except ValueError:
            pass
    raise FlipError("bad-signature", "The Content-Digest header is not sha-256.", status=401)
