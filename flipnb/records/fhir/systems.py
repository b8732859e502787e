"""OMOP vocabularies and FHIR code systems (hl7.org/fhir/R4/terminologies-systems.html; NHS England's for its own)."""

from __future__ import annotations

from urllib.parse import quote, unquote

OHDSI = "https://fhir-terminology.ohdsi.org"
"""Codes are OMOP concept ids, as HL7's FHIR-to-OMOP guide writes them; every mapped concept has this coding."""

LOCAL = "urn:flip:vocabulary:"
"""Followed by the OMOP vocabulary's id: for vocabularies without a system, and a Trust's own."""

SOURCE = "urn:flip:source"
"""Codes are source values that no concept was found for: what the Trust's own system wrote."""

PERSON = "urn:flip:person"
DICOM_UID = "urn:dicom:uid"
UCUM = "http://unitsofmeasure.org"

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
CONDITION_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
DATA_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"

_SYSTEMS = {
    "SNOMED": "http://snomed.info/sct",
    "LOINC": "http://loinc.org",
    "RxNorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "UCUM": UCUM,
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD10PCS": "http://www.cms.gov/Medicare/Coding/ICD10",
    "ICD10GM": "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
    "ICD9CM": "http://hl7.org/fhir/sid/icd-9-cm",
    "ICD9Proc": "http://hl7.org/fhir/sid/icd-9-cm",
    "ICDO3": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "NDC": "http://hl7.org/fhir/sid/ndc",
    "ATC": "http://www.whocc.no/atc",
    "CPT4": "http://www.ama-assn.org/go/cpt",
    "HCPCS": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "OPCS4": "https://fhir.hl7.org.uk/CodeSystem/OPCS-4",
    "dm+d": "https://dmd.nhs.uk",
    "Read": "http://read.info/readv2",
    "MeSH": "http://terminology.hl7.org/CodeSystem/MSH",
    "OMIM": "http://www.omim.org",
    "DICOM": DICOM,
}


def system_of(vocabulary: str) -> str:
    """The code system's URI of an OMOP vocabulary."""
    return _SYSTEMS.get(vocabulary, LOCAL + quote(vocabulary, safe=""))


def vocabularies_of(system: str) -> tuple[str, ...]:
    """The OMOP vocabularies whose concepts have codes of ``system``; empty for a system that none has."""
    if system.startswith(LOCAL):
        return (unquote(system.removeprefix(LOCAL)),)
    return tuple(vocabulary for vocabulary, uri in _SYSTEMS.items() if uri == system)
