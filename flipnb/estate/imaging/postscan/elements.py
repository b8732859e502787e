"""A DICOM file as a flat list of elements, read by pydicom, sequences and what hides in UN included.

Nothing is converted: values are the file's bytes, beside them the VR and the character sets that hold there.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from flipnb.contracts.problem import FlipError

Buffer = bytes | memoryview
Path = tuple[int, ...]
"""Tags and indexes of items by turns: (SQ's tag, item, …, tag)."""

PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_IMPLICIT = "1.2.840.10008.1.2"
_DEPTH = 24
_DEFERRED = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_ITEM = b"\xfe\xff\x00\xe0"
_INFLATED = 512 << 20


class Element(NamedTuple):
    """One element. ``value`` is None for top-level pixel data; ``start`` is where it begins, -1 inside a sequence."""

    path: Path
    tag: int
    vr: str
    value: bytes | None
    charsets: tuple[str, ...]
    start: int


@dataclass
class Elements:
    """A file's elements in their order. ``data`` is the file, inflated where it was deflated."""

    data: memoryview
    elements: list[Element] = field(default_factory=list)
    syntax: str = ""
    pixels: list[tuple[int, int]] = field(default_factory=list)
    """Where the values of top-level pixel data lie: start, end."""
    end: int = 0
    """Where the last element ends."""
    truncated: list[Path] = field(default_factory=list)
    """Elements that say that they are longer than they are."""
    trailing: bytes = b""
    """What follows a deflated data set."""

    def header(self) -> bytes:
        """All bytes but the pixels'."""
        parts, at = [], 0
        for start, end in self.pixels:
            parts.append(self.data[at:start])
            at = end
        parts.append(self.data[at:])
        return b"".join(parts)


def read(data: Buffer, most_header_bytes: int) -> Elements:
    """Every element of a file, with or without preamble and file meta.

    Raises FlipError ``image-unscannable`` where pydicom can't make sense of it, or where it is nested, or long, out of
    all proportion.
    """
    try:
        return _read(memoryview(data), most_header_bytes)
    except FlipError:
        raise
    except RecursionError:
        raise unscannable("its sequences are nested too deeply") from None
    except Exception as error:  # pydicom raises what it likes on hostile bytes; its message may quote a value
        raise unscannable(f"pydicom can't read it ({type(error).__name__})") from None


def unscannable(why: str) -> FlipError:
    """The error for a file at which no second look is possible; ``why`` must hold no value of the file."""
    return FlipError(
        "image-unscannable",
        f"An image can't be looked through for what identifies its patient: {why}.",
        remedy="It is not released. Ask the modality's vendor for a file that follows the standard.",
    )


def _read(data: memoryview, most_header_bytes: int) -> Elements:
    from pydicom.filereader import _is_implicit_vr, data_element_generator

    found = Elements(data)
    at = 132 if bytes(data[128:132]) == b"DICM" else 0
    at = _meta(found, at, data_element_generator)
    if found.syntax == DEFLATED:
        found.data, found.trailing = _inflated(data, at)
    file = _file(found.data)
    file.seek(at)
    little = found.syntax != _BIG_ENDIAN
    if found.syntax:
        implicit = found.syntax == _IMPLICIT
        implicit = _is_implicit_vr(file, implicit, little, stop_when=None, is_sequence=False)
    else:
        implicit, little = _guess(found.data, at)
    if len(found.data) - at > most_header_bytes:
        _refuse_long_header(found.data, at, implicit, little, most_header_bytes)
    file.seek(at)
    walk = _Walk(found, implicit, little)
    walk.top(data_element_generator(file, implicit, little, defer_size=_DEFERRED))
    found.end = file.tell()
    return found


def _meta(found: Elements, at: int, generator: Any) -> int:
    """Reads group 0002; where it ends. Its transfer syntax goes to ``found``."""
    file = _file(found.data[: min(len(found.data), at + (1 << 20))])
    file.seek(at)
    for raw in generator(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2):
        value = raw.value or b""
        found.elements.append(Element((int(raw.tag),), int(raw.tag), raw.VR or "UN", value, (), raw.value_tell))
        if raw.tag == 0x00020010:
            found.syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
    end: int = file.tell()
    return end if found.elements else at


def _inflated(data: memoryview, at: int) -> tuple[memoryview, bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    body = engine.decompress(data[at:], _INFLATED)
    if engine.unconsumed_tail:
        raise unscannable("it inflates beyond all proportion")
    return memoryview(bytes(data[:at]) + body), engine.unused_data


def _guess(data: memoryview, at: int) -> tuple[bool, bool]:
    """(implicit, little endian) of a data set without a transfer syntax, by its first element."""
    first = bytes(data[at : at + 6])
    explicit = first[4:6].isalpha() and first[4:6].isupper()
    little = int.from_bytes(first[:2], "little") <= int.from_bytes(first[:2], "big")
    return not explicit, little


def _refuse_long_header(data: memoryview, at: int, implicit: bool, little: bool, most: int) -> None:
    """Counts what is no pixel before any of it is kept."""
    from pydicom.filereader import data_element_generator

    file, length, begun = _file(data), 0, at
    file.seek(at)
    for raw in data_element_generator(file, implicit, little, defer_size=0):
        ended = file.tell()
        length += 0 if raw.tag in PIXEL_DATA else ended - begun
        begun = ended
        if length > most:
            raise unscannable(f"what is no pixel is longer than {most >> 20} MiB")


class _View(io.RawIOBase):
    """A memoryview as a file, for what is too long to be copied."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size is None or size < 0 else self._at + size
        piece = bytes(self._data[self._at : end])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._data))[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _file(data: memoryview) -> Any:
    return io.BytesIO(data) if len(data) < _DEFERRED else _View(data)


@lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str:
    """The standard's VR of a public tag, the first where it leaves a choice; UN for what is not in the dictionary."""
    from pydicom.datadict import dictionary_VR

    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        vr: str = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return "OW" if vr.startswith(("US or", "OB or")) else vr


class _Walk:
    """Puts elements into the list, those of sequences before what follows them."""

    def __init__(self, found: Elements, implicit: bool, little: bool) -> None:
        self._found, self._implicit, self._little = found, implicit, little

    def top(self, raws: Iterable[Any]) -> None:
        charsets: tuple[str, ...] = ()
        data = self._found.data
        for raw in raws:
            tag = int(raw.tag)
            if tag == 0x00080005 and raw.value:
                charsets = _charsets(raw.value)
            if tag in PIXEL_DATA:
                end = raw.value_tell + raw.length if raw.length != _UNDEFINED else self._delimited(raw)
                if end > len(data):
                    self._found.truncated.append((tag,))
                self._found.pixels.append((raw.value_tell, min(end, len(data))))
                self._found.elements.append(Element((tag,), tag, raw.VR or "OW", None, charsets, raw.value_tell))
                continue
            value = raw.value
            if value is None and getattr(raw, "length", 0) not in (0, _UNDEFINED):
                value = bytes(data[raw.value_tell : raw.value_tell + raw.length])
            self._add((), raw, tag, value, charsets, raw.value_tell if hasattr(raw, "value_tell") else -1, 0)

    def _delimited(self, raw: Any) -> int:
        """Where encapsulated pixel data ends: its items are followed, whatever bytes they hold."""
        order, at, data = ("little" if self._little else "big"), raw.value_tell, self._found.data
        while at + 8 <= len(data) and bytes(data[at : at + 4]) == _ITEM:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        return int(at)

    def _add(
        self, above: Path, raw: Any, tag: int, value: Any, charsets: tuple[str, ...], start: int, depth: int
    ) -> None:
        if depth > _DEPTH:
            raise unscannable("its sequences are nested too deeply")
        vr = raw.VR
        if vr is None or vr == "UN":
            known = dictionary_vr(tag)
            vr = known if vr is None or known != "UN" else "UN"
        path = (*above, tag)
        if not isinstance(value, (bytes, type(None))) and not isinstance(value, (str, int, float)):
            self._items(path, value, charsets, depth)
            return
        if isinstance(value, str):
            value = value.encode("utf-8", "replace")
        value = value or b""
        length = getattr(raw, "length", len(value))
        if length not in (_UNDEFINED, len(value)) and len(value) < length:
            self._found.truncated.append(path)
        if (vr == "SQ" or (vr == "UN" and value[:4] == _ITEM)) and self._hidden(path, value, vr, charsets, depth):
            return
        self._found.elements.append(Element(path, tag, vr, value, charsets, start))

    def _hidden(self, path: Path, value: bytes, vr: str, charsets: tuple[str, ...], depth: int) -> bool:
        """Whether ``value`` was read as a sequence's items."""
        from pydicom.charset import default_encoding
        from pydicom.filereader import read_sequence

        if not value:
            return True
        ways = ((self._implicit, self._little),) if vr == "SQ" else ((True, True), (False, True))
        for implicit, little in ways:
            before = len(self._found.elements), len(self._found.truncated)
            try:
                items = read_sequence(io.BytesIO(value), implicit, little, len(value), default_encoding)
                self._items(path, items, charsets, depth)
            except FlipError:
                raise
            except Exception:
                if vr == "SQ":
                    raise
                del self._found.elements[before[0] :], self._found.truncated[before[1] :]
                continue
            if vr == "SQ" or not self._found.truncated[before[1] :]:
                return True
            del self._found.elements[before[0] :], self._found.truncated[before[1] :]
        return False

    def _items(self, path: Path, items: Iterable[Any], charsets: tuple[str, ...], depth: int) -> None:
        for index, item in enumerate(items):
            within = charsets
            for raw in _raws(item):
                tag, value = int(raw.tag), raw.value
                if tag == 0x00080005 and isinstance(value, bytes):
                    within = _charsets(value)
                self._add((*path, index), raw, tag, value, within, -1, depth + 1)


def _raws(item: Any) -> Iterator[Any]:
    """The item's elements as they were read, unconverted, in their order."""
    for tag in item.keys():  # noqa: SIM118  # a Dataset's own iterator converts
        yield item.get_item(tag)


@lru_cache(maxsize=256)
def _charsets(value: bytes) -> tuple[str, ...]:
    return tuple(term.strip().decode("ascii", "replace") for term in value.rstrip(b"\0 ").split(b"\\"))
