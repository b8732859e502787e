"""Blobs over HTTP: who may put one, and who may read what was put for whom."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from flipnb.contracts.blob import ReceivedBlob
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError
from flipnb.hub.authentication import Caller
from flipnb.hub.authorisation import authorise, not_found
from flipnb.hub.blob_grants import keep_grant, may_read
from flipnb.hub.service import Here, Signed, SignedStream, answer
from flipnb.hub.store.tables import BlobRow

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


routes = APIRouter(prefix="/v1/blobs/{sha256}")


@dataclass(frozen=True)
class Upload:
    """What a caller may put: for a study (``reach`` study) or, a Trust its update, for a run (``reach`` update)."""

    sha256: str
    reach: str
    study: str
    run: str
    owner: str

    @property
    def name(self) -> str:
        """The name of the partial file: a SHA-256 over what is brought, for whom, and who brings it."""
        return hashlib.sha256(
            "/".join((self.sha256, self.reach, self.study, self.run, self.owner)).encode()
        ).hexdigest()


def _upload(session: Session, caller: Caller, sha256: str, study: str | None, run: str | None) -> Upload:
    if (study is None) == (run is None):
        raise FlipError("no-owner", "Say for which study or for which run this blob is.", status=422)
    if run is not None:
        reach, standing = "update", authorise(session, caller, ("trust",), run=run)
    else:
        reach, standing = "study", authorise(session, caller, ("researcher",), study=study)
    if not _DIGEST.fullmatch(sha256):
        raise FlipError("wrong-digest", "The path holds no SHA-256.", status=422)
    return Upload(sha256, reach, standing.in_study[0].name, run or "", caller.key_id)


@routes.put("")
async def put_blob(
    hub: Here,
    signed: SignedStream,
    request: Request,
    sha256: str,
    *,
    study: str | None = None,
    run: str | None = None,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """201 where it is new to this study or run, else 200. The content must be sent in any case, from ``offset`` on.

    The signed Content-Digest is the whole blob's, so that it can be compared when the last byte is there.
    """
    with signed.transaction() as session:
        upload = _upload(session, signed.caller, sha256, study, run)
        if signed.content_digest != sha256:
            raise FlipError("wrong-digest", "The path and the signed Content-Digest differ.", status=422)
    content = request.stream()
    try:
        size = await hub.blobs.keep(content, sha256, upload.name, offset)
    except OSError as error:
        if not is_full(error):
            raise
        # An answer before the end of the content would be lost with the connection.
        async for _ in content:
            pass
        raise disk_full("the hub's") from None
    with signed.transaction() as session:
        new = keep_grant(
            session, sha256, upload.reach, study=upload.study, run=upload.run, owner=upload.owner, size=size
        )
    return Response(status_code=201 if new else 200)


@routes.get("/received")
async def get_received(
    hub: Here, signed: Signed, sha256: str, *, study: str | None = None, run: str | None = None
) -> Response:
    """How many bytes of the caller's own upload are here, and whether that is all."""
    with signed.transaction() as session:
        upload = _upload(session, signed.caller, sha256, study, run)
        key = (upload.sha256, upload.reach, upload.study, upload.run, upload.owner)
        if (row := session.get(BlobRow, key)) is not None:
            return answer(ReceivedBlob(size=row.size, whole=True))
    return answer(ReceivedBlob(size=hub.blobs.received(upload.name), whole=False))


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
