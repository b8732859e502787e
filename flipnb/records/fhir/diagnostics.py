"""What was found: Observation, ImagingStudy, DiagnosticReport."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from flipnb.records.fhir import systems
from flipnb.records.fhir.elements import (
    Element,
    codeable,
    coding,
    comparator,
    concept_codings,
    fixed,
    moment,
    quantity,
    reference,
    text,
    without_nothing,
)
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.systems import DICOM
from flipnb.records.fhir.table import CODED, EVENT, Row, Table, columns, encounter_of

# LOINC codes that FHIR's vital signs profiles define (hl7.org/fhir/R4/observation-vitalsigns.html).
VITAL_SIGNS = (
    "85353-1", "9279-1", "8867-4", "2708-6", "59408-5", "8310-5", "8302-2", "9843-4", "8306-3", "29463-7", "3141-9",
    "39156-5", "85354-9", "8480-6", "8462-4", "8478-0",
)  # fmt: skip

_VALUE = (
    "value_as_number", "value_as_concept_id", "unit_concept_id", "unit_source_value", "value_source_value",
)  # fmt: skip

_FIRST_OF_STUDY = (
    "t.image_occurrence_id IN (SELECT min(image_occurrence_id) FROM image_occurrence "
    "GROUP BY COALESCE(image_study_uid, CAST(image_occurrence_id AS VARCHAR)))"
)


def observation_category(store: Store, concept_id: int | None, default: str | None) -> str | None:
    """The category of an observation's concept: LOINC's class says it, and FHIR's list of vital signs."""
    concept = store.concept(concept_id)
    if concept is not None and concept.vocabulary == "LOINC":
        if concept.code in VITAL_SIGNS:
            return "vital-signs"
        by_class = {"Lab Test": "laboratory", "Survey": "survey", "Clinical Observation": "exam"}
        return by_class.get(concept.concept_class, default)
    return default


def _value(store: Store, row: Row) -> Element:
    value = quantity(store, row.get("value_as_number"), row.get("unit_concept_id"), row.get("unit_source_value"))
    if value is not None:
        return {"valueQuantity": without_nothing({"comparator": comparator(row.get("operator_concept_id")), **value})}
    if row.get("value_as_concept_id"):
        return {
            "valueCodeableConcept": codeable(store, row["value_as_concept_id"], source=row.get("value_source_value"))
        }
    words = text(row.get("value_as_string")) or text(row.get("value_source_value"))
    if words is not None:
        return {"valueString": words}
    return {"dataAbsentReason": fixed(systems.DATA_ABSENT, "unknown")}


def _observation(prefix: str, default_category: str | None) -> Callable[[Store, Row], Element]:
    def build(store: Store, row: Row) -> Element:
        concept = row.get(f"{prefix}_concept_id")
        category = observation_category(store, concept, default_category)
        source = row.get(f"{prefix}_source_value")
        bounds = {
            "low": quantity(store, row.get("range_low"), row.get("unit_concept_id"), row.get("unit_source_value")),
            "high": quantity(store, row.get("range_high"), row.get("unit_concept_id"), row.get("unit_source_value")),
        }
        return {
            "status": "final",
            "category": [fixed(systems.OBSERVATION_CATEGORY, category)] if category else None,
            "code": codeable(store, concept, row.get(f"{prefix}_source_concept_id"), source=source)
            or {"text": "unmapped"},
            "subject": reference(store, "Patient", row["person_id"]),
            "encounter": encounter_of(store, row),
            "effectiveDateTime": moment(row.get(f"{prefix}_date"), row.get(f"{prefix}_datetime")),
            **_value(store, row),
            "referenceRange": [without_nothing(bounds)] if any(bounds.values()) else None,
        }

    return build


def _add_series(store: Store, rows: list[dict[str, Any]]) -> None:
    """The imaging extension of OMOP (MI-CDM) has a row for each series; a study is known by its first."""
    uids = sorted({row["image_study_uid"] for row in rows if row.get("image_study_uid")})
    if not uids or not store.has("image_occurrence", "image_series_uid", "modality_concept_id"):
        return
    site = "anatomic_site_concept_id" if store.has("image_occurrence", "anatomic_site_concept_id") else "NULL"
    query = (
        f"SELECT image_study_uid, image_series_uid, modality_concept_id, {site} FROM image_occurrence "
        f"WHERE image_study_uid IN ({', '.join('?' * len(uids))}) ORDER BY image_occurrence_id"
    )
    found = list(store.database.rows(query, uids))
    store.load_concepts(number for row in found for number in row[2:])
    for row in rows:
        row["series"] = [item[1:] for item in found if item[0] == row.get("image_study_uid")]


def _modality(store: Store, concept_id: int | None) -> Element | None:
    codes = concept_codings(store, concept_id)
    return next((code for code in codes if code["system"] == DICOM), codes[0] if codes else None)


def _imaging_study(store: Store, row: Row) -> Element:
    uid = text(row.get("image_study_uid"))
    series = [
        without_nothing(
            {
                "uid": text(series_uid),
                "modality": _modality(store, modality) or coding(systems.NULL_FLAVOR, "UNK"),
                "bodySite": next(iter(concept_codings(store, site)), None),
            }
        )
        for series_uid, modality, site in row.get("series", ())
        if text(series_uid) is not None
    ]
    modalities: list[Element] = []
    for part in series:
        if part["modality"] not in modalities:
            modalities.append(part["modality"])
    return {
        "identifier": [{"system": systems.DICOM_UID, "value": f"urn:oid:{uid}"}] if uid else None,
        "status": "available",
        "modality": modalities,
        "subject": reference(store, "Patient", row["person_id"]),
        "encounter": encounter_of(store, row),
        "started": moment(row.get("image_occurrence_date"), None),
        "numberOfSeries": len(series) or None,
        "series": series,
    }


def _diagnostic_report(store: Store, row: Row) -> Element:
    body = row.get("note_text")
    title = text(row.get("note_title"))
    attachment = (
        {
            "contentType": "text/plain; charset=utf-8",
            "data": base64.b64encode(str(body).encode()).decode(),
            "title": title,
        }
        if body
        else None
    )
    kind = codeable(store, row.get("note_class_concept_id"), row.get("note_type_concept_id"), source=title)
    return {
        "status": "final",
        "code": kind or {"text": "Clinical note"},
        "subject": reference(store, "Patient", row["person_id"]),
        "encounter": encounter_of(store, row),
        "effectiveDateTime": moment(row.get("note_date"), row.get("note_datetime")),
        "presentedForm": [without_nothing(attachment)] if attachment else None,
    }


MEASURED = Table(
    "Observation",
    "measurement",
    "measurement_id",
    (
        "measurement_id",
        *EVENT,
        *columns("measurement", *CODED, "date", "datetime"),
        *_VALUE,
        "operator_concept_id",
        "range_low",
        "range_high",
    ),
    _observation("measurement", "laboratory"),
    "m-",
)

OBSERVED = Table(
    "Observation",
    "observation",
    "observation_id",
    ("observation_id", *EVENT, *columns("observation", *CODED, "date", "datetime"), *_VALUE, "value_as_string"),
    _observation("observation", None),
    "o-",
)

IMAGING_STUDY = Table(
    "ImagingStudy",
    "image_occurrence",
    "image_occurrence_id",
    ("image_occurrence_id", *EVENT, "image_occurrence_date", "image_study_uid"),
    _imaging_study,
    only=_FIRST_OF_STUDY,
    detail=_add_series,
)

DIAGNOSTIC_REPORT = Table(
    "DiagnosticReport",
    "note",
    "note_id",
    (
        "note_id",
        *EVENT,
        "note_date",
        "note_datetime",
        "note_title",
        "note_text",
        "note_class_concept_id",
        "note_type_concept_id",
    ),
    _diagnostic_report,
)
