"""What every route of the hub works with, and the two ways in which a signed request reaches one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from flipnb.contracts.document import Document, invalid, load_json, require_few_values
from flipnb.hub.authentication import Authentication, KeyRing, SignedRequest
from flipnb.hub.blobs import BlobStore
from flipnb.hub.configuration import HubConfiguration
from flipnb.hub.presence import Presence
from flipnb.hub.store.database import Database
from flipnb.hub.waits import Waits

D = TypeVar("D", bound=Document)
T = TypeVar("T")


@dataclass(frozen=True)
class Hub:
    """The parts of one hub process."""

    configuration: HubConfiguration
    database: Database
    authentication: Authentication
    ring: KeyRing
    blobs: BlobStore
    waits: Waits
    presence: Presence
    readers: Executor

    async def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """``function`` in a thread: large bodies are read and verified there, never within a transaction."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, function, *arguments)


def hub_of(request: Request) -> Hub:
    """The hub that serves the request."""
    return cast(Hub, request.app.state.hub)


DOCUMENT_BYTES = 64 << 10
"""The most that a body may hold, where a route does not say otherwise."""


def up_to(limit: int) -> Any:
    """To annotate a route's argument: the request, its signature verified, with a body of at most ``limit`` bytes.

    Routes whose bodies may be large see who asks first, and read them by ``Hub.apart``.
    """

    async def signed(request: Request) -> SignedRequest:
        signed = hub_of(request).authentication.verify(request)
        await signed.read_body(request, limit)
        return signed

    return Depends(signed)


async def _signed_stream(request: Request) -> SignedRequest:
    return hub_of(request).authentication.verify(request)


Here = Annotated[Hub, Depends(hub_of)]
Wait = Annotated[float, Query(ge=0, le=86_400, allow_inf_nan=False)]
"""Seconds to wait for an answer; the hub waits 60 at most."""

After = Annotated[int, Query(ge=0, le=2**53)]
"""The number of the last that is known."""

Signed = Annotated[SignedRequest, up_to(DOCUMENT_BYTES)]
SignedStream = Annotated[SignedRequest, Depends(_signed_stream)]
"""Signature verified, body still to be read and compared."""


def read(model: type[D], body: bytes, what: str) -> D:
    """Raises FlipError ``document-too-large``, ``not-json``, ``duplicate-key``, ``invalid-document``."""
    require_few_values(body, what)
    load_json(body, what)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error, what) from None


def answer(document: Document, status: int = 200) -> Response:
    """A document as the JSON body of an answer."""
    return Response(document.model_dump_json(), status, media_type="application/json")


def json_answer(text: str | bytes, status: int = 200) -> Response:
    """Text that is JSON already, byte for byte as the body."""
    return Response(text, status, media_type="application/json")


def nothing() -> Response:
    """204, without a body."""
    return Response(status_code=204)
