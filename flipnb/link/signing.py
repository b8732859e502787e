"""Signatures on requests (RFC 9421), made as each request is sent."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import httpx

from flipnb.contracts.document import sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.request_signature import Request, sign_request

BODY_SHA256 = "flip-body-sha256"
"""A request's extension: the digest of its body, where whoever made the request knows it already."""


class Signing(httpx.Auth):
    """Signs with ``key`` for ``audience``. What is sent again is signed anew: with another nonce, at another time."""

    def __init__(self, key: SigningKey, audience: str) -> None:
        self._key, self._audience = key, audience

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Called by httpx for each sending."""
        known: str | None = request.extensions.get(BODY_SHA256)
        request.headers.update(self.headers(request.method, str(request.url), known or sha256(request.content)))
        yield request

    def headers(self, method: str, url: str, body_sha256: str) -> Mapping[str, str]:
        """The headers that sign a request which httpx does not send; ``url`` is absolute."""
        signed = Request(method, url, {})
        sign_request(signed, self._key, audience=self._audience, body_sha256=body_sha256)
        return signed.headers
