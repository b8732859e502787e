"""Text of a data set as Python strings and back, in the character set that (0008,0005) names (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DELIMITERS = {ord("\\"), ord("^"), ord("=")}
_MULTIBYTE = ("ISO 2022 ", "GB18030", "GBK", "ISO_IR 13")


class Undecodable(Exception):
    """The bytes are no text of the declared character set, or a text cannot be said in it."""


_ACCENTED = re.compile(rb"(?:[^\x80-\xff]|[\xc0-\xff](?![\x80-\xff]))*")


class Charset:
    """One value of Specific Character Set. ``default`` is ASCII alone, and what bytes beyond it mean is not known."""

    def __init__(self, value: bytes = b"") -> None:
        terms = [term.strip() for term in value.decode("ascii", "replace").split("\\")]
        self._terms = terms if any(terms) else [""]
        self._codecs: Sequence[str] | None = None

    def decode(self, value: bytes) -> str:
        """The text without padding. Raises Undecodable."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii").rstrip(" \0")
        from pydicom.charset import decode_bytes

        try:
            if self._plain():
                return value.decode(self._named()[0]).rstrip(" \0")
            text = str(decode_bytes(value, list(self._named()), _DELIMITERS)).rstrip(" \0")
        except (UnicodeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise Undecodable from error
        if "\ufffd" in text:
            raise Undecodable
        return text

    def encode(self, text: str) -> bytes:
        """The bytes of ``text``. Raises Undecodable where this set cannot say it."""
        if text.isascii() and "\x1b" not in text:
            return text.encode("ascii")
        from pydicom.charset import encode_string

        try:
            if self._plain():
                return text.encode(self._named()[0])
            return bytes(encode_string(text, list(self._named())))
        except (UnicodeError, LookupError, ValueError) as error:
            raise Undecodable from error

    def _plain(self) -> bool:
        return len(self._terms) == 1 and not self._terms[0].startswith(_MULTIBYTE[0])

    def _named(self) -> Sequence[str]:
        if self._codecs is None:
            from pydicom.charset import convert_encodings

            if self._terms == [""]:
                # Beyond ASCII nothing is declared: most such files are one of these two.
                self._codecs = ["latin-1"]
            else:
                try:
                    self._codecs = convert_encodings(self._terms)
                except (LookupError, ValueError) as error:
                    raise Undecodable from error
        return self._codecs


LATIN_1 = Charset(b"ISO_IR 100")


def is_latin_1(value: bytes) -> bool:
    """Whether bytes beyond ASCII are single accented letters, as some writers leave them where UTF-8 is declared."""
    return _ACCENTED.fullmatch(value) is not None
