"""Clinical events that carry codes, on their way into OMOP: the domain of an event's concept decides its table.

What a source calls a condition, a procedure or an observation is not asked: a code is looked up in the estate's
vocabulary (``source_to_concept_map`` first, then CONCEPT and its "Maps to"), and the domain of the standard concept
says where the row goes, as HL7's FHIR-to-OMOP guide has it. An unmapped event gets concept 0, keeps its source value,
and goes where its kind says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from datetime import date, datetime
from types import MappingProxyType

from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading
from flipnb.estate.omop.cdm import tables

_CHUNK = 20_000
_MASK = (1 << 63) - 1


def stable_id(name: str) -> int:
    """A 63-bit id that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") & _MASK


@dataclass(frozen=True)
class Code:
    """A code of a vocabulary by OMOP's name for it (or, where OMOP has none, by its system)."""

    vocabulary: str
    code: str
    text: str | None = None


@dataclass
class Event:
    """One thing that happened to one person. ``table`` is where it goes unless its concept's domain says otherwise."""

    id: int
    table: str
    person_id: int
    start: date
    type_concept_id: int
    start_time: datetime | None = None
    end: date | None = None
    end_time: datetime | None = None
    visit_id: int | None = None
    provider_id: int | None = None
    number: float | None = None
    text: str | None = None
    operator: int | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    quantity: float | None = None
    days: int | None = None
    refills: int | None = None
    instructions: str | None = None
    status: str | None = None
    stop_reason: str | None = None
    device: str | None = None
    # A series of images: the study's and its own DICOM UID, and the procedure that it was made in.
    study_uid: str | None = None
    series_uid: str | None = None
    procedure_id: int | None = None
    # A mention in a note: the note, where in it, whether the patient has it, when, and what found it.
    note_id: int | None = None
    offset: str | None = None
    exists: str | None = None
    temporal: str | None = None
    system: str | None = None
    # A substance that a person does not tolerate was not given: it is the value of an observation.
    intolerance: bool = False
    codes: Sequence[Code] = field(default_factory=tuple)
    value_codes: Sequence[Code] = field(default_factory=tuple)
    route_codes: Sequence[Code] = field(default_factory=tuple)


_PLAIN = tuple(item.name for item in fields(Event) if not item.name.endswith("codes"))
_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(_PLAIN, "VARCHAR"),
        **dict.fromkeys(("id", "person_id", "visit_id", "provider_id", "procedure_id", "note_id"), "BIGINT"),
        **dict.fromkeys(("type_concept_id", "operator", "days", "refills"), "INTEGER"),
        **dict.fromkeys(("number", "low", "high", "quantity"), "DOUBLE"),
        **dict.fromkeys(("start", "end"), "DATE"),
        **dict.fromkeys(("start_time", "end_time"), "TIMESTAMP"),
        "intolerance": "BOOLEAN",
    }
)
_ALLERGY_TO_DRUG = 439224

# Domains with a table of their own; rows of every other domain are observations.
_TABLE_OF_DOMAIN = MappingProxyType(
    {
        "Condition": "condition_occurrence",
        "Drug": "drug_exposure",
        "Procedure": "procedure_occurrence",
        "Device": "device_exposure",
        "Measurement": "measurement",
        "Specimen": "specimen",
    }
)


class EventTable:
    """Events of one file wait here, in temporary tables, until ``route`` gives each its table."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._events: list[Event] = []
        self._number = 0
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        for statement in (
            f"CREATE OR REPLACE TEMP TABLE event (number_in_file BIGINT, {columns})",
            "CREATE OR REPLACE TEMP TABLE event_code (number_in_file BIGINT, role VARCHAR, rank INTEGER, "
            "vocabulary VARCHAR, code VARCHAR, text VARCHAR)",
            "CREATE OR REPLACE TEMP TABLE told_domain (concept_id INTEGER, domain_id VARCHAR)",
            "CREATE OR REPLACE TEMP TABLE answered (vocabulary VARCHAR, code VARCHAR)",
            "CREATE OR REPLACE TEMP TABLE known (vocabulary VARCHAR, code VARCHAR, source_concept_id INTEGER)",
            "CREATE OR REPLACE TEMP TABLE mapped (vocabulary VARCHAR, code VARCHAR, concept_id INTEGER, "
            "domain VARCHAR, place BIGINT)",
            "CREATE OR REPLACE TEMP TABLE mapped_value (vocabulary VARCHAR, code VARCHAR, concept_id INTEGER)",
        ):
            build.connection.execute(statement)

    def tell_domains(self, domains: Mapping[int, str]) -> None:
        """Domains of concepts that the estate's vocabulary may not have."""
        if domains:
            self._build.connection.execute(
                "INSERT INTO told_domain SELECT unnest(?::INTEGER[]), unnest(?::VARCHAR[])",
                [list(domains), list(domains.values())],
            )

    def add(self, event: Event) -> None:
        """Take one event; a full chunk goes to the temporary tables."""
        self._events.append(event)
        if len(self._events) >= _CHUNK:
            self._flush()

    def route(self, loading: Loading) -> None:
        """All events that were added, into their tables."""
        self._flush()
        sql = self._build.connection.execute
        self._resolve()
        for statement in (_BEST, _ROUTED):
            sql(statement)
        for table, columns in _TARGETS.items():
            names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
            sql(
                f"INSERT INTO {table} ({names}, {SOURCE_ID}) SELECT {values}, {loading.source_id} "
                f"FROM routed e WHERE e.target = '{table}'"
            )
        for name in ("event", "event_code"):
            sql(f"DELETE FROM {name}")

    def _resolve(self) -> None:
        """Look up the codes that no file before had: an export has thousands, a vocabulary millions."""
        sql = self._build.connection.execute
        sql(_ASKED)
        if sql("SELECT 1 FROM asked LIMIT 1").fetchone():
            for statement in _RESOLVE:
                sql(statement)

    def discard(self) -> None:
        """Forget all events that wait."""
        self._events.clear()
        for name in ("event", "event_code"):
            self._build.connection.execute(f"DELETE FROM {name}")

    def _flush(self) -> None:
        if not self._events:
            return
        first = self._number
        self._number += len(self._events)
        numbers = list(range(first, self._number))
        lists = ", ".join(f"unnest(?::{kind}[])" for kind in ("BIGINT", *_COLUMNS.values()))
        values = [[getattr(event, name) for event in self._events] for name in _PLAIN]
        self._build.connection.execute(f"INSERT INTO event SELECT {lists}", [numbers, *values])
        codes = [
            (number, role, rank, *astuple(code))
            for number, event in zip(numbers, self._events, strict=True)
            for role, given in (("code", event.codes), ("value", event.value_codes), ("route", event.route_codes))
            for rank, code in enumerate(given)
        ]
        if codes:
            self._build.connection.execute(
                "INSERT INTO event_code SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::INTEGER[]), "
                "unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
                [list(column) for column in zip(*codes, strict=True)],
            )
        self._events.clear()


_VALID = "coalesce(invalid_reason, '') = ''"

_ASKED = (
    "CREATE OR REPLACE TEMP TABLE asked AS SELECT DISTINCT vocabulary, code FROM event_code "
    "EXCEPT SELECT vocabulary, code FROM answered"
)

_RESOLVE = (
    # A code's own concept, whether standard or not.
    "INSERT INTO known SELECT k.vocabulary, k.code, min(c.concept_id) AS source_concept_id "
    "FROM asked k JOIN concept c ON c.vocabulary_id = k.vocabulary AND c.concept_code = k.code GROUP BY ALL",
    # Its standard concepts: what the Trust's own map says, else itself, else what it maps to.
    f"""INSERT INTO mapped WITH
    asked_known AS (SELECT known.* FROM known JOIN asked USING (vocabulary, code)),
    own AS (
        SELECT k.vocabulary, k.code, m.target_concept_id AS concept_id FROM asked k JOIN source_to_concept_map m
        ON m.source_vocabulary_id = k.vocabulary AND m.source_code = k.code
        WHERE m.target_concept_id <> 0 AND {_VALID}),
    itself AS (
        SELECT k.vocabulary, k.code, c.concept_id FROM asked_known k JOIN concept c
        ON c.concept_id = k.source_concept_id WHERE c.standard_concept = 'S'),
    other AS (
        SELECT k.vocabulary, k.code, r.concept_id_2 AS concept_id FROM asked_known k JOIN concept_relationship r
        ON r.concept_id_1 = k.source_concept_id WHERE r.relationship_id = 'Maps to' AND {_VALID}),
    chosen AS (
        SELECT * FROM (
            SELECT *, 1 AS choice FROM own UNION SELECT *, 2 FROM itself UNION SELECT *, 3 FROM other)
        QUALIFY choice = min(choice) OVER (PARTITION BY vocabulary, code))
    SELECT m.vocabulary, m.code, m.concept_id, split_part(coalesce(c.domain_id, t.domain_id), '/', 1) AS domain,
        row_number() OVER (PARTITION BY m.vocabulary, m.code ORDER BY m.concept_id) - 1 AS place
    FROM chosen m LEFT JOIN concept c USING (concept_id)
    LEFT JOIN (SELECT concept_id, min(domain_id) AS domain_id FROM told_domain GROUP BY 1) t USING (concept_id)""",
    # The value within a code: "family history of X" maps to a history, with X as its value.
    f"""INSERT INTO mapped_value SELECT k.vocabulary, k.code, min(r.concept_id_2) FROM known k
    JOIN asked USING (vocabulary, code) JOIN concept_relationship r ON r.concept_id_1 = k.source_concept_id
    WHERE r.relationship_id = 'Maps to value' AND {_VALID} GROUP BY ALL""",
    "INSERT INTO answered SELECT * FROM asked",
)

# Of several codes for one thing, the first that is mapped counts, else the first that is known, else the first.
_BEST = """CREATE OR REPLACE TEMP TABLE best AS
    SELECT c.number_in_file, c.role, c.vocabulary, c.code, c.text, k.source_concept_id FROM event_code c
    LEFT JOIN known k USING (vocabulary, code)
    LEFT JOIN (SELECT vocabulary, code, true AS is_mapped FROM mapped WHERE place = 0) m USING (vocabulary, code)
    QUALIFY row_number() OVER (PARTITION BY c.number_in_file, c.role
        ORDER BY m.is_mapped IS NULL, k.source_concept_id IS NULL, c.rank) = 1"""

_CASES = " ".join(f"WHEN '{domain}' THEN '{table}'" for domain, table in _TABLE_OF_DOMAIN.items())
_NOT_GIVEN = "(e.intolerance AND m.domain IN ('Drug', 'Device'))"
_ROUTED = f"""CREATE OR REPLACE TEMP TABLE routed AS WITH
    role AS (
        SELECT b.*, coalesce(m.concept_id, 0) AS concept_id FROM best b
        LEFT JOIN mapped m ON m.vocabulary = b.vocabulary AND m.code = b.code AND m.place = 0),
    ucum AS (
        SELECT concept_code, min(concept_id) AS concept_id FROM concept WHERE vocabulary_id = 'UCUM' GROUP BY 1),
    own_unit AS (
        SELECT source_code, min(target_concept_id) AS concept_id FROM source_to_concept_map m
        JOIN concept c ON c.concept_id = m.target_concept_id
        WHERE c.domain_id = 'Unit' AND coalesce(m.invalid_reason, '') = '' GROUP BY 1)
    SELECT e.* REPLACE ((e.id + coalesce(m.place, 0)) & {_MASK} AS id),
        CASE WHEN m.domain IS NULL OR e.series_uid IS NOT NULL OR e.note_id IS NOT NULL THEN e."table"
            WHEN e.intolerance THEN 'observation'
            ELSE CASE m.domain {_CASES} ELSE 'observation' END END AS target,
        CASE WHEN {_NOT_GIVEN} THEN if(m.domain = 'Drug', {_ALLERGY_TO_DRUG}, 0)
            ELSE coalesce(m.concept_id, 0) END AS concept_id,
        coalesce(if({_NOT_GIVEN}, m.concept_id, NULL), v.concept_id, w.concept_id) AS value_concept_id,
        r.concept_id AS route_concept_id, coalesce(b.source_concept_id, 0) AS source_concept_id,
        left(coalesce(b.code, b.text), 50) AS source_value,
        left(coalesce(v.code, v.text), 50) AS value_code, left(coalesce(v.text, v.code), 60) AS value_text,
        left(coalesce(r.code, r.text), 50) AS route_source_value,
        if(e.unit IS NULL, NULL, coalesce(o.concept_id, u.concept_id, 0)) AS unit_concept_id
    FROM event e
    LEFT JOIN best b ON b.number_in_file = e.number_in_file AND b.role = 'code'
    LEFT JOIN mapped m ON m.vocabulary = b.vocabulary AND m.code = b.code
    LEFT JOIN mapped_value w ON w.vocabulary = b.vocabulary AND w.code = b.code
    LEFT JOIN role v ON v.number_in_file = e.number_in_file AND v.role = 'value'
    LEFT JOIN role r ON r.number_in_file = e.number_in_file AND r.role = 'route'
    LEFT JOIN ucum u ON u.concept_code = e.unit
    LEFT JOIN own_unit o ON o.source_code = e.unit"""

_VISIT = {"provider_id": "provider_id", "visit_occurrence_id": "visit_id"}
_UNIT = {"unit_concept_id": "unit_concept_id", "unit_source_value": "left(unit, 50)"}
_VALUE_SOURCE = "left(coalesce(value_code, text, CAST(number AS VARCHAR)), 50)"

_TARGETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "condition_occurrence": {
            "condition_occurrence_id": "id",
            "person_id": "person_id",
            "condition_concept_id": "concept_id",
            "condition_start_date": "start",
            "condition_start_datetime": "start_time",
            "condition_end_date": '"end"',
            "condition_end_datetime": "end_time",
            "condition_type_concept_id": "type_concept_id",
            "condition_status_source_value": "left(status, 50)",
            "stop_reason": "left(stop_reason, 20)",
            "condition_source_value": "source_value",
            "condition_source_concept_id": "source_concept_id",
            **_VISIT,
        },
        "drug_exposure": {
            "drug_exposure_id": "id",
            "person_id": "person_id",
            "drug_concept_id": "concept_id",
            "drug_exposure_start_date": "start",
            "drug_exposure_start_datetime": "start_time",
            "drug_exposure_end_date": 'coalesce("end", start + greatest(coalesce(days, 1) - 1, 0))',
            "drug_exposure_end_datetime": "end_time",
            "verbatim_end_date": '"end"',
            "drug_type_concept_id": "type_concept_id",
            "stop_reason": "left(stop_reason, 20)",
            "refills": "refills",
            "quantity": "quantity",
            "days_supply": "days",
            "sig": "instructions",
            "route_concept_id": "route_concept_id",
            "route_source_value": "route_source_value",
            "dose_unit_source_value": "left(unit, 50)",
            "drug_source_value": "source_value",
            "drug_source_concept_id": "source_concept_id",
            **_VISIT,
        },
        "procedure_occurrence": {
            "procedure_occurrence_id": "id",
            "person_id": "person_id",
            "procedure_concept_id": "concept_id",
            "procedure_date": "start",
            "procedure_datetime": "start_time",
            "procedure_end_date": '"end"',
            "procedure_end_datetime": "end_time",
            "procedure_type_concept_id": "type_concept_id",
            "procedure_source_value": "source_value",
            "procedure_source_concept_id": "source_concept_id",
            **_VISIT,
        },
        "device_exposure": {
            "device_exposure_id": "id",
            "person_id": "person_id",
            "device_concept_id": "concept_id",
            "device_exposure_start_date": "start",
            "device_exposure_start_datetime": "start_time",
            "device_exposure_end_date": '"end"',
            "device_exposure_end_datetime": "end_time",
            "device_type_concept_id": "type_concept_id",
            "unique_device_id": "left(device, 255)",
            "device_source_value": "source_value",
            "device_source_concept_id": "source_concept_id",
            **_UNIT,
            **_VISIT,
        },
        "measurement": {
            "measurement_id": "id",
            "person_id": "person_id",
            "measurement_concept_id": "concept_id",
            "measurement_date": "start",
            "measurement_datetime": "start_time",
            "measurement_type_concept_id": "type_concept_id",
            "operator_concept_id": "operator",
            "value_as_number": "number",
            "value_as_concept_id": "value_concept_id",
            "range_low": "low",
            "range_high": "high",
            "measurement_source_value": "source_value",
            "measurement_source_concept_id": "source_concept_id",
            "value_source_value": _VALUE_SOURCE,
            **_UNIT,
            **_VISIT,
        },
        "observation": {
            "observation_id": "id",
            "person_id": "person_id",
            "observation_concept_id": "concept_id",
            "observation_date": "start",
            "observation_datetime": "start_time",
            "observation_type_concept_id": "type_concept_id",
            "value_as_number": "number",
            "value_as_string": "left(coalesce(text, value_text), 60)",
            "value_as_concept_id": "value_concept_id",
            "observation_source_value": "source_value",
            "observation_source_concept_id": "source_concept_id",
            "value_source_value": _VALUE_SOURCE,
            **_UNIT,
            **_VISIT,
        },
        "image_occurrence": {
            "image_occurrence_id": "id",
            "person_id": "person_id",
            "visit_occurrence_id": "visit_id",
            "procedure_occurrence_id": "procedure_id",
            "image_occurrence_date": "start",
            "image_study_uid": "study_uid",
            "image_series_uid": "series_uid",
            "modality_concept_id": "concept_id",
            "anatomic_site_concept_id": "value_concept_id",
        },
        "note_nlp": {
            "note_nlp_id": "id",
            "note_id": "note_id",
            "lexical_variant": "left(text, 250)",
            "offset": 'left("offset", 50)',
            "note_nlp_concept_id": "concept_id",
            "note_nlp_source_concept_id": "source_concept_id",
            "nlp_system": "left(system, 250)",
            "nlp_date": "start",
            "nlp_datetime": "start_time",
            "term_exists": '"exists"',
            "term_temporal": "temporal",
            # The table has no column for the code itself.
            "term_modifiers": "'code=' || source_value",
        },
        "specimen": {
            "specimen_id": "id",
            "person_id": "person_id",
            "specimen_concept_id": "concept_id",
            "specimen_type_concept_id": "type_concept_id",
            "specimen_date": "start",
            "specimen_datetime": "start_time",
            "quantity": "quantity",
            "specimen_source_value": "source_value",
            **_UNIT,
        },
    }
)


def dated_rows() -> str:
    """SQL: person_id, day, source id of every start and end in the tables that events go to, and of visits."""
    parts = []
    for name in (*(set(_TARGETS) - {"note_nlp"}), "visit_occurrence"):
        table = tables()[name]
        days = [item.name for item in table.fields if item.type == "DATE" and item.name.endswith("_date")]
        parts += [
            f"SELECT person_id, {day} AS day, {SOURCE_ID} FROM {name} WHERE {day} IS NOT NULL"
            for day in days
            if day != "verbatim_end_date"
        ]
    return " UNION ALL ".join(parts)
