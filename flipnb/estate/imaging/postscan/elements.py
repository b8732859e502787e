"""A DICOM file as a flat list of elements, read by pydicom, sequences and what hides in UN included.

Nothing is converted: values are the file's bytes, beside them the VR and the character sets that hold there.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache, partial
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
_INFLATED = 256 << 20


class Element(NamedTuple):
    """One element. ``value`` is None for top-level pixel data."""

    path: Path
    tag: int
    vr: str
    value: bytes | None
    charsets: tuple[str, ...]


_element = partial(tuple.__new__, Element)
"""As ``Element(*fields)``, which takes three times as long."""


@dataclass
class Elements:
    """A file's elements in their order. ``data`` is the file, inflated where it was deflated."""

    data: memoryview
    elements: list[Element] = field(default_factory=list)
    syntax: str = ""
    pixels: list[tuple[int, int]] = field(default_factory=list)
    """Where the values of top-level pixel data lie: start, end."""
    end: int = 0
    """Where the last top-level element ends."""
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
    found = Elements(data)
    file = _file(data)
    at = 132 if bytes(data[128:132]) == b"DICM" else 0
    at = _meta(found, file, at)
    if found.syntax == DEFLATED:
        found.data, found.trailing = _inflated(data, at)
        file = _file(found.data)
    implicit, little = _guess(found.data, at, found.syntax)
    if len(found.data) - at > most_header_bytes:
        _refuse_long_header(found.data, at, implicit, little, most_header_bytes)
    file.seek(at)
    _Walk(found, file, implicit, little).top()
    return found


def _meta(found: Elements, file: Any, at: int) -> int:
    """Reads group 0002; where it ends. Its transfer syntax goes to ``found``."""
    from pydicom.filereader import data_element_generator

    file.seek(at)
    for raw in data_element_generator(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2):
        tag, value = int(raw.tag), raw.value or b""
        found.elements.append(Element((tag,), tag, raw.VR or "UN", value, ()))
        if tag == 0x00020010:
            found.syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
    end: int = file.tell()
    return end if found.elements else at


def _inflated(data: memoryview, at: int) -> tuple[memoryview, bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    body = engine.decompress(data[at:], _INFLATED)
    if engine.unconsumed_tail:
        raise unscannable("it inflates beyond all proportion")
    return memoryview(bytes(data[:at]) + body), engine.unused_data


def _guess(data: memoryview, at: int, syntax: str) -> tuple[bool, bool]:
    """(implicit, little endian): what the first element shows goes before what the transfer syntax says of VRs."""
    first = bytes(data[at : at + 6])
    if len(first) < 6:
        return syntax == _IMPLICIT, syntax != _BIG_ENDIAN
    explicit = first[4:6].isalpha() and first[4:6].isupper()
    small_first = int.from_bytes(first[:2], "little") <= int.from_bytes(first[:2], "big")
    little = syntax != _BIG_ENDIAN if syntax else small_first
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
    """Puts elements into the list, those of sequences before what follows them.

    pydicom's generator reads the elements; sequences are followed here, so that no item becomes a Dataset: that
    costs ten times the reading, and much memory for a thousand frames' functional groups.
    """

    def __init__(self, found: Elements, file: Any, implicit: bool, little: bool) -> None:
        self._found, self._file, self._implicit, self._little = found, file, implicit, little
        self._open: tuple[int, str | None] | None = None
        self._header = struct.Struct("<HHL" if little else ">HHL")

    def top(self) -> None:
        """Reads from where the file stands to its end."""
        self._take(self._file, (), (), 0, _DEFERRED)

    def _take(self, file: Any, above: Path, charsets: tuple[str, ...], depth: int, defer: int | None = None) -> None:
        """The elements up to the end of the file or item. A value beyond ``defer`` bytes is read by its place."""
        from pydicom.filereader import data_element_generator

        elements = self._found.elements
        while True:
            self._open = None
            raws: Any = data_element_generator(
                file, self._implicit, self._little, stop_when=self._opens, defer_size=defer
            )
            for read_tag, read_vr, length, read_value, tell, *_ in raws:
                tag = int(read_tag)  # pydicom's own compares and hashes in Python
                vr = dictionary_vr(tag) if read_vr is None or read_vr == "UN" else read_vr
                value = read_value
                if tag == 0x00080005 and value:
                    charsets = _charsets(value)
                if tag in PIXEL_DATA and not above:
                    self._found.end = self._pixels(tag, vr, length, tell, charsets)
                    continue
                if not above:
                    self._found.end = tell + length
                if value is None and length:
                    value = bytes(self._found.data[tell : tell + length])
                path = (*above, tag)
                if length and len(value or b"") < length != _UNDEFINED:
                    self._found.truncated.append(path)
                if vr == "SQ":
                    if value:
                        self._sequence(io.BytesIO(value), path, charsets, depth)
                elif vr != "UN" or not value or value[:4] != _ITEM or not self._hidden(value, path, charsets, depth):
                    elements.append(_element((path, tag, vr, value or b"", charsets)))
            if self._open is None:
                return
            tag, named = self._open
            file.seek(8 if self._implicit or named is None else 12, 1)
            self._sequence(file, (*above, tag), charsets, depth)
            if not above:
                self._found.end = file.tell()

    def _opens(self, tag: int, vr: str | None, length: int) -> bool:
        """Whether a sequence of undefined length begins, which is followed here."""
        if length != _UNDEFINED or tag in PIXEL_DATA or vr in ("OB", "OW"):
            return False
        self._open = (int(tag), vr)
        return True

    def _pixels(self, tag: int, vr: str, length: int, start: int, charsets: tuple[str, ...]) -> int:
        """Notes top-level pixel data; where it ends."""
        end = self._delimited(start) if length == _UNDEFINED else start + length
        if end > len(self._found.data):
            self._found.truncated.append((tag,))
        self._found.pixels.append((start, min(end, len(self._found.data))))
        self._found.elements.append(Element((tag,), tag, vr, None, charsets))
        return end + 8 if length == _UNDEFINED else end

    def _delimited(self, at: int) -> int:
        """Where encapsulated pixel data ends: its items are followed, whatever bytes they hold."""
        data, order = self._found.data, "<L" if self._little else ">L"
        while bytes(data[at : at + 4]) == _ITEM and at + 8 <= len(data):
            at += 8 + int(struct.unpack_from(order, data, at + 4)[0])
        return at

    def _sequence(self, file: Any, path: Path, charsets: tuple[str, ...], depth: int) -> None:
        """The items from where ``file`` stands to the sequence's end."""
        if depth >= _DEPTH:
            raise unscannable("its sequences are nested too deeply")
        index = 0
        while len(head := file.read(8)) == 8:
            group, number, length = self._header.unpack(head)
            if (group, number) == (0xFFFE, 0xE0DD):
                return
            if (group, number) != (0xFFFE, 0xE000):
                raise unscannable("a sequence holds something else than items")
            body = file if length == _UNDEFINED else io.BytesIO(file.read(length))
            self._take(body, (*path, index), charsets, depth + 1)
            index += 1

    def _hidden(self, value: bytes, path: Path, charsets: tuple[str, ...], depth: int) -> bool:
        """Whether a value of unknown VR was read as items: implicit ones (PS3.5 6.2.2), or explicit ones."""
        for implicit in (True, False):
            found = Elements(self._found.data)
            try:
                walk = _Walk(found, None, implicit, True)
                walk._sequence(io.BytesIO(value), path, charsets, depth)
            except Exception:  # it is no sequence of this kind
                found.truncated.append(path)
            if not found.truncated:
                self._found.elements += found.elements
                return True
        return False


@lru_cache(maxsize=256)
def _charsets(value: bytes) -> tuple[str, ...]:
    return tuple(term.strip().decode("ascii", "replace") for term in value.rstrip(b"\0 ").split(b"\\"))
