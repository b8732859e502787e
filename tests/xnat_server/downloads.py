"""Files as XNAT sends them: one as it is, or many in a zip with the session's label and the scan in their names."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from xnat_server.answers import not_found
from xnat_server.archive import StoredFile
from xnat_server.places import Here, Place


def one_file(place: Place, cut: bool) -> Response:
    """The file of this name; ``cut``: the line breaks in the middle of it."""
    for here in place.found:
        for file in here.resource.files if here.resource else []:
            if file.name == place.rest and not file.gone:
                return _content(file.content, "application/dicom", cut)
    return not_found(place.rest)


def zipped(found: Sequence[Here], cut: bool, names: dict[str, str]) -> Response:
    """``names`` says under which name a file lies in the zip, where that is not its own."""
    stream = _Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for here in found:
            for file in here.resource.files if here.resource else []:
                if not file.gone:
                    made.writestr(names.get(file.name) or _name(here, file), file.content)
    return _content(bytes(stream.written), "application/zip", cut)


class _Stream(io.RawIOBase):
    """XNAT zips while it sends: sizes come after the content."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self.written += piece
        return len(piece)


def _name(here: Here, file: StoredFile) -> str:
    assert here.session is not None and here.scan is not None and here.resource is not None
    scan = f"{here.scan.id}-{here.scan.type.replace(' ', '_')}"
    return f"{here.session.label}/scans/{scan}/resources/{here.resource.label}/files/{file.name}"


def _content(content: bytes, kind: str, cut: bool) -> Response:
    if not cut:
        return Response(content, media_type=kind)

    def pieces() -> Iterator[bytes]:
        yield content[: len(content) // 2]
        raise ConnectionAbortedError

    return StreamingResponse(pieces(), media_type=kind, headers={"Content-Length": str(len(content))})
