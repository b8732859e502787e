"""SQL on FHIR 2's ViewDefinition: reading and checking one (sql-on-fhir.org/ig/StructureDefinition/ViewDefinition).

What can be known from the definition alone is refused here, before any resource is read: its structure, column names
that are double, branches of a ``unionAll`` that differ, expressions that do not parse or name unknown constants.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from flipnb.contracts.problem import FlipError
from flipnb.records.fhirpath import Expression
from flipnb.records.fhirpath_values import Node, child_type, model

_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
_CONSTANT_TYPES = (
    "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer",
    "integer64", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid",
)  # fmt: skip
_STRING_TYPES = frozenset(_CONSTANT_TYPES) - {
    "boolean",
    "decimal",
    "integer",
    "integer64",
    "positiveInt",
    "unsignedInt",
}

# The defaults of SQL on FHIR 2 ("Type Hinting with Tags"), except decimal: there text, here DOUBLE, which is what
# analytic tools calculate with. Dates and times are text, as FHIR's may be partial (1970-06).
_SQL_TYPES = {
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
    "positiveInt": "INTEGER",
    "unsignedInt": "INTEGER",
    "integer64": "BIGINT",
    "decimal": "DOUBLE",
    "instant": "TIMESTAMP WITH TIME ZONE",
    "base64Binary": "BLOB",
}
_ANSI_TYPE = re.compile(
    r"(?:CHARACTER VARYING|VARCHAR|CHARACTER|CHAR|TEXT)(?:\s*\(\s*\d+\s*\))?|BOOLEAN|SMALLINT|INT|INTEGER|BIGINT|REAL|"
    r"FLOAT|DOUBLE|DOUBLE PRECISION|(?:DECIMAL|NUMERIC)(?:\s*\(\s*\d+\s*(?:,\s*\d+\s*)?\))?|DATE|TIME|TIMESTAMP|"
    r"TIMESTAMP WITH TIME ZONE|TIMESTAMP WITHOUT TIME ZONE|BINARY|BINARY VARYING|VARBINARY|BLOB",
    re.IGNORECASE,
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Tag(_Part):
    name: StrictStr
    value: StrictStr


class _Column(_Part):
    name: StrictStr = Field(pattern=_NAME)
    path: StrictStr = Field(min_length=1)
    type: StrictStr | None = None
    collection: StrictBool | None = None
    tag: tuple[_Tag, ...] = ()


class _Select(_Part):
    column: tuple[_Column, ...] = ()
    select: tuple[_Select, ...] = ()
    unionAll: tuple[_Select, ...] = ()
    forEach: StrictStr | None = None
    forEachOrNull: StrictStr | None = None
    repeat: tuple[StrictStr, ...] | None = Field(default=None, min_length=1)


class _Where(_Part):
    path: StrictStr = Field(min_length=1)


class _Constant(_Part):
    name: StrictStr = Field(pattern=_NAME)


class _View(_Part):
    resourceType: Literal["ViewDefinition"] = "ViewDefinition"
    name: StrictStr | None = Field(default=None, pattern=_NAME)
    resource: StrictStr = Field(pattern=r"^[A-Z][A-Za-z]*$")
    select: tuple[_Select, ...] = Field(min_length=1)
    where: tuple[_Where, ...] = ()
    constant: tuple[_Constant, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column: ``sql_type`` in DuckDB's words; with ``collection`` it holds a list of them."""

    name: str
    expression: Expression
    fhir_type: str | None
    sql_type: str
    collection: bool


@dataclass(frozen=True)
class Selection:
    """One selection structure: what it iterates over, and what it gives for each element."""

    columns: tuple[Column, ...]
    selects: tuple[Selection, ...]
    union: tuple[Selection, ...]
    each: Expression | None
    or_null: bool
    repeat: tuple[Expression, ...]

    def all_columns(self) -> Iterator[Column]:
        """In the order of the table: own columns, those of nested selects, those of the union."""
        yield from self.columns
        for part in self.selects:
            yield from part.all_columns()
        if self.union:
            yield from self.union[0].all_columns()


@dataclass(frozen=True)
class ViewDefinition:
    """A checked view over one type of resource."""

    name: str | None
    resource: str
    selects: tuple[Selection, ...]
    where: tuple[Expression, ...]
    constants: Mapping[str, Any]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the order of the view's rows."""
        return tuple(column for selection in self.selects for column in selection.all_columns())

    @classmethod
    def read(cls, definition: Any) -> ViewDefinition:
        """Raises FlipError ``invalid-view`` with the reason and its place."""
        try:
            view = _View.model_validate(definition)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the definition"
            raise _invalid(f"{place}: {first['msg']}") from None
        if view.resource not in model().parents:
            raise _invalid(f"{view.resource} is no resource of FHIR R4")
        constants = {constant.name: _value(constant) for constant in view.constant}
        if len(constants) != len(view.constant):
            raise _invalid("two constants have the same name")
        read = _Reader(constants)
        result = cls(
            view.name,
            view.resource,
            tuple(read.selection(part, f"select.{index}") for index, part in enumerate(view.select)),
            tuple(read.criterion(part.path, view.resource, f"where.{i}") for i, part in enumerate(view.where)),
            constants,
        )
        names = [column.name for column in result.columns]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise _invalid(f"there are two columns {double}")
        return result


def _invalid(reason: str) -> FlipError:
    return FlipError("invalid-view", f"The ViewDefinition is invalid: {reason}.")


def _value(constant: _Constant) -> Node:
    extra = constant.model_extra or {}
    given = {key: value for key, value in extra.items() if key.startswith("value")}
    if len(given) != 1:
        raise _invalid(f"constant {constant.name} needs one value, it has {len(given)}")
    ((key, value),) = given.items()
    kind = next((kind for kind in _CONSTANT_TYPES if key == f"value{kind[0].upper()}{kind[1:]}"), None)
    if kind is None:
        raise _invalid(f"constant {constant.name}: {key} is no type of a constant")
    if isinstance(value, bool):
        fits = kind == "boolean"
    elif kind == "decimal":
        fits = isinstance(value, int | float | Decimal)
    else:
        fits = isinstance(value, str) if kind in _STRING_TYPES else isinstance(value, int)
    if not fits:
        raise _invalid(f"constant {constant.name}: {value!r} is no {kind}")
    return Node(value, kind)


class _Reader:
    def __init__(self, constants: Mapping[str, Node]) -> None:
        self._constants = constants

    def expression(self, text: str, place: str) -> Expression:
        try:
            return Expression(text, self._constants)
        except FlipError as error:
            raise _invalid(f"{place}: {error.message.rstrip('.')}") from None

    def criterion(self, text: str, resource: str, place: str) -> Expression:
        expression = self.expression(text, place)
        kind = _static_type(expression, resource)
        if kind not in (None, "boolean"):
            raise _invalid(f"{place}: {text!r} is a {kind}, a condition is needed")
        return expression

    def selection(self, part: _Select, place: str) -> Selection:
        ways = {"forEach": part.forEach, "forEachOrNull": part.forEachOrNull, "repeat": part.repeat}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise _invalid(f"{place}: {' and '.join(given)} exclude each other")
        path = part.forEach if part.forEach is not None else part.forEachOrNull
        union = tuple(self.selection(branch, f"{place}.unionAll.{i}") for i, branch in enumerate(part.unionAll))
        for index, branch in enumerate(union[1:], 1):
            shapes = [[(c.name, c.collection) for c in one.all_columns()] for one in (union[0], branch)]
            if shapes[0] != shapes[1]:
                raise _invalid(f"{place}.unionAll.{index}: its columns are not those of the first branch")
        return Selection(
            tuple(self.column(column, f"{place}.column.{index}") for index, column in enumerate(part.column)),
            tuple(self.selection(inner, f"{place}.select.{index}") for index, inner in enumerate(part.select)),
            union,
            None if path is None else self.expression(path, f"{place}.{given[0]}"),
            part.forEachOrNull is not None,
            tuple(self.expression(text, f"{place}.repeat.{index}") for index, text in enumerate(part.repeat or ())),
        )

    def column(self, column: _Column, place: str) -> Column:
        sql_type = _SQL_TYPES.get(column.type or "", "VARCHAR")
        for tag in column.tag:
            if tag.name == "ansi/type":
                if not _ANSI_TYPE.fullmatch(tag.value.strip()):
                    raise _invalid(f"{place}: {tag.value!r} is no SQL type")
                sql_type = re.sub("^CHARACTER VARYING", "VARCHAR", tag.value.strip().upper())
                sql_type = sql_type.replace("BINARY VARYING", "BLOB").replace("DOUBLE PRECISION", "DOUBLE")
        return Column(column.name, self.expression(column.path, place), column.type, sql_type, bool(column.collection))


def _static_type(expression: Expression, resource: str) -> str | None:
    """The type of a path of plain names; None where it can't be known without data."""
    names = expression.members()
    if names is None:
        return None
    kind: str | None = resource
    for name in names[1:] if names[0] == resource else names:
        kind = child_type(kind, name) if kind is not None else None
    return kind
