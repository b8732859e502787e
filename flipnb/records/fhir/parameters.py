"""Which search parameters a resource has, by the table that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from flipnb.records.fhir import systems
from flipnb.records.fhir.code_parameters import (
    CodeParameter,
    always,
    condition_categories,
    ended,
    genders,
    observation_categories,
    visit_classes,
)
from flipnb.records.fhir.concept_parameters import ConceptParameter
from flipnb.records.fhir.date_parameters import BirthDateParameter, DateParameter, DeathParameter
from flipnb.records.fhir.parameter import NEVER, Condition, Parameter, missing, no_modifier, token
from flipnb.records.fhir.quantity_parameter import QuantityParameter
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table


@dataclass(frozen=True)
class IdParameter:
    """``_id``, and ``identifier`` (with ``system``) where it is the id."""

    kind = "token"
    system: str | None = None

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """The row with this id, as identifier with its system; another table's finds nothing. Takes ``:not``."""
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        no_modifier(name, modifier)
        system, code = token(value) if self.system else (None, value)
        if system is not None and system != self.system:
            return NEVER
        if not code.startswith(table.prefix):
            return NEVER
        number = store.pseudonyms.decode(table.kind, code.removeprefix(table.prefix))
        return NEVER if number is None else Condition(f"t.{table.key} = ?", (number,))

    def sort_key(self, store: Store, table: Table) -> str | None:
        """By the table's own key, not by the pseudonym."""
        return f"t.{table.key}"


@dataclass(frozen=True)
class ReferenceParameter:
    """``patient``, ``subject``, ``encounter``: an id, ``Type/id``, or an address that ends in it."""

    column: str
    target: str
    kind = "reference"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """Rows that refer to ``ID``, ``TYPE/ID`` or an address ending so; one to another type finds nothing."""
        if modifier == "missing":
            return missing(store, table, self.column, value, name)
        if modifier is not None and modifier != self.target:
            if modifier[:1].isupper() and modifier.isalpha():
                return NEVER
            no_modifier(name, modifier)
        *path, key = value.split("/")
        if path and path[-1] != self.target:
            return NEVER
        number = store.pseudonyms.decode(self.target, key)
        if number is None or not store.has(table.name, self.column):
            return NEVER
        return Condition(f"t.{self.column} = ?", (number,))

    def sort_key(self, store: Store, table: Table) -> str | None:
        """By the key that is referred to, not by its pseudonym; None where the table has no such column."""
        return f"t.{self.column}" if store.has(table.name, self.column) else None


_PATIENT = {name: ReferenceParameter("person_id", "Patient") for name in ("patient", "subject")}
_EVENT: dict[str, Parameter] = {**_PATIENT, "encounter": ReferenceParameter("visit_occurrence_id", "Encounter")}


def _observation(table: str, default: str | None) -> dict[str, Parameter]:
    return {
        **_EVENT,
        "code": ConceptParameter((f"{table}_concept_id", f"{table}_source_concept_id"), f"{table}_source_value"),
        "category": CodeParameter(observation_categories(default), systems.OBSERVATION_CATEGORY),
        "status": CodeParameter(always("final"), "http://hl7.org/fhir/observation-status"),
        "date": DateParameter(f"{table}_date", f"{table}_datetime"),
        "value-quantity": QuantityParameter("value_as_number", "unit"),
        "value-concept": ConceptParameter(("value_as_concept_id",)),
    }


PARAMETERS: dict[str, dict[str, Parameter]] = {
    "person": {
        "identifier": IdParameter(systems.PERSON),
        "gender": CodeParameter(genders, "http://hl7.org/fhir/administrative-gender"),
        "birthdate": BirthDateParameter(),
        "deceased": DeathParameter(dated=False, kind="token"),
        "death-date": DeathParameter(dated=True, kind="date"),
    },
    "condition_occurrence": {
        **_EVENT,
        "code": ConceptParameter(("condition_concept_id", "condition_source_concept_id"), "condition_source_value"),
        "category": CodeParameter(condition_categories, systems.CONDITION_CATEGORY),
        "clinical-status": CodeParameter(ended("condition_end_date", "resolved", "active"), systems.CONDITION_CLINICAL),
        "verification-status": CodeParameter(always("confirmed"), systems.CONDITION_VERIFICATION),
        "onset-date": DateParameter("condition_start_date", "condition_start_datetime"),
        "abatement-date": DateParameter("condition_end_date", "condition_end_datetime"),
    },
    "measurement": _observation("measurement", "laboratory"),
    "observation": _observation("observation", None),
    "drug_exposure": {
        **_EVENT,
        "code": ConceptParameter(("drug_concept_id", "drug_source_concept_id"), "drug_source_value"),
        "status": CodeParameter(
            ended("drug_exposure_end_date", "completed", "unknown"),
            "http://hl7.org/fhir/CodeSystem/medicationrequest-status",
        ),
        "intent": CodeParameter(always("order"), "http://hl7.org/fhir/CodeSystem/medicationrequest-intent"),
        "authoredon": DateParameter("drug_exposure_start_date", "drug_exposure_start_datetime"),
    },
    "procedure_occurrence": {
        **_EVENT,
        "code": ConceptParameter(("procedure_concept_id", "procedure_source_concept_id"), "procedure_source_value"),
        "status": CodeParameter(always("completed"), "http://hl7.org/fhir/event-status"),
        "date": DateParameter("procedure_date", "procedure_datetime"),
    },
    "visit_occurrence": {
        **_PATIENT,
        "class": CodeParameter(visit_classes, systems.ACT_CODE),
        "type": ConceptParameter(("visit_concept_id", "visit_source_concept_id")),
        "status": CodeParameter(ended("visit_end_date", "finished", "unknown"), "http://hl7.org/fhir/encounter-status"),
        "date": DateParameter("visit_start_date", None, "visit_end_date"),
    },
    "image_occurrence": {
        **_EVENT,
        "modality": ConceptParameter(("modality_concept_id",)),
        "bodysite": ConceptParameter(("anatomic_site_concept_id",)),
        "status": CodeParameter(always("available"), "http://hl7.org/fhir/imagingstudy-status"),
        "started": DateParameter("image_occurrence_date"),
    },
    "note": {
        **_EVENT,
        "code": ConceptParameter(("note_class_concept_id", "note_type_concept_id")),
        "status": CodeParameter(always("final"), "http://hl7.org/fhir/diagnostic-report-status"),
        "date": DateParameter("note_date", "note_datetime"),
    },
}
"""Table → its search parameters, beside those of every resource (``_id``, ``_lastUpdated``)."""

INCLUDES = {"patient": ("person_id", "Patient"), "subject": ("person_id", "Patient")}
INCLUDES["encounter"] = ("visit_occurrence_id", "Encounter")
