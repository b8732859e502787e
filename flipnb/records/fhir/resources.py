"""What a row of each OMOP table becomes in FHIR R4 (after HL7's FHIR to OMOP guide, read the other way).

A resource's required elements are always there. What OMOP does not know is left out or said to be unknown; nothing is
invented: a status is the only one that a record of the past can have.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flipnb.records.fhir import systems
from flipnb.records.fhir.elements import (
    Element,
    codeable,
    coding,
    comparator,
    concept_codings,
    day,
    decimal,
    fixed,
    moment,
    quantity,
    reference,
    text,
    without_nothing,
)
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.systems import DICOM, OHDSI, PERSON

Row = Mapping[str, Any]

GENDERS = {8507: "male", 8532: "female", 0: "unknown", 8551: "unknown"}

# OMOP visit concept → v3 ActCode, the value set of Encounter.class.
VISIT_CLASSES = {
    9201: ("IMP", "inpatient encounter"),
    8717: ("IMP", "inpatient encounter"),
    9202: ("AMB", "ambulatory"),
    9203: ("EMER", "emergency"),
    8870: ("EMER", "emergency"),
    262: ("EMER", "emergency"),
    581476: ("HH", "home health"),
    5083: ("VR", "virtual"),
    722455: ("VR", "virtual"),
    32037: ("ACUTE", "inpatient acute"),
    581385: ("OBSENC", "observation encounter"),
}

# LOINC codes that FHIR's vital signs profiles define (hl7.org/fhir/R4/observation-vitalsigns.html).
VITAL_SIGNS = (
    "85353-1", "9279-1", "8867-4", "2708-6", "59408-5", "8310-5", "8302-2", "9843-4", "8306-3", "29463-7", "3141-9",
    "39156-5", "85354-9", "8480-6", "8462-4", "8478-0",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table whose rows are resources of one type.

    ``prefix`` begins their ids where a type has several tables, ``only`` is a condition (SQL) that holds for those rows
    that are resources, ``detail`` adds to a page of rows what other rows say of them.
    """

    resource: str
    name: str
    key: str
    columns: tuple[str, ...]
    build: Callable[[Store, Row], Element]
    prefix: str = ""
    only: str = ""
    detail: Callable[[Store, list[dict[str, Any]]], None] | None = None

    @property
    def kind(self) -> str:
        """What pseudonyms of its keys are made for: the resource's type, as references write it."""
        return self.resource if not self.prefix else f"{self.resource}/{self.prefix}"


def resource_id(store: Store, table: Table, number: int) -> str:
    return table.prefix + store.pseudonyms.encode(table.kind, int(number))


def resource(store: Store, table: Table, row: Row) -> Element:
    """The whole resource, with its id and version."""
    body = table.build(store, row)
    head: Element = {
        "resourceType": table.resource,
        "id": resource_id(store, table, row[table.key]),
        "meta": {
            "versionId": store.version,
            "lastUpdated": store.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        },
    }
    return {**head, **without_nothing(body)}


def concept_ids(table: Table, row: Row) -> list[int | None]:
    """Every concept that a row names."""
    return [row.get(column) for column in table.columns if column.endswith("_concept_id")]


def _patient(store: Store, row: Row) -> Element:
    born: str | None = None
    if row.get("year_of_birth"):
        born = f"{int(row['year_of_birth']):04d}"
        if row.get("month_of_birth"):
            born += f"-{int(row['month_of_birth']):02d}"
            if row.get("day_of_birth"):
                born += f"-{int(row['day_of_birth']):02d}"
    return {
        "identifier": [{"system": PERSON, "value": store.pseudonyms.encode("Patient", int(row["person_id"]))}],
        "gender": GENDERS.get(row.get("gender_concept_id") or 0, "other"),
        "birthDate": born,
        "deceasedDateTime": moment(row.get("death_date"), row.get("death_datetime")),
    }


def _add_deaths(store: Store, rows: list[dict[str, Any]]) -> None:
    if not rows or not store.has("death", "person_id", "death_date"):
        return
    at = "death_datetime" if store.has("death", "death_datetime") else "NULL"
    people = ", ".join(str(int(row["person_id"])) for row in rows)
    found = store.database.rows(f"SELECT person_id, death_date, {at} FROM death WHERE person_id IN ({people})")
    deaths = {int(person): (on, moment_of) for person, on, moment_of in found}
    for row in rows:
        row["death_date"], row["death_datetime"] = deaths.get(int(row["person_id"]), (None, None))


def _encounter_of(store: Store, row: Row) -> Element | None:
    return reference(store, "Encounter", row.get("visit_occurrence_id"))


def _condition(store: Store, row: Row) -> Element:
    end = moment(row.get("condition_end_date"), row.get("condition_end_datetime"))
    encounter = _encounter_of(store, row)
    category = "problem-list-item" if encounter is None else "encounter-diagnosis"
    return {
        "clinicalStatus": fixed(systems.CONDITION_CLINICAL, "active" if end is None else "resolved"),
        "verificationStatus": fixed(systems.CONDITION_VERIFICATION, "confirmed"),
        "category": [fixed(systems.CONDITION_CATEGORY, category)],
        "code": codeable(
            store,
            row.get("condition_concept_id"),
            row.get("condition_source_concept_id"),
            source=row.get("condition_source_value"),
        ),
        "subject": reference(store, "Patient", row["person_id"]),
        "encounter": encounter,
        "onsetDateTime": moment(row.get("condition_start_date"), row.get("condition_start_datetime")),
        "abatementDateTime": end,
    }


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
            "encounter": _encounter_of(store, row),
            "effectiveDateTime": moment(row.get(f"{prefix}_date"), row.get(f"{prefix}_datetime")),
            **_value(store, row),
            "referenceRange": [without_nothing(bounds)] if any(bounds.values()) else None,
        }

    return build


def _medication_request(store: Store, row: Row) -> Element:
    start = day(row.get("drug_exposure_start_date"))
    end = day(row.get("drug_exposure_end_date"))
    supply = decimal(row.get("days_supply"))
    repeats = decimal(row.get("refills"))
    amount = decimal(row.get("quantity"))
    dispense = without_nothing(
        {
            "validityPeriod": _period(start, end),
            "numberOfRepeatsAllowed": int(repeats) if repeats and repeats > 0 else None,
            "quantity": {"value": amount} if amount is not None and amount > 0 else None,
            "expectedSupplyDuration": (
                {"value": supply, "unit": "days", "system": systems.UCUM, "code": "d"}
                if supply and supply > 0
                else None
            ),
        }
    )
    dosage = without_nothing(
        {
            "text": text(row.get("sig")),
            "route": codeable(store, row.get("route_concept_id"), source=row.get("route_source_value")),
        }
    )
    return {
        "status": "completed" if end else "unknown",
        "intent": "order",
        "medicationCodeableConcept": codeable(
            store, row.get("drug_concept_id"), row.get("drug_source_concept_id"), source=row.get("drug_source_value")
        )
        or {"text": "unmapped"},
        "subject": reference(store, "Patient", row["person_id"]),
        "encounter": _encounter_of(store, row),
        "authoredOn": moment(row.get("drug_exposure_start_date"), row.get("drug_exposure_start_datetime")),
        "dosageInstruction": [dosage] if dosage else None,
        "dispenseRequest": dispense,
    }


def _period(start: str | None, end: str | None) -> Element | None:
    """A Period, whose end is not before its start (FHIR's invariant per-1)."""
    if start is not None and end is not None and end[:10] < start[:10]:
        end = None
    return without_nothing({"start": start, "end": end}) or None


def _procedure(store: Store, row: Row) -> Element:
    start = moment(row.get("procedure_date"), row.get("procedure_datetime"))
    end = moment(row.get("procedure_end_date"), row.get("procedure_end_datetime"))
    lasted = end is not None and start is not None and end[:10] > start[:10]
    return {
        "status": "completed",
        "code": codeable(
            store,
            row.get("procedure_concept_id"),
            row.get("procedure_source_concept_id"),
            source=row.get("procedure_source_value"),
        ),
        "subject": reference(store, "Patient", row["person_id"]),
        "encounter": _encounter_of(store, row),
        "performedPeriod": _period(start, end) if lasted else None,
        "performedDateTime": None if lasted else start,
    }


def _encounter(store: Store, row: Row) -> Element:
    concept = row.get("visit_concept_id")
    known = VISIT_CLASSES.get(int(concept or 0))
    kind = codeable(store, concept, row.get("visit_source_concept_id"))
    return {
        "status": "finished" if row.get("visit_end_date") else "unknown",
        "class": coding(systems.ACT_CODE, *known) if known else coding(systems.NULL_FLAVOR, "UNK", "unknown"),
        "type": [kind] if kind else None,
        "subject": reference(store, "Patient", row["person_id"]),
        "period": _period(
            moment(row.get("visit_start_date"), row.get("visit_start_datetime")),
            moment(row.get("visit_end_date"), row.get("visit_end_datetime")),
        ),
    }


_FIRST_OF_STUDY = (
    "t.image_occurrence_id IN (SELECT min(image_occurrence_id) FROM image_occurrence "
    "GROUP BY COALESCE(image_study_uid, CAST(image_occurrence_id AS VARCHAR)))"
)


def _add_series(store: Store, rows: list[dict[str, Any]]) -> None:
    """The imaging extension of OMOP (MI-CDM) has a row for each series; a study is known by its first."""
    uids = sorted({row["image_study_uid"] for row in rows if row.get("image_study_uid")})
    if not uids or not store.has("image_occurrence", "image_series_uid", "modality_concept_id"):
        return
    site = "anatomic_site_concept_id" if store.has("image_occurrence", "anatomic_site_concept_id") else "NULL"
    found = store.database.rows(
        f"SELECT image_study_uid, image_series_uid, modality_concept_id, {site} FROM image_occurrence "
        f"WHERE image_study_uid IN ({', '.join('?' * len(uids))}) ORDER BY image_occurrence_id",
        uids,
    )
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
        "encounter": _encounter_of(store, row),
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
        "encounter": _encounter_of(store, row),
        "effectiveDateTime": moment(row.get("note_date"), row.get("note_datetime")),
        "presentedForm": [without_nothing(attachment)] if attachment else None,
    }


_EVENT = ("person_id", "visit_occurrence_id")
_VALUE = (
    "value_as_number", "value_as_concept_id", "unit_concept_id", "unit_source_value", "value_source_value",
)  # fmt: skip


def _names(prefix: str, *endings: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{ending}" for ending in endings)


_CODED = ("concept_id", "source_concept_id", "source_value")

TABLES: tuple[Table, ...] = (
    Table(
        "Patient",
        "person",
        "person_id",
        ("person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth"),
        _patient,
        detail=_add_deaths,
    ),
    Table(
        "Condition",
        "condition_occurrence",
        "condition_occurrence_id",
        (
            "condition_occurrence_id",
            *_EVENT,
            *_names("condition", *_CODED, "start_date", "start_datetime", "end_date"),
            "condition_end_datetime",
        ),
        _condition,
    ),
    Table(
        "Observation",
        "measurement",
        "measurement_id",
        (
            "measurement_id",
            *_EVENT,
            *_names("measurement", *_CODED, "date", "datetime"),
            *_VALUE,
            "operator_concept_id",
            "range_low",
            "range_high",
        ),
        _observation("measurement", "laboratory"),
        "m-",
    ),
    Table(
        "Observation",
        "observation",
        "observation_id",
        ("observation_id", *_EVENT, *_names("observation", *_CODED, "date", "datetime"), *_VALUE, "value_as_string"),
        _observation("observation", None),
        "o-",
    ),
    Table(
        "MedicationRequest",
        "drug_exposure",
        "drug_exposure_id",
        (
            "drug_exposure_id",
            *_EVENT,
            *_names("drug", *_CODED),
            *_names("drug_exposure", "start_date", "start_datetime", "end_date"),
            "refills",
            "quantity",
            "days_supply",
            "sig",
            "route_concept_id",
            "route_source_value",
        ),
        _medication_request,
    ),
    Table(
        "Procedure",
        "procedure_occurrence",
        "procedure_occurrence_id",
        (
            "procedure_occurrence_id",
            *_EVENT,
            *_names("procedure", *_CODED, "date", "datetime", "end_date"),
            "procedure_end_datetime",
        ),
        _procedure,
    ),
    Table(
        "Encounter",
        "visit_occurrence",
        "visit_occurrence_id",
        (
            "visit_occurrence_id",
            "person_id",
            "visit_concept_id",
            "visit_source_concept_id",
            *_names("visit", "start_date", "start_datetime", "end_date", "end_datetime"),
        ),
        _encounter,
    ),
    Table(
        "ImagingStudy",
        "image_occurrence",
        "image_occurrence_id",
        ("image_occurrence_id", *_EVENT, "image_occurrence_date", "image_study_uid"),
        _imaging_study,
        only=_FIRST_OF_STUDY,
        detail=_add_series,
    ),
    Table(
        "DiagnosticReport",
        "note",
        "note_id",
        (
            "note_id",
            *_EVENT,
            "note_date",
            "note_datetime",
            "note_title",
            "note_text",
            "note_class_concept_id",
            "note_type_concept_id",
        ),
        _diagnostic_report,
    ),
)

RESOURCES = tuple(dict.fromkeys(table.resource for table in TABLES))


def tables_of(kind: str) -> tuple[Table, ...]:
    return tuple(table for table in TABLES if table.resource == kind)


__all__ = ["OHDSI", "RESOURCES", "TABLES", "Table", "concept_ids", "resource", "resource_id", "tables_of"]
