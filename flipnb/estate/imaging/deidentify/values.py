"""Values as bytes: which VRs there are, dummies in place of a value, and dates moved by days (PS3.5 section 6.2)."""

from __future__ import annotations

import re
from datetime import date, timedelta

SHORT = frozenset((
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
))  # fmt: skip
LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
TEXT = frozenset((b"LO", b"LT", b"SH", b"ST", b"UC", b"UT"))  # in the data set's character set, apart from PN
STRINGS = TEXT | {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"PN", b"TM", b"UI", b"UR"}
REPLACEMENT = b"REMOVED"

_DUMMIES = {
    b"AS": b"000Y",
    b"DA": b"19000101",
    b"TM": b"000000",
    b"DT": b"19000101000000",
    b"DS": b"0",
    b"IS": b"0",
    b"UR": b"about:blank",
    b"FD": b"\0" * 8,
    b"FL": b"\0" * 4,
    b"SL": b"\0" * 4,
    b"UL": b"\0" * 4,
    b"AT": b"\0" * 4,
    b"SV": b"\0" * 8,
    b"UV": b"\0" * 8,
    b"OD": b"\0" * 8,
    b"OV": b"\0" * 8,
    b"OF": b"\0" * 4,
    b"OL": b"\0" * 4,
}
_DAY = re.compile(rb"^(\d{4})(\.?)(\d{2})\2(\d{2})(.*)$", re.S)
_TIME = re.compile(rb"(?:[0-2]\d(?::?[0-5]\d(?::?[0-6]\d(?:\.\d{1,6})?)?)?[ \0]*(?:\\|$))*")
_COARSE = re.compile(rb"^(\d{4})(\d{2})?((?:[+-]\d{4})?)$")


def dummy(vr: bytes) -> bytes:
    """A value that says nothing and is a valid one of ``vr``."""
    if vr in STRINGS:
        return _DUMMIES.get(vr, REPLACEMENT)
    return _DUMMIES.get(vr, b"\0\0")


def padded(vr: bytes, value: bytes) -> bytes:
    """``value`` with even length: NUL after UIDs and binary values, a space after text."""
    if len(value) % 2 == 0:
        return value
    return value + (b" " if vr in STRINGS and vr != b"UI" else b"\0")


def is_time(value: bytes) -> bool:
    """Whether a TM holds times of a day alone (PS3.5 section 6.2, and the colons of old); some write a DT there."""
    return _TIME.fullmatch(value.strip(b" \0")) is not None


def shifted(value: bytes, days: int) -> bytes:
    """A DA or DT, or several, moved by ``days``. Time, fraction and zone stay; what is no date goes."""
    return b"\\".join(_shifted(one.strip(b" \0"), days) for one in value.split(b"\\"))


def _shifted(value: bytes, days: int) -> bytes:
    found = _DAY.match(value)
    try:
        if found:
            moved = date(int(found[1]), int(found[3]), int(found[4])) + timedelta(days)
            dot = found[2].decode()
            return f"{moved.year:04}{dot}{moved.month:02}{dot}{moved.day:02}".encode() + _time(found[5])
        coarse = _COARSE.match(value)
        if coarse:
            moved = date(int(coarse[1]), int(coarse[2] or b"7"), 15) + timedelta(days)
            return f"{moved.year:04}{f'{moved.month:02}' if coarse[2] else ''}".encode() + coarse[3]
    except (ValueError, OverflowError):
        pass
    return b""


def _time(rest: bytes) -> bytes:
    """What follows the day in a DT: digits, a fraction and a zone, and nothing else that could be said there."""
    return rest if re.fullmatch(rb"\d{0,6}(\.\d{1,6})?([+-]\d{4})?", rest) else b""


def capped(age: bytes, oldest: int) -> bytes:
    """An AS that says at most ``oldest`` years: from there on everybody is ``oldest`` (HIPAA Safe Harbor: 90)."""
    found = re.fullmatch(rb"(\d{3})([DWMY])", age.strip(b" \0"))
    if not found:
        return b""
    years = int(found[1]) / {b"D": 365.25, b"W": 52.18, b"M": 12.0, b"Y": 1.0}[found[2]]
    return b"%03dY" % oldest if years >= oldest else found[0]
