"""FHIR's search parameters as conditions in SQL (hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from flipnb.contracts.problem import FlipError
from flipnb.records.fhir import systems
from flipnb.records.fhir.resources import GENDERS, VISIT_CLASSES, VITAL_SIGNS, Table
from flipnb.records.fhir.store import Store

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.+)", re.DOTALL)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)  # fmt: skip
_ISA = re.compile(r"http://snomed\.info/sct(?:/[^?]*)?\?fhir_vs=isa/(\d+)")
_NEVER = "1 = 0"


@dataclass(frozen=True)
class Condition:
    """SQL over the table's alias ``t``, with its values."""

    sql: str
    values: tuple[Any, ...] = ()

    @classmethod
    def any_of(cls, parts: Sequence[Condition]) -> Condition:
        if len(parts) == 1:
            return parts[0]
        sql = " OR ".join(f"({part.sql})" for part in parts)
        return cls(f"({sql})", tuple(value for part in parts for value in part.values))

    def negated(self) -> Condition:
        return replace(self, sql=f"NOT COALESCE(({self.sql}), FALSE)")


NEVER, ALWAYS = Condition(_NEVER), Condition("1 = 1")


class Parameter(Protocol):
    """One search parameter of a table."""

    @property
    def kind(self) -> str:
        """FHIR's type of it: token, date, reference, quantity."""
        ...

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """For one of the comma-separated values. Raises FlipError ``bad-value`` or ``unknown-modifier``."""
        ...

    def sort_key(self, store: Store, table: Table) -> str | None:
        """SQL to sort by; None where there is none."""
        ...


def bad_value(name: str, value: str, needed: str) -> FlipError:
    return FlipError("bad-value", f"{name}={value[:100]}: {needed} is needed.")


def _no_modifier(name: str, modifier: str | None) -> None:
    if modifier is not None:
        raise FlipError("unknown-modifier", f"The modifier :{modifier[:40]} of {name} is not supported.")


def _missing(store: Store, table: Table, column: str, value: str, name: str) -> Condition:
    if value not in ("true", "false"):
        raise bad_value(f"{name}:missing", value, "true or false")
    if not store.has(table.name, column):
        return ALWAYS if value == "true" else NEVER
    return Condition(f"t.{column} IS {'NULL' if value == 'true' else 'NOT NULL'}")


def _token(value: str) -> tuple[str | None, str]:
    """``system|code``: system None where any will do, empty where there is to be none."""
    system, bar, code = value.partition("|")
    return (system, code) if bar else (None, value)


@dataclass(frozen=True)
class IdParameter:
    """``_id``, and ``identifier`` (with ``system``) where it is the id."""

    kind = "token"
    system: str | None = None

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        _no_modifier(name, modifier)
        system, code = _token(value) if self.system else (None, value)
        if system is not None and system != self.system:
            return NEVER
        if not code.startswith(table.prefix):
            return NEVER
        number = store.pseudonyms.decode(table.kind, code.removeprefix(table.prefix))
        return NEVER if number is None else Condition(f"t.{table.key} = ?", (number,))

    def sort_key(self, store: Store, table: Table) -> str | None:
        return f"t.{table.key}"


@dataclass(frozen=True)
class ReferenceParameter:
    """``patient``, ``subject``, ``encounter``: an id, ``Type/id``, or an address that ends in it."""

    column: str
    target: str
    kind = "reference"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "missing":
            return _missing(store, table, self.column, value, name)
        if modifier is not None and modifier != self.target:
            if modifier[:1].isupper() and modifier.isalpha():
                return NEVER
            _no_modifier(name, modifier)
        *path, key = value.split("/")
        if path and path[-1] != self.target:
            return NEVER
        number = store.pseudonyms.decode(self.target, key)
        if number is None or not store.has(table.name, self.column):
            return NEVER
        return Condition(f"t.{self.column} = ?", (number,))

    def sort_key(self, store: Store, table: Table) -> str | None:
        return f"t.{self.column}" if store.has(table.name, self.column) else None


@dataclass(frozen=True)
class ConceptParameter:
    """A coded element: any of the columns may hold a concept that matches.

    Besides ``[system|]code`` it takes ``:not``, ``:text`` (a part of the concept's name), ``:below`` (the concept and
    its descendants) and ``:in`` with SNOMED's implicit value sets (``http://snomed.info/sct?fhir_vs=isa/73211009``).
    """

    columns: tuple[str, ...]
    source: str | None = None
    kind = "token"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "missing":
            return _missing(store, table, self.columns[0], value, name)
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        if modifier == "in":
            match = _ISA.fullmatch(value)
            if match is None:
                raise FlipError("unknown-value-set", f"{name}:in={value[:200]}: this value set is not known here.")
            modifier, value = "below", f"http://snomed.info/sct|{match[1]}"
        if modifier not in (None, "text", "below"):
            _no_modifier(name, modifier)
        columns = [column for column in self.columns if store.has(table.name, column)]
        queries = concepts_like(store, value) if modifier == "text" else concepts_of(store, value)
        if modifier == "below":
            queries = _with_descendants(store, queries)
        concepts = _resolved(store, queries)
        parts = [] if concepts is None else [Condition(f"t.{c} IN ({concepts.sql})", concepts.values) for c in columns]
        if modifier is None:
            parts += self._unmapped(store, table, columns, value)
        return Condition.any_of(parts) if parts else NEVER

    def _unmapped(self, store: Store, table: Table, columns: list[str], value: str) -> list[Condition]:
        """A source value is the code of a row without concepts."""
        system, code = _token(value)
        if self.source is None or system not in (None, systems.SOURCE) or not store.has(table.name, self.source):
            return []
        none = " AND ".join([f"COALESCE(t.{column}, 0) = 0" for column in columns] or ["1 = 1"])
        if not code:
            return [Condition(f"{none} AND t.{self.source} IS NOT NULL")]
        return [Condition(f"{none} AND t.{self.source} = ?", (code,))]

    def sort_key(self, store: Store, table: Table) -> str | None:
        return None


_CONCEPT = ("concept_id", "concept_name", "vocabulary_id", "concept_code")


def concepts_of(store: Store, value: str) -> list[Condition]:
    """Queries of the concept ids that a token names; none where there can be none."""
    system, code = _token(value)
    queries: list[Condition] = []
    if system in (None, systems.OHDSI) and re.fullmatch(r"[1-9]\d{0,8}|1\d{9}|2[01]\d{8}", code):
        queries.append(Condition(f"SELECT {int(code)} AS concept_id"))
    if system in (systems.OHDSI, "") or not store.has("concept", *_CONCEPT):
        return queries
    where: list[Condition] = []
    if system is not None:
        vocabularies = systems.vocabularies_of(system)
        if not vocabularies:
            return queries
        where.append(Condition(f"vocabulary_id IN ({', '.join('?' * len(vocabularies))})", vocabularies))
    if code:
        where.append(Condition("concept_code = ?", (code,)))
    if where:
        sql = " AND ".join(part.sql for part in where)
        values = tuple(value for part in where for value in part.values)
        queries.append(Condition(f"SELECT concept_id FROM concept WHERE {sql}", values))
    return queries


def concepts_like(store: Store, words: str) -> list[Condition]:
    if not store.has("concept", *_CONCEPT) or not words.strip():
        return []
    pattern = words.strip().lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    sql = "SELECT concept_id FROM concept WHERE lower(concept_name) LIKE ? ESCAPE '\\'"
    return [Condition(sql, (f"%{pattern}%",))]


def _with_descendants(store: Store, queries: list[Condition]) -> list[Condition]:
    if not store.has("concept_ancestor", "ancestor_concept_id", "descendant_concept_id"):
        return queries
    return queries + [
        Condition(
            "SELECT descendant_concept_id AS concept_id FROM concept_ancestor "
            f"WHERE ancestor_concept_id IN ({query.sql})",
            query.values,
        )
        for query in queries
    ]


_FEW = 500


def _resolved(store: Store, queries: list[Condition]) -> Condition | None:
    """Few ids as numbers, so that the database reads only the blocks that may hold them; many as the subquery."""
    if not queries:
        return None
    sql = " UNION ".join(query.sql for query in queries)
    values = tuple(value for query in queries for value in query.values)
    found = store.database.rows(f"SELECT c.concept_id FROM ({sql}) AS c LIMIT {_FEW + 1}", values)
    if len(found) > _FEW:
        return Condition(sql, values)
    return Condition(", ".join(str(int(row[0])) for row in found)) if found else None


@dataclass(frozen=True)
class CodeParameter:
    """An element with a closed list of codes, each a condition on the table; ``system`` is theirs."""

    codes: Callable[[Store, Table], dict[str, Condition]]
    system: str | None = None
    kind = "token"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        _no_modifier(name, modifier)
        system, code = _token(value)
        if system is not None and system != self.system:
            return NEVER
        codes = self.codes(store, table)
        if not code and system:
            return Condition.any_of(list(codes.values()))
        return codes.get(code, NEVER)

    def sort_key(self, store: Store, table: Table) -> str | None:
        return None


@dataclass(frozen=True)
class DateParameter:
    """A date, with the time in ``at`` where there is one; ``end`` makes it a period, open where it is null."""

    on: str
    at: str | None = None
    end: str | None = None
    kind = "date"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "missing":
            return _missing(store, table, self.on, value, name)
        _no_modifier(name, modifier)
        match = _PREFIXED.fullmatch(value)
        prefix, text = (match[1] or "eq", match[2]) if match else ("eq", value)
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
        return f"{self.start} < ?" if self.end is None else f"{self.end} <= ?"

    @property
    def ends_after(self) -> str:
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
        if modifier == "missing":
            return _missing(store, table, "year_of_birth", value, name)
        _no_modifier(name, modifier)
        match = _PREFIXED.fullmatch(value)
        prefix, text = (match[1] or "eq", match[2]) if match else ("eq", value)
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
        return f"COALESCE({self._first(store, table)}, 0)"


def _number(when: datetime) -> int:
    return when.year * 10000 + when.month * 100 + when.day


@dataclass(frozen=True)
class DeathParameter:
    """``deceased`` and ``death-date``: the person's row in the table ``death``."""

    dated: bool
    kind: str

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        _no_modifier(name, modifier)
        there = store.has("death", "person_id", "death_date")
        if not self.dated:
            if value not in ("true", "false"):
                raise bad_value(name, value, "true or false")
            dead = Condition(f"t.{table.key} IN (SELECT person_id FROM death)") if there else NEVER
            return dead if value == "true" else dead.negated()
        match = _PREFIXED.fullmatch(value)
        prefix, text = (match[1] or "eq", match[2]) if match else ("eq", value)
        low, high, _ = date_range(name, text)
        if not there:
            return NEVER
        inner = compared(prefix, Interval("d.death_date"), low.date(), high.date())
        return Condition(f"t.{table.key} IN (SELECT d.person_id FROM death d WHERE {inner.sql})", inner.values)

    def sort_key(self, store: Store, table: Table) -> str | None:
        return None


@dataclass(frozen=True)
class QuantityParameter:
    """``value-quantity``: ``[prefix]number[|system|code]``; without a prefix the interval of the number's precision."""

    number: str
    unit: str
    kind = "quantity"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        if modifier == "missing":
            return _missing(store, table, self.number, value, name)
        _no_modifier(name, modifier)
        parts = value.split("|")
        match = _PREFIXED.fullmatch(parts[0])
        prefix, text = (match[1] or "eq", match[2]) if match else ("eq", parts[0])
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise bad_value(name, value, "a number") from None
        if len(parts) not in (1, 3) or not number.is_finite():
            raise bad_value(name, value, "[prefix]number or [prefix]number|system|code")
        if not store.has(table.name, self.number):
            return NEVER
        compare = self._compared(prefix, number)
        if len(parts) == 1 or not parts[2]:
            return compare
        unit = self._unit(store, table, parts[1], parts[2])
        return Condition(f"{compare.sql} AND ({unit.sql})", compare.values + unit.values)

    def _compared(self, prefix: str, number: Decimal) -> Condition:
        column, value = f"t.{self.number}", float(number)
        if prefix in ("gt", "sa"):
            return Condition(f"{column} > ?", (value,))
        if prefix in ("lt", "eb"):
            return Condition(f"{column} < ?", (value,))
        if prefix in ("ge", "le"):
            return Condition(f"{column} {'>=' if prefix == 'ge' else '<='} ?", (value,))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        half = abs(number) / 10 if prefix == "ap" else Decimal(5).scaleb(exponent - 1)
        low, high = float(number - half), float(number + half)
        if prefix == "ne":
            return Condition(f"({column} < ? OR {column} >= ?)", (low, high))
        return Condition(f"{column} >= ? AND {column} < ?", (low, high))

    def _unit(self, store: Store, table: Table, system: str, code: str) -> Condition:
        source = f"{self.unit}_source_value"
        parts: list[Condition] = []
        if store.has(table.name, source) and (not system or (system == systems.UCUM and store.ucum_units)):
            parts.append(Condition(f"t.{source} = ?", (code,)))
        column = f"{self.unit}_concept_id"
        concepts = _resolved(store, concepts_of(store, f"{system or systems.UCUM}|{code}"))
        if store.has(table.name, column) and concepts is not None:
            parts.append(Condition(f"t.{column} IN ({concepts.sql})", concepts.values))
        return Condition.any_of(parts) if parts else NEVER

    def sort_key(self, store: Store, table: Table) -> str | None:
        return None


# Closed lists of codes.


def always(*codes: str) -> Callable[[Store, Table], dict[str, Condition]]:
    """Every resource has one of these codes."""
    return lambda store, table: dict.fromkeys(codes, ALWAYS)


def ended(column: str, then: str, otherwise: str) -> Callable[[Store, Table], dict[str, Condition]]:
    """One code where the column has a date, another where it has none."""

    def codes(store: Store, table: Table) -> dict[str, Condition]:
        if not store.has(table.name, column):
            return {then: NEVER, otherwise: ALWAYS}
        return {then: Condition(f"t.{column} IS NOT NULL"), otherwise: Condition(f"t.{column} IS NULL")}

    return codes


def genders(store: Store, table: Table) -> dict[str, Condition]:
    gender = "COALESCE(t.gender_concept_id, 0)"
    codes: dict[str, Condition] = {}
    for code in ("male", "female", "unknown"):
        concepts = ", ".join(str(concept) for concept, name in GENDERS.items() if name == code)
        codes[code] = Condition(f"{gender} IN ({concepts})")
    codes["other"] = Condition(f"{gender} NOT IN ({', '.join(map(str, GENDERS))})")
    return codes


def visit_classes(store: Store, table: Table) -> dict[str, Condition]:
    codes = sorted({code for code, _ in VISIT_CLASSES.values()})
    return {
        code: Condition(
            f"t.visit_concept_id IN ({', '.join(str(c) for c, (own, _) in VISIT_CLASSES.items() if own == code)})"
        )
        for code in codes
    }


def observation_categories(default: str | None) -> Callable[[Store, Table], dict[str, Condition]]:
    """As ``resources.observation_category`` says them, in SQL."""

    def codes(store: Store, table: Table) -> dict[str, Condition]:
        column = f"t.{table.name}_concept_id"
        if not store.has("concept", *_CONCEPT, "concept_class_id"):
            return {default: ALWAYS} if default else {}
        vital = ", ".join(f"'{code}'" for code in VITAL_SIGNS)
        loinc = "SELECT concept_id FROM concept WHERE vocabulary_id = 'LOINC'"
        classes = {"laboratory": "Lab Test", "survey": "Survey", "exam": "Clinical Observation"}
        found = {"vital-signs": Condition(f"{column} IN ({loinc} AND concept_code IN ({vital}))")}
        for code, name in classes.items():
            inner = f"{loinc} AND concept_class_id = '{name}' AND concept_code NOT IN ({vital})"
            found[code] = Condition(f"{column} IN ({inner})")
        if default is not None:
            names = ", ".join(f"'{name}'" for name in classes.values())
            others = f"{loinc} AND (concept_class_id IN ({names}) OR concept_code IN ({vital}))"
            found[default] = Condition.any_of(
                [found[default], Condition(f"{column} IS NULL OR {column} NOT IN ({others})")]
            )
        return found

    return codes


def condition_categories(store: Store, table: Table) -> dict[str, Condition]:
    if not store.has(table.name, "visit_occurrence_id"):
        return {"problem-list-item": ALWAYS, "encounter-diagnosis": NEVER}
    return {
        "problem-list-item": Condition("t.visit_occurrence_id IS NULL"),
        "encounter-diagnosis": Condition("t.visit_occurrence_id IS NOT NULL"),
    }


_PATIENT = {name: ReferenceParameter("person_id", "Patient") for name in ("patient", "subject")}
_EVENT: dict[str, Parameter] = {**_PATIENT, "encounter": ReferenceParameter("visit_occurrence_id", "Encounter")}


def _observation(table: str, default: str | None) -> dict[str, Parameter]:
    return {
        **_EVENT,
        "code": ConceptParameter((f"{table}_concept_id", f"{table}_source_concept_id"), f"{table}_source_value"),
        "category": CodeParameter(observation_categories(default), systems.OBSERVATION_CATEGORY),
        "status": CodeParameter(always("final"), "http://hl7.org/fhir/observation-status"),
        "date": DateParameter(f"{table}_date", f"{table}_datetime"),
        "value-quantity": QuantityParameter("value_as_number", "unit"),
        "value-concept": ConceptParameter(("value_as_concept_id",)),
    }


PARAMETERS: dict[str, dict[str, Parameter]] = {
    "person": {
        "identifier": IdParameter(systems.PERSON),
        "gender": CodeParameter(genders, "http://hl7.org/fhir/administrative-gender"),
        "birthdate": BirthDateParameter(),
        "deceased": DeathParameter(dated=False, kind="token"),
        "death-date": DeathParameter(dated=True, kind="date"),
    },
    "condition_occurrence": {
        **_EVENT,
        "code": ConceptParameter(("condition_concept_id", "condition_source_concept_id"), "condition_source_value"),
        "category": CodeParameter(condition_categories, systems.CONDITION_CATEGORY),
        "clinical-status": CodeParameter(ended("condition_end_date", "resolved", "active"), systems.CONDITION_CLINICAL),
        "verification-status": CodeParameter(always("confirmed"), systems.CONDITION_VERIFICATION),
        "onset-date": DateParameter("condition_start_date", "condition_start_datetime"),
        "abatement-date": DateParameter("condition_end_date", "condition_end_datetime"),
    },
    "measurement": _observation("measurement", "laboratory"),
    "observation": _observation("observation", None),
    "drug_exposure": {
        **_EVENT,
        "code": ConceptParameter(("drug_concept_id", "drug_source_concept_id"), "drug_source_value"),
        "status": CodeParameter(
            ended("drug_exposure_end_date", "completed", "unknown"),
            "http://hl7.org/fhir/CodeSystem/medicationrequest-status",
        ),
        "intent": CodeParameter(always("order"), "http://hl7.org/fhir/CodeSystem/medicationrequest-intent"),
        "authoredon": DateParameter("drug_exposure_start_date", "drug_exposure_start_datetime"),
    },
    "procedure_occurrence": {
        **_EVENT,
        "code": ConceptParameter(("procedure_concept_id", "procedure_source_concept_id"), "procedure_source_value"),
        "status": CodeParameter(always("completed"), "http://hl7.org/fhir/event-status"),
        "date": DateParameter("procedure_date", "procedure_datetime"),
    },
    "visit_occurrence": {
        **_PATIENT,
        "class": CodeParameter(visit_classes, systems.ACT_CODE),
        "type": ConceptParameter(("visit_concept_id", "visit_source_concept_id")),
        "status": CodeParameter(ended("visit_end_date", "finished", "unknown"), "http://hl7.org/fhir/encounter-status"),
        "date": DateParameter("visit_start_date", None, "visit_end_date"),
    },
    "image_occurrence": {
        **_EVENT,
        "modality": ConceptParameter(("modality_concept_id",)),
        "bodysite": ConceptParameter(("anatomic_site_concept_id",)),
        "status": CodeParameter(always("available"), "http://hl7.org/fhir/imagingstudy-status"),
        "started": DateParameter("image_occurrence_date"),
    },
    "note": {
        **_EVENT,
        "code": ConceptParameter(("note_class_concept_id", "note_type_concept_id")),
        "status": CodeParameter(always("final"), "http://hl7.org/fhir/diagnostic-report-status"),
        "date": DateParameter("note_date", "note_datetime"),
    },
}
"""Table → its search parameters, beside those of every resource (``_id``, ``_lastUpdated``)."""

INCLUDES = {"patient": ("person_id", "Patient"), "subject": ("person_id", "Patient")}
INCLUDES["encounter"] = ("visit_occurrence_id", "Encounter")
