"""Which characters a document between zones may hold: only those that a reader can see.

What a person approves must be what runs, so characters that are invisible, that reorder text or that
control a terminal are refused (Unicode Technical Report 36; CVE-2021-42574, "Trojan Source").
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from flipnb.contracts.problem import FlipError

_REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Characters of other categories that leave no mark on the page.
_BLANK = {
    0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0,
    *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
}  # fmt: skip
_MARKS = {"Mn", "Me"}
_MOST_MARKS = 8
"""Combining marks on one letter; languages need four at most. Hundreds are drawn over the lines around them."""


def refused_character(text: str, *, multiline: bool = True) -> tuple[int, str] | None:
    """The position and code point name of the first character that may not be in ``text``, or None."""
    allowed = "\n\t" if multiline else ""
    if text.isascii() and text.isprintable():
        return None
    marks = 0
    for position, character in enumerate(text):
        if character in allowed:
            continue
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if category in _REFUSED_CATEGORIES or ord(character) in _BLANK or marks > _MOST_MARKS:
            return position, f"U+{ord(character):04X}"
    return None


def require_visible(text: str, where: str, *, multiline: bool = True) -> str:
    """Return ``text``, or raise ``FlipError('invisible-character')`` that names the character and its place."""
    found = refused_character(text, multiline=multiline)
    if found is not None:
        position, name = found
        line = text.count("\n", 0, position) + 1
        raise FlipError(
            "invisible-character",
            f"{where}, line {line}, holds the control, bidirectional or invisible character {name}.",
            remedy="Delete it: what is approved must be what is seen.",
        )
    return text


def as_line(text: str) -> str:
    """``text``, which may hold what an attacker wrote, as one visible line of at most 400 characters."""
    return "".join(c if refused_character(c, multiline=False) is None else "�" for c in text)[:400]


def _one_line(text: str) -> str:
    try:
        return require_visible(text, "A name", multiline=False)
    except FlipError as error:
        raise ValueError(str(error)) from None


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A name that is also a file name and a URL segment: lower case letters, digits and hyphens."""

Line = Annotated[str, StringConstraints(max_length=400), AfterValidator(_one_line)]
"""One line of visible text for people."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
"""A Python identifier in ASCII."""
