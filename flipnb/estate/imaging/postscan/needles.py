"""What of an original is looked for in what was made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from flipnb.estate.imaging.postscan import patterns, spellings
from flipnb.estate.imaging.postscan.charsets import decoded, encodings
from flipnb.estate.imaging.postscan.classes import TEXT_VRS, Class, classify
from flipnb.estate.imaging.postscan.elements import Element, Elements, Path
from flipnb.estate.imaging.postscan.haystack import Terms
from flipnb.estate.imaging.postscan.policy import ScanPolicy

_HL7 = b"2.16.840.1.113883.6."
"""The root of HL7's code systems."""

_BIRTH = frozenset({0x00100030})
Kind = str


@dataclass
class Needles:
    """``terms`` by kind; ``uids`` of four numbers and more; ``days`` of DA and DT, ``birth`` among them.

    ``places``: what an attribute must not have in the output, by tag: (class, values), for values that are too short or
    too common to be looked for everywhere.
    """

    terms: dict[Kind, Terms] = field(default_factory=dict)
    uids: set[bytes] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    birth: set[date] = field(default_factory=set)
    at_path: dict[Path, date] = field(default_factory=dict)
    places: dict[int, set[bytes]] = field(default_factory=dict)


def needles(original: Elements, policy: ScanPolicy) -> Needles:
    """What must not be in the output. Values of ``policy.kept`` and of what the policy lets stay are not among it."""
    found = Needles()
    spelled: list[tuple[Class, Element]] = []
    for element in original.elements:
        kind = classify(element.tag, element.vr)
        if element.tag in policy.kept or not element.value or element.tag >> 16 == 2:
            continue
        if not policy.uids and element.vr in _MAY_HOLD_UIDS and element.value.count(b".") > 4:
            found.uids |= {uid for uid in patterns.uids(element.value) if len(uid) >= 16 and not _is_a_standards(uid)}
        if kind == "uid" or (kind == "device" and element.vr == "UI"):
            if not (policy.uids if kind == "uid" else policy.device):
                _uids(found, element)
        elif kind in ("date", "time"):
            if policy.dates != "kept":
                _date(found, element, kind, policy)
        elif _stays(kind, policy):
            continue
        else:
            _same_place(found, element)
            if kind in _LOOKED_FOR:
                spelled.append((kind, element))
    charsets = frozenset(element.charsets for element in original.elements)
    found.terms = _terms(tuple((kind, e.vr, e.value or b"", e.charsets) for kind, e in spelled), charsets)
    return found


@lru_cache(maxsize=64)
def _terms(
    spelled: tuple[tuple[Class, str, bytes, tuple[str, ...]], ...], charsets: frozenset[tuple[str, ...]]
) -> dict[Kind, Terms]:
    """Spellings by kind. The files of a series ask for the same ones."""
    by_kind: dict[Kind, set[spellings.Spellings]] = {}
    exact: set[bytes] = set()
    known = tuple(sorted({term for some in charsets for term in some}))
    for kind, vr, value, own in spelled:
        for one in values(value, vr, own):
            by_kind.setdefault(kind, set()).add(_LOOKED_FOR[kind](one))
            if not one.isascii():
                exact |= encodings(one, known)
    terms = {kind: Terms(some) for kind, some in by_kind.items()}
    if exact:
        terms["name in another character set"] = Terms((), exact)
    return terms


_MAY_HOLD_UIDS = frozenset({"LO", "LT", "ST", "SH", "UT", "UC", "UN", "OB"})
_LOOKED_FOR = {
    "name": spellings.of_name,
    "identifier": spellings.of_identifier,
    "device": spellings.of_identifier,
    "place": spellings.of_place,
}


def _stays(kind: Class, policy: ScanPolicy) -> bool:
    return (
        kind in ("text", "number", "binary")
        or (kind == "characteristic" and policy.characteristics)
        or (kind == "device" and policy.device)
        or (kind == "place" and policy.institution)
        or (kind == "description" and policy.descriptions)
    )


def values(value: bytes, vr: str, charsets: tuple[str, ...]) -> Iterable[str]:
    """The values of a text element, decoded by its own character sets."""
    whole = decoded(value, charsets)
    parts = whole.split("\\") if vr in TEXT_VRS and vr not in ("LT", "ST", "UT") else [whole]
    return [part for part in (part.strip(" \0") for part in parts) if part]


def plain(value: bytes) -> bytes:
    """A value without its padding."""
    return value.strip(b"\0 ")


def _same_place(found: Needles, element: Element) -> None:
    value = plain(element.value or b"")
    if value:
        found.places.setdefault(element.tag, set()).add(value)


def _is_a_standards(uid: bytes) -> bool:
    """Whether a UID names a standard's thing, nobody's: those that pydicom has a name for, and HL7's code systems."""
    from pydicom.uid import UID

    said = uid.decode("ascii", "replace")
    return uid.startswith(_HL7) or UID(said).name != said


def _uids(found: Needles, element: Element) -> None:
    for value in (element.value or b"").split(b"\\"):
        uid = plain(value)
        if uid and not _is_a_standards(uid):
            found.places.setdefault(element.tag, set()).add(uid)
            if uid.count(b".") >= 3:
                found.uids.add(uid)


def _date(found: Needles, element: Element, kind: Class, policy: ScanPolicy) -> None:
    if kind == "time":
        if policy.dates == "removed" and (element.value or b"").strip(b"\0 0.:"):
            _same_place(found, element)
        return
    if policy.dates == "removed":
        _same_place(found, element)
    for value in (element.value or b"").split(b"\\"):
        day = spellings.day(plain(value).decode("ascii", "replace"))
        if day is not None:
            found.days.add(day)
            found.at_path[element.path] = day
            if element.tag in _BIRTH:
                found.birth.add(day)
        else:
            _same_place(found, element)
