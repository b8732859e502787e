"""Signed documents are bytes: one canonical form, parsed once, never written again.

The canonical form is RFC 8785 (JSON Canonicalization Scheme). Demanding it on reading refuses duplicate keys,
NaN, and two spellings of one document, so that a digest names exactly one meaning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

import rfc8785
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic_core import CoreSchema

from flipnb.contracts.problem import FlipError, Problem
from flipnb.contracts.text import require_visible

MOST_MEMBERS = 100_000
"""The most members of one JSON object: unknown ones are refused one by one, at some microseconds and bytes each."""

_MOST_MARKS = (("[{", 250_000), (":", 350_000), (",", 1_000_000))
"""How often one document may have JSON's marks: as many as 100,000 tensors, the most of any, have, and some more.

What reads it makes an object of each, and hinders other threads for as long as that takes.
"""

_MANY = frozenset({"tuple", "list", "set", "frozenset", "dict"})

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal."""


def _whole_seconds(moment: AwareDatetime) -> AwareDatetime:
    return moment.replace(microsecond=0)


Moment = Annotated[AwareDatetime, AfterValidator(_whole_seconds)]
"""A point in time, whole seconds, with a time zone."""


@dataclass(frozen=True)
class Later:
    """Marks a field that a document gained after documents of its kind had been signed.

    ``absent`` is what the field's absence has meant from then on, whatever its default may become: a document leaves
    the field out of its canonical bytes where it has this value. What was signed before keeps its bytes and digest,
    and who knows the field not can read what does not use it.
    """

    absent: Any


def _fail_fast(schema: Any) -> None:
    """Have every sequence and mapping of a pydantic core schema fail at its first error."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, str) and kind in _MANY:  # else it is a model's fields, one of which is called type
            schema["fail_fast"] = True
        for part in schema.values():
            _fail_fast(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _fail_fast(part)


class Document(BaseModel):
    """Base of everything that crosses a boundary: immutable, no unknown field, no infinite or NaN number.

    The first wrong item of a sequence or mapping ends its validation: of three million wrong ones pydantic makes as
    many errors, in 16 s and 4 GB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _fail_fast(handler.resolve_ref_schema(schema))
        return schema

    def to_bytes(self) -> bytes:
        """The canonical bytes (RFC 8785) of this document, without what ``Later`` leaves out."""
        return canonical_bytes(self.model_dump(mode="json", by_alias=True, exclude=unsaid(self)))

    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal."""
        return sha256(self.to_bytes())


D = TypeVar("D", bound=Document)


def sha256(data: bytes) -> str:
    """SHA-256 (FIPS 180-4) in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of plain JSON data; raises FlipError for what JSON can't say (NaN, integers over 2^53)."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise FlipError("not-json", f"The document can't be written as canonical JSON: {error}.") from error
    except RecursionError:
        raise FlipError("not-json", "The document is nested too deeply.") from None


def parse(model: type[D], data: bytes, what: str, *, limit: int = 8 << 20) -> D:
    """Parse canonical bytes into ``model``.

    Raises FlipError: ``document-too-large`` (in bytes, or in values), ``not-canonical`` (duplicate keys, another
    spelling, not JSON), ``invisible-character``, ``invalid-document`` (the first offending field by path).
    """
    if len(data) > limit:
        raise FlipError("document-too-large", f"{what} has {len(data)} bytes; at most {limit} are allowed.")
    require_few_values(data, what)
    value = load_json(data, what)
    if canonical_bytes(value) != data:
        raise FlipError("not-canonical", f"{what} is not in canonical JSON (RFC 8785).")
    for path, text in _strings(value, what):
        require_visible(text, path)
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise invalid(error, what) from None
    except (ArithmeticError, LookupError, TypeError, RecursionError) as error:
        # Of a rule that did not think of such a value: an overflow of bounds of 1e308, say.
        raise FlipError(
            "invalid-document", f"{what} can't be read: {type(error).__name__} in one of its rules."
        ) from None


def require_few_values(data: bytes, what: str) -> None:
    """Raise FlipError ``document-too-large`` where JSON has too many arrays, objects, members or items.

    Their marks are counted before anything is made of them; within a text they count, too.
    """
    for marks, most in _MOST_MARKS:
        if sum(data.count(mark.encode()) for mark in marks) > most:
            raise FlipError("document-too-large", f"{what} has more than {most} times {' or '.join(marks)}.")


def load_json(data: bytes, what: str) -> Any:
    """Plain JSON data; refuses duplicate keys, NaN, objects of over 100,000 members, nesting beyond the parser."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(items) > MOST_MEMBERS:
            raise FlipError("document-too-large", f"{what} has an object of more than {MOST_MEMBERS} members.")
        result = dict(items)
        if len(result) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FlipError("duplicate-key", f"{what} has the key {twice[:80]!r} twice.")
        return result

    def constant(name: str) -> Any:
        raise FlipError("not-json", f"{what} holds {name}, which is no JSON number.")

    try:
        return json.loads(data, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FlipError("not-json", f"{what} is not JSON: {error}.") from None


def invalid(error: ValidationError, what: str) -> FlipError:
    """The first validation error as a FlipError that names the field."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    return FlipError("invalid-document", f"{what}, field {place}: {reason}.")


def refusal(status: int, body: bytes, who: str) -> FlipError:
    """The error in an HTTP answer's body; ``{who}-error`` with the status where the body is no Problem.

    ``who`` is one word for a person: the hub, the agent.
    """
    try:
        problem = Problem.model_validate(load_json(body, f"The {who}'s answer"))
    except (FlipError, ValueError):
        problem = Problem(code=f"{who}-error", message=f"The {who} answered with status {status}.")
    return problem.error(status)


def unsaid(value: Any) -> Any:
    """What of a value ``Later`` leaves out, as pydantic's ``exclude`` takes it; None where all is said."""
    if isinstance(value, BaseModel):
        later, within = _later(type(value))
        left = {name: True for name, absent in later if getattr(value, name) == absent}
        return {**{name: inner for name in within if (inner := unsaid(getattr(value, name)))}, **left} or None
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := unsaid(item))} or None
    if isinstance(value, tuple | list):
        return {index: inner for index, item in enumerate(value) if (inner := unsaid(item))} or None
    return None


@cache
def _later(model: type[BaseModel]) -> tuple[tuple[tuple[str, Any], ...], tuple[str, ...]]:
    """A model's own later fields with what their absence means, and its fields that hold documents with such ones."""
    fields = model.model_fields.items()
    later = tuple((name, mark.absent) for name, field in fields for mark in field.metadata if isinstance(mark, Later))
    within = tuple(name for name, field in fields if any(map(_grown, _models(field.annotation, set()))))
    return later, within


def _grown(model: type[BaseModel]) -> bool:
    return any(isinstance(mark, Later) for field in model.model_fields.values() for mark in field.metadata)


def _models(annotation: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All models that a value of this type can hold, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            for field in annotation.model_fields.values():
                _models(field.annotation, seen)
    else:
        for part in get_args(annotation):
            _models(part, seen)
    return seen


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _strings(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{path}[{index}]")
