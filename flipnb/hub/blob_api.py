"""Blobs over HTTP: who may put one, and who may read what was put for whom."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.blob_grants import keep_grant, may_read
from flipnb.hub.service import Here, Signed, SignedStream

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
            standing = authorise(session, signed.caller, ("trust",), run=run)
            reach = "update"
        else:
            standing = authorise(session, signed.caller, ("researcher",), study=study)
            reach = "study"
        if not _DIGEST.fullmatch(sha256) or signed.content_digest != sha256:
            raise FlipError("wrong-digest", "The path and the signed Content-Digest differ.", status=422)
        study_name = standing.in_study[0].name
    content = request.stream()
    try:
        size = await hub.blobs.keep(content, sha256)
    except ClientDisconnect:
        raise FlipError("broken-off", "The content broke off; nothing was kept.") from None
    except OSError as error:
        if not is_full(error):
            raise
        # An answer before the end of the content would be lost with the connection.
        async for _ in content:
            pass
        raise disk_full("the hub's") from None
    with signed.transaction() as session:
        new = keep_grant(session, sha256, reach, study=study_name, run=run or "", owner=signed.caller.key_id, size=size)
    return Response(status_code=201 if new else 200)


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
