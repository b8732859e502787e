"""A zip that is read while it comes: nothing is kept, nothing is seeked, and no name in it becomes a path.

PKWARE's APPNOTE 6.3.10: local headers (4.3.7), data descriptors (4.3.9), zip64 (4.5.3). The central directory ends it,
and is not read: what it says cannot overlap or contradict what was taken.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_LOCAL, _DESCRIPTOR, _CENTRAL, _END = b"PK\x03\x04", b"PK\x07\x08", b"PK\x01\x02", b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_HEADER = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW = 0x0001, 0x0008
_UNKNOWN = 0xFFFFFFFF
_BLOCK = 1 << 18


class BrokenZip(Exception):
    """It is not what it says it is, ends too early, or cannot be read in one go."""


class HostileName(Exception):
    """A file in it has a name that leads elsewhere."""


class Unzip:
    """The files of a zip that comes in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray()

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and content of each, the content in pieces of at most 256 KB; whoever goes on to the next has skipped
        what is left of this one. Raises BrokenZip, HostileName."""
        while (signature := self._take(4)) == _LOCAL:
            name, content = self._file()
            if not name.endswith("/"):
                yield name, content
            for _ in content:
                pass
        if signature not in (_CENTRAL, _END, _END_64):
            raise BrokenZip("something in it is no file")
        for _ in self._pieces:
            pass

    def _file(self) -> tuple[str, Iterator[bytes]]:
        head = _LOCAL + self._take(_HEADER.size - 4)
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _HEADER.unpack(head)
        name = _plain(self._take(name_length), flags)
        packed, wide = self._wide(self._take(extra_length), packed, size)
        if flags & _ENCRYPTED:
            raise BrokenZip("it is encrypted")
        follows = bool(flags & _SIZES_FOLLOW)
        if method == _DEFLATED:
            return name, self._inflated(None if follows else crc, wide)
        if method == _STORED and not follows:
            return name, self._stored(packed, crc)
        raise BrokenZip(f"it is packed by a method that is not taken ({method})")

    def _wide(self, extra: bytes, packed: int, size: int) -> tuple[int, bool]:
        """The packed size, and whether a descriptor has 8 bytes for each (4.3.9.2)."""
        while len(extra) >= 4:
            kind, length = struct.unpack_from("<HH", extra)
            if kind == 1:
                field = extra[4 : 4 + length]
                place = 8 if size == _UNKNOWN else 0
                if packed == _UNKNOWN and len(field) >= place + 8:
                    (packed,) = struct.unpack_from("<Q", field, place)
                return packed, True
            extra = extra[4 + length :]
        return packed, False

    def _stored(self, left: int, crc: int) -> Iterator[bytes]:
        found = 0
        while left:
            if not self._held:
                self._fill()
            piece = bytes(self._held[: min(left, _BLOCK)])
            del self._held[: len(piece)]
            left -= len(piece)
            found = zlib.crc32(piece, found)
            yield piece
        _require(found == crc)

    def _inflated(self, crc: int | None, wide: bool) -> Iterator[bytes]:
        """``crc`` None: it comes after the content, in a descriptor."""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        found = size = packed = 0
        while not inflate.eof:
            if not self._held:
                self._fill()
            given = bytes(self._held[:_BLOCK])
            del self._held[: len(given)]
            try:
                piece = inflate.decompress(given, _BLOCK)
            except zlib.error:
                raise BrokenZip("a file in it can't be unpacked") from None
            left = inflate.unconsumed_tail or inflate.unused_data
            self._held[:0] = left
            packed += len(given) - len(left)
            found, size = zlib.crc32(piece, found), size + len(piece)
            if piece:
                yield piece
        if crc is not None:
            _require(found == crc)
        else:
            self._descriptor(found, packed, size, wide)

    def _descriptor(self, crc: int, packed: int, size: int, wide: bool) -> None:
        first = self._take(4)
        if first == _DESCRIPTOR:
            first = self._take(4)
        told = struct.unpack("<QQ" if wide else "<LL", self._take(16 if wide else 8))
        _require(struct.unpack("<L", first) == (crc,) and told == (packed, size))

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._fill()
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _fill(self) -> None:
        for piece in self._pieces:
            if piece:
                self._held += piece
                return
        raise BrokenZip("it ends in the middle")


def _require(agrees: bool) -> None:
    if not agrees:
        raise BrokenZip("a file in it is not as long as it says, or its checksum is another")


def _plain(raw: bytes, flags: int) -> str:
    """A name as text, for telling files apart. Raises HostileName."""
    try:
        name = raw.decode("utf-8" if flags & 0x0800 else "cp437")
    except UnicodeDecodeError:
        raise HostileName from None
    if not is_inside(name.removesuffix("/")):
        raise HostileName
    return name


def is_inside(name: str) -> bool:
    """Whether a name of a file leads to below where it starts: no empty part, none that goes up, no other separator."""
    parts = name.split("/")
    return (
        len(name) <= 4096
        and not any(part in ("", ".", "..") for part in parts)
        and "\\" not in name
        and name.isprintable()
    )
