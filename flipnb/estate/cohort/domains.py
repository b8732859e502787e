"""How each criterion domain reads its OMOP table: columns, dates of a record, meaning of fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flipnb.contracts.cohort_criteria import (
    ConditionEra,
    ConditionOccurrence,
    CountColumn,
    Criterion,
    CustomEraCriterion,
    Death,
    DeviceExposure,
    DoseEra,
    DrugEra,
    DrugExposure,
    Episode,
    ImageSeries,
    LocationRegion,
    Measurement,
    Observation,
    ObservationPeriod,
    PayerPlanPeriod,
    ProcedureOccurrence,
    Specimen,
    TextMention,
    VisitDetail,
    VisitOccurrence,
)
from flipnb.estate.cohort.conditions import supplied

FilterKind = Literal["number", "whole", "concepts", "codeset", "text", "word", "dates", "age"]

START, END = "{start}", "{end}"
"""Where SQL is about a record's dates: they are those of the table, or the criterion's adjustment of them."""


@dataclass(frozen=True)
class Domain:
    """One domain. Columns are SQL over the table's row ``t``.

    ``filters`` maps a criterion's attribute to the kind of its value and its SQL (an age's is the date that it is
    counted to); concepts may also be selected by the attribute of that name with ``_cs``, and be turned round by the
    one with ``_exclude``. ``codesets`` are the attributes that hold the concept set and the source concept set.
    """

    table: str
    event_id: str
    concept: str
    start: str
    end: str
    codesets: Mapping[str, str] = field(default_factory=dict)
    visit: str = "CAST(NULL AS BIGINT)"
    filters: Mapping[str, tuple[FilterKind, str]] = field(default_factory=dict)
    counted: Mapping[CountColumn, str] = field(default_factory=dict)


_VISIT = "t.visit_occurrence_id"
_LENGTH = f"({END} - {START})"
_PERSON: dict[str, tuple[FilterKind, str]] = {"gender": ("concepts", "person.gender_concept_id")}
_OCCURRENCE: dict[str, tuple[FilterKind, str]] = {
    **_PERSON,
    "occurrence_start_date": ("dates", START),
    "occurrence_end_date": ("dates", END),
    "age": ("age", START),
}
_ENCOUNTERED: dict[str, tuple[FilterKind, str]] = {
    **_OCCURRENCE,
    "visit_type": ("concepts", "visit.visit_concept_id"),
    "provider_specialty": ("concepts", "provider.specialty_concept_id"),
}
_ERA: dict[str, tuple[FilterKind, str]] = {
    **_PERSON,
    "era_start_date": ("dates", START),
    "era_end_date": ("dates", END),
    "era_length": ("whole", _LENGTH),
    "age_at_start": ("age", START),
    "age_at_end": ("age", END),
}
_PERIOD: dict[str, tuple[FilterKind, str]] = {
    "period_start_date": ("dates", START),
    "period_end_date": ("dates", END),
    "period_length": ("whole", _LENGTH),
    "age_at_start": ("age", START),
    "age_at_end": ("age", END),
}


def _occurrence(
    table: str,
    name: str,
    filters: dict[str, tuple[FilterKind, str]],
    counted: dict[CountColumn, str],
    *,
    start: str = "",
    end: str = "",
) -> Domain:
    """A clinical table whose columns are named after ``name``; a record of one date lasts a day."""
    return Domain(
        table=table,
        event_id=f"t.{table}_id",
        concept=f"t.{name}_concept_id",
        start=start or f"t.{name}_date",
        end=end or f"t.{name}_date + 1",
        codesets={
            "codeset_id": f"t.{name}_concept_id",
            f"{name}_source_concept": f"t.{name}_source_concept_id",
        },
        visit=_VISIT,
        filters={**_ENCOUNTERED, f"{name}_type": ("concepts", f"t.{name}_type_concept_id"), **filters},
        counted=counted,
    )


def _ends(column: str, *otherwise: str) -> str:
    return f"COALESCE(t.{column}_end_date, {', '.join(otherwise)}t.{column}_start_date + 1)"


# End dates as circe-be has them.
DOMAINS: Mapping[type[Criterion], Domain] = {
    ConditionOccurrence: _occurrence(
        "condition_occurrence",
        "condition",
        start="t.condition_start_date",
        end=_ends("condition"),
        filters={
            "condition_status": ("concepts", "t.condition_status_concept_id"),
            "stop_reason": ("text", "t.stop_reason"),
        },
        counted={},
    ),
    DrugExposure: _occurrence(
        "drug_exposure",
        "drug",
        start="t.drug_exposure_start_date",
        end=_ends("drug_exposure", f"{supplied('t.drug_exposure_start_date', 't.days_supply')}, "),
        filters={
            "route_concept": ("concepts", "t.route_concept_id"),
            "refills": ("whole", "t.refills"),
            "quantity": ("number", "t.quantity"),
            "days_supply": ("whole", "t.days_supply"),
            "lot_number": ("text", "t.lot_number"),
            "stop_reason": ("text", "t.stop_reason"),
        },
        counted={"DAYS_SUPPLY": "t.days_supply", "QUANTITY": "t.quantity", "REFILLS": "t.refills"},
    ),
    DeviceExposure: _occurrence(
        "device_exposure",
        "device",
        start="t.device_exposure_start_date",
        end=_ends("device_exposure"),
        filters={"unique_device_id": ("text", "t.unique_device_id"), "quantity": ("whole", "t.quantity")},
        counted={"QUANTITY": "t.quantity"},
    ),
    Measurement: _occurrence(
        "measurement",
        "measurement",
        filters={
            "operator": ("concepts", "t.operator_concept_id"),
            "value_as_number": ("number", "t.value_as_number"),
            "value_as_concept": ("concepts", "t.value_as_concept_id"),
            "unit": ("concepts", "t.unit_concept_id"),
            "range_low": ("number", "t.range_low"),
            "range_high": ("number", "t.range_high"),
            "range_low_ratio": ("number", "(t.value_as_number / NULLIF(t.range_low, 0))"),
            "range_high_ratio": ("number", "(t.value_as_number / NULLIF(t.range_high, 0))"),
        },
        counted={
            "VALUE_AS_NUMBER": "t.value_as_number",
            "RANGE_LOW": "t.range_low",
            "RANGE_HIGH": "t.range_high",
            "UNIT": "t.unit_concept_id",
        },
    ),
    Observation: _occurrence(
        "observation",
        "observation",
        filters={
            "value_as_number": ("number", "t.value_as_number"),
            "value_as_string": ("text", "t.value_as_string"),
            "value_as_concept": ("concepts", "t.value_as_concept_id"),
            "qualifier": ("concepts", "t.qualifier_concept_id"),
            "unit": ("concepts", "t.unit_concept_id"),
        },
        counted={"VALUE_AS_NUMBER": "t.value_as_number", "UNIT": "t.unit_concept_id"},
    ),
    ProcedureOccurrence: _occurrence(
        "procedure_occurrence",
        "procedure",
        filters={"modifier": ("concepts", "t.modifier_concept_id"), "quantity": ("whole", "t.quantity")},
        counted={"QUANTITY": "t.quantity"},
    ),
    Specimen: Domain(
        table="specimen",
        event_id="t.specimen_id",
        concept="t.specimen_concept_id",
        codesets={"codeset_id": "t.specimen_concept_id"},
        start="t.specimen_date",
        end="t.specimen_date + 1",
        filters={
            **_OCCURRENCE,
            "specimen_type": ("concepts", "t.specimen_type_concept_id"),
            "quantity": ("number", "t.quantity"),
            "unit": ("concepts", "t.unit_concept_id"),
            "anatomic_site": ("concepts", "t.anatomic_site_concept_id"),
            "disease_status": ("concepts", "t.disease_status_concept_id"),
            "source_id": ("text", "t.specimen_source_id"),
        },
        counted={"QUANTITY": "t.quantity", "UNIT": "t.unit_concept_id"},
    ),
    VisitOccurrence: Domain(
        table="visit_occurrence",
        event_id=_VISIT,
        concept="t.visit_concept_id",
        codesets={"codeset_id": "t.visit_concept_id", "visit_source_concept": "t.visit_source_concept_id"},
        start="t.visit_start_date",
        end="t.visit_end_date",
        visit=_VISIT,
        filters={
            **_OCCURRENCE,
            "visit_type": ("concepts", "t.visit_type_concept_id"),
            "visit_length": ("whole", _LENGTH),
            "provider_specialty": ("concepts", "provider.specialty_concept_id"),
            "place_of_service": ("concepts", "site.place_of_service_concept_id"),
            "place_of_service_location": ("codeset", "location.region_concept_id"),
        },
    ),
    VisitDetail: Domain(
        table="visit_detail",
        event_id="t.visit_detail_id",
        concept="t.visit_detail_concept_id",
        codesets={
            "codeset_id": "t.visit_detail_concept_id",
            "visit_detail_source_concept": "t.visit_detail_source_concept_id",
        },
        start="t.visit_detail_start_date",
        end="t.visit_detail_end_date",
        visit=_VISIT,
        filters={
            **_PERSON,
            "visit_detail_start_date": ("dates", START),
            "visit_detail_end_date": ("dates", END),
            "visit_detail_type": ("concepts", "t.visit_detail_type_concept_id"),
            "visit_detail_length": ("whole", _LENGTH),
            "age": ("age", END),
            "provider_specialty": ("concepts", "provider.specialty_concept_id"),
            "place_of_service": ("concepts", "site.place_of_service_concept_id"),
            "place_of_service_location": ("codeset", "location.region_concept_id"),
        },
        counted={"VISIT_DETAIL_ID": "t.visit_detail_id"},
    ),
    Death: Domain(
        table="death",
        event_id="t.person_id",
        concept="COALESCE(t.cause_concept_id, 0)",
        codesets={"codeset_id": "t.cause_concept_id", "death_source_concept": "t.cause_source_concept_id"},
        start="t.death_date",
        end="t.death_date + 1",
        filters={
            **_PERSON,
            "occurrence_start_date": ("dates", START),
            "age": ("age", START),
            "death_type": ("concepts", "t.death_type_concept_id"),
        },
    ),
    ConditionEra: Domain(
        table="condition_era",
        event_id="t.condition_era_id",
        concept="t.condition_concept_id",
        codesets={"codeset_id": "t.condition_concept_id"},
        start="t.condition_era_start_date",
        end="t.condition_era_end_date",
        filters={**_ERA, "occurrence_count": ("whole", "t.condition_occurrence_count")},
        counted={"ERA_OCCURRENCES": "t.condition_occurrence_count"},
    ),
    DrugEra: Domain(
        table="drug_era",
        event_id="t.drug_era_id",
        concept="t.drug_concept_id",
        codesets={"codeset_id": "t.drug_concept_id"},
        start="t.drug_era_start_date",
        end="t.drug_era_end_date",
        filters={
            **_ERA,
            "occurrence_count": ("whole", "t.drug_exposure_count"),
            "gap_days": ("whole", "t.gap_days"),
        },
        counted={"ERA_OCCURRENCES": "t.drug_exposure_count", "GAP_DAYS": "t.gap_days"},
    ),
    DoseEra: Domain(
        table="dose_era",
        event_id="t.dose_era_id",
        concept="t.drug_concept_id",
        codesets={"codeset_id": "t.drug_concept_id"},
        start="t.dose_era_start_date",
        end="t.dose_era_end_date",
        filters={**_ERA, "unit": ("concepts", "t.unit_concept_id"), "dose_value": ("number", "t.dose_value")},
        counted={"UNIT": "t.unit_concept_id"},
    ),
    ObservationPeriod: Domain(
        table="observation_period",
        event_id="t.observation_period_id",
        concept="t.period_type_concept_id",
        start="t.observation_period_start_date",
        end="t.observation_period_end_date",
        filters={**_PERIOD, "period_type": ("concepts", "t.period_type_concept_id")},
    ),
    PayerPlanPeriod: Domain(
        table="payer_plan_period",
        event_id="t.payer_plan_period_id",
        concept="t.payer_concept_id",
        start="t.payer_plan_period_start_date",
        end="t.payer_plan_period_end_date",
        filters={
            **_PERIOD,
            **_PERSON,
            **{
                f"{part}{source}_concept": ("codeset", f"t.{part}{source}_concept_id")
                for part in ("payer", "plan", "sponsor", "stop_reason")
                for source in ("", "_source")
            },
        },
    ),
    Episode: Domain(
        table="episode",
        event_id="t.episode_id",
        concept="t.episode_concept_id",
        codesets={"codeset_id": "t.episode_concept_id"},
        start="t.episode_start_date",
        end="t.episode_end_date",
        filters={
            **_PERSON,
            "episode_start_date": ("dates", START),
            "episode_end_date": ("dates", END),
            "episode_number": ("whole", "t.episode_number"),
            "age": ("age", START),
            "episode_object_concept": ("concepts", "t.episode_object_concept_id"),
            "episode_type": ("concepts", "t.episode_type_concept_id"),
        },
    ),
    TextMention: Domain(
        table=(
            "(SELECT n.*, w.note_nlp_id, w.section_concept_id, w.note_nlp_concept_id, w.note_nlp_source_concept_id, "
            "w.term_exists, w.term_temporal FROM note_nlp w JOIN note n ON n.note_id = w.note_id)"
        ),
        event_id="t.note_nlp_id",
        concept="t.note_nlp_concept_id",
        codesets={"codeset_id": "t.note_nlp_concept_id", "text_source_concept": "t.note_nlp_source_concept_id"},
        start="t.note_date",
        end="t.note_date + 1",
        visit=_VISIT,
        filters={
            **_ENCOUNTERED,
            "term_exists": ("word", "t.term_exists"),
            "term_temporal": ("word", "t.term_temporal"),
            "note_type": ("concepts", "t.note_type_concept_id"),
            "note_class": ("concepts", "t.note_class_concept_id"),
            "section": ("concepts", "t.section_concept_id"),
        },
    ),
    ImageSeries: Domain(
        table="image_occurrence",
        event_id="t.image_occurrence_id",
        concept="t.modality_concept_id",
        codesets={"codeset_id": "t.modality_concept_id"},
        start="t.image_occurrence_date",
        end="t.image_occurrence_date + 1",
        visit=_VISIT,
        filters={
            **_OCCURRENCE,
            "visit_type": ("concepts", "visit.visit_concept_id"),
            "anatomic_site": ("concepts", "t.anatomic_site_concept_id"),
        },
    ),
    # Of a subquery that the compiler makes of its criteria.
    CustomEraCriterion: Domain(
        table="",
        event_id="t.event_id",
        concept="CAST(NULL AS INTEGER)",
        start="t.start_date",
        end="t.end_date",
        filters={
            **_PERSON,
            "start_date": ("dates", START),
            "end_date": ("dates", END),
            "duration": ("whole", _LENGTH),
            "age_at_start": ("age", START),
        },
    ),
    LocationRegion: Domain(
        table=(
            "(SELECT h.location_history_id, h.entity_id AS person_id, h.start_date, h.end_date, l.region_concept_id "
            "FROM location l JOIN location_history h ON l.location_id = h.location_id WHERE h.domain_id = 'PERSON')"
        ),
        event_id="t.location_history_id",
        concept="t.region_concept_id",
        codesets={"codeset_id": "t.region_concept_id"},
        start="t.start_date",
        end="COALESCE(t.end_date, DATE '2099-12-31')",
    ),
}
