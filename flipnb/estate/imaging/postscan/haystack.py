"""Text in which spellings are looked for, prepared once so that each look is linear in its length.

Four forms are made of the same bytes: words of letters, words of letters and digits in a row, letters and digits
without what separates them, and the bytes in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache

from flipnb.estate.imaging.postscan.spellings import Spellings
from flipnb.estate.imaging.postscan.words import clinical

SEPARATOR = b" \x01 "
"""Stands between values: no phrase and no squeezed number reaches over it."""

_FEW = 96
_GRAM = 4
_LONG = 64
_LONG_PHRASE = 8

_LOWER = bytes(ord(chr(b).lower()) if b < 128 else b for b in range(256))
_LETTERS = bytes(b if chr(b).isalpha() and b < 128 else 32 for b in _LOWER)
_ALNUM = bytes(b if b < 128 and chr(b).isalnum() else 1 if b == 1 else 32 for b in _LOWER)
_DIGITS = bytes(b if 48 <= b < 58 else 32 for b in range(256))
_NEITHER = bytes(b for b in range(256) if not (b < 128 and chr(b).isalnum()) and b != 1)
_PRINTABLE = {least: re.compile(rb"[\x20-\x7e\t\r\n]{%d,}" % least) for least in (4, 8)}
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){4,}|(?:\x00[\x20-\x7e]){4,}")


class Haystack:
    """``text`` is what was written as text, values apart; ``raw`` is all bytes as they are."""

    def __init__(self, text: bytes, raw: bytes = b"") -> None:
        self.text, self.raw = text, raw

    @cached_property
    def words(self) -> set[bytes]:
        return set(self.text.translate(_LETTERS).split())

    @cached_property
    def row(self) -> bytes:
        """Words of letters and digits with one space around each."""
        return b" " + b" ".join(self.text.translate(_ALNUM).split()) + b" "

    @cached_property
    def squeezed(self) -> bytes:
        return self.text.translate(_LOWER, _NEITHER)

    @cached_property
    def numbers(self) -> set[bytes]:
        return set(self.text.translate(_DIGITS).split())

    @cached_property
    def lower(self) -> bytes:
        return (self.text + SEPARATOR + self.raw).translate(_LOWER)


class Terms:
    """Spellings of one kind, as bytes, each searched in its own form of a haystack."""

    def __init__(self, spellings: Iterable[Spellings], exact: Iterable[bytes] = ()) -> None:
        some = tuple(spellings)
        self.exact = frozenset(term[:_LONG] for term in exact)
        self.words = frozenset(w.encode() for one in some for w in one.words)
        self.within = frozenset(w.encode()[:_LONG] for one in some for w in one.within)
        self.phrases = frozenset(
            b" %s " % b" ".join(p.encode().split()[:_LONG_PHRASE]) for one in some for p in one.phrases
        )
        self.squeezed = frozenset(s.encode()[:_LONG] for one in some for s in one.squeezed)
        self.digits = frozenset(d.encode() for one in some for d in one.digits)
        self.script = frozenset(s.encode()[:_LONG] for one in some for s in one.script)

    def hit(self, haystack: Haystack) -> bool:
        """Whether any of them is in it."""
        return (
            not self.words.isdisjoint(haystack.words)
            or (bool(self.digits) and not self.digits.isdisjoint(haystack.numbers))
            or (bool(self.phrases) and phrase_in(self.phrases, haystack.row))
            or (bool(self.squeezed) and any_in(self.squeezed, haystack.squeezed))
            or (bool(self.script) and any_in(self.script, haystack.text))
            or (bool(self.exact) and any_in(self.exact, haystack.raw))
            or (bool(self.within) and self._within(haystack))
        )

    def _within(self, haystack: Haystack) -> bool:
        """Whether one stands in a word that is no word of medicine (a name in ``bronchoscopies`` is none)."""
        if not any_in(self.within, haystack.lower):
            return False
        harmless = clinical()
        words = set(haystack.lower.translate(_LETTERS).split())
        return any(any_in(self.within, word) for word in words if len(word) >= _GRAM and word.decode() not in harmless)


def any_in(terms: frozenset[bytes], hay: bytes) -> bool:
    """Whether a term (of 4 to 64 bytes) is in ``hay``: one by one where they are few, else in one pass."""
    if len(terms) <= _FEW:
        return any(term in hay for term in terms)
    return any(hay[at : at + length] in terms for at, length in _beginnings(terms, hay))


def _beginnings(terms: frozenset[bytes], hay: bytes) -> Iterator[tuple[int, int]]:
    """Where, and how long, a term may be: at most one try for each length at each place."""
    lengths = _lengths(terms)
    for at in range(len(hay) - _GRAM + 1):
        for length in lengths.get(hay[at : at + _GRAM], ()):
            yield at, length


@lru_cache(maxsize=4)
def _lengths(terms: frozenset[bytes]) -> dict[bytes, set[int]]:
    """First bytes → lengths of the terms that begin so."""
    lengths: dict[bytes, set[int]] = {}
    for term in terms:
        lengths.setdefault(term[:_GRAM], set()).add(len(term))
    return lengths


def phrase_in(phrases: frozenset[bytes], row: bytes) -> bool:
    """Whether a phrase, a space around it, is in ``row``; as ``any_in``, word by word."""
    if len(phrases) <= _FEW:
        return any(phrase in row for phrase in phrases)
    lengths: dict[bytes, set[int]] = {}
    for phrase in phrases:
        words = phrase.split()
        lengths.setdefault(words[0], set()).add(len(words))
    row_words = row.split()
    return any(
        b" %s " % b" ".join(row_words[at : at + length]) in phrases
        for at, word in enumerate(row_words)
        for length in lengths.get(word, ())
    )


def printable(value: bytes) -> bytes:
    """The runs of text in a binary value, in one byte or two bytes a character, separated."""
    runs: list[bytes] = _PRINTABLE[4 if len(value) <= 4096 else 8].findall(value)
    runs += [run.replace(b"\0", b"") for run in _WIDE.findall(value)]
    return SEPARATOR.join(runs)


def joined(values: Sequence[bytes]) -> bytes:
    """Values with separators between them."""
    return SEPARATOR.join(values)
