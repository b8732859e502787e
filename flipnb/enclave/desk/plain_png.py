"""A PNG of which only the pixels are left: what a worker drew that had read hostile bytes is not trusted either."""

from __future__ import annotations

import struct
import zlib

from flipnb.contracts.problem import FlipError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_SIDE = 4096
_KEPT = (b"IHDR", b"IDAT", b"IEND")
_GREY, _COLOUR = 0, 2


def plain_png(png: bytes) -> bytes:
    """The same picture with IHDR, IDAT and IEND alone (ISO/IEC 15948, section 5): no text, no profile, no animation.

    Grey or RGB of 8 bits, not interlaced, at most 4,096 pixels a side, each chunk with its own checksum: a browser is
    given nothing else. Raises FlipError ``not-a-picture``.
    """
    if not png.startswith(_SIGNATURE):
        raise _refused("it has no PNG's signature")
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    names: list[bytes] = []
    while not names or names[-1] != b"IEND":
        if at + 12 > len(png):
            raise _refused("it ends too early")
        length, name = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if end > len(png):
            raise _refused("a chunk is cut off")
        if struct.unpack_from(">I", png, end - 4)[0] != zlib.crc32(png[at + 4 : end - 4]):
            raise _refused("a chunk's checksum is wrong")
        names.append(name)
        if name in _KEPT:
            kept.append(png[at:end])
        elif not name[0] & 0x20:
            raise _refused("it has a critical chunk that FLIP does not draw")
        at = end
    if names[0] != b"IHDR" or names.count(b"IHDR") != 1 or b"IDAT" not in names:
        raise _refused("its chunks are not in their order")
    _require_plain(kept[1][8:-4])
    return b"".join(kept)


def _require_plain(header: bytes) -> None:
    if len(header) != 13:
        raise _refused("its header is too long or too short")
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", header)
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE):
        raise _refused("it is too large")
    if depth != 8 or colour not in (_GREY, _COLOUR) or any(methods):
        raise _refused("it is not drawn as FLIP draws")


def _refused(why: str) -> FlipError:
    return FlipError(
        "not-a-picture", f"What was drawn of this image is not shown: {why}.", remedy="Refuse the image.", status=422
    )
