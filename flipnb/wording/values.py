"""The smallest words: numbers, days, dates, ranges, texts in quotation marks, lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from flipnb.contracts.cohort_values import DateRange, NumericRange, Period, TextFilter
from flipnb.contracts.text import refused_character

_OPERATORS = {
    "lt": "less than {}", "lte": "at most {}", "eq": "exactly {}", "!eq": "other than {}", "gt": "more than {}",
    "gte": "at least {}", "bt": "{} to {}", "!bt": "outside {} to {}",
}  # fmt: skip
_ON_DAYS = {
    "lt": "before {}", "lte": "on or before {}", "eq": "on {}", "!eq": "not on {}", "gt": "after {}",
    "gte": "on or after {}", "bt": "from {} to {}", "!bt": "outside {} to {}",
}  # fmt: skip
_TEXTS = {
    "eq": "is", "!eq": "is not", "startsWith": "starts with", "!startsWith": "does not start with",
    "endsWith": "ends with", "!endsWith": "does not end with", "contains": "contains",
    "!contains": "does not contain",
}  # fmt: skip


def visible(text: str) -> str:
    """A stranger's text in one line: what can't be seen, or looks like a space and is another, is written as its code
    point; nothing is left out."""
    return "".join(char if _is_seen(char) else f"\\u{{{ord(char):x}}}" for char in text)


def _is_seen(char: str) -> bool:
    return char == " " or (char.isprintable() and refused_character(char, multiline=False) is None)


def quoted(text: str) -> str:
    """A stranger's text between quotation marks that it can't close."""
    inner = visible(text).replace("“", '"').replace("”", '"')
    return f"“{inner}”"


def number(value: float) -> str:
    """All digits: ``5``, ``0.25``; no exponent where it is whole."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def many(count: float, one: str, several: str | None = None) -> str:
    """``1 day``, ``2 days``; a large number with commas."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def days(count: int) -> str:
    """``1 day``, ``365 days``."""
    return f"{count} day" if abs(count) == 1 else f"{count} days"


def listed(items: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    return f"{', '.join(items[:-1])} {last} {items[-1]}" if len(items) > 1 else "".join(items)


def numeric_range(limits: NumericRange) -> str:
    """``18 to 90``, ``at least 3``; an extent that its operator does not use is named, too."""
    return _range(_OPERATORS[limits.op], number(limits.value), limits.extent, number)


def date_range(limits: DateRange) -> str:
    """``from 2010-01-01 to 2012-12-31``."""
    return _range(_ON_DAYS[limits.op], str(limits.value), limits.extent, str)


def period(span: Period) -> str:
    """``from 2010-01-01 to 2012-12-31``, an open end left out; empty without either."""
    ends = [("from", span.start_date), ("to", span.end_date)]
    return " ".join(f"{word} {day}" for word, day in ends if isinstance(day, date))


def text_filter(wanted: TextFilter) -> str:
    """``contains “x”``, with what a pattern's signs mean where it has any."""
    pattern = ", where % is any text and _ any character" if {"%", "_"} & set(wanted.text) else ""
    return f"{_TEXTS[wanted.op]} {quoted(wanted.text)}{pattern}"


def _range(words: str, value: str, extent: object, shown: object) -> str:
    assert callable(shown)
    if words.count("{}") == 2:
        return words.format(value, shown(extent))
    unused = f" (its second bound {shown(extent)} has no effect)" if extent is not None else ""
    return words.format(value) + unused
