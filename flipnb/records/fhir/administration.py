"""Who people are and their visits: Patient, Encounter."""

from __future__ import annotations

from typing import Any

from flipnb.records.fhir import systems
from flipnb.records.fhir.elements import Element, codeable, coding, moment, period, reference
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.systems import PERSON
from flipnb.records.fhir.table import Row, Table, columns

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


def _encounter(store: Store, row: Row) -> Element:
    concept = row.get("visit_concept_id")
    known = VISIT_CLASSES.get(int(concept or 0))
    kind = codeable(store, concept, row.get("visit_source_concept_id"))
    return {
        "status": "finished" if row.get("visit_end_date") else "unknown",
        "class": coding(systems.ACT_CODE, *known) if known else coding(systems.NULL_FLAVOR, "UNK", "unknown"),
        "type": [kind] if kind else None,
        "subject": reference(store, "Patient", row["person_id"]),
        "period": period(
            moment(row.get("visit_start_date"), row.get("visit_start_datetime")),
            moment(row.get("visit_end_date"), row.get("visit_end_datetime")),
        ),
    }


PATIENT = Table(
    "Patient",
    "person",
    "person_id",
    ("person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth"),
    _patient,
    detail=_add_deaths,
)

ENCOUNTER = Table(
    "Encounter",
    "visit_occurrence",
    "visit_occurrence_id",
    (
        "visit_occurrence_id",
        "person_id",
        "visit_concept_id",
        "visit_source_concept_id",
        *columns("visit", "start_date", "start_datetime", "end_date", "end_datetime"),
    ),
    _encounter,
)
