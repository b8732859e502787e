"""What every route of the hub works with, and the two ways in which a signed request reaches one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from fastapi import Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from flipnb.contracts.document import Document, invalid, load_json
from flipnb.hub.authentication import Authentication, KeyRing, SignedRequest
from flipnb.hub.blobs import BlobStore
from flipnb.hub.configuration import HubConfiguration
from flipnb.hub.presence import Presence
from flipnb.hub.store.database import Database
from flipnb.hub.waits import Waits

D = TypeVar("D", bound=Document)


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


def hub_of(request: Request) -> Hub:
    """The hub that serves the request."""
    return cast(Hub, request.app.state.hub)


async def _signed(request: Request) -> SignedRequest:
    signed = hub_of(request).authentication.verify(request)
    await signed.read_body(request)
    return signed


async def _signed_stream(request: Request) -> SignedRequest:
    return hub_of(request).authentication.verify(request)


Here = Annotated[Hub, Depends(hub_of)]
Signed = Annotated[SignedRequest, Depends(_signed)]
SignedStream = Annotated[SignedRequest, Depends(_signed_stream)]
"""Signature verified, body still to be read and compared."""


def read(model: type[D], body: bytes, what: str) -> D:
    """Raises FlipError ``not-json``, ``duplicate-key``, ``invalid-document``."""
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
