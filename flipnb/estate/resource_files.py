"""Streaming FHIR resources out of files: bundles, arrays, single resources and NDJSON, one in memory at a time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

from flipnb.contracts.problem import FlipError

Resource = dict[str, Any]

_SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")


def read_resources(path: Path) -> Iterator[Resource]:
    """All resources of a file, or of a folder's files in the order of their names; a bundle's entries one by one.

    Decimals keep their digits (Decimal). Raises FlipError ``no-resources`` for a missing path, ``not-json`` with the
    file (and the line, in NDJSON) for what can't be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.lower().endswith(_SUFFIXES))
        if not files:
            raise FlipError("no-resources", f"There is no {', '.join(_SUFFIXES[:3])} file in {path}.")
        for file in files:
            yield from _file(file)
    elif path.is_file():
        yield from _file(path)
    else:
        raise FlipError("no-resources", f"There is no {path}.")


def _file(path: Path) -> Iterator[Resource]:
    name = path.name.lower().removesuffix(".gz")
    compressed = path.name.lower().endswith(".gz")
    with cast(BinaryIO, gzip.open(path, "rb") if compressed else path.open("rb")) as stream:
        yield from _lines(path, stream) if name.endswith((".ndjson", ".jsonl")) else _documents(path, stream)


def _lines(path: Path, stream: BinaryIO) -> Iterator[Resource]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise FlipError("not-json", f"{path}, line {number}: {error}") from None
        yield from _unpacked(path, value)


def _unpacked(path: Path, value: Any) -> Iterator[Resource]:
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise FlipError("not-fhir", f"{path} holds a JSON value without resourceType.")
    if value["resourceType"] != "Bundle":
        yield value
        return
    for entry in value.get("entry", ()):
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield from _unpacked(path, entry["resource"])


def _documents(path: Path, stream: BinaryIO) -> Iterator[Resource]:
    """JSON documents, one after the other: objects, or arrays of them, of any length."""
    import ijson

    try:
        events = ijson.basic_parse(stream, multiple_values=True, use_float=False)
        yield from _Reader(path, iter(events)).resources()
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        raise FlipError("not-json", f"{path}: {error}") from None


class _Reader:
    """Objects out of a stream of JSON events; a top-level object's ``entry`` is given out as it comes."""

    def __init__(self, path: Path, events: Iterator[tuple[str, Any]]) -> None:
        self._path = path
        self._events = events

    def resources(self) -> Iterator[Resource]:
        for event, value in self._events:
            if event == "start_map":
                yield from self._object()
            elif event == "start_array":
                for inner, given in self._events:
                    if inner == "end_array":
                        break
                    if inner != "start_map":
                        raise FlipError("not-fhir", f"{self._path} holds {given!r} where a resource should be.")
                    yield from self._object()
            else:
                raise FlipError("not-fhir", f"{self._path} holds {value!r} where a resource should be.")

    def _object(self) -> Iterator[Resource]:
        fields: Resource = {}
        given_out = False
        for event, key in self._events:
            if event == "end_map":
                break
            kind, value = next(self._events)
            if key == "entry" and kind == "start_array" and fields.get("resourceType", "Bundle") == "Bundle":
                others: list[Any] = []
                for inner, scalar in self._events:
                    if inner == "end_array":
                        break
                    entry = self._build(inner, scalar)
                    if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                        given_out = True
                        yield from _unpacked(self._path, entry["resource"])
                    else:
                        others.append(entry)
                fields[key] = others
            else:
                fields[key] = self._build(kind, value)
        if not given_out:
            yield from _unpacked(self._path, fields)

    def _build(self, kind: str, value: Any) -> Any:
        if kind == "start_map":
            built: Resource = {}
            for event, key in self._events:
                if event == "end_map":
                    return built
                built[key] = self._build(*next(self._events))
        if kind == "start_array":
            items: list[Any] = []
            for event, item in self._events:
                if event == "end_array":
                    return items
                items.append(self._build(event, item))
        return value
