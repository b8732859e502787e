"""FHIR R4 resources as people, visits and clinical events.

Ids are digests of a resource's type and id, so that the same resource has the same id in every load and every file.
Times keep the wall clock of where they were recorded; a date without a day or month begins with its first. Records that
say that something was not so or not done (entered in error, refuted, not done, cancelled) make no rows.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from flipnb.estate.harmonise.events import Event, stable_id
from flipnb.estate.harmonise.fhir_elements import (
    References,
    Resource,
    Unusable,
    codes_of,
    ending,
    first_of,
    is_valued,
    label_of,
    many,
    number_of,
    person_of,
    provider_id,
    provider_of,
    set_value,
    unit_of,
    when,
)
from flipnb.estate.harmonise.fhir_numbers import Harmonised, accessions_of, numbers_of

_GENDERS = {"male": 8507, "female": 8532}
# CDC race and ethnicity codes of US Core, as OMOP's concepts.
_RACES = {"1002-5": 8657, "2028-9": 8515, "2054-5": 8516, "2076-8": 8557, "2106-3": 8527}
_ETHNICITIES = {"2135-2": 38003563, "2186-5": 38003564}
# HL7 ActCode encounter classes as OMOP's visits: outpatient, inpatient, emergency, home, telehealth.
_VISITS = {
    "AMB": 9202, "IMP": 9201, "ACUTE": 9201, "NONAC": 9201, "SS": 9201, "EMER": 9203, "HH": 581476, "VR": 722455,
}  # fmt: skip
_EHR, _PRESCRIPTION, _ADMINISTRATION, _DISPENSING = 32817, 32838, 32818, 32825
_UTF8 = 32678

_NOT_SO = frozenset(
    {
        "entered-in-error",
        "not-done",
        "cancelled",
        "refuted",
        "preparation",
        "draft",
        "proposed",
        "planned",
        "stopped-draft",
    }
)
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


def harmonise(resource: Resource, references: References) -> Iterator[Event | Harmonised]:
    """The rows of one resource. Raises Unusable for one that should have rows and can't."""
    reader = _READERS.get(str(resource.get("resourceType")))
    if reader is None or _status(resource) in _NOT_SO:
        return
    if "id" not in resource:
        raise Unusable("the resource has no id")
    yield from reader(resource, references)


def understood(kind: str) -> bool:
    """Whether resources of this type make rows (Medication does through those that refer to it)."""
    return kind in _READERS or kind == "Medication"


def _status(resource: Resource) -> str:
    verification = resource.get("verificationStatus")
    codes = codes_of(verification) if verification else ()
    if any(code.code in _NOT_SO for code in codes) or resource.get("doNotPerform") is True:
        return "not-done"
    if resource.get("intent") in ("proposal", "plan", "option"):
        return "planned"
    return str(resource.get("status", ""))


def _patient(resource: Resource, references: References) -> Iterator[Harmonised]:
    person_id = stable_id(f"Patient/{resource['id']}")
    born = str(resource.get("birthDate") or "")
    if not born[:4].isdigit():
        raise Unusable("birthDate is missing")
    parts = [int(part) for part in born[:10].split("-") if part.isdigit()]
    gender = resource.get("gender")
    race, ethnicity = _category(resource, "race"), _category(resource, "ethnicity")
    yield Harmonised(
        "person",
        {
            "person_id": person_id,
            "gender_concept_id": _GENDERS.get(str(gender), 0),
            "year_of_birth": parts[0],
            "month_of_birth": parts[1] if len(parts) > 1 else None,
            "day_of_birth": parts[2] if len(parts) > 2 else None,
            "race_concept_id": _RACES.get(race or "", 0),
            "ethnicity_concept_id": _ETHNICITIES.get(ethnicity or "", 0),
            "provider_id": next(
                (found for item in resource.get("generalPractitioner", []) if (found := provider_id(item, None))), None
            ),
            "person_source_value": str(resource["id"])[:50],
            "gender_source_value": gender,
            "race_source_value": race,
            "ethnicity_source_value": ethnicity,
        },
    )
    if resource.get("deceasedDateTime"):
        day, moment = when(resource["deceasedDateTime"])
        values = {"person_id": person_id, "death_date": day, "death_datetime": moment, "death_type_concept_id": _EHR}
        yield Harmonised("death", values)
    yield from numbers_of(resource, references)


def _category(resource: Resource, name: str) -> str | None:
    """The code of US Core's race or ethnicity, else its text."""
    for extension in resource.get("extension", []):
        if extension.get("url") == _US_CORE + name:
            inner = extension.get("extension", [])
            coded = (item["valueCoding"].get("code") for item in inner if item.get("url") == "ombCategory")
            text = (item.get("valueString") for item in inner if item.get("url") == "text")
            return next(coded, None) or next(text, None)
    return None


def _encounter(resource: Resource, references: References) -> Iterator[Harmonised]:
    period = resource.get("period") or {}
    start, start_time = when(period.get("start"))
    end, end_time = when(period.get("end")) if period.get("end") else (start, start_time)
    kind = resource.get("class") or {}
    hospital = resource.get("hospitalization") or {}
    visit = {
        "visit_occurrence_id": stable_id(f"Encounter/{resource['id']}"),
        "person_id": person_of(resource, references),
        "visit_concept_id": _VISITS.get(str(kind.get("code")), 0),
        "visit_start_date": start,
        "visit_start_datetime": start_time,
        "visit_end_date": end,
        "visit_end_datetime": end_time,
        "visit_type_concept_id": _EHR,
        "provider_id": provider_of(resource, references),
        "care_site_id": references.id(resource.get("serviceProvider"), "Organization"),
        "visit_source_value": kind.get("code"),
        "admitted_from_source_value": label_of(hospital.get("admitSource")),
        "discharged_to_source_value": label_of(hospital.get("dischargeDisposition")),
    }
    yield Harmonised("visit_occurrence", visit)


def _organisation(resource: Resource, references: References) -> Iterator[Harmonised]:
    del references
    values = {
        "care_site_id": stable_id(f"Organization/{resource['id']}"),
        "care_site_name": str(resource.get("name") or "")[:255] or None,
        "place_of_service_concept_id": 0,
        "care_site_source_value": str(resource["id"])[:50],
        "place_of_service_source_value": next((label_of(item) for item in resource.get("type", [])), None),
    }
    yield Harmonised("care_site", values)


def _practitioner(resource: Resource, references: References) -> Iterator[Harmonised]:
    del references
    values = {
        "provider_id": stable_id(f"Practitioner/{resource['id']}"),
        "gender_concept_id": _GENDERS.get(str(resource.get("gender")), 0),
        "specialty_concept_id": 0,
        "provider_source_value": str(resource["id"])[:50],
        "gender_source_value": resource.get("gender"),
    }
    yield Harmonised("provider", values)


def _condition(resource: Resource, references: References) -> Iterator[Event]:
    start = first_of(resource, "onsetDateTime", "onsetPeriod", "recordedDate", "assertedDate")
    event = _event(resource, references, "condition_occurrence", start, resource.get("code"))
    event.end, event.end_time = ending(first_of(resource, "abatementDateTime", "abatementPeriod"))
    event.status = label_of(resource.get("clinicalStatus"))
    yield event


def _observation(resource: Resource, references: References) -> Iterator[Event]:
    start = first_of(resource, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")
    categories = {code.code for item in resource.get("category", []) for code in codes_of(item)}
    measured = bool(categories & {"laboratory", "vital-signs"})
    parts = [("", resource)] if is_valued(resource) or not resource.get("component") else []
    parts += [(f"#{number}", part) for number, part in enumerate(resource.get("component", []), start=1)]
    base = _event(resource, references, "observation", start, None)
    for suffix, part in parts:
        event = replace(base, id=stable_id(f"Observation/{resource['id']}{suffix}"), codes=codes_of(part.get("code")))
        set_value(event, part)
        event.table = "measurement" if measured or event.number is not None else "observation"
        limits = (part.get("referenceRange") or [{}])[0]
        event.low, event.high = number_of(limits.get("low")), number_of(limits.get("high"))
        yield event


def _procedure(resource: Resource, references: References) -> Iterator[Event | Harmonised]:
    start = first_of(resource, "performedDateTime", "performedPeriod")
    event = _event(resource, references, "procedure_occurrence", start, resource.get("code"))
    event.end, event.end_time = ending(resource.get("performedPeriod"))
    yield event
    yield from accessions_of(resource, event.id)


def _medication(type_concept: int, *starts: str) -> Callable[[Resource, References], Iterator[Event]]:
    def read(resource: Resource, references: References) -> Iterator[Event]:
        start = first_of(resource, *starts)
        event = _event(resource, references, "drug_exposure", start, _substance(resource, references))
        event.type_concept_id = type_concept
        event.end, event.end_time = ending(first_of(resource, "effectivePeriod"))
        supply = resource.get("dispenseRequest") or resource
        event.quantity = number_of(supply.get("quantity"))
        days = number_of(supply.get("expectedSupplyDuration") or supply.get("daysSupply"))
        event.days = None if days is None else int(days)
        event.refills = supply.get("numberOfRepeatsAllowed")
        dosage = resource.get("dosageInstruction") or resource.get("dosage") or []
        first = (dosage[0] if dosage else {}) if isinstance(dosage, list) else dosage
        event.instructions = first.get("text") or resource.get("renderedDosageInstruction")
        event.route_codes = codes_of(first.get("route"))
        given = first.get("dose") or next((item.get("doseQuantity") for item in first.get("doseAndRate", [])), None)
        event.unit = unit_of(given)
        if event.quantity is None and type_concept == _ADMINISTRATION:
            event.quantity = number_of(given)
        event.stop_reason = label_of(
            resource.get("statusReason") if isinstance(resource.get("statusReason"), dict) else None
        )
        yield event

    return read


def _substance(resource: Resource, references: References) -> Any:
    """The medication's CodeableConcept: in place, contained, or of another resource."""
    if resource.get("medicationCodeableConcept"):
        return resource["medicationCodeableConcept"]
    reference = resource.get("medicationReference") or {}
    text = str(reference.get("reference", ""))
    for contained in resource.get("contained", []):
        if text == f"#{contained.get('id')}":
            return contained.get("code")
    found = references.medications.get(references.key(reference, "Medication") or "")
    return found or ({"text": reference["display"]} if reference.get("display") else {"text": text})


def _immunisation(resource: Resource, references: References) -> Iterator[Event]:
    start = first_of(resource, "occurrenceDateTime", "recorded")
    event = _event(resource, references, "drug_exposure", start, resource.get("vaccineCode"))
    event.quantity = number_of(resource.get("doseQuantity"))
    event.unit = unit_of(resource.get("doseQuantity"))
    event.route_codes = codes_of(resource.get("route"))
    yield event


def _allergy(resource: Resource, references: References) -> Iterator[Event]:
    reactions = resource.get("reaction", [{}])
    start = first_of(resource, "onsetDateTime", "onsetPeriod", "recordedDate", "lastOccurrence")
    concept = resource.get("code") or next((item.get("substance") for item in reactions), None)
    event = _event(resource, references, "observation", start, concept)
    event.intolerance = True
    yield event


def _report(resource: Resource, references: References) -> Iterator[Event | Harmonised]:
    start = first_of(resource, "effectiveDateTime", "effectivePeriod", "issued")
    laboratory = any(code.code == "LAB" for item in many(resource.get("category")) for code in codes_of(item))
    event = _event(resource, references, "measurement" if laboratory else "observation", start, resource.get("code"))
    yield event
    texts = [resource.get("conclusion"), *(_attached(item) for item in resource.get("presentedForm", []))]
    yield from _notes(resource, references, event, texts, label_of(resource.get("code")))


def _document(resource: Resource, references: References) -> Iterator[Harmonised]:
    period = (resource.get("context") or {}).get("period") or {}
    event = _event(resource, references, "note", resource.get("date") or period.get("start"), resource.get("type"))
    encounters = (resource.get("context") or {}).get("encounter", [])
    event.visit_id = next((found for item in encounters if (found := references.id(item, "Encounter"))), None)
    texts = [_attached(item.get("attachment")) for item in resource.get("content", [])]
    yield from _notes(resource, references, event, texts, label_of(resource.get("type")))


def _notes(
    resource: Resource, references: References, event: Event, texts: list[str | None], title: str | None
) -> Iterator[Harmonised]:
    del references
    for number, text in enumerate(text for text in texts if text):
        values = {
            "note_id": stable_id(f"{resource['resourceType']}/{resource['id']}#note{number}"),
            "person_id": event.person_id,
            "note_date": event.start,
            "note_datetime": event.start_time,
            "note_type_concept_id": _EHR,
            "note_class_concept_id": 0,
            "note_title": None if title is None else title[:250],
            "note_text": text,
            "encoding_concept_id": _UTF8,
            "language_concept_id": 0,
            "provider_id": event.provider_id,
            "visit_occurrence_id": event.visit_id,
            "note_source_value": event.codes[0].code[:50] if event.codes else None,
        }
        yield Harmonised("note", values)


def _attached(attachment: Any) -> str | None:
    """The text of an attachment that holds plain text."""
    if not isinstance(attachment, dict) or not str(attachment.get("contentType", "")).startswith("text/plain"):
        return None
    try:
        return base64.b64decode(attachment.get("data") or "").decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


_OID = "urn:oid:"


def _imaging(resource: Resource, references: References) -> Iterator[Event | Harmonised]:
    series = resource.get("series", [])
    start = resource.get("started") or next((item.get("started") for item in series), None)
    event = _event(resource, references, "procedure_occurrence", start, None)
    procedures = [code for item in resource.get("procedureCode", []) for code in codes_of(item)]
    modalities = [
        code
        for item in (*resource.get("modality", []), *(one.get("modality") for one in series))
        for code in codes_of(item)
    ]
    event.codes = tuple(procedures or dict.fromkeys(modalities))
    yield event
    yield from accessions_of(resource, event.id)
    identifiers = [str(item.get("value") or "") for item in resource.get("identifier", [])]
    study = next((value.removeprefix(_OID) for value in identifiers if value.startswith(_OID)), None)
    for one in series:
        if one.get("uid") is None:
            continue
        image = _event(resource, references, "image_occurrence", one.get("started") or start, None)
        image.id = stable_id(f"ImagingStudy/{resource['id']}#{one['uid']}")
        image.study_uid, image.series_uid, image.procedure_id = study, str(one["uid"]), event.id
        image.codes, image.value_codes = codes_of(one.get("modality")), codes_of(one.get("bodySite"))
        yield image


def _device(resource: Resource, references: References) -> Iterator[Event]:
    if "patient" not in resource:
        return
    event = _event(resource, references, "device_exposure", first_of(resource, "manufactureDate"), resource.get("type"))
    carriers = resource.get("udiCarrier", [])
    event.device = next((item.get("deviceIdentifier") or item.get("carrierHRF") for item in carriers), None)
    event.end, event.end_time = None, None
    yield event


def _specimen(resource: Resource, references: References) -> Iterator[Event]:
    collection = resource.get("collection") or {}
    start = collection.get("collectedDateTime") or collection.get("collectedPeriod") or resource.get("receivedTime")
    event = _event(resource, references, "specimen", start, resource.get("type"))
    event.quantity, event.unit = number_of(collection.get("quantity")), unit_of(collection.get("quantity"))
    yield event


_READERS: Mapping[str, Callable[[Resource, References], Iterator[Any]]] = MappingProxyType(
    {
        "Patient": _patient,
        "Encounter": _encounter,
        "Organization": _organisation,
        "Practitioner": _practitioner,
        "Condition": _condition,
        "Observation": _observation,
        "Procedure": _procedure,
        "MedicationRequest": _medication(_PRESCRIPTION, "authoredOn"),
        "MedicationAdministration": _medication(_ADMINISTRATION, "effectiveDateTime", "effectivePeriod"),
        "MedicationStatement": _medication(_EHR, "effectiveDateTime", "effectivePeriod", "dateAsserted"),
        "MedicationDispense": _medication(_DISPENSING, "whenHandedOver", "whenPrepared"),
        "Immunization": _immunisation,
        "AllergyIntolerance": _allergy,
        "DiagnosticReport": _report,
        "DocumentReference": _document,
        "ImagingStudy": _imaging,
        "Device": _device,
        "Specimen": _specimen,
    }
)


def _event(resource: Resource, references: References, table: str, start: Any, concept: Any) -> Event:
    day, moment = when(start)
    return Event(
        id=stable_id(f"{resource['resourceType']}/{resource['id']}"),
        table=table,
        person_id=person_of(resource, references),
        start=day,
        start_time=moment,
        type_concept_id=_EHR,
        visit_id=references.id(resource.get("encounter") or resource.get("context"), "Encounter"),
        provider_id=provider_of(resource, references),
        codes=codes_of(concept),
    )
