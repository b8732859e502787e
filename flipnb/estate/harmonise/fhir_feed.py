"""``--mapping fhir-r4``: FHIR R4 bundles and NDJSON bulk exports, streamed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flipnb.contracts.document import sha256
from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading, SourceRecord, filled_tables
from flipnb.estate.harmonise.eras import derive_eras
from flipnb.estate.harmonise.events import Event, EventTable, dated_rows
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.fhir_elements import References, Unusable
from flipnb.estate.harmonise.fhir_entries import SUFFIXES, Entry, document, entries, is_lines, opened
from flipnb.estate.harmonise.fhir_resources import harmonise, understood
from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.omop.cdm import tables

_CHUNK = 20_000
_DERIVED = "(observation periods)"
_SHARED = ("care_site", "provider")


class FhirFeed:
    """Every resource's id is a digest of its own, so that files can be read apart and again."""

    name = mapping = "fhir-r4"
    reviewer: str | None = None

    def __init__(self) -> None:
        self._files: list[SourceFile] = []

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """FHIR's files of the source, and one more, of no bytes, for what is derived of all of them."""
        self._files = open_source(Path(source), scratch, lambda name: name.lower().endswith(SUFFIXES))
        # What is derived of all files is made anew when one of them changes.
        everything = sha256(json.dumps([[file.name, file.digest] for file in self._files]).encode())
        return [*self._files, SourceFile(_DERIVED, Path(source), everything, 0)]

    def needs_vocabulary(self) -> bool:
        """Yes: the domain of a code's concept decides its table."""
        return True

    def version(self, files: Sequence[SourceFile]) -> str:
        """A digest of this feed's own rules alone."""
        return sha256(b"fhir-r4/4")

    def warnings(self, build: Build) -> list[str]:
        """None: what it can't use is rejected by line."""
        return []

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """Each file's resources into their domains' tables, then what is derived of all; the types passed over."""
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
        for entry in entries(file):
            if isinstance(entry, Reject):
                self._loading.rejects.append(entry)
                continue
            self._take(file, entry, references)
        self._flush()
        self._events.route(self._loading)
        self._unique()

    def _take(self, file: SourceFile, entry: Entry, references: References) -> None:
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
            self._build.insert(filled_tables()[name], self._loading, rows)
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


def _rejected(file: SourceFile, entry: Entry, kind: str, reason: str) -> Reject:
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


def _full_urls(file: SourceFile) -> dict[str, str]:
    """Full URLs of a bundle's entries that differ from their resource's id: URL → type and id."""
    found: dict[str, str] = {}
    if is_lines(file):
        return found
    for entry in document(file):
        if isinstance(entry, Entry) and entry.full_url and isinstance(entry.resource, dict):
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
        for entry in entries(file):
            resource = entry.resource if isinstance(entry, Entry) else None
            if isinstance(resource, dict) and resource.get("resourceType") == "Medication":
                identity = resource.get("id") or str(entry.full_url).rsplit(":", 1)[-1]  # type: ignore[union-attr]
                found[f"Medication/{identity}"] = resource.get("code")
    return found


def _mentions_medications(file: SourceFile) -> bool:
    """Whether a file holds Medication resources, without parsing it."""
    overlap = b""
    with opened(file) as stream:
        while block := stream.read(1 << 20):
            text = overlap + block
            if b'"Medication"' in text:
                return True
            overlap = block[-16:]
    return False
