"""A DICOM file's outer parts (PS3.10 section 7): what encoding the data set has, and a file meta of our own making."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import unpack_from

from flipnb.estate.imaging.deidentify.encoding import BIG, EXPLICIT, IMPLICIT, Encoding
from flipnb.estate.imaging.deidentify.plan import dictionary
from flipnb.estate.imaging.deidentify.values import LONG, SHORT
from flipnb.estate.imaging.deidentify.walker import Refused

_EXPLICIT = "1.2.840.10008.1.2.1"
_NATIVE = {IMPLICIT.name: "1.2.840.10008.1.2", EXPLICIT.name: _EXPLICIT, BIG.name: "1.2.840.10008.1.2.2"}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_GE_PRIVATE = "1.2.840.113619.5.2"  # implicit, with pixel data in big endian
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_ENCAPSULATED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5", _DEFLATED_FRAMES)
_IMPLEMENTATION = b"2.25.208412330176412399116245063498207364905"
_VERSION = b"FLIPNB"
_MOST_INFLATED = 96 << 20
_MOST_META = 1 << 20


@dataclass(frozen=True)
class Outer:
    """Where the data set begins in ``data``, and how it is encoded. ``syntax`` is what the output is written in."""

    data: memoryview
    start: int
    encoding: Encoding
    syntax: str
    sop_class: bytes
    sop_uid: bytes


def outer(data: memoryview) -> Outer:
    """Read preamble and file meta. Raises Refused: ``not-dicom``, ``truncated`` or an encoding by its name."""
    if len(data) >= 132 and bytes(data[128:132]) == b"DICM":
        meta, start = _meta(data, 132)
    else:
        meta, start = {}, 0
        if not _begins_like_a_data_set(data):
            raise Refused("not-dicom")
    if start >= len(data):
        raise Refused("no-data-set")
    syntax = meta.get(0x00020010, b"").rstrip(b"\0 ").decode("ascii", "replace")
    sop_class, sop_uid = (meta.get(tag, b"").rstrip(b"\0 ") for tag in (0x00020002, 0x00020003))
    if sop_class == b"1.2.840.10008.1.3.10":
        raise Refused("dicomdir")
    if syntax == _DEFLATED:
        return Outer(_inflated(data[start:]), 0, EXPLICIT, _EXPLICIT, sop_class, sop_uid)
    if not syntax or syntax in _NATIVE.values() or syntax.startswith(_ENCAPSULATED):
        # Some writers say one and write the other: the bytes decide.
        encoding = _encoding(data, start)
        if not syntax.startswith(_ENCAPSULATED):
            syntax = _NATIVE[encoding.name]
        return Outer(data, start, encoding, syntax, sop_class, sop_uid)
    raise Refused("transfer-syntax-ge-private" if syntax == _GE_PRIVATE else "transfer-syntax-unknown")


def file_meta(syntax: str, sop_class: bytes, sop_uid: bytes) -> bytes:
    """An empty preamble, ``DICM`` and the group 0002 with nothing in it but what the file is."""
    body = b"".join(
        EXPLICIT.element(tag, vr, value)
        for tag, vr, value in (
            (0x00020001, b"OB", b"\0\1"),
            (0x00020002, b"UI", sop_class),
            (0x00020003, b"UI", sop_uid),
            (0x00020010, b"UI", syntax.encode()),
            (0x00020012, b"UI", _IMPLEMENTATION),
            (0x00020013, b"SH", _VERSION),
        )
    )
    return bytes(128) + b"DICM" + EXPLICIT.element(0x00020000, b"UL", len(body).to_bytes(4, "little")) + body


def _meta(data: memoryview, pos: int) -> tuple[dict[int, bytes], int]:
    """The file meta's elements: always explicit little endian, whatever the group's length says."""
    found: dict[int, bytes] = {}
    while pos + 8 <= len(data) and pos < _MOST_META:
        group, number = unpack_from("<HH", data, pos)
        vr = bytes(data[pos + 4 : pos + 6])
        if group != 2:
            break
        if vr in SHORT:
            start, length = pos + 8, unpack_from("<H", data, pos + 6)[0]
        elif vr in LONG and pos + 12 <= len(data):
            start, length = pos + 12, unpack_from("<I", data, pos + 8)[0]
        else:  # a file meta in implicit, against the standard
            start, length = pos + 8, unpack_from("<I", data, pos + 4)[0]
        if start + length > len(data):
            raise Refused("truncated", f"(0002,{number:04X})")
        found[0x00020000 | number] = bytes(data[start : start + min(length, 256)])
        pos = start + length
    return found, pos


def _encoding(data: memoryview, start: int) -> Encoding:
    """By the first element: where a VR stands it is explicit; the group 0008 shows which of its bytes comes first."""
    first = bytes(data[start : start + 6])
    if first[4:] not in SHORT and first[4:] not in LONG:
        return IMPLICIT
    return BIG if first[0] == 0 and first[1] else EXPLICIT


def _begins_like_a_data_set(data: memoryview) -> bool:
    """Whether bytes without a DICM prefix begin with an attribute of group 0008, as data sets without a meta do."""
    if len(data) < 16:
        return False
    tag = _encoding(data, 0).tag(bytes(data[:4]))
    return tag >> 16 == 8 and (tag & 0xFFFF == 0 or tag in dictionary())


def _inflated(data: memoryview) -> memoryview:
    """A deflated data set (RFC 1951, PS3.5 A.5), bounded. Raises Refused."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, _MOST_INFLATED)
    except zlib.error as error:
        raise Refused("bad-deflate") from error
    if inflater.unconsumed_tail:
        raise Refused("inflates-too-large")
    if not inflater.eof:
        raise Refused("truncated")
    return memoryview(inflated)
