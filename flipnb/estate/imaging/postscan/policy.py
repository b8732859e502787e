"""What a Trust's policy lets stay in an image on purpose, as far as the second look needs to know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ScanPolicy:
    """What is no survivor, although the original had it. The default is the Basic Profile: nothing stays.

    ``dates``: ``removed`` (dates and times are gone), ``shifted`` (all by one number of days; times stay) or ``kept``.
    ``characteristics``: age, sex, size, weight and their kin stay; ages from 90 are ``090Y`` all the same.
    ``device``, ``institution``, ``uids``: these identities stay. ``descriptions``: texts stay after cleaning.
    ``private``: (creator, group << 16 | element's low byte) of the private elements that stay.
    ``kept``: tags (group << 16 | element) that stay whatever they hold; their values are not looked for.
    """

    dates: Literal["removed", "shifted", "kept"] = "removed"
    uids: bool = False
    characteristics: bool = False
    device: bool = False
    institution: bool = False
    descriptions: bool = False
    private: frozenset[tuple[str, int]] = field(default=frozenset())
    kept: frozenset[int] = field(default=frozenset())
    most_header_bytes: int = 64 << 20
    """What is no pixel may be this long; a longer file is refused."""


@dataclass(frozen=True, order=True)
class Survivor:
    """Something of the original that is still there: where, and of which kind, never what.

    ``where`` is a path of tags, ``(0040,0275)[0].(0032,1060)``, or which bytes between the elements: ``preamble``,
    ``after the last element``, ``pixel data's headers``, ``elsewhere``.
    """

    where: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.where}"
