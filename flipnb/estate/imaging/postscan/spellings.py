"""How the same name, number or date is written elsewhere, folded to small letters without accents."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from flipnb.estate.imaging.postscan.words import NOBODY, TITLES, says_nobody

_LATIN = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe"}
)
_SMALL = frozenset(("of", "the", "and", "for"))
_WORD = re.compile(r"[^\W\d_]+")


def fold(text: str) -> str:
    """Small letters without accents; other scripts as they are."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.translate(_LATIN))
    return unicodedata.normalize("NFC", "".join(c for c in plain if not unicodedata.combining(c))).casefold()


@dataclass(frozen=True)
class Spellings:
    """What to look for, each folded; the modes are described in ``haystack``.

    ``words`` stand as words of letters. ``within`` may stand inside words. ``phrases`` are words and numbers in a row.
    ``squeezed`` are letters and digits whatever stands between them. ``digits`` are whole numbers. ``script`` is text
    of other scripts than Latin, looked for as it is.
    """

    words: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    squeezed: tuple[str, ...] = ()
    digits: tuple[str, ...] = ()
    script: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def of_name(value: str) -> Spellings:
    """A person name (PN, ``family^given^middle^prefix^suffix``, groups with ``=``) or a name in free order.

    Each part of three letters or more, with and without an initial, family and given name in both orders, glued
    together too; words of medicine alone are left out (a patient called Lung), pairs with them are not.
    """
    words: set[str] = set()
    within: set[str] = set()
    phrases: set[str] = set()
    script: set[str] = set()
    for group in value.split("="):
        folded = fold(group)
        if not folded.isascii():
            script |= _script(folded)
        components = [[w for w in _WORD.findall(c) if w.isascii()] for c in folded.split("^")[:3]]
        parts = [w for part in components for w in part if w not in TITLES and w not in NOBODY]
        for part in parts:
            if len(part) >= 3 and not says_nobody(part):
                words.add(part)
            if len(part) >= 6 and not says_nobody(part):
                within.add(part)
        family = next((c for c in components if c), [])
        given = [w for c in components[components.index(family) + 1 :] for w in c] if family else []
        if not given and len(family) > 1:
            family, given = family[:1], family[1:]
        _pair(family, given, words, phrases)
        initials = [word[0] for word in (*given, *family)]
        if len(initials) >= 3:
            phrases |= {" ".join(initials), " ".join((*initials[len(given) :], *initials[: len(given)]))}
    return Spellings(
        words=tuple(w for w in words if len(w) >= 3), within=tuple(within), phrases=tuple(phrases), script=tuple(script)
    )


def _pair(family: list[str], given: list[str], words: set[str], phrases: set[str]) -> None:
    for one in family:
        for other in given[:3]:
            if one in NOBODY and other in NOBODY:
                continue
            if (
                len(one) > 1
                and len(other) > 1
                and not (says_nobody(one) and says_nobody(other) and one in NOBODY | TITLES)
            ):
                phrases |= {f"{one} {other}", f"{other} {one}"}
                if len(one) + len(other) >= 6:
                    words |= {one + other, other + one}
            if len(one) >= 3 and not says_nobody(one):
                phrases |= {f"{one} {other[0]}", f"{other[0]} {one}"}
                words |= {w for w in (one + other[0], other[0] + one) if len(w) >= 4 and not says_nobody(w)}


_IDEOGRAPHIC = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def _script(folded: str) -> set[str]:
    """Parts in other scripts: two characters of an ideographic one, three of an alphabet."""
    found = set()
    for part in re.split(r"[\^\s,.\-\\]+", folded):
        least = 2 if _IDEOGRAPHIC.search(part) else 3
        if len(part) >= least and not part.isascii():
            found.add(part)
    return found


@lru_cache(maxsize=4096)
def of_identifier(value: str) -> Spellings:
    """A number or code that stands for one person, visit, device: whole, whatever separates its pieces.

    Shorter than four letters and digits it is not looked for, only compared at its own place.
    """
    folded = fold(value)
    pieces = re.findall(r"[a-z0-9]+", folded)
    whole = "".join(pieces)
    script = tuple(_script(folded)) if not folded.isascii() else ()
    if len(whole) < 4 or len(set(whole)) == 1:
        return Spellings(script=script)
    if whole.isdigit():
        stripped = whole.lstrip("0")
        digits = (whole, stripped) if len(stripped) >= 6 else (whole,)
        return Spellings(
            digits=digits, squeezed=(whole,) if len(whole) >= 8 else (), phrases=_phrase(pieces), script=script
        )
    if whole.isalpha():
        if all(map(says_nobody, pieces)):
            return Spellings(script=script)
        return Spellings(
            words=(whole,), within=(whole,) if len(whole) >= 8 else (), phrases=_phrase(pieces), script=script
        )
    return Spellings(phrases=(" ".join(pieces),), squeezed=(whole,) if len(whole) >= 6 else (), script=script)


@lru_cache(maxsize=4096)
def of_place(value: str) -> Spellings:
    """An institution, address, ward or telephone: as a whole, and the parts between commas and lines."""
    folded = fold(value)
    phrases, digits, squeezed = set(), set(), set()
    for part in [folded, *re.split(r"[,;\r\n\\^]+", folded)]:
        pieces = re.findall(r"[a-z0-9]+", part)
        whole = "".join(pieces)
        if len(whole) < 5 or len(set(whole)) == 1 or _is_generic(pieces):
            continue
        if whole.isdigit():
            digits.add(whole)
            squeezed |= {whole} if len(whole) >= 8 else set()
        else:
            phrases.add(" ".join(pieces))
    return Spellings(
        phrases=tuple(phrases),
        digits=tuple(digits),
        squeezed=tuple(squeezed),
        script=tuple(_script(folded)) if not folded.isascii() else (),
    )


def _is_generic(pieces: list[str]) -> bool:
    """Whether a place is any place: ``Department of Radiology``, but not ``Royal London Hospital``."""
    said = [piece for piece in pieces if piece not in _SMALL]
    return len(said) < 3 and all(says_nobody(piece) or len(piece) < 3 for piece in said)


def _phrase(pieces: list[str]) -> tuple[str, ...]:
    return (" ".join(pieces),) if len(pieces) > 1 else ()


def day(value: str) -> date | None:
    """The day of a DA or DT (``YYYYMMDD…``, and the old ``YYYY.MM.DD``)."""
    digits = value.replace(".", "", 2)[:8] if value[4:5] == "." else value[:8]
    if len(digits) != 8 or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
