"""How the desk is served: over a unix socket of this user alone, bounded documents in, documents and problems out."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from flipnb.contracts.document import Document, invalid
from flipnb.contracts.problem import FlipError

_BODY_BYTES = 16 << 20


def listen(path: Path) -> socket.socket:
    """The desk's socket, anew, for this user alone; it appears under its name when it takes connections."""
    path.unlink(missing_ok=True)
    making = path.with_suffix(".new")
    making.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(making))
    finally:
        os.umask(before)
    listener.listen(64)
    making.rename(path)
    return listener


class DeskServer(uvicorn.Server):
    """uvicorn that leaves signals to the agent."""

    def __init__(self, application: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def guard(handler: Callable[[Request], Awaitable[Document | Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler's answer as JSON; what it refuses, as a Problem with the refusal's status."""

    async def guarded(request: Request) -> Response:
        try:
            answer = await handler(request)
        except FlipError as error:
            return Response(error.problem().model_dump_json(), status_code=error.status, media_type="application/json")
        if isinstance(answer, Response):
            return answer
        return Response(answer.model_dump_json(by_alias=True), media_type="application/json")

    return guarded


async def read(model: type[Any], request: Request) -> Any:
    """The request's body. Raises FlipError ``document-too-large``, ``invalid-document``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise FlipError("document-too-large", f"The request has more than {_BODY_BYTES} bytes.", status=413)
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise invalid(error, "The request") from None
