"""Streaming the resources of FHIR files with their places: NDJSON by line, bundles and arrays by entry."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.harmonise.source import SourceFile

SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")
_WHOLE = 64 << 20
"""Bytes up to which a JSON document is parsed at once; larger ones are streamed entry by entry."""


@dataclass(frozen=True)
class Entry:
    """``line`` is the line of NDJSON, or the entry's place in its bundle or array, from 1."""

    line: int
    resource: Any
    full_url: str | None = None


def opened(file: SourceFile) -> IO[bytes]:
    """The file's bytes, unpacked where it is gzip; the caller closes it."""
    return gzip.open(file.path) if file.name.lower().endswith(".gz") else file.path.open("rb")  # type: ignore[return-value]


def is_lines(file: SourceFile) -> bool:
    """NDJSON: by its name, or because its first line is a whole resource and a second line follows."""
    name = file.name.lower().removesuffix(".gz")
    if name.endswith((".ndjson", ".jsonl")):
        return True
    with opened(file) as stream:
        first = stream.readline(1 << 24)
        if not stream.read(1):
            return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def entries(file: SourceFile) -> Iterator[Entry | Reject]:
    """The resources of one file, nested bundles unfolded."""
    found = _lines(file) if is_lines(file) else document(file)
    for entry in found:
        if isinstance(entry, Reject):
            yield entry
        else:
            yield from _unfolded(entry)


def _unfolded(entry: Entry) -> Iterator[Entry]:
    resource = entry.resource
    if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        for inner in resource.get("entry", []):
            if isinstance(inner, dict) and "resource" in inner:
                yield from _unfolded(Entry(entry.line, inner["resource"], inner.get("fullUrl")))
    else:
        yield entry


def _lines(file: SourceFile) -> Iterator[Entry | Reject]:
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                yield Entry(number, json.loads(line))
            except (ValueError, RecursionError) as error:
                yield Reject(file.name, number, None, f"no JSON ({error})")


def document(file: SourceFile) -> Iterator[Entry | Reject]:
    """A bundle, an array of resources, or one resource."""
    if file.size > _WHOLE:
        yield from _streamed(file)
        return
    try:
        with opened(file) as stream:
            content = json.load(stream)
    except (ValueError, RecursionError, OSError, EOFError) as error:
        yield Reject(file.name, getattr(error, "lineno", 1), None, f"no JSON ({error})")
        return
    if isinstance(content, dict) and content.get("resourceType") == "Bundle":
        for number, item in enumerate(content.get("entry", []), start=1):
            if isinstance(item, dict) and "resource" in item:
                yield Entry(number, item["resource"], item.get("fullUrl"))
    else:
        for number, item in enumerate(content if isinstance(content, list) else [content], start=1):
            yield Entry(number, item)


def _streamed(file: SourceFile) -> Iterator[Entry | Reject]:
    import ijson

    number = 0
    try:
        with opened(file) as stream:
            array = stream.read(64).lstrip()[:1] == b"["
        with opened(file) as stream:
            for number, item in enumerate(
                ijson.items(stream, "item" if array else "entry.item", use_float=True), start=1
            ):
                if array:
                    yield Entry(number, item)
                elif isinstance(item, dict) and "resource" in item:
                    yield Entry(number, item["resource"], item.get("fullUrl"))
    except (ijson.JSONError, OSError, EOFError) as error:
        yield Reject(file.name, number + 1, None, f"no JSON from here on ({error})")
