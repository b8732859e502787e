"""Text in DICOM's character sets (PS3.3 C.12.1.1.2), read by pydicom's tables."""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPE = re.compile(rb"\x1b[$(),\-./][\x20-\x7e]?[\x40-\x7e]?")
_ALWAYS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


def decoded(value: bytes, charsets: tuple[str, ...]) -> str:
    """``value`` as text; what a character set does not know becomes U+FFFD."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    from pydicom.charset import decode_bytes

    try:
        text: str = decode_bytes(value, list(_python(charsets)), set(b"\\^=\r\n\t\f"))
        return text
    except (LookupError, UnicodeError, ValueError):
        return value.decode("latin-1")


@lru_cache(maxsize=256)
def _python(charsets: tuple[str, ...]) -> tuple[str, ...]:
    """Python's names of DICOM's defined terms; the default one reads as Latin 1: files hold more than they say."""
    from pydicom.charset import python_encoding

    names = tuple(python_encoding.get(term, "latin-1") for term in charsets) or ("latin-1",)
    return tuple("latin-1" if name in ("iso8859", "iso-8859-1", "ascii") else name for name in names)


@lru_cache(maxsize=1024)
def encodings(value: str, charsets: tuple[str, ...]) -> frozenset[bytes]:
    """The parts of a value outside ASCII as bytes in ``charsets``, UTF-8, Latin 1 and UTF-16, in three cases."""
    found: set[bytes] = set()
    for part in re.split(r"[\^=\s,\\]+", value):
        if part.isascii() or len(part) < 2:
            continue
        for written in {part, part.upper(), part.lower(), part.title()}:
            for name in {*_ALWAYS, *_python(charsets)}:
                try:
                    encoded = written.encode(name)
                except (UnicodeError, LookupError):
                    continue
                pieces = [piece for piece in _ESCAPE.split(encoded) if piece]
                found |= {
                    piece for piece in (*pieces, encoded) if len(piece) >= 6 or (len(piece) >= 4 and piece == encoded)
                }
    return frozenset(found)
