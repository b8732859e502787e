"""Who a file is about, by what its own header said before it was taken away: names, numbers, places."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property, lru_cache
from importlib.resources import files

from flipnb.estate.imaging.deidentify.charsets import Charset, Undecodable

_PARTS = re.compile(r"[^\W\d_]+\d*|\d+", re.U)
_TRANSCRIBED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "ß": "ss"})
_PIECE = re.compile(r"[\^ ]+")
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


@dataclass(frozen=True)
class Told:
    """What one value tells. ``raw`` are the bytes to look for in lower case, and whether as a word by itself."""

    names: frozenset[str] = frozenset()
    ambiguous: frozenset[str] = frozenset()
    identifiers: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    initials: frozenset[str] = frozenset()
    births: frozenset[date] = frozenset()
    raw: tuple[tuple[bytes, bool], ...] = ()
    beyond_ascii: bool = False


class Identity:
    """Parts of names and whole identifiers, in lower case and without accents.

    ``ambiguous`` holds the parts of names that are clinical words: they are a name only beside another part or a title.
    ``joined`` are names as scripts without spaces write them; ``initials`` in the orders that people write them in.
    """

    def __init__(self, seen: Iterable[tuple[str, bytes, Charset]] = ()) -> None:
        self._told = [told_by(role, _text(value, charset)) for role, value, charset in seen]
        self.beyond_ascii = any(told.beyond_ascii for told in self._told)

    @cached_property
    def ambiguous(self) -> frozenset[str]:
        return frozenset().union(*(told.ambiguous for told in self._told))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(told.names for told in self._told))

    @cached_property
    def identifiers(self) -> tuple[str, ...]:
        """The longest first, for one may hold another."""
        return _longest_first(told.identifiers for told in self._told)

    @cached_property
    def joined(self) -> tuple[str, ...]:
        return _longest_first(told.joined for told in self._told)

    @cached_property
    def initials(self) -> frozenset[str]:
        return frozenset().union(*(told.initials for told in self._told))

    @cached_property
    def births(self) -> frozenset[date]:
        return frozenset().union(*(told.births for told in self._told))

    def found_in(self, lowered: bytes) -> bool:
        """Whether any of it stands in ``lowered``, the bytes of an output in ASCII lower case."""
        for told in self._told:
            for raw, alone in told.raw:
                if raw in lowered and (not alone or _bounded(lowered, raw)):
                    return True
        return False


def _longest_first(many: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted({one for some in many for one in some}, key=len, reverse=True))


def _text(value: bytes, charset: Charset) -> str:
    try:
        return charset.decode(value)
    except Undecodable:
        return value.decode("latin-1")


@lru_cache(20_000)
def told_by(role: str, text: str) -> Told:
    """What a removed value says of somebody: ``role`` is name, birth, place or identifier."""
    if role == "name":
        return _name(text)
    if role == "birth":
        return Told(births=_birth(text))
    identifiers = _identifiers(text, place=role == "place")
    raw = tuple((one.encode(), False) for one in identifiers if not one.isdigit() or len(one) > 5)
    return Told(identifiers=identifiers, raw=raw, beyond_ascii=not text.isascii())


def _name(text: str) -> Told:
    known: set[str] = set()
    joined: set[str] = set()
    initials: set[str] = set()
    for group in text.replace("\\", "=").split("="):
        parts = [folded(part) for part in _PARTS.findall(group)]
        known.update(parts)
        letters = [part[0] for part in parts if part not in _nobody() and not part[0].isdigit()]
        if len(letters) > 1:
            family, *given = letters
            initials |= {"".join(letters), "".join([*given, family]), family + given[0], given[0] + family}
        if not group.isascii():
            known |= {folded(part) for part in _PARTS.findall(group.casefold().translate(_TRANSCRIBED))}
            pieces = [folded(piece) for piece in _PIECE.split(group) if piece]
            joined |= {"".join(pieces[:2]), "".join(pieces[1::-1]), *pieces}
    known = {part for part in known if len(part) > 1 and part not in _nobody()}
    ambiguous = known & clinical_words()
    names = {part for part in known if not part.isdigit() or len(part) > 3} - ambiguous
    return Told(
        names=frozenset(names),
        ambiguous=frozenset(ambiguous),
        joined=frozenset(one for one in joined if len(one) > 1 and not one.isascii()),
        initials=frozenset(initials),
        raw=tuple((one.encode(), len(one.encode()) < 5) for one in names),
        beyond_ascii=not text.isascii(),
    )


def _birth(text: str) -> frozenset[date]:
    digits = re.sub(r"\D", "", text)[:8]
    try:
        return frozenset((date(int(digits[:4]), int(digits[4:6]), int(digits[6:])),))
    except ValueError:
        return frozenset()


def _identifiers(text: str, *, place: bool) -> frozenset[str]:
    found: set[str] = set()
    for value in text.split("\\"):
        for part in {value, *(_PLACE.split(value) if place else ())}:
            said = folded(part).strip()
            if len(said) < 4 or said in _nobody() or said in clinical_words():
                continue
            found.add(said)
            squeezed = re.sub(r"[\s-]", "", said)
            if squeezed.isdigit() and len(squeezed) >= 6:
                found |= {squeezed, squeezed.lstrip("0")} - {""}
    return frozenset(found)


def _bounded(lowered: bytes, word: bytes) -> bool:
    """Whether ``word`` stands there between characters that are no letters."""
    at = lowered.find(word)
    while at >= 0:
        before, after = lowered[at - 1 : at], lowered[at + len(word) : at + len(word) + 1]
        if not before.isalpha() and not after.isalpha():
            return True
        at = lowered.find(word, at + 1)
    return False
