"""Signed requests to a hub, over connections that are kept alive. What it answers is material for who asked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from flipnb.contracts.problem import FlipError
from flipnb.link.access import Access
from flipnb.link.bulk import Transfer
from flipnb.link.exchange import AS_SENT, DOCUMENT_BYTES, NotNow, exchange, exchange_async
from flipnb.link.retry import Retry
from flipnb.link.signing import BODY_SHA256


class SignedClient:
    """Asks a hub, and waits for it. Safe to use from several threads; close it after use."""

    def __init__(self, access: Access, *, patience: float, silence: float) -> None:
        """Gives up after ``patience`` seconds of connecting or sending, and ``silence`` of waiting for an answer."""
        self.access = access
        self._http = httpx.Client(**_manner(access, httpx.Timeout(patience, read=silence)))

    def ask(self, method: str, path: str, content: bytes = b"", *, limit: int = DOCUMENT_BYTES) -> bytes:
        """The content of the hub's answer; ``path`` with its query.

        Raises FlipError: what the hub refuses, ``document-too-large``; NotNow where it can't serve now.
        """
        request = self._http.build_request(method, path, **_content(content))
        return exchange(self._http, request, self.access.peer, limit)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()


class AsyncSignedClient:
    """As SignedClient, for an event loop. ``reachable``: whether the hub had an answer when it was asked last."""

    def __init__(self, access: Access, *, patience: float, silence: float) -> None:
        """As SignedClient."""
        self.access = access
        self.reachable = False
        self._http = httpx.AsyncClient(**_manner(access, httpx.Timeout(patience, read=silence)))

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        sha256: str | None = None,
        limit: int = DOCUMENT_BYTES,
    ) -> bytes:
        """As ``SignedClient.ask``; may be cancelled at any moment. ``sha256`` is the content's, where it is known."""
        request = self._http.build_request(method, path, **_content(content, sha256))
        try:
            answer = await exchange_async(self._http, request, self.access.peer, limit)
        except FlipError as error:
            self.reachable = not isinstance(error, NotNow)
            raise
        self.reachable = True
        return answer

    async def carry(self, transfer: Transfer, retry: Retry) -> None:
        """Bring ``transfer`` to its end, in threads beside the event loop.

        Where this task is cancelled the transfer is called off, and its thread has ended when this raises.
        """
        await retry.call_async(lambda: self._attempt(transfer), moved=lambda: transfer.moved)

    async def _attempt(self, transfer: Transfer) -> None:
        running = asyncio.ensure_future(asyncio.to_thread(transfer.attempt))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            transfer.call_off()
            await asyncio.wait({running})
            running.exception()
            raise
        except NotNow:
            self.reachable = False
            raise
        self.reachable = True

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _manner(access: Access, timeout: httpx.Timeout) -> dict[str, Any]:
    """No proxy or authority out of the environment, no redirect to elsewhere, nothing compressed."""
    return {
        "base_url": access.url,
        "auth": access.signing,
        "verify": access.tls,
        "trust_env": False,
        "follow_redirects": False,
        "headers": AS_SENT,
        "timeout": timeout,
        "limits": httpx.Limits(max_connections=16),
    }


def _content(content: bytes, sha256: str | None = None) -> dict[str, Any]:
    if not content:
        return {}
    extensions = {} if sha256 is None else {BODY_SHA256: sha256}
    return {"content": content, "headers": {"content-type": "application/json"}, "extensions": extensions}
