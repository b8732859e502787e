"""Where things are in a JSON text: the place of a value by its path, and in plain words what makes a text no JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
Step = int | str


@dataclass(frozen=True)
class Span:
    """From the character ``start`` to before ``end``, counted from 0."""

    start: int
    end: int


@dataclass(frozen=True)
class Mistake:
    """What makes a text no JSON, in words that follow a line's number, and where."""

    span: Span
    words: str


@dataclass(frozen=True)
class _Node:
    span: Span
    parts: dict[Step, _Node] = field(default_factory=dict)
    keys: dict[Step, Span] = field(default_factory=dict)


class Places:
    """The places of all values of ``text``, which must be JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root, _ = self._value(_skip(text, 0))

    def of(self, path: Sequence[Step]) -> Span:
        """The value at ``path``; steps that lead nowhere are passed over, as a union's in a path of pydantic's."""
        return self._at(path).span

    def key(self, path: Sequence[Step]) -> Span:
        """The key that ``path`` ends with, where it is there; else the value that the path leads to."""
        *way, last = path
        found = self._at(way).keys.get(last)
        return found if found is not None else self.of(path)

    def _at(self, path: Sequence[Step]) -> _Node:
        node = self._root
        for step in path:
            node = node.parts.get(step, node)
        return node

    def _value(self, at: int) -> tuple[_Node, int]:
        """The value that begins at ``at``, and the place behind it."""
        first = self._text[at]
        if first == '"':
            end = _string(self._text, at)[1]
            return _Node(Span(at, end)), end
        if first in "{[":
            return self._container(at, first == "{")
        match = _SCALAR.match(self._text, at)
        end = match.end() if match is not None else at
        return _Node(Span(at, end)), end

    def _container(self, start: int, is_object: bool) -> tuple[_Node, int]:
        text = self._text
        parts: dict[Step, _Node] = {}
        keys: dict[Step, Span] = {}
        at = _skip(text, start + 1)
        while text[at] not in "}]":
            step: Step = len(parts)
            if is_object:
                step, behind = _string(text, at)
                keys[step] = Span(at, behind)
                at = _skip(text, _skip(text, behind) + 1)
            parts[step], at = self._value(at)
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
        return _Node(Span(start, at + 1), parts, keys), at + 1


def find_mistake(text: str) -> Mistake | None:
    """What makes ``text`` no JSON; None where it is JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _mistake(text, error)
    except RecursionError:
        return Mistake(Span(0, 1), "it is nested too deeply")
    return None


def line_of(text: str, at: int) -> int:
    """The line of a character, counted from 1."""
    return text.count("\n", 0, at) + 1


def describe_mistake(text: str) -> str | None:
    """``line 12, a comma is missing``; None where ``text`` is JSON."""
    found = find_mistake(text)
    return None if found is None else f"line {line_of(text, found.span.start)}, {found.words}"


def _mistake(text: str, error: json.JSONDecodeError) -> Mistake:
    before = text[: error.pos].rstrip()
    behind = Span(max(len(before) - 1, 0), max(len(before), 1))  # the last thing that was right
    here = Span(error.pos, min(error.pos + 1, len(text)) or 1)
    message = error.msg.lower()
    ended = error.pos >= len(text.rstrip())
    if not text.strip():
        return Mistake(Span(0, 1), "it is empty")
    if "extra data" in message:
        return Mistake(here, "something stands behind its end")
    if "unterminated string" in message or "control character" in message:
        return Mistake(here, "a closing quotation mark is missing")
    if "escape" in message:
        return Mistake(here, "a backslash stands before what it can't")
    if ended:
        return Mistake(behind, "it ends before it is whole")
    if "',' delimiter" in message:
        return Mistake(behind, "a comma is missing")
    if "':' delimiter" in message:
        return Mistake(behind, "a colon is missing")
    if "trailing comma" in message or (before.endswith(",") and text[error.pos] in "]}"):
        return Mistake(behind, "a comma is one too many")
    if "property name" in message:
        return Mistake(here, "a name in double quotes is missing")
    return Mistake(here, "a value is missing, or it is not written as JSON has it")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at


def _string(text: str, at: int) -> tuple[str, int]:
    """The string that begins at ``at``, and the place behind it."""
    match = _STRING.match(text, at)
    assert match is not None
    return str(json.loads(match[0], strict=False)), match.end()
