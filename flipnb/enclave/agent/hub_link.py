"""The one connection that leaves an enclave: outwards, to one TLS address, under a CA entered by hand.

Every request is signed with the node's key; every answer is bounded in size and parsed as a contract. What the hub
answers decides nothing: it is material for the rooms that verify.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from flipnb.contracts.document import Document, invalid, sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError, Problem
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.study import Join
from flipnb.contracts.task import TaskAnswer, TaskList

POLL_SECONDS = 25
_DOCUMENT_BYTES = 32 << 20
_CHUNK = 1 << 20
_NOT_NOW = frozenset({401, 408, 429})
"""401: a clock that is wrong, or a key that the operator has yet to enter; neither is an answer to the question."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
T = TypeVar("T")
_LOG = logging.getLogger("flipnb.enclave.agent.hub")
_D = TypeVar("_D", bound=Document)


class HubUnreachable(Exception):
    """The hub is down, or answers that it can't serve now: to be tried again."""


class HubLink:
    """Asks the hub. Methods raise FlipError for what the hub refuses, HubUnreachable where waiting may help."""

    def __init__(self, url: str, *, audience: str, ca: Path, key: SigningKey) -> None:
        context = ssl.create_default_context(cafile=os.fspath(ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._key = key
        self._audience = audience
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=context,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            timeout=httpx.Timeout(30.0, read=POLL_SECONDS + 20.0),
            limits=httpx.Limits(max_connections=16),
        )
        self.reachable = False

    async def greet(self) -> None:
        """Ask something that every Trust may ask: raises as all methods where the hub does not know this one."""
        await self._ask("GET", "/v1/studies")

    async def tasks(self, after: int) -> TaskList:
        body = await self._ask("GET", f"/v1/tasks?after={after}&wait={POLL_SECONDS}")
        return _read(TaskList, body, "The list of tasks")

    async def answer(self, task: str, answer: TaskAnswer) -> None:
        await self._ask("POST", f"/v1/tasks/{task}/answer", answer.model_dump_json().encode())

    async def report(self, run: str, body: bytes) -> None:
        await self._ask("POST", f"/v1/runs/{run}/reports", body)

    async def join(self, join: Join) -> None:
        await self._ask("POST", f"/v1/studies/{join.study}/joins", join.to_bytes())

    async def tell_card(self, sealed: bytes) -> None:
        await self._ask("PUT", "/v1/card", sealed)

    async def bundle(self, digest: str) -> bytes:
        return await self._ask("GET", f"/v1/bundles/{digest}")

    async def put_blob(self, path: Path, digest: str, run: str) -> None:
        """Stream a file up; the same blob again is fine."""

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    yield chunk

        size = path.stat().st_size
        await self._ask("PUT", f"/v1/blobs/{digest}?run={run}", chunks(), sha=digest, length=size)

    async def fetch_blob(self, digest: str, size: int, target: int) -> None:
        """Write the blob to the descriptor ``target`` (from its start), resuming where a connection broke.

        Raises FlipError ``wrong-weights`` where its size or SHA-256 is not what was said.
        """
        hashed = hashlib.sha256()
        written = 0
        while written < size:
            before = written
            headers = {"range": f"bytes={written}-"} if written else {}
            try:
                async with self._open("GET", f"/v1/blobs/{digest}", headers=headers) as response:
                    if written and response.status_code != 206:
                        raise FlipError("wrong-weights", "The hub ignored a range request.", status=502)
                    async for chunk in response.aiter_raw(_CHUNK):
                        written += len(chunk)
                        if written > size:
                            raise FlipError("wrong-weights", f"The blob {digest} has more than {size} bytes.")
                        hashed.update(chunk)
                        _write_all(target, chunk)
            except HubUnreachable:
                if written == before:
                    raise
                continue
            if written == before:
                break
        if written != size or hashed.hexdigest() != digest:
            raise FlipError("wrong-weights", f"What the hub sent as {digest} is not that: its bytes are others.")

    async def patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """``attempt`` until the hub is there; pauses grow to 15 s. FlipErrors pass."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await attempt()
            except HubUnreachable as error:
                if pause == _FIRST_PAUSE:
                    _LOG.info("the hub does not answer: %s", error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(
        self,
        method: str,
        target: str,
        content: bytes | AsyncIterator[bytes] = b"",
        *,
        sha: str | None = None,
        length: int | None = None,
    ) -> bytes:
        digest = sha if sha is not None else sha256(content) if isinstance(content, bytes) else ""
        headers = {"content-length": str(length)} if length is not None else {}
        async with self._open(method, target, content=content, sha=digest, headers=headers) as response:
            return await _bounded(response, _DOCUMENT_BYTES)

    def _open(
        self,
        method: str,
        target: str,
        *,
        content: bytes | AsyncIterator[bytes] = b"",
        sha: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> _Exchange:
        request = self._client.build_request(method, target, content=content or None, headers=headers)
        if content and isinstance(content, bytes):
            request.headers["content-type"] = "application/json"
        signed = Request(method, str(request.url), dict(request.headers))
        sign_request(signed, self._key, audience=self._audience, body_sha256=sha or sha256(b""))
        request.headers.update(signed.headers)
        return _Exchange(self, self._client, request)


class _Exchange:
    """One request; entering it gives a response with a good status, or raises."""

    def __init__(self, link: HubLink, client: httpx.AsyncClient, request: httpx.Request) -> None:
        self._link = link
        self._client = client
        self._request = request
        self._response: httpx.Response | None = None

    async def __aenter__(self) -> httpx.Response:
        try:
            self._response = response = await self._client.send(self._request, stream=True)
        except httpx.TransportError as error:
            self._link.reachable = False
            raise HubUnreachable(f"{type(error).__name__}: {error}") from None
        if response.status_code >= 500 or response.status_code in _NOT_NOW:
            self._link.reachable = False
            await response.aclose()
            raise HubUnreachable(f"the hub answers {response.status_code}")
        self._link.reachable = True
        if not response.is_success:
            try:
                body = await _bounded(response, 1 << 20)
            except HubUnreachable:
                body = b""
            finally:
                await response.aclose()
            raise _refusal(response.status_code, body)
        return response

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._response is not None:
            await self._response.aclose()
        if isinstance(error, httpx.TransportError):
            self._link.reachable = False
            raise HubUnreachable(f"{type(error).__name__}: {error}") from None


async def _bounded(response: httpx.Response, limit: int) -> bytes:
    """The body as sent; compressed answers are not asked for, so that a small one can't grow."""
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > limit:
                raise FlipError("document-too-large", f"The hub's answer has more than {limit} bytes.", status=502)
            parts.append(chunk)
    except httpx.TransportError as error:
        raise HubUnreachable(f"{type(error).__name__}: {error}") from None
    return b"".join(parts)


def _refusal(status: int, body: bytes) -> FlipError:
    try:
        return Problem.model_validate_json(body).error(status)
    except ValidationError:
        return FlipError("hub-refused", f"The hub answered {status}.", status=status)


def _read(model: type[_D], body: bytes, what: str) -> _D:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error, what) from None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
