"""What looks like a person's number, address or date of its own accord, found without knowing what to look for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date

_NUMBER = re.compile(
    rb"(?<![0-9.])[0-9]{1,8}(?:[ \-./][0-9]{1,8}){1,5}(?![0-9]|\.[0-9])|(?<![0-9.])[0-9]{8,16}(?![0-9]|\.[0-9])"
)
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
_POSTCODE = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    + _AREAS
    + rb")(?:[0-9]{1,2}|(?<=[EWCN])[0-9][A-HJKMNPR-Y])(?: {1,2}[0-9]|(?<=[0-9A-Z])[0-9])"
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
_UID = re.compile(rb"(?<![0-9.])[0-2](?:\.[0-9]{1,39}){3,24}(?![0-9])")


def uids(text: bytes) -> set[bytes]:
    """What looks like a UID of four numbers or more."""
    return {uid.rstrip(b".") for uid in _UID.findall(text)}


def nhs_numbers(text: bytes) -> set[bytes]:
    """NHS numbers whose check digit is right (NHS Data Dictionary, modulus 11), ten digits, or 3-3-4."""
    found = set()
    for match in _NUMBER.finditer(text):
        pieces = re.split(rb"[ \-./]", match.group())
        for at in range(len(pieces)):
            three = pieces[at : at + 3]
            number = b"".join(three) if [len(p) for p in three] == [3, 3, 4] else pieces[at]
            if len(number) == 10 and _checks(number):
                found.add(number)
    return found


def _checks(number: bytes) -> bool:
    digits = [byte - 48 for byte in number]
    rest = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return rest % 11 == digits[9] and rest != 10 and len(set(digits)) > 1


def postcodes(text: bytes) -> set[bytes]:
    """UK postcodes of an area that there is, with and without their space."""
    return {match.replace(b" ", b"").upper() for match in _POSTCODE.findall(text)}


def phones(text: bytes) -> set[bytes]:
    """Telephone numbers with a 0 or a country's code in front, of nine digits or more."""
    found = (re.sub(rb"[^0-9]", b"", match) for match in _PHONE.findall(text))
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
    found = {one for match in _NUMBER.finditer(text) for one in _numeric_days(match.group())}
    lower = text.lower()
    if any(month in lower for month in _MONTHS):
        for match in _NAMED_DAY.finditer(lower):
            at, name, year, other_name, other, other_year = match.groups()
            found |= _valid(year or other_year, _MONTHS[name or other_name], int(at or other))
    return found


def _numeric_days(written: bytes) -> Iterator[date]:
    pieces = re.split(rb"[ \-./]", written)
    for piece in pieces:
        if len(piece) in (8, 12, 14, 16):
            yield from filter(None, (_day_of(piece[:8]), _day_of(piece[4:8] + piece[2:4] + piece[:2])))
            yield from filter(None, [_day_of(piece[4:8] + piece[:4])])
    for at in range(len(pieces) - 2):
        first, second, third = pieces[at : at + 3]
        if len(first) == 4 and len(second) <= 2 and len(third) <= 2:
            yield from _valid(first, int(second), int(third))
        elif len(first) <= 2 and len(second) <= 2 and len(third) in (2, 4):
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


KINDS: tuple[tuple[str, Callable[[bytes], set[bytes]]], ...] = (
    ("nhs-number", nhs_numbers),
    ("postcode", postcodes),
    ("phone", phones),
    ("e-mail", mails),
)
