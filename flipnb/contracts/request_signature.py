"""Signatures of HTTP requests between zones (RFC 9421) over method, path, query, body digest and audience.

Every signature carries the time, a validity of 300 s and a nonce; the receiver remembers nonces until they expire,
on disk, so that a replay is refused after a restart too.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError

AUDIENCE_HEADER = "flip-audience"
VALIDITY = timedelta(seconds=300)
_TAG = "flip-1"
_COVERED = ("@method", "@path", "@query", "content-digest", AUDIENCE_HEADER)


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


class _SignWith(HTTPSignatureKeyResolver):
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        return self._key.private

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        return self._key.private.public_key()


class _VerifyWith(HTTPSignatureKeyResolver):
    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        raise KeyError(key_id)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(self._keys[key_id]))


def sign_request(request: Request, key: SigningKey, *, audience: str, body_sha256: str) -> None:
    """Add the headers that sign ``request``; ``body_sha256`` is the hexadecimal digest of the body (also if empty)."""
    digest = base64.b64encode(bytes.fromhex(body_sha256)).decode()
    request.headers["content-digest"] = f"sha-256=:{digest}:"
    request.headers[AUDIENCE_HEADER] = audience
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_SignWith(key))
    now = datetime.now(UTC)
    signer.sign(
        request,
        key_id=key.key_id,
        created=now,
        expires=now + VALIDITY,
        nonce=secrets.token_hex(16),
        tag=_TAG,
        label="flip",
        covered_component_ids=_COVERED,
        use_existing_digest=True,
    )


def verify_request(request: Request, keys: Mapping[str, str], *, audience: str) -> Verified:
    """Verify ``request`` against ``keys`` (key id → public key).

    The caller must still compare the body with ``content_digest`` and refuse a nonce that it has seen.
    Raises FlipError with status 401: ``unsigned``, ``unknown-key``, ``bad-signature``, ``wrong-audience``.
    """
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_VerifyWith(keys))
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "signature-input" not in headers or "signature" not in headers:
        raise FlipError("unsigned", "The request is not signed.", status=401)
    try:
        results = verifier.verify(
            Request(request.method, request.url, headers),
            max_age=VALIDITY,
            expect_tag=_TAG,
            require_components=_COVERED,
        )
    except HTTPMessageSignaturesException as error:
        if isinstance(error.__cause__, KeyError):  # the resolver's, which the library wraps
            raise FlipError("unknown-key", f"The key {str(error)[1:17]}… is not known here.", status=401) from None
        raise FlipError("bad-signature", f"The request's signature does not hold: {error}.", status=401) from None
    if len(results) != 1:
        raise FlipError("bad-signature", "The request must have exactly one signature.", status=401)
    result = results[0]
    parameters: dict[str, Any] = result.parameters
    if headers[AUDIENCE_HEADER] != audience:
        raise FlipError("wrong-audience", "The request was signed for another receiver.", status=401)
    nonce, key, created = parameters.get("nonce"), parameters.get("keyid"), parameters.get("created")
    if not nonce or not key or not isinstance(created, int):
        raise FlipError("bad-signature", "The signature lacks nonce, key or time.", status=401)
    return Verified(
        key_id=str(key),
        nonce=str(nonce),
        expires=datetime.fromtimestamp(created, UTC) + VALIDITY,
        content_digest=_content_digest(headers["content-digest"]),
    )


def _content_digest(header: str) -> str:
    if header.startswith("sha-256=:") and header.endswith(":"):
        try:
            return base64.b64decode(header[9:-1], validate=True).hex()
        except ValueError:
            pass
    raise FlipError("bad-signature", "The Content-Digest header is not sha-256.", status=401)
