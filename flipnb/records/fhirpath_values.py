"""What FHIRPath works on: nodes of a resource with their types, and equality and order between them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from flipnb.contracts.problem import FlipError
from flipnb.records import temporal

_TEMPORAL = {
    "date": "date",
    "dateTime": "dateTime",
    "instant": "dateTime",
    "time": "time",
    "System.Date": "date",
    "System.DateTime": "dateTime",
    "System.Time": "time",
}


class Node:
    """An element: ``data`` as in the JSON, ``path`` its type's name, or its path where it has no named type.

    ``extra`` is what a primitive has in the sibling ``_name``: its id and extensions.
    """

    __slots__ = ("data", "extra", "path")

    def __init__(self, data: Any, path: str, extra: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.path = path
        self.extra = extra

    @classmethod
    def of_resource(cls, resource: Mapping[str, Any]) -> Node:
        """The node of a whole resource, of the type that it names."""
        return cls(resource, str(resource.get("resourceType", "Resource")))

    def __repr__(self) -> str:
        return f"Node({self.data!r}, {self.path!r})"


class Scope(NamedTuple):
    """What an expression sees beside its focus: ``$this``, ``$index``, ``$total``, the resource and the constants."""

    this: list[Any]
    root: Node
    constants: Mapping[str, Any]
    row_index: int
    position: int = 0
    total: list[Any] = []  # noqa: RUF012  never changed, only replaced
    outermost: list[Any] | None = None

    @property
    def outer(self) -> list[Any]:
        """``%context``: what the whole expression is evaluated on, within a ``where`` or ``select`` too."""
        return self.this if self.outermost is None else self.outermost

    def at(self, item: Any, index: int, total: list[Any] | None = None) -> Scope:
        """The scope of one element of a ``where``, ``select`` or ``aggregate``."""
        return Scope(
            [item],
            self.root,
            self.constants,
            self.row_index,
            index,
            self.total if total is None else total,
            self.outer,
        )


class Model(NamedTuple):
    """FHIR R4's types, from fhirpathpy's tables."""

    types: Mapping[str, str]
    choices: Mapping[str, list[str]]
    elsewhere: Mapping[str, str]
    parents: Mapping[str, str]
    suffixes: Mapping[str, str]


@functools.cache
def model() -> Model:
    """The types of R4, read once."""
    from importlib.resources import files

    root = files("fhirpathpy") / "models" / "r4"
    names = ("path2Type", "choiceTypePaths", "pathsDefinedElsewhere", "type2Parent")
    types, choices, elsewhere, parents = (
        json.loads((root / f"{name}.json").read_text(encoding="utf-8")) for name in names
    )
    lowered = {name[0].upper() + name[1:]: name for name in parents if name[0].islower()}
    suffixes = {suffix: lowered.get(suffix, suffix) for values in choices.values() for suffix in values}
    return Model(
        types, choices, elsewhere, {**parents, "code": "string", "id": "string", "markdown": "string"}, suffixes
    )


@functools.lru_cache(maxsize=20_000)
def _child(path: str, key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The path of ``key`` below ``path``, and for a choice its possible names in the JSON with their types."""
    known = model()
    full = f"{path}.{key}"
    full = known.elsewhere.get(full, full)
    choices = known.choices.get(full)
    if choices:
        return full, tuple((key + suffix, known.suffixes[suffix]) for suffix in choices)
    if key in ("extension", "modifierExtension"):
        return "Extension", ()
    kind = known.types.get(full)
    if kind is None:
        base = known.parents.get(path)
        if base is not None:
            return _child(base, key)
        return full, ()
    if kind == "System.String":
        kind = "id" if key == "id" and path in known.parents else "uri" if key == "url" else "string"
    return kind, ()


def child_type(path: str, key: str) -> str | None:
    """The type of an element, where it is a single named one: ``child_type("HumanName", "family") == "string"``."""
    kind, choices = _child(path, key)
    return None if choices or ("." in kind and kind not in model().types) else kind


def member(item: Any, key: str) -> list[Any]:
    """The children of ``item`` that are called ``key``; a choice by its name without the type (``value``)."""
    if not isinstance(item, Node):
        return []
    data = item.data
    if not isinstance(data, dict):
        if key == "extension" and item.extra:
            return [Node(value, "Extension") for value in item.extra.get("extension", ())]
        return []
    path = item.path
    value = data.get(key)
    extra = data.get("_" + key)
    kind, choices = _child(path, key)
    if value is None and extra is None:
        if key[0].isupper() and data.get("resourceType") == key:
            return [item]
        for name, chosen in choices or _undeclared(data, key, kind):
            value, extra, kind = data.get(name), data.get("_" + name), chosen
            if value is not None or extra is not None:
                break
        else:
            return []
    if isinstance(value, list) or isinstance(extra, list):
        return _nodes(value or [], kind, extra)
    if isinstance(value, dict) and "resourceType" in value:
        kind = str(value["resourceType"])
    return [Node(value, kind, extra)]


def _undeclared(data: Mapping[str, Any], key: str, kind: str) -> list[tuple[str, str]]:
    """A choice in a part that the model does not describe (another FHIR version's element)."""
    if kind in model().parents:
        return []
    suffixes = model().suffixes
    names = [name.lstrip("_") for name in data if name.lstrip("_").startswith(key)]
    return [(name, suffixes[name[len(key) :]]) for name in names if name[len(key) :] in suffixes]


def _nodes(values: list[Any], kind: str, extras: Any) -> list[Any]:
    if isinstance(extras, list):
        longest = max(len(values), len(extras))
        values = values + [None] * (longest - len(values))
        extras = extras + [None] * (longest - len(extras))
        return [
            Node(value, kind, extra)
            for value, extra in zip(values, extras, strict=True)
            if value is not None or extra is not None
        ]
    if kind == "Resource":
        return [Node.of_resource(value) for value in values]
    return [Node(value, kind) for value in values if value is not None]


def datum(item: Any) -> Any:
    """An element's plain value; numbers as int or Decimal."""
    value = item.data if isinstance(item, Node) else item
    return Decimal(repr(value)) if isinstance(value, float) else value


def type_name(item: Any) -> str:
    """``string``, ``Patient``, ``Patient.contact`` for elements, ``System.Boolean`` for computed values."""
    if isinstance(item, Node):
        return item.path
    if isinstance(item, bool):
        return "System.Boolean"
    return {int: "System.Integer", Decimal: "System.Decimal", float: "System.Decimal", str: "System.String"}[type(item)]


def is_type(item: Any, name: str) -> bool:
    """Whether ``item`` is of the type ``name`` (``Quantity``, ``FHIR.Quantity``, ``System.String``) or one derived."""
    namespace, _, plain = name.rpartition(".")
    own = type_name(item)
    if own.startswith("System."):
        return namespace in ("", "System") and own == f"System.{plain}"
    if namespace not in ("", "FHIR"):
        return False
    parents = model().parents
    if own not in parents and "." in own:
        own = "BackboneElement"
    kind: str | None = own
    while kind is not None:
        if kind == plain:
            return True
        kind = parents.get(kind)
    return False


def singleton(items: list[Any]) -> Any:
    """The one item, or None; raises FlipError ``fhirpath`` for several."""
    if len(items) > 1:
        raise FlipError("fhirpath", f"One element is needed here, there are {len(items)}.")
    return items[0] if items else None


def boolean(items: list[Any]) -> bool | None:
    """Singleton evaluation (FHIRPath 5.5): a boolean is itself, any other single element true, nothing is None."""
    value = datum(singleton(items))
    return value if isinstance(value, bool) or value is None else True


def equal(left: list[Any], right: list[Any]) -> bool | None:
    """``=``: None where a side is empty, or where dates of differing precision agree as far as both go."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    unknown = False
    for a, b in zip(left, right, strict=True):
        same = equal_items(a, b)
        if same is False:
            return False
        unknown = unknown or same is None
    return None if unknown else True


def equal_items(a: Any, b: Any) -> bool | None:
    """``=`` of two items; None where an item is nothing, or precision or unit does not tell."""
    x, y = datum(a), datum(b)
    if x is None or y is None:
        return None
    if isinstance(x, str) and isinstance(y, str) and (kind := _temporal_kind(a, b)) is not None:
        order = temporal.compare(x, y, kind)
        return None if order is None else order == 0
    if isinstance(x, bool) or isinstance(y, bool):
        return x is y
    if isinstance(x, dict) and isinstance(y, dict) and is_type(a, "Quantity") and is_type(b, "Quantity"):
        pair = _same_unit(x, y)
        return None if pair is None else pair[0] == pair[1]
    return bool(_exact(x) == _exact(y))


def _exact(value: Any) -> Any:
    """Numbers inside structures as Decimal too, so that 0.1 read as float equals 0.1 read as Decimal."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: _exact(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_exact(part) for part in value]
    return value


def equivalent(left: list[Any], right: list[Any]) -> bool:
    """``~``: empty is equivalent to empty, order and case do not count, numbers to the lesser precision."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for a in left:
        at = next((index for index, b in enumerate(rest) if _equivalent_items(a, b)), None)
        if at is None:
            return False
        rest.pop(at)
    return True


def _equivalent_items(a: Any, b: Any) -> bool:
    x, y = datum(a), datum(b)
    if isinstance(x, str) and isinstance(y, str):
        if (kind := _temporal_kind(a, b)) is not None:
            return temporal.compare(x, y, kind) == 0
        return " ".join(x.casefold().split()) == " ".join(y.casefold().split())
    if isinstance(x, int | Decimal) and isinstance(y, int | Decimal) and not isinstance(x, bool):
        places = min(_places(x), _places(y))
        return round(Decimal(x), places) == round(Decimal(y), places)
    return equal_items(a, b) is True


def _places(value: int | Decimal) -> int:
    exponent = Decimal(value).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def compare(left: list[Any], right: list[Any]) -> int | None:
    """-1, 0, 1; None where a side is empty or the precision does not tell. FlipError ``fhirpath`` for other types."""
    a, b = singleton(left), singleton(right)
    x, y = datum(a), datum(b)
    if x is None or y is None:
        return None
    if isinstance(x, str) and isinstance(y, str):
        if (kind := _temporal_kind(a, b)) is not None:
            return temporal.compare(x, y, kind)
        return (x > y) - (x < y)
    if isinstance(x, dict) and isinstance(y, dict) and is_type(a, "Quantity") and is_type(b, "Quantity"):
        pair = _same_unit(x, y)
        return None if pair is None else (pair[0] > pair[1]) - (pair[0] < pair[1])
    numbers = isinstance(x, int | Decimal) and isinstance(y, int | Decimal)
    if not numbers or isinstance(x, bool) or isinstance(y, bool):
        raise FlipError("fhirpath", f"{type_name(a)} and {type_name(b)} have no order between them.")
    return int(x > y) - int(x < y)


def _temporal_kind(a: Any, b: Any) -> str | None:
    """``time`` or ``dateTime`` where one side is of such a type; a plain string beside it is read as one."""
    kinds = [_TEMPORAL.get(item.path) for item in (a, b) if isinstance(item, Node)]
    found = [kind for kind in kinds if kind is not None]
    if not found:
        return None
    return "time" if "time" in found else "dateTime"


def _same_unit(x: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[Decimal, Decimal] | None:
    """Two quantities' values in one unit; None where there is none."""
    from fhirpathpy.engine.nodes import FP_Quantity

    first, second = (Decimal(str(quantity.get("value", "NaN"))) for quantity in (x, y))
    unit, other = (str(quantity.get("code") or quantity.get("unit") or "1") for quantity in (x, y))
    if first.is_nan() or second.is_nan():
        return None
    if unit != other:
        converted = FP_Quantity.conv_unit_to(f"'{unit}'", first, f"'{other}'")
        if converted is None:
            return None
        first = Decimal(converted.value)
    return first, second
