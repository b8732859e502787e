"""Where records come from: one function for each domain."""

from __future__ import annotations

from flipnb.cohorts.codes import Codes
from flipnb.cohorts.conditions import Records


def condition(codes: Codes | None = None) -> Records:
    """Diagnoses (OMOP's condition_occurrence); without codes any diagnosis."""
    return Records("ConditionOccurrence", codes)


def condition_era(codes: Codes | None = None) -> Records:
    """Times with a condition, of diagnoses at most 30 days apart (OMOP's condition_era)."""
    return Records("ConditionEra", codes)


def death(causes: Codes | None = None) -> Records:
    """Death, of these causes or of any."""
    return Records("Death", causes)


def device(codes: Codes | None = None) -> Records:
    """Devices used or implanted (OMOP's device_exposure)."""
    return Records("DeviceExposure", codes)


def drug(codes: Codes | None = None) -> Records:
    """Prescriptions, dispensings and administrations (OMOP's drug_exposure): ``drug(metformin).within(0, 90)``."""
    return Records("DrugExposure", codes)


def drug_era(codes: Codes | None = None) -> Records:
    """Times on an ingredient, of exposures at most 30 days apart (OMOP's drug_era)."""
    return Records("DrugEra", codes)


def image(modality: Codes | None = None) -> Records:
    """Series of images, by their modality (OMOP's imaging extension). ATLAS has no such criterion."""
    return Records("FlipImage", modality)


def measurement(codes: Codes | None = None) -> Records:
    """Results of laboratory tests and examinations (OMOP's measurement): ``measurement(hba1c).value(above=7)``."""
    return Records("Measurement", codes)


def observation(codes: Codes | None = None) -> Records:
    """Facts that no other domain has, such as smoking or family history (OMOP's observation)."""
    return Records("Observation", codes)


def observation_period() -> Records:
    """Times during which a person was observed (OMOP's observation_period)."""
    return Records("ObservationPeriod")


def procedure(codes: Codes | None = None) -> Records:
    """Operations, examinations and therapies (OMOP's procedure_occurrence)."""
    return Records("ProcedureOccurrence", codes)


def specimen(codes: Codes | None = None) -> Records:
    """Samples taken of a person (OMOP's specimen)."""
    return Records("Specimen", codes)


def text(codes: Codes | None = None) -> Records:
    """Concepts found in clinical notes (OMOP's NOTE_NLP), dated by the note. ATLAS has no such criterion."""
    return Records("FlipText", codes)


def visit(codes: Codes | None = None) -> Records:
    """Stays and contacts (OMOP's visit_occurrence): inpatient, outpatient, emergency, by concept."""
    return Records("VisitOccurrence", codes)
