"""Where records come from: one function for each domain."""

from __future__ import annotations

from flipnb.cohorts.codes import Codes
from flipnb.cohorts.conditions import Records


def condition(codes: Codes | None = None) -> Records:
    return Records("ConditionOccurrence", codes)


def condition_era(codes: Codes | None = None) -> Records:
    return Records("ConditionEra", codes)


def death(causes: Codes | None = None) -> Records:
    return Records("Death", causes)


def device(codes: Codes | None = None) -> Records:
    return Records("DeviceExposure", codes)


def drug(codes: Codes | None = None) -> Records:
    return Records("DrugExposure", codes)


def drug_era(codes: Codes | None = None) -> Records:
    return Records("DrugEra", codes)


def image(modality: Codes | None = None) -> Records:
    """Series of images, by their modality (OMOP's imaging extension). ATLAS has no such criterion."""
    return Records("FlipImage", modality)


def measurement(codes: Codes | None = None) -> Records:
    return Records("Measurement", codes)


def observation(codes: Codes | None = None) -> Records:
    return Records("Observation", codes)


def observation_period() -> Records:
    return Records("ObservationPeriod")


def procedure(codes: Codes | None = None) -> Records:
    return Records("ProcedureOccurrence", codes)


def specimen(codes: Codes | None = None) -> Records:
    return Records("Specimen", codes)


def text(codes: Codes | None = None) -> Records:
    """Concepts found in clinical notes (OMOP's NOTE_NLP), dated by the note. ATLAS has no such criterion."""
    return Records("FlipText", codes)


def visit(codes: Codes | None = None) -> Records:
    return Records("VisitOccurrence", codes)
