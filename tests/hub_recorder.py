"""What a hub hears of one Trust, word for word and when: a TLS relay before the hub that keeps every request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_HOP = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass(frozen=True)
class Heard:
    """One request. When its body was whole, this process's monotonic clock said ``at``, and the Trust's audit log had
    ``audited`` bytes."""

    at: float
    audited: int
    method: str
    path: str
    body: bytes


@dataclass
class Recorder:
    """Relays to ``hub``, whose certificate is under ``ca``; ``audit`` is the audit log of the Trust that it hears."""

    hub: str
    ca: Path
    audit: Path
    heard: list[Heard] = field(default_factory=list)

    def told(self) -> list[Heard]:
        """The requests that carried anything."""
        return [heard for heard in list(self.heard) if heard.body]

    def application(self) -> Starlette:
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", self._relay, methods=methods)])

    async def _relay(self, request: Request) -> Response:
        body = await request.body()
        query = f"?{request.url.query}" if request.url.query else ""
        size = self.audit.stat().st_size
        self.heard.append(Heard(time.monotonic(), size, request.method, request.url.path, body))
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in ("host", "connection")]
        async with httpx.AsyncClient(verify=str(self.ca), timeout=60, trust_env=False) as client:
            url = f"{self.hub}{request.url.path}{query}"
            answer = await client.request(request.method, url, content=body, headers=headers)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        return Response(answer.content, answer.status_code, kept)


@contextmanager
def recording(recorder: Recorder, certificate: Path, key: Path) -> Iterator[str]:
    """Has the recorder listen, in a thread of its own, at the address that is given."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        configuration = uvicorn.Config(
            recorder.application(), ssl_certfile=str(certificate), ssl_keyfile=str(key), log_level="critical"
        )
        server = uvicorn.Server(configuration)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(10)
