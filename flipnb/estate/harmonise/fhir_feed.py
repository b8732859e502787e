"""``--mapping fhir-r4``: FHIR R4 bundles and NDJSON bulk exports, streamed."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flipnb.contracts.document import sha256
from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading, SourceRecord
from flipnb.estate.harmonise.eras import derive_eras
from flipnb.estate.harmonise.events import Event, EventTable, dated_rows
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.fhir_resources import References, Unusable, harmonise, understood
from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.omop.cdm import tables

_SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")
_WHOLE = 64 << 20
"""Bytes up to which a JSON document is parsed at once; larger ones are streamed entry by entry."""
_CHUNK = 20_000
_DERIVED = "(observation periods)"
_SHARED = ("care_site", "provider")


@dataclass(frozen=True)
class _Entry:
    """``line`` is the line of NDJSON, or the entry's place in its bundle or array, from 1."""

    line: int
    resource: Any
    full_url: str | None = None


class FhirFeed:
    """Every resource's id is a digest of its own, so that files can be read apart and again."""

    name = mapping = "fhir-r4"
    reviewer: str | None = None

    def __init__(self) -> None:
        self._files: list[SourceFile] = []

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        self._files = open_source(Path(source), scratch, lambda name: name.lower().endswith(_SUFFIXES))
        # What is derived of all files is made anew when one of them changes.
        everything = sha256(json.dumps([[file.name, file.digest] for file in self._files]).encode())
        return [*self._files, SourceFile(_DERIVED, Path(source), everything, 0)]

    def needs_vocabulary(self) -> bool:
        return True

    def version(self, files: Sequence[SourceFile]) -> str:
        return sha256(b"fhir-r4/2")

    def warnings(self, build: Build) -> list[str]:
        return []

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        medications = _medications(self._files)
        events = EventTable(build)
        others: Counter[str] = Counter()
        for file, record in files:
            with build.file(record) as loading:
                if file.name == _DERIVED:
                    _derive(build, loading, self.name)
                    continue
                _Reading(build, events, loading, medications, others).read(file)
            progress(file.name, loading.rows)
        return [f"{kind} ({count} resources)" for kind, count in sorted(others.items())]


class _Reading:
    """One file into the estate, within its transaction."""

    def __init__(
        self, build: Build, events: EventTable, loading: Loading, medications: dict[str, Any], others: Counter[str]
    ) -> None:
        self._build, self._events, self._loading = build, events, loading
        self._medications, self._others = medications, others
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def read(self, file: SourceFile) -> None:
        self._events.discard()
        references = References(_full_urls(file), self._medications)
        for entry in _entries(file):
            if isinstance(entry, Reject):
                self._loading.rejects.append(entry)
                continue
            self._take(file, entry, references)
        self._flush()
        self._events.route(self._loading)
        self._unique()

    def _take(self, file: SourceFile, entry: _Entry, references: References) -> None:
        resource = entry.resource
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str):
            self._loading.rejects.append(Reject(file.name, entry.line, None, "no FHIR resource"))
            return
        if not understood(kind):
            self._others[kind] += 1
            return
        if "id" not in resource and entry.full_url:
            resource["id"] = entry.full_url.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        try:
            found = list(harmonise(resource, references))
        except Unusable as reason:
            self._loading.rejects.append(_rejected(file, entry, kind, str(reason)))
            return
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            # A value of another shape than FHIR's: an object where a text should be, and the like.
            self._loading.rejects.append(_rejected(file, entry, kind, f"is not shaped as FHIR R4 has it ({error})"))
            return
        for item in found:
            if isinstance(item, Event):
                self._events.add(item)
            else:
                self._rows.setdefault(item.table, []).append(item.values)
        self._loading.rows += 1
        if sum(map(len, self._rows.values())) >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            self._build.insert(tables()[name], self._loading, rows)
        self._rows.clear()

    def _unique(self) -> None:
        """Hospitals and practitioners stand in many files: the first stays."""
        for name in _SHARED:
            key = tables()[name].fields[0].name
            source_id = self._loading.source_id
            self._build.connection.execute(
                f"DELETE FROM {name} WHERE {SOURCE_ID} = {source_id} AND {key} IN "
                f"(SELECT {key} FROM {name} WHERE {SOURCE_ID} <> {source_id})"
            )


def _rejected(file: SourceFile, entry: _Entry, kind: str, reason: str) -> Reject:
    return Reject(file.name, entry.line, None, f"{kind}: {reason}", str(entry.resource.get("id")))


def _derive(build: Build, loading: Loading, feed: str) -> None:
    """From each person's first to last event, the period for which the record is taken to be complete; and what the
    CDM says of its source. Of a resource that stands in two files, the one of the first stays."""
    sql = build.connection.execute
    own = f"(SELECT source_id FROM flip_source WHERE feed = '{feed}')"
    for table in tables().values():
        key = "person_id" if table.name == "death" else table.key.name if table.key else None
        if key is not None and not table.vocabulary:
            sql(
                f"DELETE FROM {table.name} t WHERE {SOURCE_ID} IN {own} AND EXISTS ("
                f"SELECT 1 FROM {table.name} o WHERE o.{key} = t.{key} AND o.{SOURCE_ID} IN {own} "
                f"AND (o.{SOURCE_ID}, o.rowid) < (t.{SOURCE_ID}, t.rowid))"
            )
    sql(
        "INSERT INTO observation_period (observation_period_id, person_id, observation_period_start_date, "
        f"observation_period_end_date, period_type_concept_id, {SOURCE_ID}) "
        f"SELECT person_id, person_id, min(day), max(day), 32817, {loading.source_id} FROM ({dated_rows()}) "
        f"WHERE {SOURCE_ID} IN {own} AND person_id IN (SELECT person_id FROM person WHERE {SOURCE_ID} IN {own}) "
        "GROUP BY person_id"
    )
    derive_eras(build, loading, own)
    sql(
        "INSERT INTO cdm_source (cdm_source_name, cdm_source_abbreviation, cdm_holder, source_description, "
        f"source_release_date, cdm_release_date, cdm_version, cdm_version_concept_id, vocabulary_version, {SOURCE_ID}) "
        "SELECT 'FHIR R4 export', 'FHIR R4', 'not stated', 'FHIR R4 bundles or bulk export', day, day, '5.4', 0, "
        "coalesce((SELECT any_value(vocabulary_version) FROM vocabulary WHERE vocabulary_id = 'None'), 'none'), "
        f"{loading.source_id} FROM (SELECT max(observation_period_end_date) AS day FROM observation_period "
        f"WHERE {SOURCE_ID} = {loading.source_id}) WHERE day IS NOT NULL"
    )


def _open(file: SourceFile) -> IO[bytes]:
    return gzip.open(file.path) if file.name.lower().endswith(".gz") else file.path.open("rb")  # type: ignore[return-value]


def _is_lines(file: SourceFile) -> bool:
    """NDJSON: by its name, or because its first line is a whole resource and a second line follows."""
    name = file.name.lower().removesuffix(".gz")
    if name.endswith((".ndjson", ".jsonl")):
        return True
    with _open(file) as stream:
        first = stream.readline(1 << 24)
        if not stream.read(1):
            return False
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _entries(file: SourceFile) -> Iterator[_Entry | Reject]:
    """The resources of one file, nested bundles unfolded."""
    found = _lines(file) if _is_lines(file) else _document(file)
    for entry in found:
        if isinstance(entry, Reject):
            yield entry
        else:
            yield from _unfolded(entry)


def _unfolded(entry: _Entry) -> Iterator[_Entry]:
    resource = entry.resource
    if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        for inner in resource.get("entry", []):
            if isinstance(inner, dict) and "resource" in inner:
                yield from _unfolded(_Entry(entry.line, inner["resource"], inner.get("fullUrl")))
    else:
        yield entry


def _lines(file: SourceFile) -> Iterator[_Entry | Reject]:
    with _open(file) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                yield _Entry(number, json.loads(line))
            except (ValueError, RecursionError) as error:
                yield Reject(file.name, number, None, f"no JSON ({error})")


def _document(file: SourceFile) -> Iterator[_Entry | Reject]:
    """A bundle, an array of resources, or one resource."""
    if file.size > _WHOLE:
        yield from _streamed(file)
        return
    try:
        with _open(file) as stream:
            content = json.load(stream)
    except (ValueError, RecursionError, OSError, EOFError) as error:
        yield Reject(file.name, getattr(error, "lineno", 1), None, f"no JSON ({error})")
        return
    if isinstance(content, dict) and content.get("resourceType") == "Bundle":
        for number, item in enumerate(content.get("entry", []), start=1):
            if isinstance(item, dict) and "resource" in item:
                yield _Entry(number, item["resource"], item.get("fullUrl"))
    else:
        for number, item in enumerate(content if isinstance(content, list) else [content], start=1):
            yield _Entry(number, item)


def _streamed(file: SourceFile) -> Iterator[_Entry | Reject]:
    import ijson

    number = 0
    try:
        with _open(file) as stream:
            array = stream.read(64).lstrip()[:1] == b"["
        with _open(file) as stream:
            for number, item in enumerate(
                ijson.items(stream, "item" if array else "entry.item", use_float=True), start=1
            ):
                if array:
                    yield _Entry(number, item)
                elif isinstance(item, dict) and "resource" in item:
                    yield _Entry(number, item["resource"], item.get("fullUrl"))
    except (ijson.JSONError, OSError, EOFError) as error:
        yield Reject(file.name, number + 1, None, f"no JSON from here on ({error})")


def _full_urls(file: SourceFile) -> dict[str, str]:
    """Full URLs of a bundle's entries that differ from their resource's id: URL → type and id."""
    found: dict[str, str] = {}
    if _is_lines(file):
        return found
    for entry in _document(file):
        if isinstance(entry, _Entry) and entry.full_url and isinstance(entry.resource, dict):
            kind, identity = entry.resource.get("resourceType"), entry.resource.get("id")
            if identity is not None and not entry.full_url.endswith(str(identity)):
                found[entry.full_url] = f"{kind}/{identity}"
    return found


def _medications(files: Sequence[SourceFile]) -> dict[str, Any]:
    """The codes of every Medication resource, by type and id: prescriptions may refer to those of another file."""
    found: dict[str, Any] = {}
    for file in files:
        if not _mentions_medications(file):
            continue
        for entry in _entries(file):
            resource = entry.resource if isinstance(entry, _Entry) else None
            if isinstance(resource, dict) and resource.get("resourceType") == "Medication":
                identity = resource.get("id") or str(entry.full_url).rsplit(":", 1)[-1]  # type: ignore[union-attr]
                found[f"Medication/{identity}"] = resource.get("code")
    return found


def _mentions_medications(file: SourceFile) -> bool:
    """Whether a file holds Medication resources, without parsing it."""
    overlap = b""
    with _open(file) as stream:
        while block := stream.read(1 << 20):
            text = overlap + block
            if b'"Medication"' in text:
                return True
            overlap = block[-16:]
    return False
