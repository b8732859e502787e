"""Who may ask: a bearer token on every request, this server's own Host, and no other page's Origin."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flipnb.contracts.problem import FlipError
from flipnb.estate.serve.outcomes import outcome_of, status_of


class Guard:
    """ASGI middleware. A wrong Host is what a rebound DNS name sends, a foreign Origin another site's page."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope))
        except FlipError as error:
            await _refuse(error, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        if headers.getlist("host") and headers["host"].lower() in self._hosts and len(headers.getlist("host")) == 1:
            origin = headers.get("origin")
            if origin is not None and origin.lower() not in {f"http://{host}" for host in self._hosts}:
                raise FlipError("wrong-origin", "Pages of other origins may not ask here.")
        else:
            raise FlipError("wrong-host", "This server is not the host that was asked for.")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise FlipError("no-token", "A valid bearer token is needed.")


async def _refuse(error: FlipError, send: Send) -> None:
    body = json.dumps(outcome_of(error)).encode()
    headers = [
        (b"content-type", b"application/fhir+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if error.code == "no-token":
        headers.append((b"www-authenticate", b'Bearer realm="FLIP estate"'))
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
