"""Listening at the hub without a thread: the signed reads of a long-poll, which can be cancelled at any moment."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import ValidationError

from flipnb.contracts.document import Document, invalid, load_json, refusal, sha256
from flipnb.contracts.feed import Feed
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.run import RunEvent, RunView
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.hub_client import trust_only

D = TypeVar("D", bound=Document)


class RunEvents(Document):
    """GET /v1/runs/{run}/events"""

    events: tuple[RunEvent, ...]


class HubFeed:
    """Use as an async context manager. Raises FlipError: what the hub says, or ``hub-unreachable``."""

    def __init__(self, configuration: Configuration, key: SigningKey) -> None:
        self._configuration = configuration
        self._key = key
        self._http = httpx.AsyncClient(
            verify=trust_only(configuration.ca), timeout=httpx.Timeout(10.0, read=60.0), trust_env=False
        )

    @classmethod
    def of(cls, home: Home) -> HubFeed:
        return cls(home.configuration, home.key)

    async def __aenter__(self) -> HubFeed:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def feed(self, after: int, pulse: str, wait: float) -> Feed:
        return await self._get(f"/v1/feed?after={after}&pulse={pulse}&wait={wait:.1f}", Feed)

    async def run(self, run: str) -> RunView:
        return await self._get(f"/v1/runs/{run}", RunView)

    async def events(self, run: str, after: int) -> tuple[RunEvent, ...]:
        return (await self._get(f"/v1/runs/{run}/events?after={after}", RunEvents)).events

    async def _get(self, path: str, model: type[D]) -> D:
        url = self._configuration.hub + path
        request = Request("GET", url, {})
        sign_request(request, self._key, audience=self._configuration.audience, body_sha256=sha256(b""))
        try:
            response = await self._http.get(url, headers=request.headers)
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            raise FlipError(
                "hub-unreachable", f"The hub at {self._configuration.hub} can't be reached: {said}.", status=503
            ) from None
        if not response.is_success:
            raise refusal(response.status_code, response.content, "hub")
        load_json(response.content, "The hub's answer")
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise invalid(error, "The hub's answer") from None
