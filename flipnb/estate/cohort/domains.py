"""How each criterion domain reads its OMOP table: columns, dates of a record, meaning of fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from flipnb.contracts.cohort import (
    ConditionOccurrence,
    Criterion,
    Death,
    DrugExposure,
    Measurement,
    Observation,
    ProcedureOccurrence,
    VisitOccurrence,
)

FilterKind = Literal["number", "whole", "concepts"]


@dataclass(frozen=True)
class Domain:
    """One domain. ``start``, ``end`` and filters' columns are SQL over the table's row ``t``.

    ``filters`` maps a criterion's attribute to the kind of its value and its SQL; ``excluding`` an attribute that
    holds concepts to the flag that turns it round. ``source`` is the attribute and column of the source concept set.
    """

    table: str
    event_id: str
    concept: str
    source: tuple[str, str]
    start: str
    end: str
    visit: str = "t.visit_occurrence_id"
    visit_type_is_kind_of_visit: bool = True
    filters: dict[str, tuple[FilterKind, str]] = field(default_factory=dict)
    excluding: dict[str, str] = field(default_factory=dict)


# End dates as circe-be has them: a record without one lasts a day.
DOMAINS: dict[type[Criterion], Domain] = {
    ConditionOccurrence: Domain(
        table="condition_occurrence",
        event_id="t.condition_occurrence_id",
        concept="t.condition_concept_id",
        source=("condition_source_concept", "t.condition_source_concept_id"),
        start="t.condition_start_date",
        end="COALESCE(t.condition_end_date, t.condition_start_date + 1)",
        filters={
            "condition_type": ("concepts", "t.condition_type_concept_id"),
            "condition_status": ("concepts", "t.condition_status_concept_id"),
        },
        excluding={"condition_type": "condition_type_exclude"},
    ),
    DrugExposure: Domain(
        table="drug_exposure",
        event_id="t.drug_exposure_id",
        concept="t.drug_concept_id",
        source=("drug_source_concept", "t.drug_source_concept_id"),
        start="t.drug_exposure_start_date",
        end=(
            "COALESCE(t.drug_exposure_end_date, t.drug_exposure_start_date + t.days_supply, "
            "t.drug_exposure_start_date + 1)"
        ),
        filters={
            "drug_type": ("concepts", "t.drug_type_concept_id"),
            "route_concept": ("concepts", "t.route_concept_id"),
            "refills": ("whole", "t.refills"),
            "quantity": ("number", "t.quantity"),
            "days_supply": ("whole", "t.days_supply"),
        },
        excluding={"drug_type": "drug_type_exclude"},
    ),
    Measurement: Domain(
        table="measurement",
        event_id="t.measurement_id",
        concept="t.measurement_concept_id",
        source=("measurement_source_concept", "t.measurement_source_concept_id"),
        start="t.measurement_date",
        end="t.measurement_date + 1",
        filters={
            "measurement_type": ("concepts", "t.measurement_type_concept_id"),
            "operator": ("concepts", "t.operator_concept_id"),
            "value_as_number": ("number", "t.value_as_number"),
            "value_as_concept": ("concepts", "t.value_as_concept_id"),
            "unit": ("concepts", "t.unit_concept_id"),
            "range_low": ("number", "t.range_low"),
            "range_high": ("number", "t.range_high"),
        },
        excluding={"measurement_type": "measurement_type_exclude"},
    ),
    Observation: Domain(
        table="observation",
        event_id="t.observation_id",
        concept="t.observation_concept_id",
        source=("observation_source_concept", "t.observation_source_concept_id"),
        start="t.observation_date",
        end="t.observation_date + 1",
        filters={
            "observation_type": ("concepts", "t.observation_type_concept_id"),
            "value_as_number": ("number", "t.value_as_number"),
            "value_as_concept": ("concepts", "t.value_as_concept_id"),
            "qualifier": ("concepts", "t.qualifier_concept_id"),
            "unit": ("concepts", "t.unit_concept_id"),
        },
        excluding={"observation_type": "observation_type_exclude"},
    ),
    ProcedureOccurrence: Domain(
        table="procedure_occurrence",
        event_id="t.procedure_occurrence_id",
        concept="t.procedure_concept_id",
        source=("procedure_source_concept", "t.procedure_source_concept_id"),
        start="t.procedure_date",
        end="t.procedure_date + 1",
        filters={
            "procedure_type": ("concepts", "t.procedure_type_concept_id"),
            "modifier": ("concepts", "t.modifier_concept_id"),
            "quantity": ("whole", "t.quantity"),
        },
        excluding={"procedure_type": "procedure_type_exclude"},
    ),
    VisitOccurrence: Domain(
        table="visit_occurrence",
        event_id="t.visit_occurrence_id",
        concept="t.visit_concept_id",
        source=("visit_source_concept", "t.visit_source_concept_id"),
        start="t.visit_start_date",
        end="t.visit_end_date",
        visit_type_is_kind_of_visit=False,
        filters={
            "visit_type": ("concepts", "t.visit_type_concept_id"),
            "visit_length": ("whole", "(t.visit_end_date - t.visit_start_date)"),
        },
        excluding={"visit_type": "visit_type_exclude"},
    ),
    Death: Domain(
        table="death",
        event_id="t.person_id",
        concept="t.cause_concept_id",
        source=("death_source_concept", "t.cause_source_concept_id"),
        start="t.death_date",
        end="t.death_date + 1",
        visit="CAST(NULL AS BIGINT)",
        filters={"death_type": ("concepts", "t.death_type_concept_id")},
        excluding={"death_type": "death_type_exclude"},
    ),
}
