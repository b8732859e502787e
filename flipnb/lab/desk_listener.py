"""Listening at the desk of this Trust's agent on behalf of the screens: one long-poll, each change an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flipnb.contracts.desk import DeskRevision
from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.link.desk import desk

DESK_EVENT: Final = "https://schema.jupyter.org/flipnb/desk/v1"
_WAIT_SECONDS = 15
_PAUSE_SECONDS = 2.0

Emit = Callable[[str, dict[str, Any]], None]


class DeskChange(Document):
    """Something at the desk is new: that of ``requests``, ``runs`` and ``audit`` which is another than before.

    ``agent`` is False where the agent does not answer, and ``message`` says so.
    """

    agent: bool
    requests: str = ""
    runs: str = ""
    audit: str = ""
    message: str = ""


class DeskListener:
    """Runs on the server's event loop from ``start`` to ``stop``; does nothing where there is no enclave."""

    def __init__(self, enclave: Path | None, emit: Emit, log: logging.Logger) -> None:
        self._enclave, self._emit, self._log = enclave, emit, log
        self._task: asyncio.Task[None] | None = None
        self._last = DeskChange(agent=False)

    def start(self) -> None:
        """Begin to listen, on the running loop; nothing to do where no enclave is configured."""
        if self._enclave is not None:
            self._task = asyncio.get_running_loop().create_task(self._listen(self._enclave))

    async def stop(self) -> None:
        """Stop listening; returns when the long-poll was called off."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self, enclave: Path) -> None:
        while True:
            try:
                found = await asyncio.to_thread(_wait, enclave, self._last)
            except FlipError as error:
                self._tell(DeskChange(agent=False, message=error.message))
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:
                self._log.exception("FLIP's listener at the desk failed; it begins anew")
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._tell(DeskChange(agent=True, requests=found.requests, runs=found.runs, audit=found.audit))

    def _tell(self, change: DeskChange) -> None:
        if change != self._last:
            self._last = change
            self._emit(DESK_EVENT, change.model_dump(mode="json"))


def _wait(enclave: Path, last: DeskChange) -> DeskRevision:
    known = f"requests={last.requests}&runs={last.runs}&audit={last.audit}"
    with desk(enclave) as client:
        return client.get(f"/changes?{known}&wait={_WAIT_SECONDS}", DeskRevision)
