"""Who a file is about, by what its own header said before it was taken away: names, numbers, places."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files

from flipnb.estate.imaging.deidentify.charsets import Charset, Undecodable

_PARTS = re.compile(r"[^\W\d_]+\d*|\d+", re.U)
_TRANSCRIBED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "ß": "ss"})
_PLACE = re.compile(r"[,;\r\n]+")


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


def folded(text: str) -> str:
    """``text`` in lower case without accents, as long as it was where that can be."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


class Identity:
    """Parts of names and whole identifiers, in lower case and without accents.

    ``ambiguous`` holds the parts of names that are clinical words: they are a name only beside another part or a title.
    ``joined`` are names as scripts without spaces write them; ``initials`` in the orders that people write them in.
    """

    def __init__(self, seen: Iterable[tuple[str, bytes, Charset]] = ()) -> None:
        self.names: set[str] = set()
        self.ambiguous: set[str] = set()
        self.identifiers: set[str] = set()
        self.joined: set[str] = set()
        self.initials: set[str] = set()
        self.births: set[date] = set()
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
            for group in text.replace("\\", "=").split("="):
                self._add_name(group)
        elif role == "birth":
            self._add_birth(text)
        else:
            for one in text.split("\\"):
                self._add_identifier(one, place=role == "place")

    def _add_name(self, group: str) -> None:
        parts = [folded(part) for part in _PARTS.findall(group)]
        spelled = {folded(part) for part in _PARTS.findall(group.casefold().translate(_TRANSCRIBED))}
        known = {part for part in {*parts, *spelled} if len(part) > 1 and part not in _nobody()}
        self.ambiguous |= known & clinical_words()
        self.names |= {part for part in known if not part.isdigit() or len(part) > 3}
        letters = [part[0] for part in parts if part not in _nobody() and not part[0].isdigit()]
        if len(letters) > 1:
            family, *given = letters
            self.initials |= {"".join(letters), "".join([*given, family]), family + given[0], given[0] + family}
        if not group.isascii() and len(parts) > 1:
            self.joined |= {"".join(parts[:2]), "".join(parts[1::-1])}
            self.joined |= {part for part in parts if not part.isascii() and len(part) > 1}

    def _add_birth(self, text: str) -> None:
        digits = re.sub(r"\D", "", text)[:8]
        try:
            self.births.add(date(int(digits[:4]), int(digits[4:6]), int(digits[6:])))
        except ValueError:
            return

    def _add_identifier(self, text: str, *, place: bool) -> None:
        for part in {text, *(_PLACE.split(text) if place else ())}:
            said = folded(part).strip()
            if len(said) < 4 or said in _nobody() or said in clinical_words():
                continue
            self.identifiers.add(said)
            squeezed = re.sub(r"[\s-]", "", said)
            if squeezed.isdigit() and len(squeezed) >= 6:
                self.identifiers |= {squeezed, squeezed.lstrip("0")} - {said}

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
