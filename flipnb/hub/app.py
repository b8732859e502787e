"""The hub's HTTP application: routes, and how errors are said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flipnb import __version__
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError, Problem
from flipnb.hub import blob_api, coordinator_api, counts, feed_api, run_api, studies, task_api, trust_api
from flipnb.hub.authentication import Authentication, KeyRing
from flipnb.hub.blobs import BlobStore
from flipnb.hub.configuration import HubConfiguration, HubDirectory
from flipnb.hub.presence import Presence
from flipnb.hub.service import Here, Hub
from flipnb.hub.store.database import Database
from flipnb.hub.supervisor import Supervisor
from flipnb.hub.waits import Waits, rung

log = logging.getLogger("flip.hub.requests")

_READERS = 2
"""Threads that read large bodies: who sends many waits for the others of their kind, and nobody else does."""

health = APIRouter(prefix="/v1")


@health.get("/health")
async def get_health(hub: Here) -> dict[str, str]:
    """The only route without a signature."""
    return {"name": hub.configuration.name, "audience": hub.configuration.audience, "version": __version__}


def open_hub(configuration: HubConfiguration, directory: HubDirectory) -> Hub:
    """Open database and blobs; the schema is brought up to date."""
    waits = Waits()

    def wake(session: object) -> None:
        for topic in rung(session):  # type: ignore[arg-type]
            waits.ring(topic)

    database = Database(directory.database, wake)
    ring = KeyRing(configuration.principals)
    return Hub(
        configuration=configuration,
        database=database,
        authentication=Authentication(ring, database, configuration.audience),
        ring=ring,
        blobs=BlobStore(directory.blobs, configuration.blob_bytes),
        waits=waits,
        presence=Presence(),
        readers=ThreadPoolExecutor(_READERS, thread_name_prefix="reading"),
    )


def make_app(hub: Hub, directory: HubDirectory, url: str) -> FastAPI:
    """The application; its lifespan runs the supervisor of coordinators, which reach the hub under ``url``."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        supervisor = Supervisor(hub, directory, url)
        running = asyncio.create_task(supervisor.run())
        running.add_done_callback(_say_if_failed)
        yield
        running.cancel()
        await supervisor.close()
        hub.readers.shutdown(wait=False, cancel_futures=True)
        hub.database.close()

    app = FastAPI(title="FLIP hub", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.state.hub = hub
    for routes in (
        health,
        studies.routes,
        trust_api.routes,
        run_api.routes,
        feed_api.routes,
        counts.routes,
        task_api.routes,
    ):
        app.include_router(routes)
    app.include_router(blob_api.routes)
    app.include_router(coordinator_api.routes)
    app.add_exception_handler(FlipError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    # Said by handlers of their own: after one of Exception the connection is closed, and the answer may be lost.
    app.add_exception_handler(OSError, _perhaps_full)
    app.add_exception_handler(OperationalError, _perhaps_full)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(RequestLog)
    return app


def _say_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the supervisor of coordinators failed", exc_info=task.exception())


def _problem(code: str, message: str, status: int, remedy: str = "") -> Response:
    # In ASCII: what an attacker wrote may hold half a character, which no other form can.
    said = json.dumps(Problem(code=code, message=message, remedy=remedy).model_dump())
    return Response(said, status, media_type="application/json")


def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, FlipError):
        raise error
    request.state.code = error.code
    return _problem(error.code, error.message, error.status, error.remedy)


def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return _problem("invalid-request", f"{first['loc'][0]} {name}: {first['msg']}.", 422)


def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _problem("no-such-route", f"{request.method} {request.url.path}: {error.detail}.", error.status_code)


def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads it; without it each broken body was an error in the log, with a traceback."""
    return _problem("broken-off", "The body broke off.", 400)


def _perhaps_full(request: Request, error: Exception) -> Response:
    if not is_full(error):
        raise error
    full = disk_full("the hub's")
    log.error("disk full", extra={"path": request.url.path, "reason": str(error)})
    return _problem(full.code, full.message, full.status, "Tell the hub's operator.")


def _broken(request: Request, error: Exception) -> Response:
    return _problem("hub-error", "The hub failed at this; its log says why.", 500, "Tell the hub's operator.")


class RequestLog:
    """One line per request: method, path, status, milliseconds, who.

    A signed one's nonce is used up before its answer leaves, whatever that is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        def spend() -> None:
            if (signed := scope.get("state", {}).get("signed")) is not None:
                signed.spend()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                spend()
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            spend()
            state = scope.get("state", {})
            log.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "milliseconds": round((time.monotonic() - began) * 1000, 1),
                    "caller": state.get("caller"),
                    "code": state.get("code"),
                },
            )
