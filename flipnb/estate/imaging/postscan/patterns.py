"""What looks like a person's number, address or date of its own accord, found without knowing what to look for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_STRETCH = re.compile(rb"[+(]?[0-9][0-9 ()\-./]{5,}")
_NHS = re.compile(
    rb"(?<![0-9.])(?:([0-9]{3})[ \-./]{1,2}([0-9]{3})[ \-./]{1,2}([0-9]{4})|([0-9]{10}))(?![0-9]|\.[0-9])"
)
_DIGITS = re.compile(rb"(?<![0-9.])[0-9]{8,17}(?![0-9])")
_THREE = re.compile(rb"(?<![0-9.])(?=([0-9]{1,4})[ \-./]{1,2}([0-9]{1,2})[ \-./]{1,2}([0-9]{1,4})(?![0-9]|\.[0-9]))")
_NAMED_DAY = re.compile(
    rb"(?<![0-9a-z])(?:([0-9]{1,2})(?:st|nd|rd|th)?[ \-/.]{0,2}(?:of )?"
    rb"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    rb"[a-z]{0,6}[ \-/.,]{0,3}((?:19|20)?[0-9]{2})"
    rb"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    rb"[a-z]{0,6}[ \-/.]{0,2}([0-9]{1,2})(?:st|nd|rd|th)?[ \-/.,]{1,3}"
    rb"((?:19|20)?[0-9]{2}))(?![0-9])"
)
_MONTHS = {name: at for at, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_AREAS = (
    rb"AB|AL|BA|BB|BD|BH|BL|BN|BR|BS|BT|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|EC|EH|EN|EX|FK|FY|GL|GU|GY|HA"
    rb"|HD|HG|HP|HR|HS|HU|HX|IG|IM|IP|IV|JE|KA|KT|KW|KY|LA|LD|LE|LL|LN|LS|LU|ME|MK|ML|NE|NG|NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|PO"
    rb"|PR|RG|RH|RM|SA|SE|SG|SK|SL|SM|SN|SO|SP|SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|TW|UB|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE"
    rb"|[BEGLMNSW]"
)
_INWARD = re.compile(rb"(?<=[0-9A-Za-z ])[0-9][ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2}(?![A-Za-z0-9])")
_POSTCODE = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    + _AREAS
    + rb")(?:[0-9]{1,2}|(?:(?<=EC)[1-4]|(?<=WC)[12]|(?<=[ENW])1)[A-HJKMNPR-Y])(?: {1,2}[0-9]|(?<=[0-9A-Z])[0-9])"
    rb"[ABD-HJLNP-UW-Z]{2}(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PHONE = re.compile(
    rb"(?<![0-9.+])(?:\(?\+[1-9][0-9]{0,2}\)?[ \-]?(?:\(0\))?|00[1-9][0-9]?[ \-]?|\(?0)"
    rb"[1-9][0-9]{1,4}\)?[ \-]?[0-9]{2,4}(?:[ \-]?[0-9]{2,4}){1,3}(?![0-9]|\.[0-9])"
)
_MAIL_HOST = re.compile(rb"[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,8}")
_OLD = re.compile(
    rb"(?<![0-9.])(?:9[0-9]|1[0-2][0-9])[ \-]?(?:y(?:rs?|/?o|ears?)?(?: ?-?old)?|jahre|ans)(?![a-z])", re.IGNORECASE
)
_SHORT = 16384
_UID = re.compile(rb"(?<![0-9.])[0-2](?:\.[0-9]{1,39}){3,24}(?![0-9])")


def numeric(text: bytes) -> bytes:
    """The stretches of ``text`` that are digits and what stands between digits, one a line; all else is left out."""
    return b"\n".join(_STRETCH.findall(text))


def uids(text: bytes) -> set[bytes]:
    """What looks like a UID of four numbers or more."""
    return {uid.rstrip(b".") for uid in _UID.findall(text)}


def nhs_numbers(stretches: bytes) -> set[bytes]:
    """NHS numbers whose check digit is right (NHS Data Dictionary, modulus 11), ten digits, or 3-3-4."""
    numbers = (b"".join(pieces) for pieces in _NHS.findall(stretches))
    return {number for number in numbers if _checks(number)}


def _checks(number: bytes) -> bool:
    digits = [byte - 48 for byte in number]
    rest = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return rest % 11 == digits[9] and rest != 10 and len(set(digits)) > 1


def postcodes(text: bytes) -> set[bytes]:
    """UK postcodes of an area that there is, with and without their space."""
    found = set()
    for inward in _INWARD.finditer(text):
        match = _POSTCODE.search(text, max(0, inward.start() - 6), inward.end())
        if match and match.end() == inward.end():
            found.add(match.group().replace(b" ", b"").upper())
    return found


def phones(stretches: bytes) -> set[bytes]:
    """Telephone numbers with a 0 or a country's code in front, of nine digits or more."""
    found = (re.sub(rb"[^0-9]", b"", match) for match in _PHONE.findall(stretches))
    return {
        number for number in found if 9 <= len(number) <= 15 and len(set(number)) > 2 and _day_of(number[:8]) is None
    }


def mails(text: bytes) -> set[bytes]:
    """E-mail addresses."""
    found, at = set(), text.find(b"@")
    while at >= 0:
        before = re.search(rb"[A-Za-z0-9._%+\-]+\Z", text[max(0, at - 64) : at])
        host = _MAIL_HOST.match(text, at + 1)
        if before and host:
            found.add(before.group().lower() + b"@" + host.group().lower())
        at = text.find(b"@", at + 1)
    return found


def ages(text: bytes) -> set[bytes]:
    """Ages from 90 in words (``94 years old``, ``94y``)."""
    return {match.lower() for match in _OLD.findall(text)}


def days(text: bytes) -> set[date]:
    """Every day that a date in ``text`` may mean: 20230503, 2023-05-03, 03.05.23, 3/5/2023 (both orders), 3 May 23."""
    stretches = numeric(text)
    found = set(_numeric_days(stretches)) if stretches else set()
    lower = text.lower()
    if any(month in lower for month in _MONTHS):
        for match in _NAMED_DAY.finditer(lower):
            at, name, year, other_name, other, other_year = match.groups()
            found |= _valid(year or other_year, _MONTHS[name or other_name], int(at or other))
    return found


def _numeric_days(stretches: bytes) -> Iterator[date]:
    for digits in _DIGITS.findall(stretches):
        if len(digits) in (8, 12, 14, 16):
            eight = digits[:8]
            for order in (eight, eight[4:] + eight[2:4] + eight[:2], eight[4:] + eight[:4]):
                day = _day_of(order)
                if day:
                    yield day
    for first, second, third in _THREE.findall(stretches):
        if len(first) == 4 and len(third) <= 2:
            yield from _valid(first, int(second), int(third))
        elif len(first) <= 2 and len(third) in (2, 4):
            yield from _valid(third, int(second), int(first))
            yield from _valid(third, int(first), int(second))
            if len(third) == 2:
                yield from _valid(first, int(second), int(third))


def _valid(year: bytes, month: int, day: int) -> set[date]:
    full = int(year) if len(year) == 4 else None
    years = [full] if full is not None else [1900 + int(year), 2000 + int(year)]
    found = set()
    for one in years:
        try:
            found.add(date(one, month, day))
        except ValueError:
            continue
    return found


def _day_of(digits: bytes) -> date | None:
    if not b"1880" <= digits[:4] <= b"2099":
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


@dataclass(frozen=True)
class Found:
    """``numbers``: NHS numbers, telephones, postcodes, e-mail addresses, ages from 90, by kind; ``days`` of dates."""

    numbers: dict[str, frozenset[bytes]]
    days: frozenset[date]


def found_in(text: bytes) -> Found:
    """All patterns in ``text``. The texts of a series' files are mostly one: a short one is remembered."""
    return _remembered(text) if len(text) <= _SHORT else _found_in(text)


def _found_in(text: bytes) -> Found:
    stretches = numeric(text)
    numbers = {
        "nhs-number": nhs_numbers(stretches) if stretches else set(),
        "phone": phones(stretches) if stretches else set(),
        "postcode": postcodes(text),
        "e-mail": mails(text) if b"@" in text else set(),
        "age from 90": ages(text),
    }
    return Found({kind: frozenset(what) for kind, what in numbers.items() if what}, frozenset(days(text)))


_remembered = lru_cache(maxsize=256)(_found_in)
