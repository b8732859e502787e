"""Searching resources: a query of FHIR's kind to SQL, pages that stay the same, what comes along with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from urllib.parse import parse_qsl

from flipnb.contracts.problem import FlipError
from flipnb.records.fhir.date_parameters import date_range
from flipnb.records.fhir.elements import Element
from flipnb.records.fhir.parameter import ALWAYS, NEVER, Condition, Parameter, bad_value
from flipnb.records.fhir.parameters import INCLUDES, PARAMETERS, IdParameter
from flipnb.records.fhir.resources import RESOURCES, tables_of
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table, concept_ids, resource

MOST_ON_A_PAGE = 1000
USUAL_ON_A_PAGE = 50
MOST_INCLUDED = 5000

_Summary = Literal["false", "count", "true", "text", "data"]
_CONTROLS = frozenset(
    {
        "_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "_format", "_pretty",
        "_cursor",
    }
)  # fmt: skip


@dataclass(frozen=True)
class SortKey:
    """One part of ``_sort``: a parameter's name, with ``-`` before it the last first."""

    name: str
    descending: bool


@dataclass
class Search:
    """A search as it was understood. ``used`` are the parameters that count, ``ignored`` says what was passed over."""

    resource: str
    count: int = USUAL_ON_A_PAGE
    filters: list[tuple[str, str | None, list[str]]] = field(default_factory=list)
    sort: list[SortKey] = field(default_factory=list)
    includes: list[tuple[str, str]] = field(default_factory=list)
    revincludes: list[tuple[str, str]] = field(default_factory=list)
    summary: _Summary = "false"
    elements: tuple[str, ...] = ()
    total: bool = True
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, kind: str, pairs: Sequence[tuple[str, str]], *, strict: bool = False) -> Search:
        """Understand a query. Raises FlipError ``unknown-resource``, ``bad-value``, ``unknown-modifier``.

        What is unknown raises ``unknown-parameter`` where ``strict``, else it is in ``ignored``.
        """
        if kind not in RESOURCES:
            raise FlipError("unknown-resource", f"There are no {kind[:60]} resources here.", status=404)
        return _Understanding(cls(kind), strict).of(pairs)


def parameters_of(kind: str) -> dict[str, Parameter]:
    """All search parameters of a type of resource, those that all types have first."""
    found: dict[str, Parameter] = {"_id": IdParameter()}
    for table in tables_of(kind):
        found.update(PARAMETERS[table.name])
    return found


class _Understanding:
    def __init__(self, search: Search, strict: bool) -> None:
        self._search = search
        self._strict = strict
        self._known = parameters_of(search.resource)

    def of(self, pairs: Sequence[tuple[str, str]]) -> Search:
        for name, value in pairs:
            base, _, modifier = name.partition(":")
            if base in _CONTROLS:
                if base in ("_include", "_revinclude") and modifier == "iterate":
                    self._unknown(f"{base}:iterate")
                elif self._control(base, value) and base != "_cursor":
                    self._search.used.append((name, value))
            elif base in self._known or base == "_lastUpdated":
                if not value:
                    self._unknown(f"{name} without a value")
                    continue
                self._search.filters.append((base, modifier or None, _values(value)))
                self._search.used.append((name, value))
            else:
                self._unknown(name)
        return self._search

    def _unknown(self, what: str) -> None:
        if self._strict:
            raise FlipError("unknown-parameter", f"{self._search.resource} has no search parameter {what[:100]}.")
        self._search.ignored.append(what[:100])

    def _control(self, name: str, value: str) -> bool:
        """Whether the parameter counts."""
        search = self._search
        if name == "_count":
            if not value.isascii() or not value.isdigit():
                raise bad_value(name, value, "a whole number")
            search.count = min(int(value), MOST_ON_A_PAGE)
            if search.count == 0:
                search.summary = "count"
        elif name == "_summary":
            if value not in ("false", "count", "true", "text", "data"):
                raise bad_value(name, value, "true, false, text, data or count")
            search.summary = value  # type: ignore[assignment]
        elif name == "_elements":
            search.elements += tuple(part.strip().partition(".")[0] for part in value.split(",") if part.strip())
        elif name == "_total":
            if value not in ("none", "estimate", "accurate"):
                raise bad_value(name, value, "none, estimate or accurate")
            search.total = value != "none"
        elif name == "_sort":
            return self._sort(value)
        elif name in ("_include", "_revinclude"):
            return self._include(name, value)
        return True

    def _sort(self, value: str) -> bool:
        counts = False
        for part in value.split(","):
            key = SortKey(part.strip().lstrip("-"), part.strip().startswith("-"))
            kind = self._known.get(key.name)
            sortable = key.name == "_id" or (kind is not None and kind.kind in ("date", "reference"))
            if key.name != "_lastUpdated" and not sortable:
                self._unknown(f"_sort={part}")
                continue
            counts = True
            if key.name != "_lastUpdated" and key.name not in [other.name for other in self._search.sort]:
                self._search.sort.append(key)
        return counts

    def _include(self, name: str, value: str) -> bool:
        parts = value.split(":")
        if len(parts) in (2, 3) and parts[1] in INCLUDES:
            source, link = parts[0], parts[1]
            target = INCLUDES[link][1]
            known = link in parameters_of(source) if source in RESOURCES else False
            if known and (len(parts) == 2 or parts[2] == target):
                if name == "_include" and source == self._search.resource:
                    self._search.includes.append((link, target))
                    return True
                if name == "_revinclude" and target == self._search.resource:
                    self._search.revincludes.append((source, link))
                    return True
        self._unknown(f"{name}={value}")
        return False


def _values(text: str) -> list[str]:
    """Comma-separated values; ``\\,`` ``\\|`` ``\\$`` are the characters themselves."""
    values, current, escaped = [], "", False
    for character in text:
        if escaped:
            current += character if character in ",$\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            values.append(current)
            current = ""
        else:
            current += character
    return [*values, current + ("\\" if escaped else "")]


@dataclass(frozen=True)
class Page:
    """Resources of a page, those that come with them, the number of all, and the cursor of the next page."""

    resources: list[Element]
    included: list[Element]
    total: int | None
    cursor: str | None


def search(store: Store, wanted: Search, cursor: str | None = None) -> Page:
    """One page. Raises FlipError ``bad-cursor``, ``too-many-included``, and what parameters raise."""
    return _Run(store, wanted).page(cursor)


def search_all(store: Store, query: str) -> Iterator[Element]:
    """Every resource of a query ``Observation?code=http://loinc.org|2093-3``; included ones too, each once."""
    kind, _, rest = query.partition("?")
    pairs = parse_qsl(rest, keep_blank_values=True)
    wanted = Search.of(kind.strip().strip("/"), pairs, strict=True)
    wanted.total = False
    wanted.count = MOST_ON_A_PAGE
    seen: set[tuple[str, str]] = set()
    cursor: str | None = None
    while True:
        page = search(store, wanted, cursor)
        yield from page.resources
        for extra in page.included:
            if (key := (extra["resourceType"], extra["id"])) not in seen:
                seen.add(key)
                yield extra
        if page.cursor is None:
            return
        cursor = page.cursor


def read(store: Store, kind: str, key: str, shape: Search | None = None) -> Element | None:
    """One resource by its id, shortened as ``shape`` says; None where there is none."""
    wanted = Search(kind, count=1, filters=[("_id", None, [key])], total=False)
    if shape is not None:
        wanted.summary, wanted.elements = shape.summary, shape.elements
        if wanted.summary == "count":
            wanted.summary = "false"
    page = _Run(store, wanted).page(None)
    return page.resources[0] if page.resources else None


class _Run:
    def __init__(self, store: Store, wanted: Search) -> None:
        self._store = store
        self._wanted = wanted
        self._tables = [table for table in tables_of(wanted.resource) if store.has(table.name, table.key, "person_id")]

    def page(self, cursor: str | None) -> Page:
        wanted = self._wanted
        where = [self._where(table) for table in self._tables]
        after = _read_cursor(self._store, cursor, len(wanted.sort) + 3) if cursor else None
        total = None
        if after is not None and after[0] is not None:
            total = int(after[0])
        elif wanted.total or wanted.summary == "count":
            total = sum(self._number_of(table, where[index]) for index, table in enumerate(self._tables))
        if wanted.summary == "count" or wanted.count == 0:
            return Page([], [], total, None)
        keys = self._keys(where, None if after is None else after[1:])
        more = len(keys) > wanted.count
        keys = keys[: wanted.count]
        found = self._rows(keys)
        resources = [self._resource(table, row) for table, row in found]
        following = _write_cursor(self._store, [total, *keys[-1]]) if more else None
        return Page(resources, self._included(found), total, following)

    def _where(self, table: Table) -> Condition:
        parts = [Condition(table.only)] if table.only else []
        known: dict[str, Parameter] = {"_id": IdParameter(), **PARAMETERS[table.name]}
        for name, modifier, values in self._wanted.filters:
            if name == "_lastUpdated":
                parts.append(Condition.any_of([self._updated(value, modifier) for value in values]))
            elif name not in known:
                parts.append(NEVER)
            elif modifier == "not":
                parts += [known[name].condition(self._store, table, name, modifier, value) for value in values]
            else:
                parts.append(
                    Condition.any_of(
                        [known[name].condition(self._store, table, name, modifier, value) for value in values]
                    )
                )
        sql = " AND ".join(f"({part.sql})" for part in parts) or "1 = 1"
        return Condition(sql, tuple(value for part in parts for value in part.values))

    def _updated(self, value: str, modifier: str | None) -> Condition:
        """All resources of an estate version were updated when it was loaded."""
        if modifier is not None:
            raise FlipError("unknown-modifier", f"The modifier :{modifier[:40]} of _lastUpdated is not supported.")
        prefix = value[:2] if value[:2] in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap") else "eq"
        low, high, _ = date_range("_lastUpdated", value.removeprefix(prefix))
        moment = self._store.updated.replace(tzinfo=None)
        holds = {
            "eq": low <= moment < high, "ap": low <= moment < high, "ne": not low <= moment < high,
            "gt": moment >= high, "sa": moment >= high, "lt": moment < low, "eb": moment < low,
            "ge": moment >= low, "le": moment < high,
        }[prefix]  # fmt: skip
        return ALWAYS if holds else NEVER

    def _number_of(self, table: Table, where: Condition) -> int:
        (row,) = self._store.database.rows(f"SELECT count(*) FROM {table.name} t WHERE {where.sql}", where.values)
        return int(row[0])

    def _keys(self, where: list[Condition], after: list[Any] | None) -> list[list[Any]]:
        """The sort keys of a page's rows and one more: [sort values …, table's number, key]."""
        width = len(self._wanted.sort)
        queries: list[str] = []
        values: list[Any] = []
        for index, table in enumerate(self._tables):
            expressions = [self._sort_expression(table, key) for key in self._wanted.sort]
            beyond = self._beyond(index, table, expressions, after)
            names = ", ".join([*(f"{sql} AS o{i}" for i, sql in enumerate(expressions)), f"{index} AS s"])
            queries.append(
                f"SELECT {names}, t.{table.key} AS k FROM {table.name} t WHERE {where[index].sql} AND {beyond.sql}"
            )
            values += [*where[index].values, *beyond.values]
        if not queries:
            return []
        order = [f"o{i}{' DESC' if key.descending else ''}" for i, key in enumerate(self._wanted.sort)]
        sql = (
            f"SELECT * FROM ({' UNION ALL '.join(queries)}) AS u ORDER BY {', '.join([*order, 's', 'k'])} "
            f"LIMIT {self._wanted.count + 1}"
        )
        rows = self._store.database.rows(sql, values)
        return [[*row[:width], int(row[width]), int(row[width + 1])] for row in rows]

    def _sort_expression(self, table: Table, key: SortKey) -> str:
        parameter = IdParameter() if key.name == "_id" else PARAMETERS[table.name].get(key.name)
        expression = None if parameter is None else parameter.sort_key(self._store, table)
        return expression or "NULL"

    def _beyond(self, index: int, table: Table, expressions: list[str], after: list[Any] | None) -> Condition:
        """Rows that come after the last one of the page before, in the order of the sort keys, the tables and keys."""
        if after is None:
            return ALWAYS
        *sorted_by, last_table, last_key = after
        parts: list[Condition] = []
        same: list[str] = []
        before: list[Any] = []
        for expression, value, key in zip(expressions, sorted_by, self._wanted.sort, strict=True):
            if expression == "NULL":
                continue
            sign = "<" if key.descending else ">"
            parts.append(Condition(" AND ".join([*same, f"{expression} {sign} ?"]), (*before, value)))
            same.append(f"{expression} = ?")
            before.append(value)
        if index > last_table:
            parts.append(Condition(" AND ".join(same) or "1 = 1", tuple(before)))
        elif index == last_table:
            parts.append(Condition(" AND ".join([*same, f"t.{table.key} > ?"]), (*before, last_key)))
        return Condition.any_of(parts) if parts else NEVER

    def _rows(self, keys: list[list[Any]]) -> list[tuple[Table, dict[str, Any]]]:
        """The rows of a page, in its order."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for index, table in enumerate(self._tables):
            wanted = [key for *_, number, key in keys if number == index]
            for row in fetch(self._store, table, f"t.{table.key}", wanted):
                found[index, int(row[table.key])] = row
        return [(self._tables[number], found[number, key]) for *_, number, key in keys if (number, key) in found]

    def _resource(self, table: Table, row: dict[str, Any]) -> Element:
        return shortened(resource(self._store, table, row), self._wanted)

    def _included(self, found: list[tuple[Table, dict[str, Any]]]) -> list[Element]:
        store = self._store
        included: list[Element] = []
        wanted: dict[str, set[int]] = {}
        for link, target in self._wanted.includes:
            column = INCLUDES[link][0]
            wanted.setdefault(target, set()).update(int(row[column]) for _, row in found if row.get(column) is not None)
        for target, numbers in wanted.items():
            for table in tables_of(target):
                included += self._resources(table, f"t.{table.key}", sorted(numbers))
        keys = sorted({int(row[table.key]) for table, row in found})
        for source, link in dict.fromkeys(self._wanted.revincludes):
            for table in tables_of(source):
                if store.has(table.name, INCLUDES[link][0]):
                    included += self._resources(table, f"t.{INCLUDES[link][0]}", keys)
        unique = {(item["resourceType"], item["id"]): item for item in included}
        if len(unique) > MOST_INCLUDED:
            raise FlipError(
                "too-many-included",
                f"More than {MOST_INCLUDED} resources would come with this page.",
                remedy="Ask for a smaller _count, or search for them themselves.",
            )
        return list(unique.values())

    def _resources(self, table: Table, column: str, keys: list[int]) -> list[Element]:
        if not self._store.has(table.name, table.key, "person_id"):
            return []
        rows = fetch(self._store, table, column, keys, MOST_INCLUDED + 1)
        return [self._resource(table, row) for row in rows]


def fetch(
    store: Store, table: Table, column: str, keys: Sequence[int], most: int | None = None
) -> list[dict[str, Any]]:
    """Rows of a table whose ``column`` is one of ``keys``, with the concepts they name loaded."""
    if not keys:
        return []
    columns = [name for name in table.columns if store.has(table.name, name)]
    only = f" AND {table.only}" if table.only else ""
    names = ", ".join(f"t.{name}" for name in columns)
    numbers = ", ".join(str(int(key)) for key in keys)
    limit = f" LIMIT {most}" if most is not None else ""
    found = store.database.rows(
        f"SELECT {names} FROM {table.name} t WHERE {column} IN ({numbers}){only} ORDER BY t.{table.key}{limit}"
    )
    rows = [dict(zip(columns, row, strict=True)) for row in found]
    store.load_concepts(number for row in rows for number in concept_ids(table, row))
    if table.detail is not None:
        table.detail(store, rows)
    return rows


_MANDATORY = frozenset(
    {
        "resourceType", "id", "meta", "status", "intent", "code", "subject", "class", "medicationCodeableConcept",
        "clinicalStatus", "verificationStatus", "category", "dataAbsentReason",
    }
)  # fmt: skip
_NOT_IN_SUMMARY = frozenset({"referenceRange", "dosageInstruction", "dispenseRequest", "series", "presentedForm"})
_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def shortened(item: Element, wanted: Search) -> Element:
    """The parts that ``_summary`` and ``_elements`` ask for, marked as such; mandatory parts always."""
    if wanted.elements:
        kept = {key: value for key, value in item.items() if key in _MANDATORY or key in wanted.elements}
    elif wanted.summary == "true":
        kept = {key: value for key, value in item.items() if key not in _NOT_IN_SUMMARY}
    elif wanted.summary == "text":
        kept = {key: value for key, value in item.items() if key in _MANDATORY}
    elif wanted.summary == "data":
        kept = dict(item)
    else:
        return item
    return {**kept, "meta": {**item["meta"], "tag": [_SUBSETTED]}}


# A cursor holds keys of the database; they are pseudonyms in it as well.
_CURSOR = "cursor"


def _write_cursor(store: Store, values: list[Any]) -> str:
    def written(value: Any) -> Any:
        if isinstance(value, date):
            return {"d": value.isoformat()}
        return None if value is None else {"n": store.pseudonyms.encode(_CURSOR, int(value))}

    text = json.dumps([written(value) for value in values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(store: Store, text: str, width: int) -> list[Any]:
    def read_value(value: Any) -> Any:
        if value is None:
            return None
        if "d" in value:
            return date.fromisoformat(value["d"])
        number = store.pseudonyms.decode(_CURSOR, value["n"])
        if number is None:
            raise ValueError
        return number

    bad = FlipError("bad-cursor", "This page's link is broken.", remedy="Search again.")
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = [read_value(value) for value in values]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise bad from None
    if len(found) != width or not all(isinstance(value, int) for value in found[-2:]):
        raise bad
    return found
