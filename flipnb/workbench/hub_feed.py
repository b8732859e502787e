"""Listening at the hub without a thread: the signed reads of a long-poll, which can be cancelled at any moment."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from flipnb.contracts.document import Document, invalid, load_json
from flipnb.contracts.feed import Feed
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.run import RunEvent, RunView
from flipnb.link.client import AsyncSignedClient
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.hub_client import access

D = TypeVar("D", bound=Document)


class RunEvents(Document):
    """GET /v1/runs/{run}/events"""

    events: tuple[RunEvent, ...]


class HubFeed:
    """Use as an async context manager. Raises FlipError: what the hub says, or ``hub-unreachable``."""

    def __init__(self, configuration: Configuration, key: SigningKey) -> None:
        self._client = AsyncSignedClient(access(configuration, key), patience=10.0, silence=60.0)

    @classmethod
    def of(cls, home: Home) -> HubFeed:
        """A feed with the home's configuration and key."""
        return cls(home.configuration, home.key)

    async def __aenter__(self) -> HubFeed:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    async def feed(self, after: int, pulse: str, wait: float) -> Feed:
        """The feed, when it is past ``after`` or its pulse another than ``pulse``, or after ``wait`` seconds."""
        return await self._get(f"/v1/feed?after={after}&pulse={pulse}&wait={wait:.1f}", Feed)

    async def run(self, run: str) -> RunView:
        """A run as the hub shows it."""
        return await self._get(f"/v1/runs/{run}", RunView)

    async def events(self, run: str, after: int) -> tuple[RunEvent, ...]:
        """The run's events numbered above ``after``, at once."""
        return (await self._get(f"/v1/runs/{run}/events?after={after}", RunEvents)).events

    async def _get(self, path: str, model: type[D]) -> D:
        answer = await self._client.ask("GET", path)
        load_json(answer, "The hub's answer")
        try:
            return model.model_validate_json(answer)
        except ValidationError as error:
            raise invalid(error, "The hub's answer") from None
