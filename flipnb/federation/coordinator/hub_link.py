"""The coordinator's side of the hub's API: signed requests, retried while the hub restarts."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from flipnb.contracts.coordinator import (
    CoordinatorEvent,
    CoordinatorOrder,
    CoordinatorView,
    Present,
    RoundReplies,
)
from flipnb.contracts.document import Document, refusal, sha256
from flipnb.contracts.keys import KeyId, SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.round import RoundContext
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.files.blobs import Blobs

TRANSIENT = frozenset({500, 502, 503, 504})
"""Statuses that may pass; 507 (disk full) and refusals don't."""

_RETRY_SECONDS = 120.0
T = TypeVar("T")


class HubLink:
    """Every call is retried for two minutes while the hub is out of reach or broken; what it refuses is a FlipError."""

    def __init__(self, order: CoordinatorOrder) -> None:
        self._order = order
        self._blobs = Blobs(Path(order.blobs))
        self._key = SigningKey.load(Path(order.key))
        self._http = httpx.Client(verify=_context(order.ca), timeout=httpx.Timeout(60.0, read=90.0), trust_env=False)

    def close(self) -> None:
        self._http.close()

    def view(self) -> CoordinatorView:
        return CoordinatorView.model_validate_json(self._call("GET", "/v1/coordinator"))

    def ask(self, context: RoundContext, known: int, wait: float) -> RoundReplies:
        """Ask a round's members, whom the same context asks once; replies and absences so far.

        Returns when there are more than ``known``, or after ``wait`` seconds.
        """
        path = f"/v1/coordinator/rounds?after={known}&wait={wait:.1f}"
        return RoundReplies.model_validate_json(self._call("POST", path, context))

    def post_total(self, context: TotalContext) -> None:
        self._call("POST", "/v1/coordinator/totals", context)

    def total_replies(self, step: int, known: int, wait: float) -> RoundReplies:
        """As ``ask``, of a total."""
        path = f"/v1/coordinator/totals/{step}?after={known}&wait={wait:.1f}"
        return RoundReplies.model_validate_json(self._call("GET", path))

    def post_sum(self, result: TotalSum) -> None:
        self._call("POST", "/v1/coordinator/sums", result)

    def tell(self, event: CoordinatorEvent) -> tuple[KeyId, ...]:
        """Say a finished round or the run's end; who can be asked next."""
        return Present.model_validate_json(self._call("POST", "/v1/coordinator/events", event)).trusts

    def give(self, path: Path, digest: str) -> None:
        """Make a synced file one of the hub's blobs; the context that names it opens it to the members of this run."""
        self._blobs.give(path, digest)

    def blob(self, digest: str) -> Path:
        """The file of a blob. Raises FlipError ``missing-blob``."""
        path = self._blobs.path(digest)
        if not path.exists():
            raise FlipError("missing-blob", f"The blob {digest[:12]}… is not at the hub.", status=409)
        return path

    def _call(self, method: str, path: str, body: Document | None = None) -> bytes:
        content = body.to_bytes() if body is not None else b""

        def call() -> bytes:
            response = self._send(method, path, sha256(content), content)
            _raise_for(response)
            return response.content

        return self._retried(call)

    def _send(self, method: str, path: str, digest: str, content: bytes) -> httpx.Response:
        url = self._order.hub_url + path
        return self._http.request(method, url, content=content, headers=self._signed(method, url, digest).headers)

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


def _context(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
