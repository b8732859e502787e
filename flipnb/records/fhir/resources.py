"""What a row of each OMOP table becomes in FHIR R4 (after HL7's FHIR to OMOP guide, read the other way).

A resource's required elements are always there. What OMOP does not know is left out or said to be unknown; nothing is
invented: a status is the only one that a record of the past can have.
"""

from __future__ import annotations

from flipnb.records.fhir.administration import ENCOUNTER, PATIENT
from flipnb.records.fhir.care import CONDITION, MEDICATION_REQUEST, PROCEDURE
from flipnb.records.fhir.diagnostics import DIAGNOSTIC_REPORT, IMAGING_STUDY, MEASURED, OBSERVED
from flipnb.records.fhir.table import Table

TABLES = (
    PATIENT,
    CONDITION,
    MEASURED,
    OBSERVED,
    MEDICATION_REQUEST,
    PROCEDURE,
    ENCOUNTER,
    IMAGING_STUDY,
    DIAGNOSTIC_REPORT,
)

RESOURCES = tuple(dict.fromkeys(table.resource for table in TABLES))


def tables_of(kind: str) -> tuple[Table, ...]:
    """The tables whose rows become resources of this type, in the order of a search's pages."""
    return tuple(table for table in TABLES if table.resource == kind)
