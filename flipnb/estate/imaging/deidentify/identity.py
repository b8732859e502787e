"""Who a file is about, by what its own header said before it was taken away: names, numbers, places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from flipnb.estate.imaging.deidentify.charsets import Charset, Undecodable

_PARTS = re.compile(r"[^\W\d_]+\d*|\d+", re.U)


@cache
def clinical_words() -> frozenset[str]:
    """Words that a description needs though they may be somebody's name, in lower case."""
    return _words("clinical_words.txt")


@cache
def _nobody() -> frozenset[str]:
    """What stands in a name's place and is none: titles, degrees, particles, placeholders."""
    return _words("nobody_words.txt")


def _words(file: str) -> frozenset[str]:
    text = (files(__package__) / file).read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


class Identity:
    """Parts of names and whole identifiers in lower case.

    ``ambiguous`` holds the parts of names that are clinical words: they are a name only beside another part or a title.
    ``raw`` are the bytes to look for, in lower case, in what is about to leave.
    """

    def __init__(self, seen: Iterable[tuple[str, bytes, Charset]] = ()) -> None:
        self.names: set[str] = set()
        self.ambiguous: set[str] = set()
        self.identifiers: set[str] = set()
        self.beyond_ascii = False
        for role, value, charset in seen:
            self._add(role, value, charset)
        self.names -= self.ambiguous

    def _add(self, role: str, value: bytes, charset: Charset) -> None:
        try:
            text = charset.decode(value)
        except Undecodable:
            text = value.decode("latin-1")
        self.beyond_ascii |= not text.isascii()
        if role == "name":
            parts = {part.casefold() for part in _PARTS.findall(text)}
            parts = {part for part in parts if (len(part) > 1 or not part.isascii()) and part not in _nobody()}
            self.ambiguous |= parts & clinical_words()
            self.names |= {part for part in parts if not part.isdigit() or len(part) > 3}
            return
        for one in text.split("\\"):
            value_of = one.strip().casefold()
            if len(value_of) >= 4 and value_of not in _nobody() and value_of not in clinical_words():
                self.identifiers.add(value_of)
                squeezed = re.sub(r"[\s-]", "", value_of)
                if squeezed.isdigit() and len(squeezed) >= 6:
                    self.identifiers.add(squeezed)

    def found_in(self, lowered: bytes) -> bool:
        """Whether any of it stands in ``lowered``, the bytes of an output in ASCII lower case."""
        for name in self.names:
            raw = name.encode()
            if len(raw) >= 5:
                if raw in lowered:
                    return True
            elif raw in lowered and _bounded(lowered, raw):
                return True
        return any(
            identifier.encode() in lowered
            for identifier in self.identifiers
            if not identifier.isdigit() or len(identifier) > 5
        )


def _bounded(lowered: bytes, word: bytes) -> bool:
    """Whether ``word`` stands there between characters that are no letters."""
    at = lowered.find(word)
    while at >= 0:
        before, after = lowered[at - 1 : at], lowered[at + len(word) : at + len(word) + 1]
        if not before.isalpha() and not after.isalpha():
            return True
        at = lowered.find(word, at + 1)
    return False
