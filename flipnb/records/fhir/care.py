"""What people have and what was done for them: Condition, Procedure, MedicationRequest."""

from __future__ import annotations

from flipnb.records.fhir import systems
from flipnb.records.fhir.elements import (
    Element,
    codeable,
    day,
    decimal,
    fixed,
    moment,
    period,
    reference,
    text,
    without_nothing,
)
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import CODED, EVENT, Row, Table, columns, encounter_of


def _condition(store: Store, row: Row) -> Element:
    end = moment(row.get("condition_end_date"), row.get("condition_end_datetime"))
    encounter = encounter_of(store, row)
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
        "encounter": encounter_of(store, row),
        "performedPeriod": period(start, end) if lasted else None,
        "performedDateTime": None if lasted else start,
    }


def _medication_request(store: Store, row: Row) -> Element:
    start = day(row.get("drug_exposure_start_date"))
    end = day(row.get("drug_exposure_end_date"))
    supply = decimal(row.get("days_supply"))
    repeats = decimal(row.get("refills"))
    amount = decimal(row.get("quantity"))
    dispense = without_nothing(
        {
            "validityPeriod": period(start, end),
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
        "encounter": encounter_of(store, row),
        "authoredOn": moment(row.get("drug_exposure_start_date"), row.get("drug_exposure_start_datetime")),
        "dosageInstruction": [dosage] if dosage else None,
        "dispenseRequest": dispense,
    }


CONDITION = Table(
    "Condition",
    "condition_occurrence",
    "condition_occurrence_id",
    (
        "condition_occurrence_id",
        *EVENT,
        *columns("condition", *CODED, "start_date", "start_datetime", "end_date"),
        "condition_end_datetime",
    ),
    _condition,
)

PROCEDURE = Table(
    "Procedure",
    "procedure_occurrence",
    "procedure_occurrence_id",
    (
        "procedure_occurrence_id",
        *EVENT,
        *columns("procedure", *CODED, "date", "datetime", "end_date"),
        "procedure_end_datetime",
    ),
    _procedure,
)

MEDICATION_REQUEST = Table(
    "MedicationRequest",
    "drug_exposure",
    "drug_exposure_id",
    (
        "drug_exposure_id",
        *EVENT,
        *columns("drug", *CODED),
        *columns("drug_exposure", "start_date", "start_datetime", "end_date"),
        "refills",
        "quantity",
        "days_supply",
        "sig",
        "route_concept_id",
        "route_source_value",
    ),
    _medication_request,
)
