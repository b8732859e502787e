"""Files as nobody should write them: cut off, with lengths and VRs that lie, nested without end, or blown up."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from dicom_cases.encoding_cases import _ITEM_END, _UNDEFINED, _explicit, _implicit
from dicom_cases.every_case import every_case
from dicom_cases.headers import encoded, image
from dicom_cases.rivals import pydicom_files
from pydicom.uid import AllTransferSyntaxes

LARGEST_SEED = 40_000
_LENGTHS = (0, 1, 2, 7, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)
_VRS = (
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV ZZ".split()
)
_WORDS = (
    0x0000,
    0x0002,
    0x0008,
    0x0010,
    0x0040,
    0x5200,
    0x6000,
    0x7FE0,
    0xFFFA,
    0xFFFC,
    0xFFFE,
    0xE000,
    0xE00D,
    0xE0DD,
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Small files of every kind: pydicom's and the hard cases."""
    theirs = [path.read_bytes() for path in pydicom_files() if path.stat().st_size < LARGEST_SEED]
    return (*theirs, *(case.data for case in every_case()[::7] if len(case.data) < LARGEST_SEED))


def mutated(seed: int) -> bytes:
    """A file that depends on the number alone."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(seeds()))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_MUTATIONS)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Mostly in the header, which is where a parser decides."""
    end = max(1, len(data) - 8)
    return chance.randrange(min(end, 4000) if chance.random() < 0.8 else end)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 20)):
        place = _place(data, chance)
        if place < len(data):
            data[place] = chance.randrange(256)


def _lie_about_a_length(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance) & ~1
    length = chance.choice((*_LENGTHS, len(data) - place, len(data) - place + 1, chance.randrange(1 << 32)))
    width = chance.choice((2, 4))
    data[place : place + width] = struct.pack("<I", length & 0xFFFFFFFF)[:width]


def _another_vr(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    known = [at for vr in (b"UI", b"LO", b"SQ", b"PN", b"OW", b"CS") if (at := data.find(vr, place)) >= 0]
    at = min(known, default=place)
    data[at : at + 2] = chance.choice(_VRS)


def _another_tag(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance) & ~1
    data[place : place + 2] = struct.pack("<H", chance.choice(_WORDS))


def _repeat(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    piece = bytes(data[place : place + chance.randrange(1, 400)])
    data[place:place] = piece * chance.choice((1, 2, 50))


def _drop(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.randrange(1, 64)]


def _noise(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place:place] = chance.randbytes(chance.randrange(1, 200))


def _another_syntax(data: bytearray, chance: random.Random) -> None:
    place = data.find(b"1.2.840.10008.1.2", 132)
    if place >= 0:
        syntax = str(chance.choice(AllTransferSyntaxes)).encode()
        data[place : place + len(syntax)] = syntax


def _splice(data: bytearray, chance: random.Random) -> None:
    other = chance.choice(seeds())
    place = _place(data, chance)
    start = chance.randrange(len(other))
    data[place:place] = other[start : start + chance.randrange(1, 2000)]


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _cut, _flip, _flip, _lie_about_a_length, _lie_about_a_length, _another_vr, _another_tag, _repeat, _drop, _noise,
    _another_syntax, _splice,
)  # fmt: skip


def _header() -> bytes:
    return encoded(image(study=990))


def nested(depth: int, *, explicit: bool = True, ended: bool = False) -> bytes:
    """A sequence in a sequence, ``depth`` times, with undefined lengths; its ends are there or not."""
    one = _explicit(0x0040A730, "SQ", b"", _UNDEFINED) if explicit else _implicit(0x0040A730, b"", _UNDEFINED)
    start = (one + _implicit(0xFFFEE000, b"", _UNDEFINED)) * depth
    return _header() + start + ((_ITEM_END + _implicit(0xFFFEE0DD, b"")) * depth if ended else b"")


def nested_with_lengths(depth: int) -> bytes:
    """The same with true lengths, each in one of 32 bits."""
    inner = b""
    for _ in range(depth):
        inner = _explicit(0x0040A730, "SQ", _implicit(0xFFFEE000, inner))
    return _header() + inner


def many_items(count: int) -> bytes:
    return _header() + _explicit(0x0040A730, "SQ", _implicit(0xFFFEE000, b"") * count)


def many_elements(count: int) -> bytes:
    """Empty elements of one group after the other."""
    body = b"".join(_explicit(0x70010000 + (n // 0x1000 << 17) + n % 0x1000, "LO", b"") for n in range(count))
    return _header() + body


def many_uids(count: int) -> bytes:
    """References to instances of the shortest UIDs: whatever replaces them is longer."""
    item = _explicit(0x00081155, "UI", b"1.2\0")
    return _header() + _explicit(0x0040A730, "SQ", _implicit(0xFFFEE000, item) * count)


def many_names(count: int) -> bytes:
    """One text of one word, over and over: cleaning it must not take a power of its length."""
    return _header() + _explicit(0x7FE10010, "LO", b"X ") + _explicit(0x00324000, "UT", b"Whitcombe^E, " * count)


def bomb(size: int, element: int = 0x00204000) -> bytes:
    """A deflated dataset of which one element is ``size`` zeros, a thousandth of that on the disk."""
    ds = image(study=991)
    header = encoded(ds, "1.2.840.10008.1.2.1.99")
    start = header.index(b"1.2.840.10008.1.2.1.99") + 22
    meta_length = struct.unpack("<I", header[140:144])[0]
    start = 144 + meta_length
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(header[start:])
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(plain + _explicit(element, "UT", b"", size))
    zeros = bytes(1 << 20)
    for _ in range(size >> 20):
        packed += packer.compress(zeros)
    return header[:start] + packed + packer.flush()


@cache
def bombs() -> dict[str, bytes]:
    """By name: each small, or of a size that a radiograph has."""
    return {
        "nested": nested(20_000),
        "nested_implicit": nested(20_000, explicit=False),
        "nested_and_ended": nested(20_000, ended=True),
        "nested_with_lengths": nested_with_lengths(1_500),
        "many_items": many_items(200_000),
        "many_elements": many_elements(100_000),
        "many_uids": many_uids(50_000),
        "many_names": many_names(50_000),
        "deflated": bomb(256 << 20),
        "deflated_pixels": bomb(256 << 20, 0x7FE10010),
        "says_four_gigabytes": _header()[:-8192] + b"\0" * 64,
        "zeros": bytes(1 << 20),
        "ones": b"\xff" * (1 << 20),
        "prefix_and_ones": b"\0" * 128 + b"DICM" + b"\xff" * 4096,
        "group_two_for_ever": b"\0" * 128 + b"DICM" + _explicit(0x00020001, "OB", b"\0\1") * 50_000,
    }
