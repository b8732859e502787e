"""FHIRPath's functions on whole collections. Those not written here are fhirpathpy's (``borrowed``)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.records import temporal
from flipnb.records.fhirpath_values import Node, datum, equal_items, member, singleton, type_name

Collection = list[Any]
Function = tuple[Sequence[int], Callable[..., Collection]]

_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}
_CALENDAR = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s"}
_CALENDAR["millisecond"] = "ms"


def unescape(text: str) -> str:
    """A string literal's text without its escapes, as FHIRPath's grammar has them (``\\n``, ``\\u00e9``, ``\\'``)."""

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", replace, text, flags=re.DOTALL)


def quantity(value: Decimal, unit: str) -> Node:
    """A quantity literal: ``5 'mg'`` (UCUM) or ``4 days``."""
    code = unit[1:-1] if unit.startswith("'") else _CALENDAR[unit.removesuffix("s")]
    return Node({"value": value, "unit": code, "system": "http://unitsofmeasure.org", "code": code}, "Quantity")


# collections


def holds(items: Collection, item: Any) -> bool:
    """Whether one of the items equals ``item`` (FHIRPath's ``=``)."""
    return any(equal_items(other, item) is True for other in items)


def distinct(items: Collection) -> Collection:
    """The items without those that equal an earlier one, in their order."""
    found: Collection = []
    for item in items:
        if not holds(found, item):
            found.append(item)
    return found


def is_in(items: Collection, collection: Collection) -> Collection:
    """``in``: empty for no item. Raises FlipError ``fhirpath`` for several."""
    if not items:
        return []
    return [holds(collection, singleton(items))]


def reference_keys(references: Collection, wanted: str | None) -> Collection:
    """The ids that references (``Patient/1``, ``http://…/Patient/1/_history/2``, ``urn:uuid:…``) point to.

    With ``wanted`` those to that resource type alone.
    """
    found: Collection = []
    for item in references:
        data = datum(item)
        text = data.get("reference") if isinstance(data, dict) else None
        if not isinstance(text, str) or text.startswith("#"):
            continue
        if text.startswith("urn:"):
            kind, key = data.get("type"), text.rpartition(":")[2]
        else:
            path = text.partition("?")[0].partition("/_history/")[0].split("/")
            kind, key = (path[-2], path[-1]) if len(path) > 1 else (data.get("type"), path[-1])
        if wanted is None or kind in (None, wanted):
            found.append(key)
    return found


def _resource_key(items: Collection) -> Collection:
    return [key for item in items for key in member(item, "id")]


def _extension(items: Collection, url: Collection) -> Collection:
    wanted = datum(singleton(url))
    return [
        found
        for item in items
        for found in member(item, "extension")
        if isinstance(found.data, dict) and found.data.get("url") == wanted
    ]


def _children(items: Collection) -> Collection:
    found: Collection = []
    for item in items:
        data = datum(item)
        if isinstance(data, dict):
            found += [
                child
                for key in data
                if key != "resourceType" and not key.startswith("_")
                for child in member(item, key)
            ]
    return found


def _descendants(items: Collection) -> Collection:
    found: Collection = []
    level = _children(items)
    while level:
        found += level
        level = _children(level)
    return found


def _booleans(items: Collection) -> list[bool]:
    values = [datum(item) for item in items]
    if not all(isinstance(value, bool) for value in values):
        raise FlipError("fhirpath", "Booleans are needed here.")
    return values


def _single(items: Collection) -> Collection:
    singleton(items)
    return items


def _count(number: Collection) -> int:
    value = datum(singleton(number))
    if not isinstance(value, int) or isinstance(value, bool):
        raise FlipError("fhirpath", "An integer is needed here.")
    return value


def _subset(items: Collection, other: Collection) -> bool:
    return all(holds(other, item) for item in items)


def _join(items: Collection, separator: Collection | None = None) -> Collection:
    # No element gives the empty string, as the SQL on FHIR test suite has it.
    between = datum(singleton(separator)) if separator else ""
    return [str(between).join(str(datum(item)) for item in items if datum(item) is not None)]


def _type(items: Collection) -> Collection:
    found: Collection = []
    for item in items:
        name = type_name(item)
        namespace, _, plain = name.partition(".") if name.startswith("System.") else ("FHIR", "", name)
        found.append(Node({"namespace": namespace, "name": plain}, "System.TypeInfo"))
    return found


def _text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_string(items: Collection) -> Collection:
    value = datum(singleton(items))
    if isinstance(value, dict) and "value" in value:
        return [f"{value['value']} '{value.get('code') or value.get('unit') or '1'}'"]
    return [] if value is None or isinstance(value, dict) else [_text_of(value)]


def _to_temporal(kind: str) -> Callable[[Collection], Collection]:
    recognised = {"Date": temporal.is_date_time, "DateTime": temporal.is_date_time, "Time": temporal.is_time}[kind]

    def convert(items: Collection) -> Collection:
        value = datum(singleton(items))
        if not isinstance(value, str) or not recognised(value):
            return []
        return [Node(value.partition("T")[0] if kind == "Date" else value, f"System.{kind}")]

    return convert


def _to_boolean(items: Collection) -> Collection:
    value = datum(singleton(items))
    if isinstance(value, bool):
        return [value]
    text = str(value).lower()
    if text in ("true", "t", "yes", "y", "1", "1.0"):
        return [True]
    return [False] if text in ("false", "f", "no", "n", "0", "0.0") else []


def _to_quantity(items: Collection, unit: Collection | None = None) -> Collection:
    value = datum(singleton(items))
    if isinstance(value, dict):
        return items
    if isinstance(value, int | Decimal):
        return [quantity(Decimal(value), "'1'")]
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)\s*('[^']+'|[a-z]+)?", value) if isinstance(value, str) else None
    if match is None or (match[2] and match[2][0] != "'" and match[2].removesuffix("s") not in _CALENDAR):
        return []
    return [quantity(Decimal(match[1]), match[2] or "'1'")]


def _converts(function: Callable[..., Collection]) -> Callable[..., Collection]:
    return lambda items: [bool(function(items))] if items else []


def _to_integer(items: Collection) -> Collection:
    value = datum(singleton(items))
    if isinstance(value, bool | int):
        return [int(value)]
    return [int(value)] if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value) else []


def _to_decimal(items: Collection) -> Collection:
    value = datum(singleton(items))
    if isinstance(value, bool | int | Decimal):
        return [Decimal(value)]
    return [Decimal(value)] if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else []


# boundaries


def _boundary(high: bool) -> Callable[..., Collection]:
    def apply(items: Collection, precision: Collection | None = None) -> Collection:
        item = singleton(items)
        value = datum(item)
        if value is None:
            return []
        if isinstance(value, dict):
            inner = _number_boundary(Decimal(str(value.get("value", "NaN"))), precision, high)
            return [Node({**value, "value": inner}, "Quantity")] if inner is not None else []
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            number = _number_boundary(Decimal(value), precision, high)
            return [] if number is None else [number]
        if not isinstance(value, str):
            raise FlipError("fhirpath", f"{type_name(item)} has no boundaries.")
        kind = type_name(item).rpartition(".")[2]
        kind = {"Date": "date", "DateTime": "dateTime", "instant": "dateTime", "Time": "time"}.get(kind, kind)
        if kind not in ("date", "dateTime", "time"):
            kind = "time" if temporal.is_time(value) else "date" if temporal.is_date(value) else "dateTime"
        text = temporal.boundary(value, kind, high=high)
        if text is None:
            return []
        names = {"date": "System.Date", "dateTime": "System.DateTime", "time": "System.Time"}
        return [Node(_cut(text, _count(precision), kind) if precision else text, names[kind])]

    return apply


def _number_boundary(value: Decimal, precision: Collection | None, high: bool) -> Decimal | None:
    if not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal((0, (5,), min(exponent, 0) - 1))
    bound = value + half if high else value - half
    if not precision:
        return bound
    places = _count(precision)
    if not 0 <= places <= 28:
        return None
    unit = Decimal(1).scaleb(-places)
    return bound.quantize(unit, rounding="ROUND_CEILING" if high else "ROUND_FLOOR")


def _cut(text: str, digits: int, kind: str) -> str:
    """Text up to a precision in digits: 4 the year, 6 the month, 8 the day, 17 the milliseconds; times from 2 to 9."""
    ends = {2: 2, 4: 5, 6: 8, 9: 12} if kind == "time" else {4: 4, 6: 7, 8: 10, 10: 13, 12: 16, 14: 19, 17: 23}
    end = ends.get(digits)
    if end is None:
        raise FlipError("fhirpath", f"A {kind} has no precision of {digits} digits.")
    return text if digits == 17 else text[:end]


# arithmetic


def signed(items: Collection, negative: bool) -> Collection:
    """A number with a sign before it. Raises FlipError ``fhirpath`` for what is no number, or several."""
    value = datum(singleton(items))
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise FlipError("fhirpath", "A sign needs a number.")
    return [-value if negative else value]


def _numbers(operation: Callable[[Any, Any], Any]) -> Callable[[Collection, Collection], Collection]:
    def apply(left: Collection, right: Collection) -> Collection:
        a, b = singleton(left), singleton(right)
        x, y = datum(a), datum(b)
        if x is None or y is None:
            return []
        if any(isinstance(value, bool) or not isinstance(value, int | Decimal) for value in (x, y)):
            raise FlipError("fhirpath", f"{type_name(a)} and {type_name(b)} can't be calculated with.")
        result = operation(x, y)
        return [] if result is None else [result]

    return apply


def _sum(sign: int) -> Callable[[Collection, Collection], Collection]:
    numbers = _numbers(lambda x, y: x + sign * y)

    def apply(left: Collection, right: Collection) -> Collection:
        a, b = singleton(left), singleton(right)
        x, y = datum(a), datum(b)
        if isinstance(x, str) and isinstance(y, str) and sign == 1:
            return [x + y]
        if isinstance(x, str) and isinstance(y, dict):
            return _moved(a, x, y, sign)
        return numbers(left, right)

    return apply


def _moved(item: Any, text: str, by: Mapping[str, Any], sign: int) -> Collection:
    """A date or time and a duration (fhirpathpy's calendar rules)."""
    from fhirpathpy.engine.nodes import FP_Quantity, FP_TimeBase

    moment = FP_TimeBase.get_match_data(text)
    names = {code: name for name, code in _CALENDAR.items()}
    unit = names.get(str(by.get("code")))
    if moment is None or unit is None:
        raise FlipError("fhirpath", f"{by.get('value')} {by.get('code')} can't be added to {type_name(item)}.")
    path = item.path if isinstance(item, Node) else "System.Time" if temporal.is_time(text) else "System.DateTime"
    return [Node(str(moment.plus(FP_Quantity(sign * Decimal(str(by["value"])), unit))), path)]


def _concatenated(left: Collection, right: Collection) -> Collection:
    texts = (datum(singleton(left)), datum(singleton(right)))
    return ["".join("" if text is None else _text_of(text) for text in texts)]


ARITHMETIC: dict[str, Callable[[Collection, Collection], Collection]] = {
    "+": _sum(1),
    "-": _sum(-1),
    "&": _concatenated,
    "*": _numbers(lambda x, y: x * y),
    "/": _numbers(lambda x, y: Decimal(x) / Decimal(y) if y else None),
    "div": _numbers(lambda x, y: math.trunc(Decimal(x) / Decimal(y)) if y else None),
    "mod": _numbers(lambda x, y: x - y * math.trunc(Decimal(x) / Decimal(y)) if y else None),
}


def _statistic(operation: Callable[[list[Any]], Any]) -> Callable[[Collection], Collection]:
    return lambda items: [operation([datum(item) for item in items])] if items else []


def _round(items: Collection, places: Collection | None = None) -> Collection:
    value = datum(singleton(items))
    if value is None:
        return []
    unit = Decimal(1).scaleb(-(_count(places) if places else 0))
    return [(Decimal(value) / unit + Decimal("0.5")).to_integral_value(ROUND_FLOOR) * unit]


def _now(kind: str) -> Callable[[Collection], Collection]:
    patterns = {"Date": "%Y-%m-%d", "Time": "%H:%M:%S.000", "DateTime": "%Y-%m-%dT%H:%M:%S.000Z"}
    return lambda items: [Node(datetime.now(UTC).strftime(patterns[kind]), f"System.{kind}")]


OWN: dict[str, Function] = {
    "empty": ((0,), lambda items: [not items]),
    "not": ((0,), lambda items: [not _booleans([singleton(items)])[0]] if items else []),
    "count": ((0,), lambda items: [len(items)]),
    "first": ((0,), lambda items: items[:1]),
    "last": ((0,), lambda items: items[-1:]),
    "tail": ((0,), lambda items: items[1:]),
    "take": ((1,), lambda items, number: items[: max(0, _count(number))]),
    "skip": ((1,), lambda items, number: items[max(0, _count(number)) :]),
    "single": ((0,), _single),
    "distinct": ((0,), distinct),
    "isDistinct": ((0,), lambda items: [len(distinct(items)) == len(items)]),
    "union": ((1,), lambda items, other: distinct(items + other)),
    "combine": ((1,), lambda items, other: items + other),
    "intersect": ((1,), lambda items, other: distinct([item for item in items if holds(other, item)])),
    "exclude": ((1,), lambda items, other: [item for item in items if not holds(other, item)]),
    "subsetOf": ((1,), lambda items, other: [_subset(items, other)]),
    "supersetOf": ((1,), lambda items, other: [_subset(other, items)]),
    "allTrue": ((0,), lambda items: [all(_booleans(items))]),
    "anyTrue": ((0,), lambda items: [any(_booleans(items))]),
    "allFalse": ((0,), lambda items: [not any(_booleans(items))]),
    "anyFalse": ((0,), lambda items: [not all(_booleans(items))]),
    "children": ((0,), _children),
    "descendants": ((0,), _descendants),
    "extension": ((1,), _extension),
    "hasValue": ((0,), lambda items: [len(items) == 1 and not isinstance(datum(items[0]), dict | type(None))]),
    "getValue": ((0,), lambda items: items if len(items) == 1 and not isinstance(datum(items[0]), dict) else []),
    "getResourceKey": ((0,), _resource_key),
    "join": ((0, 1), _join),
    "type": ((0,), _type),
    "trace": ((0, 1, 2), lambda items, *_: items),
    "lowBoundary": ((0, 1), _boundary(high=False)),
    "highBoundary": ((0, 1), _boundary(high=True)),
    "sum": ((0,), _statistic(sum)),
    "min": ((0,), _statistic(min)),
    "max": ((0,), _statistic(max)),
    "avg": ((0,), _statistic(lambda values: Decimal(sum(values)) / len(values))),
    "round": ((0, 1), _round),
    "now": ((0,), _now("DateTime")),
    "today": ((0,), _now("Date")),
    "timeOfDay": ((0,), _now("Time")),
    "toString": ((0,), _to_string),
    "toBoolean": ((0,), _to_boolean),
    "toInteger": ((0,), _to_integer),
    "toDecimal": ((0,), _to_decimal),
    "toQuantity": ((0, 1), _to_quantity),
    "toDate": ((0,), _to_temporal("Date")),
    "toDateTime": ((0,), _to_temporal("DateTime")),
    "toTime": ((0,), _to_temporal("Time")),
    "convertsToString": ((0,), _converts(_to_string)),
    "convertsToBoolean": ((0,), _converts(_to_boolean)),
    "convertsToInteger": ((0,), _converts(_to_integer)),
    "convertsToDecimal": ((0,), _converts(_to_decimal)),
    "convertsToQuantity": ((0,), _converts(_to_quantity)),
    "convertsToDate": ((0,), _converts(_to_temporal("Date"))),
    "convertsToDateTime": ((0,), _converts(_to_temporal("DateTime"))),
    "convertsToTime": ((0,), _converts(_to_temporal("Time"))),
}

_BORROWED: dict[str, Sequence[int]] = {
    "indexOf": (1,),
    "substring": (1, 2),
    "startsWith": (1,),
    "endsWith": (1,),
    "contains": (1,),
    "upper": (0,),
    "lower": (0,),
    "replace": (2,),
    "matches": (1,),
    "replaceMatches": (2,),
    "length": (0,),
    "toChars": (0,),
    "split": (1,),
    "trim": (0,),
    "encode": (1,),
    "decode": (1,),
    "abs": (0,),
    "ceiling": (0,),
    "exp": (0,),
    "floor": (0,),
    "ln": (0,),
    "log": (1,),
    "power": (1,),
    "sqrt": (0,),
    "truncate": (0,),
}


def borrowed(name: str) -> Function | None:
    """fhirpathpy's function on plain values; an empty input, or an empty argument, gives nothing."""
    counts = _BORROWED.get(name)
    if counts is None:
        return None
    from fhirpathpy.engine.invocations import invocation_registry

    function: Callable[..., Any] = invocation_registry[name]["fn"]

    def apply(items: Collection, *arguments: Collection) -> Collection:
        value = datum(singleton(items))
        given = [datum(singleton(argument)) for argument in arguments]
        if value is None or any(argument is None for argument in given):
            return []
        result = function({}, [value], *given)
        return result if isinstance(result, list) else [result]

    return counts, apply
