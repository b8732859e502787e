"""Blobs over HTTP: who may put one, and who may read what was put for whom."""

from __future__ import annotations

import re
import time

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from flipnb.contracts.problem import FlipError
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.blob_grants import may_read
from flipnb.hub.service import Here, Signed, SignedStream
from flipnb.hub.store.tables import BlobRow

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


routes = APIRouter(prefix="/v1/blobs/{sha256}")


@routes.put("")
async def put_blob(
    hub: Here, signed: SignedStream, request: Request, sha256: str, *, study: str | None = None, run: str | None = None
) -> Response:
    """201 where it is new to this study or run, else 200. The content must be sent in any case."""
    with signed.transaction() as session:
        if (study is None) == (run is None):
            raise FlipError("no-owner", "Say for which study or for which run this blob is.", status=422)
        if run is not None:
            standing = authorise(session, signed.caller, ("trust", "coordinator"), run=run)
            reach = "run" if signed.caller.role == "coordinator" else "update"
        else:
            standing = authorise(session, signed.caller, ("researcher",), study=study)
            reach = "study"
        if not _DIGEST.fullmatch(sha256) or signed.content_digest != sha256:
            raise FlipError("wrong-digest", "The path and the signed Content-Digest differ.", status=422)
        key = (sha256, reach, standing.in_study[0].name, run or "", signed.caller.key_id)
    try:
        size = await hub.blobs.keep(request.stream(), sha256)
    except ClientDisconnect:
        raise FlipError("broken-off", "The content broke off; nothing was kept.") from None
    with signed.transaction() as session:
        known = session.get(BlobRow, key) is not None
        if not known:
            row = dict(zip(("sha256", "reach", "study", "run", "owner"), key, strict=True))
            session.add(BlobRow(**row, size=size, created=time.time()))
    return Response(status_code=200 if known else 201)


@routes.get("")
@routes.head("")
async def get_blob(hub: Here, signed: Signed, sha256: str) -> Response:
    """The bytes; one Range is honoured."""
    with signed.transaction() as session:
        if not may_read(session, signed.caller, sha256):
            raise not_found("The blob")
    response = FileResponse(hub.blobs.path(sha256), media_type="application/octet-stream")
    response.chunk_size = _CHUNK
    response.headers["etag"] = f'"{sha256}"'
    return response
