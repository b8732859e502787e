"""Listening at the hub on behalf of the screens: one long-poll, whatever changes becomes a Jupyter event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from flipnb.contracts.document import Document, Moment
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunEvent, RunId, RunView
from flipnb.contracts.text import Name
from flipnb.lab.desk_listener import DESK_EVENT, DeskChange
from flipnb.workbench.home import Home
from flipnb.workbench.hub_feed import HubFeed

SCHEMAS: Final = Path(__file__).parent / "events"
RUN_EVENT: Final = "https://schema.jupyter.org/flipnb/run/v1"
HUB_EVENT: Final = "https://schema.jupyter.org/flipnb/hub/v1"
TRUSTS_EVENT: Final = "https://schema.jupyter.org/flipnb/trusts/v1"

_BEAT_SECONDS = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_UNCONFIGURED = frozenset({"not-configured", "no-key", "no-ca", "wrong-passphrase"})

Emit = Callable[[str, dict[str, Any]], None]
HubState = Literal["connecting", "online", "offline", "unconfigured"]


class HubContact(Document):
    """Whether the hub can be reached; ``connection`` rises each time that contact is made anew."""

    state: HubState
    since: Moment
    connection: int
    message: str = ""
    remedy: str = ""


class RunChange(Document):
    """A run as it is now, and its new events in their order; ``number`` is the last one's."""

    run: RunId
    study: Name
    number: int
    view: RunView
    events: tuple[RunEvent, ...]


class TrustsChange(Document):
    """A Trust has come, gone, joined or said something new of itself: fetch the Trusts again."""

    pulse: str


EVENTS: Final[dict[str, type[Document]]] = {
    RUN_EVENT: RunChange,
    HUB_EVENT: HubContact,
    TRUSTS_EVENT: TrustsChange,
    DESK_EVENT: DeskChange,
}
"""What is emitted, by schema."""


class Listener:
    """Runs on the server's event loop from ``start`` to ``stop``."""

    def __init__(self, home: Home, emit: Emit, log: logging.Logger) -> None:
        self._home = home
        self._emit = emit
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = asyncio.Event()
        self._numbers: dict[str, int] = {}
        self._beat = 0.0
        self.contact = HubContact(state="connecting", since=datetime.now(UTC), connection=0)

    def start(self) -> None:
        """Begin to listen, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening; returns when the long-poll was called off."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def try_now(self) -> None:
        """Do not wait for the end of the pause; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._now.set)

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            connection = self.contact.connection
            try:
                async with HubFeed.of(self._home) as hub:
                    await self._hear(hub)
            except FlipError as error:
                self._lost(error)
            except Exception:
                self._log.exception("FLIP's listener at the hub failed; it begins anew")
            pause = _FIRST_PAUSE if self.contact.connection > connection else min(2 * pause, _LONGEST_PAUSE)
            self._now.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause)

    async def _hear(self, hub: HubFeed) -> None:
        """The first answer says where everything stands; from then on every difference is told."""
        feed = await hub.feed(-1, "", 0.0)
        self._numbers = dict(feed.runs)
        self._say("online", self.contact.connection + 1)
        while True:
            before = feed.pulse
            feed = await hub.feed(feed.position, before, _BEAT_SECONDS)
            if feed.pulse != before:
                self._emit(TRUSTS_EVENT, TrustsChange(pulse=feed.pulse).model_dump(mode="json"))
            for run, number in feed.runs.items():
                if number > self._numbers.get(run, 0):
                    await self._tell(hub, run)
            if self._loop is not None and self._loop.time() - self._beat > _BEAT_SECONDS / 2:
                self._say("online", self.contact.connection)

    async def _tell(self, hub: HubFeed, run: str) -> None:
        events = await hub.events(run, self._numbers.get(run, 0))
        view = await hub.run(run)
        if not events:
            return
        number = events[-1].number
        self._numbers[run] = number
        change = RunChange(run=run, study=view.study, number=number, view=view, events=events)
        self._emit(RUN_EVENT, change.model_dump(mode="json"))

    def _lost(self, error: FlipError) -> None:
        state: HubState = "unconfigured" if error.code in _UNCONFIGURED else "offline"
        self._say(state, self.contact.connection, error.message, error.remedy)

    def _say(self, state: HubState, connection: int, message: str = "", remedy: str = "") -> None:
        """Emit the contact; the moment of its last change stays while it is the same."""
        self._beat = self._loop.time() if self._loop is not None else 0.0
        same = (state, connection) == (self.contact.state, self.contact.connection)
        since = self.contact.since if same else datetime.now(UTC)
        self.contact = HubContact(state=state, since=since, connection=connection, message=message, remedy=remedy)
        self._emit(HUB_EVENT, self.contact.model_dump(mode="json"))
