"""What pixel data hold that is no pixel: comments and application data of JPEG and JPEG 2000, bytes after the end.

A pixel's own bits are not looked through: they are judged by reading the picture (``burned_in``), any four letters
appear in half a megabyte of noise, and a modality writes no text into them but as a picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import unpack_from
from typing import Literal

from flipnb.estate.imaging.postscan.elements import Elements
from flipnb.estate.imaging.postscan.haystack import SEPARATOR, printable

_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", ""})
_MOST_SEGMENTS = 4096
_ROWS, _COLUMNS, _SAMPLES, _ALLOCATED, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280008
_SUBSAMPLED = 0x00280004
_PIECE, _LONGEST_NAME = 4096, 256
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # no stuffing, no restart: those belong to coded pixels
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
# EXIF, XMP and Photoshop's notes: where (as binary numbers) and when a picture was taken, by whom, and its thumbnail
_CAMERA = re.compile(rb"Exif|ns\.adobe\.com/xap|Photoshop 3\.0|8BIM")


@dataclass(frozen=True)
class PixelHeaders:
    """``text`` is what may be read in what is no pixel of top-level pixel data; ``odd`` what no reader would see."""

    text: bytes
    odd: tuple[str, ...]


def pixel_headers(after: Elements) -> PixelHeaders:
    """What top-level pixel data hold beside the picture that a reader of the file shows."""
    parts: list[bytes] = []
    odd = ["a second picture"] if len(after.pixels) > 1 else []
    numbers = _numbers(after)
    for start, end in after.pixels:
        value = after.data[start:end]
        if not numbers.get(_ROWS) or not numbers.get(_COLUMNS):
            odd.append("pixels of no picture")
        elif bytes(value[:4]) == b"\xfe\xff\x00\xe0" and after.syntax not in _NATIVE:
            streams = []
            for at, item in enumerate(_items(value)):
                stream = Codestream(item)
                parts += stream.parts if at or stream.known else [bytes(item)]
                streams += [stream] if stream.known else []
            odd += _odd(streams, numbers)
        else:
            rest = bytes(value[_expected(numbers, len(value)) :])
            parts.append(rest)
            odd += ["bytes after the last frame"] if len(rest) > 1 and any(rest) else []
    text = SEPARATOR.join(filter(None, (printable(part[at : at + _PIECE]) for part in parts for at in _steps(part))))
    odd += ["a camera's notes"] if _CAMERA.search(text) else []
    return PixelHeaders(text, tuple(odd))


def _steps(part: bytes) -> range:
    """Where to cut a part so that each piece is looked through for the shortest runs; the pieces overlap."""
    return range(0, max(1, len(part)), _PIECE - _LONGEST_NAME)


def _odd(streams: list[Codestream], numbers: dict[int, int]) -> list[str]:
    odd = []
    if len(streams) > max(1, numbers.get(_FRAMES, 1)):
        odd.append("more pictures than frames")
    if any(stream.nested for stream in streams):
        odd.append("a picture behind a picture")
    if any(stream.size not in (None, (numbers[_ROWS], numbers[_COLUMNS])) for stream in streams):
        odd.append("a picture of another size than the header says")
    return odd


def _items(value: memoryview) -> list[memoryview]:
    items, at = [], 0
    while at + 8 <= len(value):
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return items


class Codestream:
    """What a fragment of encapsulated pixel data holds beside coded pixels.

    ``parts``: comments and application data wherever they stand, boxes of a JP2, bytes behind the end. ``known``:
    whether a JPEG, JPEG-LS or JPEG 2000 stream begins here; ``size`` is then its rows and columns. ``nested``: whether
    another stream stands behind its end.
    """

    def __init__(self, item: memoryview) -> None:
        self.parts: list[bytes] = []
        self.known = True
        self.size: tuple[int, int] | None = None
        self.nested = False
        head = bytes(item[:12])
        if head[:2] == b"\xff\xd8":
            self._behind(item, self._jpeg(item))
        elif head[:2] == b"\xff\x4f":
            self._behind(item, self._jpeg_2000(item, 2))
        elif head == _JP2:
            self._boxes(item)
        else:
            self.known = False
            self.parts = [bytes(item[:256])] if head[:1] != b"\xff" else []

    def _jpeg(self, item: memoryview) -> int:
        """Markers up to the end of the image, those between scans included. Returns where it ends."""
        at = 2
        while marker := _MARKER.search(item, at):
            kind, at = marker[0][-1], marker.end()
            if kind == 0xD9:
                return at
            if kind == 0xD8 or at + 2 > len(item):
                continue
            length = int.from_bytes(item[at : at + 2], "big")
            if 0xE0 <= kind <= 0xEF or kind == 0xFE:
                self._take(item[at + 2 : at + length])
            elif kind in _FRAME_HEADERS:
                self.size = (
                    int.from_bytes(item[at + 3 : at + 5], "big"),
                    int.from_bytes(item[at + 5 : at + 7], "big"),
                )
            at += max(2, length)
        return len(item)

    def _jpeg_2000(self, item: memoryview, at: int) -> int:
        """Segments of the main header and of each tile-part (ISO/IEC 15444-1 Annex A). Returns where it ends."""
        tile, last = 0, None
        while at + 4 <= len(item) and item[at] == 0xFF:
            marker, length = item[at + 1], int.from_bytes(item[at + 2 : at + 4], "big")
            if marker == 0xD9:
                return at + 2
            if marker == 0x93:  # coded data: on to the next tile-part
                if tile <= at:
                    break
                at = tile
                continue
            if marker == 0x90:
                long = int.from_bytes(item[at + 6 : at + 10], "big")
                if long <= 12:  # the last one, up to the end
                    last = _last(item, at) if last is None else last
                tile = at + long if long > 12 else last or 0
            elif marker == 0x51:
                width, height, left, top = unpack_from(">4I", bytes(item[at + 6 : at + 22]).ljust(16, b"\0"))
                self.size = (height - top, width - left)
            elif marker == 0x64:
                self._take(item[at + 4 : at + 2 + length])
            at += 2 + max(2, length)
        return at + 2 if bytes(item[at : at + 2]) == b"\xff\xd9" else min(at, len(item))

    def _boxes(self, item: memoryview) -> None:
        """A JP2 file's boxes (ISO/IEC 15444-1 Annex I): the stream is walked, everything else is taken."""
        at = 0
        while at + 8 <= len(item):
            length, head = int.from_bytes(item[at : at + 4], "big"), 8
            if length == 1:
                length, head = int.from_bytes(item[at + 8 : at + 16], "big"), 16
            end = len(item) if length < head else min(len(item), at + length)
            if bytes(item[at + 4 : at + 8]) == b"jp2c":
                stream = item[at + head : end]
                self._behind(stream, self._jpeg_2000(stream, 2))
            else:
                self._take(item[at:end])
            at = end

    def _take(self, part: memoryview) -> None:
        if len(self.parts) < _MOST_SEGMENTS:
            self.parts.append(bytes(part))
        else:
            self.nested = True  # more than any encoder writes: not looked through, so held back

    def _behind(self, item: memoryview, end: int) -> None:
        rest = bytes(item[end:])
        self.parts.append(rest)
        self.nested |= b"\xff\xd8\xff" in rest or b"\xff\x4f\xff\x51" in rest


def _last(item: memoryview, at: int) -> int:
    """Where the last end-of-codestream marker stands; a tile-part of length 0 goes on up to it."""
    found = bytes(item[at:]).rfind(b"\xff\xd9")
    return at + found if found >= 0 else len(item)


def _numbers(after: Elements) -> dict[int, int]:
    """The numbers of the top level by which pixel data are cut into frames, those that the file says."""
    numbers: dict[int, int] = {}
    order: Literal["big", "little"] = "big" if after.syntax == "1.2.840.10008.1.2.2" else "little"
    for element in after.elements:
        if len(element.path) > 1 or not element.value:
            continue
        if element.tag in (_ROWS, _COLUMNS, _SAMPLES, _ALLOCATED):
            numbers[element.tag] = int.from_bytes(element.value[:2], order)
        elif element.tag == _FRAMES and element.value.strip(b" \0").isdigit():
            numbers[_FRAMES] = int(element.value.strip(b" \0"))
        elif element.tag == _SUBSAMPLED and b"422" in element.value:
            numbers[_SUBSAMPLED] = 1
    return numbers


def _expected(numbers: dict[int, int], length: int) -> int:
    """How many bytes of native pixel data are pixels, ``length`` where the file does not say so."""
    if not numbers.get(_ALLOCATED):
        return length
    samples = 2 if _SUBSAMPLED in numbers else numbers.get(_SAMPLES, 1)
    bits = numbers[_ROWS] * numbers[_COLUMNS] * samples * numbers[_ALLOCATED] * max(1, numbers.get(_FRAMES, 1))
    return min(length, (bits + 7) // 8)
