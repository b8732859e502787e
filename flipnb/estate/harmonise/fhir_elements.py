"""The parts that FHIR R4 resources are made of: codes, dates, quantities, values, references to others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from flipnb.estate.harmonise.events import Code, Event, stable_id

Resource = dict[str, Any]

_VOCABULARIES: Mapping[str, str] = MappingProxyType(
    {
        "http://snomed.info/sct": "SNOMED",
        "http://loinc.org": "LOINC",
        "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
        "http://unitsofmeasure.org": "UCUM",
        "http://hl7.org/fhir/sid/cvx": "CVX",
        "http://hl7.org/fhir/sid/ndc": "NDC",
        "http://hl7.org/fhir/sid/icd-10": "ICD10",
        "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
        "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
        "http://hl7.org/fhir/sid/icd-9-cm/diagnosis": "ICD9CM",
        "http://hl7.org/fhir/sid/icd-9-cm/procedure": "ICD9Proc",
        "http://www.cms.gov/Medicare/Coding/ICD10": "ICD10PCS",
        "http://www.ama-assn.org/go/cpt": "CPT4",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets": "HCPCS",
        "http://www.whocc.no/atc": "ATC",
        "http://terminology.hl7.org/CodeSystem/icd-o-3": "ICDO3",
        "http://nucc.org/provider-taxonomy": "NUCC",
        "http://dicom.nema.org/resources/ontology/DCM": "DICOM",
        "https://dmd.nhs.uk": "dm+d",
        "https://fhir.hl7.org.uk/Id/opcs-4": "OPCS4",
        "https://fhir.nhs.uk/Id/opcs-4": "OPCS4",
        "http://fhir.de/CodeSystem/bfarm/icd-10-gm": "ICD10GM",
        "http://fhir.de/CodeSystem/bfarm/ops": "OPS",
    }
)
"""Code systems that OMOP has under another name; any other is looked up under its own."""

_OPERATORS = {"<": 4171756, "<=": 4171754, ">": 4172704, ">=": 4171755}


class Unusable(Exception):
    """A resource that makes no row, and why."""


class References:
    """What a reference means: ``type`` and id, through a bundle's full URLs where there is one."""

    def __init__(
        self, full_urls: Mapping[str, str] | None = None, medications: Mapping[str, Any] | None = None
    ) -> None:
        self._full_urls = full_urls or {}
        self.medications = medications or {}

    def key(self, reference: Any, kind: str) -> str | None:
        """``Patient/12``; None where nothing of that type is referred to."""
        text = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(text, str) or text.startswith("#"):
            return None
        if text in self._full_urls:
            key = self._full_urls[text]
        elif text.startswith(("urn:uuid:", "urn:oid:")):
            key = f"{kind}/{text.split(':', 2)[2]}"
        else:
            parts = text.split("?")[0].split("/_history/")[0].rstrip("/").split("/")
            if len(parts) < 2 or "?" in text:
                return None
            key = "/".join(parts[-2:])
        return key if key.startswith(f"{kind}/") else None

    def id(self, reference: Any, kind: str) -> int | None:
        """The id in the estate of what is referred to; None where nothing of that type is."""
        key = self.key(reference, kind)
        return None if key is None else stable_id(key)


def codes_of(concept: Any) -> tuple[Code, ...]:
    """The codings of a CodeableConcept (or one Coding); its text alone where it has none."""
    if not isinstance(concept, dict):
        return ()
    codings = concept.get("coding", [concept] if "code" in concept else [])
    found = tuple(
        Code(_VOCABULARIES.get(item.get("system", ""), item.get("system", "")), str(item["code"]), item.get("display"))
        for item in codings
        if isinstance(item, dict) and item.get("code")
    )
    text = concept.get("text")
    return found or ((Code("", str(text)[:50], str(text)),) if text else ())


def person_of(resource: Resource, references: References) -> int:
    """The person_id of the patient whom a resource is about. Raises Unusable."""
    found = references.id(resource.get("subject") or resource.get("patient"), "Patient")
    if found is None:
        raise Unusable("it refers to no patient")
    return found


def provider_id(reference: Any, references: References | None) -> int | None:
    """The provider_id of a practitioner; None where no one is referred to."""
    return (references or References()).id(reference, "Practitioner")


def provider_of(resource: Resource, references: References) -> int | None:
    """Who did it: the first practitioner that the resource names."""
    named = [resource.get(name) for name in ("recorder", "asserter", "requester")]
    named += [item.get("individual") for item in many(resource.get("participant"))]
    named += [item.get("actor") for item in many(resource.get("performer"))] + many(resource.get("performer"))
    return next((found for item in named if (found := provider_id(item, references)) is not None), None)


def many(value: Any) -> list[Any]:
    """The elements of a list, or the one element that stands there alone."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def first_of(resource: Resource, *names: str) -> Any:
    """The first element, by these names, that is there and not empty; None without any."""
    return next((resource[name] for name in names if resource.get(name)), None)


def when(value: Any) -> tuple[date, datetime | None]:
    """The day, and the moment where there is a time of day, of a dateTime, an instant or the start of a period."""
    text = str((value.get("start") or value.get("end") or "") if isinstance(value, dict) else value or "")
    if not text:
        raise Unusable("its date is missing")
    try:
        if len(text) <= 10:
            return date.fromisoformat((text + "-01-01")[:10] if len(text) < 10 else text), None
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise Unusable(f"{text[:40]!r} is no date of FHIR") from None
    return moment.date(), moment


def ending(value: Any) -> tuple[date | None, datetime | None]:
    """The day and moment of a period's end, or of a dateTime; both None where it is open. Raises Unusable."""
    if isinstance(value, dict):
        value = value.get("end")
    return when(value) if value else (None, None)


def is_valued(part: Resource) -> bool:
    """Whether it has a ``value[x]``."""
    return any(name.startswith("value") for name in part)


def set_value(event: Event, part: Resource) -> None:
    """One of FHIR's kinds of value into a number with its unit, codes, or text."""
    for name in (name for name in part if name.startswith("value") and part[name] is not None):
        value = part[name]
        if name == "valueQuantity":
            event.number, event.unit = number_of(value), unit_of(value)
            event.operator = _OPERATORS.get(value.get("comparator"))
        elif name == "valueCodeableConcept":
            event.value_codes = codes_of(value)
        elif name in ("valueInteger", "valueDecimal"):
            event.number = float(value)
        elif name == "valueRange":
            event.text = f"{number_of(value.get('low'))}-{number_of(value.get('high'))}"
            event.unit = unit_of(value.get("low") or value.get("high"))
        elif name == "valueRatio":
            event.text = f"{number_of(value.get('numerator'))}:{number_of(value.get('denominator'))}"
        elif name == "valueBoolean":
            event.text = "true" if value else "false"
        elif not isinstance(value, dict | list):
            event.text = str(value)


def number_of(quantity: Any) -> float | None:
    """A Quantity's value, or the number itself; None without one."""
    value = quantity.get("value") if isinstance(quantity, dict) else quantity
    return None if value is None or isinstance(value, str | bool) else float(value)


def unit_of(quantity: Any) -> str | None:
    """A Quantity's unit: its code, else its text; None without either."""
    if not isinstance(quantity, dict):
        return None
    found = quantity.get("code") or quantity.get("unit")
    return None if found is None else str(found)


def label_of(concept: Any) -> str | None:
    """The first code, else the text."""
    return next((code.code[:50] for code in codes_of(concept)), None)
