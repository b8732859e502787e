"""Searching by dates of any precision: days and moments, births of which parts are known, deaths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flipnb.records.fhir.parameter import NEVER, Condition, bad_value, missing, no_modifier, prefixed
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)  # fmt: skip


@dataclass(frozen=True)
class DateParameter:
    """A date, with the time in ``at`` where there is one; ``end`` makes it a period, open where it is null."""

    on: str
    at: str | None = None
    end: str | None = None
    kind = "date"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """Rows whose date or period stands to the value as its prefix says; to a value with a time, in UTC."""
        if modifier == "missing":
            return missing(store, table, self.on, value, name)
        no_modifier(name, modifier)
        prefix, text = prefixed(value)
        low, high, is_time = date_range(name, text)
        if not store.has(table.name, self.on):
            return NEVER
        if is_time:
            return compared(prefix, self._moments(store, table), low, high)
        start = f"t.{self.on}"
        # A day ends by a date exactly where it begins before it: the bare column lets the database skip blocks.
        when = Interval(start) if self.end is None else Interval(start, self._last(store, table))
        return compared(prefix, when, low.date(), high.date())

    def _last(self, store: Store, table: Table) -> str:
        """The day after the last."""
        last = f"t.{self.end}" if self.end is not None and store.has(table.name, self.end) else "NULL"
        return f"COALESCE({_next_day(last)}, DATE '9999-12-31')"

    def _moments(self, store: Store, table: Table) -> Interval:
        start = f"t.{self.on}"
        last = _next_day(start) if self.end is None else self._last(store, table)
        start, last = f"CAST({start} AS TIMESTAMP)", f"CAST({last} AS TIMESTAMP)"
        if self.at is None or not store.has(table.name, self.at):
            return Interval(start, last)
        # Midnight says that there is no time.
        timed = f"t.{self.at} IS NOT NULL AND CAST(t.{self.at} AS TIME) <> TIME '00:00:00'"
        start = f"CASE WHEN {timed} THEN t.{self.at} ELSE {start} END"
        if self.end is None:
            last = f"CASE WHEN {timed} THEN t.{self.at} + INTERVAL '1' SECOND ELSE {last} END"
        return Interval(start, last)

    def sort_key(self, store: Store, table: Table) -> str | None:
        """By the (first) date; rows without one come before all others."""
        return f"COALESCE(t.{self.on}, DATE '0001-01-01')" if store.has(table.name, self.on) else None


def _next_day(expression: str) -> str:
    return f"CAST({expression} + INTERVAL '1' DAY AS DATE)"


@dataclass(frozen=True)
class Interval:
    """[start, end) as SQL; without an end one unit of the bounds it is compared with (a day)."""

    start: str
    end: str | None = None

    @property
    def ends_by(self) -> str:
        """SQL: that it ends at or before a bound."""
        return f"{self.start} < ?" if self.end is None else f"{self.end} <= ?"

    @property
    def ends_after(self) -> str:
        """SQL: that it ends after a bound."""
        return f"{self.start} >= ?" if self.end is None else f"{self.end} > ?"


def compared(prefix: str, when: Interval, low: Any, high: Any) -> Condition:
    """FHIR's prefixes over half-open intervals: the resource's [start, end) and the parameter's [low, high)."""
    start = when.start
    return {
        "eq": Condition(f"{start} >= ? AND {when.ends_by}", (low, high)),
        "ne": Condition(f"({start} < ? OR {when.ends_after})", (low, high)),
        "gt": Condition(when.ends_after, (high,)),
        "lt": Condition(f"{start} < ?", (low,)),
        "ge": Condition(f"({start} >= ? OR {when.ends_after})", (low, high)),
        "le": Condition(f"({when.ends_by} OR {start} < ?)", (high, low)),
        "sa": Condition(f"{start} >= ?", (high,)),
        "eb": Condition(when.ends_by, (low,)),
        "ap": Condition(f"{start} < ? AND {when.ends_after}", (high, low)),
    }[prefix]


def date_range(name: str, text: str) -> tuple[datetime, datetime, bool]:
    """The interval that a date of any precision means, in UTC without zone, and whether it has a time."""
    match = _DATE.fullmatch(text.replace(" ", "+"))
    needed = "a date, YYYY[-MM[-DD[Thh:mm[:ss][Z]]]], with an optional prefix,"
    if match is None:
        raise bad_value(name, text, needed)
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        low = datetime(int(year), int(month or 1), int(day or 1))
        if hour is not None:
            low += timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
            if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
                raise ValueError
            if zone not in (None, "Z"):
                offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone}")
                low -= offset.utcoffset() or timedelta()
            return low, low + timedelta(seconds=1 if second else 60), True
        if day is not None:
            return low, low + timedelta(days=1), False
        if month is not None:
            return low, (low.replace(day=28) + timedelta(days=4)).replace(day=1), False
        return low, low.replace(year=low.year + 1), False
    except (ValueError, OverflowError):
        raise bad_value(name, text, needed) from None


@dataclass(frozen=True)
class BirthDateParameter:
    """A date in three columns, of which month and day may be missing."""

    kind = "date"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """People whose birth, as far as its month and day are known, stands to the value as its prefix says."""
        if modifier == "missing":
            return missing(store, table, "year_of_birth", value, name)
        no_modifier(name, modifier)
        prefix, text = prefixed(value)
        low, high, _ = date_range(name, text)
        when = Interval(self._first(store, table), self._after(store, table))
        return compared(prefix, when, _number(low), _number(high))

    def _first(self, store: Store, table: Table) -> str:
        """Dates as numbers, 20240229: whatever the columns hold, it can be compared."""
        month = "COALESCE(t.month_of_birth, 1)" if store.has(table.name, "month_of_birth") else "1"
        day = "1"
        if store.has(table.name, "month_of_birth", "day_of_birth"):
            day = "CASE WHEN t.month_of_birth IS NULL THEN 1 ELSE COALESCE(t.day_of_birth, 1) END"
        return f"(t.year_of_birth * 10000 + {month} * 100 + {day})"

    def _after(self, store: Store, table: Table) -> str:
        """A number above every day that is meant, and not above the first of what follows."""
        year = "(t.year_of_birth * 10000 + 1232)"
        if not store.has(table.name, "month_of_birth"):
            return f"({year})"
        month = "(t.year_of_birth * 10000 + t.month_of_birth * 100 + 32)"
        if not store.has(table.name, "day_of_birth"):
            return f"COALESCE({month}, {year})"
        day = "(t.year_of_birth * 10000 + t.month_of_birth * 100 + t.day_of_birth + 1)"
        return f"COALESCE({day}, {month}, {year})"

    def sort_key(self, store: Store, table: Table) -> str | None:
        """By the first day that the birth may have been on; people without a year come before all others."""
        return f"COALESCE({self._first(store, table)}, 0)"


def _number(when: datetime) -> int:
    return when.year * 10000 + when.month * 100 + when.day


@dataclass(frozen=True)
class DeathParameter:
    """``deceased`` and ``death-date``: the person's row in the table ``death``."""

    dated: bool
    kind: str

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """People who died on such a day, or of whom a death is recorded or not (``true``, ``false``)."""
        no_modifier(name, modifier)
        there = store.has("death", "person_id", "death_date")
        if not self.dated:
            if value not in ("true", "false"):
                raise bad_value(name, value, "true or false")
            dead = Condition(f"t.{table.key} IN (SELECT person_id FROM death)") if there else NEVER
            return dead if value == "true" else dead.negated()
        prefix, text = prefixed(value)
        low, high, _ = date_range(name, text)
        if not there:
            return NEVER
        inner = compared(prefix, Interval("d.death_date"), low.date(), high.date())
        return Condition(f"t.{table.key} IN (SELECT d.person_id FROM death d WHERE {inner.sql})", inner.values)

    def sort_key(self, store: Store, table: Table) -> str | None:
        """None: a death is in a table of its own."""
        return None
