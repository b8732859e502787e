"""What pixel data hold that is no pixel: comments and application data of JPEG and JPEG 2000, bytes after the end.

A pixel's own bits are not looked through: they are judged by reading the picture (``burned_in``), any four letters
appear in half a megabyte of noise, and a modality writes no text into them but as a picture.
"""

from __future__ import annotations

from flipnb.estate.imaging.postscan.elements import Elements
from flipnb.estate.imaging.postscan.haystack import SEPARATOR, printable

_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", ""})
_MOST_SEGMENTS = 4096
_ROWS, _COLUMNS, _SAMPLES, _ALLOCATED, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280008
_SUBSAMPLED = 0x00280004


def pixel_headers(after: Elements) -> bytes:
    """The text in what is no pixel of all top-level pixel data, separated."""
    parts: list[bytes] = []
    for start, end in after.pixels:
        value = after.data[start:end]
        if bytes(value[:4]) == b"\xfe\xff\x00\xe0" and after.syntax not in _NATIVE:
            for item in _items(value):
                parts += _segments(item)
        else:
            parts.append(bytes(value[_expected(after, len(value)) :]))
    return SEPARATOR.join(filter(None, map(printable, parts)))


def _items(value: memoryview) -> list[memoryview]:
    items, at = [], 0
    while at + 8 <= len(value):
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return items


def _segments(item: memoryview) -> list[bytes]:
    """Payloads of a codestream's segments before its coded data, and what follows its end."""
    head = bytes(item[:2])
    if head not in (b"\xff\xd8", b"\xff\x4f"):
        return [bytes(item[:256])] if head[:1] != b"\xff" else []
    last = b"\xff\xd9"
    parts: list[bytes] = []
    at = 2
    while at + 4 <= len(item) and item[at] == 0xFF and len(parts) < _MOST_SEGMENTS:
        marker, length = item[at + 1], int.from_bytes(item[at + 2 : at + 4], "big")
        if marker in (0xDA, 0x90):
            break
        if 0xE0 <= marker <= 0xEF or marker in (0xFE, 0x64):
            parts.append(bytes(item[at + 4 : at + 2 + length]))
        at += 2 + length
    tail = bytes(item[-65536:])
    end = tail.rfind(last)
    parts.append(tail[end + 2 :] if end >= 0 else b"")
    return parts


def _expected(after: Elements, length: int) -> int:
    """How many bytes of native pixel data are pixels, ``length`` where the file does not say so."""
    numbers: dict[int, int] = {}
    for element in after.elements:
        if len(element.path) == 1 and element.tag in (_ROWS, _COLUMNS, _SAMPLES, _ALLOCATED) and element.value:
            order = "big" if after.syntax == "1.2.840.10008.1.2.2" else "little"
            numbers[element.tag] = int.from_bytes(element.value[:2], order)  # type: ignore[arg-type]
        elif len(element.path) == 1 and element.tag == _FRAMES and (element.value or b"").strip(b" \0").isdigit():
            numbers[_FRAMES] = int((element.value or b"").strip(b" \0"))
        elif len(element.path) == 1 and element.tag == _SUBSAMPLED and b"422" in (element.value or b""):
            numbers[_SUBSAMPLED] = 1
    if not {_ROWS, _COLUMNS, _ALLOCATED} <= numbers.keys():
        return length
    samples = 2 if _SUBSAMPLED in numbers else numbers.get(_SAMPLES, 1)
    bits = numbers[_ROWS] * numbers[_COLUMNS] * samples * numbers[_ALLOCATED] * numbers.get(_FRAMES, 1)
    return min(length, (bits + 7) // 8)
