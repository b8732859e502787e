"""How elements are written (PS3.5 section 7): explicit or implicit VR, little or (retired) big endian."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from flipnb.estate.imaging.deidentify.values import LONG, SHORT, padded

UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Encoding:
    """One of the three. ``first`` reads an element's key (tag and VR, or the tag) and length, ``length`` a long one."""

    def __init__(self, name: str, order: str, *, explicit: bool) -> None:
        self.name = name
        self.explicit = explicit
        self.big = order == ">"
        self.first: Callable[..., tuple[Any, ...]] = Struct(order + ("6sH" if explicit else "4sI")).unpack_from
        self.length: Callable[..., tuple[Any, ...]] = Struct(order + "I").unpack_from
        self._short = Struct(order + "HH2sH").pack
        self._long = Struct(order + "HH2sHI").pack
        self._implicit = Struct(order + "HHI").pack
        self.item, self.item_end, self.sequence_end = (self._mark(tag) for tag in (_ITEM, _ITEM_END, _SEQUENCE_END))
        self.open_item = self.item + b"\xff\xff\xff\xff"
        self.close_item = self.item_end + bytes(4)
        self.close_sequence = self.sequence_end + bytes(4)

    def _mark(self, tag: int) -> bytes:
        return self._implicit(tag >> 16, tag & 0xFFFF, 0)[:4]

    def tag(self, key: bytes) -> int:
        """The tag, group before element, of the first four bytes of an element."""
        if self.big:
            return key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3]
        return key[1] << 24 | key[0] << 16 | key[3] << 8 | key[2]

    def number(self, value: bytes) -> int:
        """The value of a US."""
        return int.from_bytes(value, "big" if self.big else "little")

    def head(self, tag: int, vr: bytes, length: int) -> bytes:
        """An element's tag, VR and length."""
        if not self.explicit:
            return self._implicit(tag >> 16, tag & 0xFFFF, length)
        if vr in SHORT:
            return self._short(tag >> 16, tag & 0xFFFF, vr, length)
        return self._long(tag >> 16, tag & 0xFFFF, vr if vr in LONG else b"UN", 0, length)

    def element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        """A whole element, padded to even length. A text too long for its VR's 16 bits is cut."""
        if self.explicit and len(value) > 0xFFFE and vr in SHORT:
            value = value[:0xFFFE]
        if len(value) & 1:
            value = padded(vr, value)
        return self.head(tag, vr, len(value)) + value

    def item_of(self, content: bytes) -> bytes:
        """A sequence's item of known length."""
        return self._implicit(_ITEM >> 16, _ITEM & 0xFFFF, len(content)) + content


EXPLICIT = Encoding("explicit", "<", explicit=True)
IMPLICIT = Encoding("implicit", "<", explicit=False)
BIG = Encoding("big endian", ">", explicit=True)
