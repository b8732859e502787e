"""The one connection that leaves an enclave: outwards, to one TLS address, under a CA entered by hand.

Every request is signed with the node's key; every answer is bounded in size and parsed as a contract. What the hub
answers decides nothing: it is material for the rooms that verify.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from flipnb.contracts.blob import ReceivedBlob
from flipnb.contracts.document import Document, invalid, sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError, Problem
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.study import Join
from flipnb.contracts.task import TaskAnswer, TaskList
from flipnb.enclave.agent.bulk import LARGE, Answered, Broken, BulkLink, Download, Transfer, Upload
from flipnb.enclave.airlock.lease import fill

POLL_SECONDS = 25
_DOCUMENT_BYTES = 32 << 20
_NOT_NOW = frozenset({401, 408, 429})
"""401: a clock that is wrong, or a key that the operator has yet to enter; neither is an answer to the question."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
T = TypeVar("T")
_LOG = logging.getLogger("flipnb.enclave.agent.hub_link")
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
        self._bulk = BulkLink(url, context, lambda method, target, sha: self._signature(method, url + target, sha))

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
        """The envelope of a bundle, once the hub is there."""
        return await self.patiently(lambda: self._ask("GET", f"/v1/bundles/{digest}"))

    async def put_blob(self, path: Path, digest: str, run: str) -> None:
        """Bring a file to the hub, waiting for it and going on where a connection broke; the same again is fine.

        Raises FlipError for what the hub refuses.
        """
        if path.stat().st_size < LARGE:
            content = await asyncio.to_thread(path.read_bytes)
            target = f"/v1/blobs/{digest}?run={run}"
            await self.patiently(lambda: self._ask("PUT", target, content, sha=digest))
            return
        upload = Upload(self._bulk, path, digest, f"run={run}")

        before = -1

        async def attempt() -> None:
            nonlocal before
            while True:
                body = await self._ask("GET", f"/v1/blobs/{digest}/received?run={run}")
                there = _read(ReceivedBlob, body, "What the hub has received")
                if there.whole:
                    return
                try:
                    await self._in_thread(upload, partial(upload.run, there.size))
                    return
                except HubUnreachable:
                    if there.size <= before:
                        raise
                    before = there.size  # it gets on: no need to wait

        await self.patiently(attempt)

    async def fetch_blob(self, digest: str, size: int, target: int) -> None:
        """Fill the file ``target``, which has ``size`` bytes, with the blob; waits for the hub, and goes on where a
        connection broke.

        Raises FlipError ``wrong-weights`` where its size or SHA-256 is not what was said.
        """
        if size < LARGE:
            fill(
                target, await self.patiently(lambda: self._ask("GET", f"/v1/blobs/{digest}", limit=size)), digest, size
            )
            return
        download = Download(self._bulk, digest, size, target)

        async def attempt() -> None:
            before = download.written
            try:
                await self._in_thread(download, download.run)
            except HubUnreachable:
                if download.written == before:
                    raise
                await attempt()  # it was under way: no need to wait

        await self.patiently(attempt)

    async def _in_thread(self, transfer: Transfer, run: Callable[[], None]) -> None:
        """Where this task is cancelled, the transfer is called off, and its thread has ended when this raises."""
        running = asyncio.ensure_future(asyncio.to_thread(run))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            transfer.call_off()
            await asyncio.wait({running})
            running.exception()
            raise
        except Broken as error:
            self.reachable = False
            raise HubUnreachable(str(error)) from None
        except Answered as error:
            if _not_now(error.status):
                self.reachable = False
                raise HubUnreachable(str(error)) from None
            raise _refusal(error.status, error.body) from None

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
        content: bytes = b"",
        *,
        sha: str | None = None,
        limit: int = _DOCUMENT_BYTES,
    ) -> bytes:
        async with self._open(method, target, content=content, sha=sha or sha256(content)) as response:
            return await _bounded(response, limit)

    def _open(self, method: str, target: str, *, content: bytes = b"", sha: str) -> _Exchange:
        request = self._client.build_request(method, target, content=content or None)
        if content:
            request.headers["content-type"] = "application/json"
        request.headers.update(self._signature(method, str(request.url), sha))
        return _Exchange(self, self._client, request)

    def _signature(self, method: str, url: str, sha: str) -> Mapping[str, str]:
        signed = Request(method, url, {})
        sign_request(signed, self._key, audience=self._audience, body_sha256=sha)
        return signed.headers


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
        if _not_now(response.status_code):
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


def _not_now(status: int) -> bool:
    """Whether waiting may help."""
    return status >= 500 or status in _NOT_NOW


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
