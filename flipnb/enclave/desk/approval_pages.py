"""The agent's end of the approval page: its process, and the tickets that open it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flipnb.contracts.desk import ApprovalPage
from flipnb.contracts.problem import FlipError

_TICKET_S = 900.0
_TICKETS = 64
_PAUSE_S = 1.0


class ApprovalPages:
    """A ticket opens the page of one request, until it is used for an approval, expires, or 64 newer ones are there."""

    def __init__(self, desk: Path, keys: Path) -> None:
        self._desk, self._keys = desk, keys
        self._tickets: dict[str, tuple[str, float]] = {}
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self._origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def keep(self) -> None:
        """Run the page's process, and start it anew when it ends, until cancelled."""
        while True:
            process = await asyncio.to_thread(self._spawn)
            try:
                while process.poll() is None:
                    await asyncio.sleep(_PAUSE_S)
            finally:
                process.kill()
                await asyncio.to_thread(process.wait)

    def close(self) -> None:
        """Close the listening socket; call it when ``keep`` is cancelled."""
        self._listener.close()

    def issue(self, bundle: str) -> ApprovalPage:
        """A ticket for one bundle, as the page's address and until when it opens it."""
        now = time.monotonic()
        for name, (_, until) in list(self._tickets.items()):  # the oldest first
            if until > now and len(self._tickets) < _TICKETS:
                break
            del self._tickets[name]
        ticket = secrets.token_hex(32)
        self._tickets[ticket] = (bundle, now + _TICKET_S)
        expires = datetime.now(UTC) + timedelta(seconds=_TICKET_S)
        return ApprovalPage(url=f"{self._origin}/approve/{ticket}", expires=expires)

    def bundle(self, ticket: str) -> str:
        """The bundle that ``ticket`` is for. Raises FlipError ``no-ticket``."""
        bundle, until = self._tickets.get(ticket, ("", 0.0))
        if until <= time.monotonic():
            raise FlipError(
                "no-ticket",
                "This page has expired, or was used.",
                remedy="Open it anew from the desk.",
                status=404,
            )
        return bundle

    def use(self, ticket: str) -> None:
        """Let the ticket open nothing any more."""
        self._tickets.pop(ticket, None)

    def _spawn(self) -> subprocess.Popen[bytes]:
        listening = self._listener.fileno()
        arguments = ["--listen", str(listening), "--desk", os.fspath(self._desk), "--keys", os.fspath(self._keys)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "flipnb.enclave.approval_page", *arguments],
            stdin=subprocess.PIPE,  # it ends when this pipe does, however the agent ends
            stdout=subprocess.DEVNULL,
            pass_fds=[listening],
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
