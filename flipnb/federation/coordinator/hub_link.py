"""The coordinator's side of the hub's API: signed requests, retried while the hub restarts."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx

from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorOrder, CoordinatorView, RoundReplies
from flipnb.contracts.document import Document, refusal, sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.round import RoundContext

TRANSIENT = frozenset({500, 502, 503, 504})
"""Statuses that may pass; 507 (disk full) and refusals don't."""

_RETRY_SECONDS = 120.0
_CHUNK = 1 << 20
T = TypeVar("T")


class HubLink:
    """Every call is retried for two minutes while the hub is out of reach or broken; what it refuses is a FlipError."""

    def __init__(self, order: CoordinatorOrder) -> None:
        self._order = order
        self._key = SigningKey.load(Path(order.key))
        self._http = httpx.Client(verify=_context(order.ca), timeout=httpx.Timeout(60.0, read=90.0), trust_env=False)

    def close(self) -> None:
        self._http.close()

    def view(self) -> CoordinatorView:
        return CoordinatorView.model_validate_json(self._call("GET", "/v1/coordinator"))

    def post_context(self, context: RoundContext) -> None:
        self._call("POST", "/v1/coordinator/rounds", context)

    def replies(self, number: int, known: int, wait: float) -> RoundReplies:
        """Replies and absences of a round; returns when there are more than ``known``, or after ``wait`` seconds."""
        path = f"/v1/coordinator/rounds/{number}?after={known}&wait={wait:.1f}"
        return RoundReplies.model_validate_json(self._call("GET", path))

    def tell(self, event: CoordinatorEvent) -> None:
        self._call("POST", "/v1/coordinator/events", event)

    def upload(self, path: Path, digest: str) -> None:
        """Put a file under its digest; nothing is sent where the hub has it."""
        target = f"/v1/blobs/{digest}?run={self._order.run}"

        def put() -> None:
            if self._send("HEAD", f"/v1/blobs/{digest}", sha256(b""), content=b"").is_success:
                return
            size = path.stat().st_size
            headers = {"content-length": str(size), "content-type": "application/octet-stream"}
            _raise_for(self._send("PUT", target, digest, content=_chunks(path), headers=headers))

        self._retried(put)

    def download(self, digest: str, path: Path, limit: int) -> None:
        """Fetch a blob into ``path``; it appears there complete and with this digest, or not at all.

        Raises FlipError ``wrong-blob``, ``blob-too-large``.
        """

        def get() -> None:
            partial = path.with_name(path.name + ".partial")
            url = f"{self._order.hub_url}/v1/blobs/{digest}"
            request = self._signed("GET", url, sha256(b""))
            found = hashlib.sha256()
            size = 0
            with self._http.stream("GET", url, headers=request.headers) as response, partial.open("wb") as file:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    _raise_for(response)
                for chunk in response.iter_bytes(_CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise FlipError("blob-too-large", f"The blob {digest[:12]}… has more than {limit} bytes.")
                    found.update(chunk)
                    file.write(chunk)
            if found.hexdigest() != digest:
                raise FlipError("wrong-blob", f"The hub gave other bytes for the blob {digest[:12]}….")
            partial.replace(path)

        try:
            self._retried(get)
        finally:
            path.with_name(path.name + ".partial").unlink(missing_ok=True)

    def _call(self, method: str, path: str, body: Document | None = None) -> bytes:
        content = body.to_bytes() if body is not None else b""

        def call() -> bytes:
            response = self._send(method, path, sha256(content), content=content)
            _raise_for(response)
            return response.content

        return self._retried(call)

    def _send(
        self,
        method: str,
        path: str,
        digest: str,
        *,
        content: bytes | Iterator[bytes],
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        url = self._order.hub_url + path
        request = self._signed(method, url, digest)
        return self._http.request(method, url, content=content, headers={**request.headers, **(headers or {})})

    def _signed(self, method: str, url: str, digest: str) -> Request:
        request = Request(method, url, {})
        sign_request(request, self._key, audience=self._order.audience, body_sha256=digest)
        return request

    def _retried(self, call: Callable[[], T]) -> T:
        until = time.monotonic() + _RETRY_SECONDS
        pause = 0.1
        while True:
            try:
                return call()
            except httpx.TransportError as error:
                failure = FlipError("hub-unreachable", f"The hub can't be reached: {error}.", status=503)
            except FlipError as error:
                if error.status not in TRANSIENT:
                    raise
                failure = error
            if time.monotonic() > until:
                raise failure
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def _raise_for(response: httpx.Response) -> None:
    if not response.is_success:
        raise refusal(response.status_code, response.content, "hub")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _context(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
