"""FHIR's dates and times as text of any precision: their order, and the first and last instant that they may mean."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from decimal import Decimal

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?"
    r"(?:T(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?)?)?(?P<zone>Z|[+-]\d\d:\d\d)?"
)
_TIME = re.compile(r"T?(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?)?")


def is_date(text: str) -> bool:
    """Whether it is a FHIR date: ``2020``, ``2020-02`` or ``2020-02-29``, and in the calendar."""
    match = _DATE_TIME.fullmatch(text)
    return (
        match is not None and match["hour"] is None and match["zone"] is None and _parts(text, "dateTime") is not None
    )


def is_date_time(text: str) -> bool:
    """Whether it is a FHIR date or date-time, of any precision, and in the calendar."""
    return _parts(text, "dateTime") is not None


def is_time(text: str) -> bool:
    """Whether it is a time of day, of any precision."""
    return _parts(text, "time") is not None


def compare(left: str, right: str, kind: str) -> int | None:
    """-1, 0 or 1 for two times (``kind`` ``time``) or dates and date-times; None where precision does not tell.

    Components are compared from the year on; where one side ends, nothing is known. Seconds and their fraction are one
    component. Without a time zone a date-time counts as UTC.
    """
    first, second = _parts(left, kind), _parts(right, kind)
    if first is None or second is None:
        return None if left != right else 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            return 1 if a > b else -1
    return 0 if len(first) == len(second) else None


def boundary(text: str, kind: str, *, high: bool) -> str | None:
    """The earliest or latest value of full precision that ``text`` may mean, as FHIRPath's boundary functions say it.

    ``kind`` is ``date``, ``dateTime`` or ``time``. A date-time without zone may be anywhere from +14:00 to -12:00.
    """
    match = (_TIME if kind == "time" else _DATE_TIME).fullmatch(text)
    if match is None:
        return None
    clock = _clock(match, high)
    if kind == "time":
        return clock
    month = int(match["month"] or (12 if high else 1))
    last = calendar.monthrange(int(match["year"]), month)[1]
    day = int(match["day"] or (last if high else 1))
    date = f"{match['year']}-{month:02d}-{day:02d}"
    if kind == "date":
        return date
    zone = match["zone"] or ("-12:00" if high else "+14:00")
    return f"{date}T{clock}{zone}"


def _clock(match: re.Match[str], high: bool) -> str:
    hour = match["hour"] or ("23" if high else "00")
    minute = match["minute"] or ("59" if high else "00")
    second, _, fraction = (match["second"] or ("59" if high else "00")).partition(".")
    return f"{hour}:{minute}:{second}.{fraction.ljust(3, '9' if high else '0')}"


def _parts(text: str, kind: str) -> list[Decimal] | None:
    match = (_TIME if kind == "time" else _DATE_TIME).fullmatch(text)
    if match is None:
        return None
    names = ("hour", "minute", "second") if kind == "time" else ("year", "month", "day", "hour", "minute", "second")
    parts = [Decimal(match[name]) for name in names if match[name] is not None]
    if kind == "time":
        return parts
    zone = match["zone"]
    numbers = [int(part) for part in parts[:5]]
    try:
        year, month, day = (*numbers, 1, 1)[:3]
        hour, minute = (*numbers[3:], 0, 0)[:2]
        moment = datetime(year, month, day, hour, minute)
    except ValueError:
        return None
    if zone not in (None, "Z") and len(parts) >= 5:
        sign = 1 if zone[0] == "+" else -1
        try:
            moment -= sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        except OverflowError:
            return parts
        shifted = (moment.year, moment.month, moment.day, moment.hour, moment.minute)
        return [*(Decimal(part) for part in shifted), *parts[5:]]
    return parts
