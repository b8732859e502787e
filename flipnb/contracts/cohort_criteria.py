"""Criteria of OHDSI cohort expressions: one class for each domain, windows, counts and groups.

The classes hold what the compiler supports, every other field is refused by name. Of circe's fields these are not
here: DrugExposure's EffectiveDrugDose and DoseUnit and Specimen's SpecimenSourceConcept (OMOP CDM 5.4 has no such
columns).

``FlipText`` and ``FlipImage`` are two domains that circe has not. Their names begin with Flip, so that none of a later
circe can mean something else; ATLAS and circe refuse an expression that has one (see
``CohortExpression.beyond_atlas``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from flipnb.contracts.cohort_values import (
    Concepts,
    ConceptSetSelection,
    DateAdjustment,
    DateRange,
    Days,
    ExpressionPart,
    NumericRange,
    Period,
    TextFilter,
    in_days,
)


class Criterion(ExpressionPart):
    """What every domain's criterion may say."""

    correlated_criteria: CriteriaGroup | None = None
    date_adjustment: DateAdjustment | None = None

    @field_validator("correlated_criteria")
    @classmethod
    def _says_something(cls, group: CriteriaGroup | None) -> CriteriaGroup | None:
        """As in circe, an empty group is none: it does not restrict the records to observation periods."""
        return None if group is not None and group.is_empty else group


class CodedCriterion(Criterion):
    """Records with a concept. Without ``CodesetId`` any concept counts."""

    codeset_id: int | None = None
    gender: Concepts = ()
    gender_cs: ConceptSetSelection | None = None


class OccurrenceCriterion(CodedCriterion):
    """A person may have several such records. ``First`` is the person's first of the concept set."""

    first: bool = False
    occurrence_start_date: DateRange | None = None
    occurrence_end_date: DateRange | None = None
    age: NumericRange | None = None


class EncounteredCriterion(OccurrenceCriterion):
    """A record made during a visit, by a provider."""

    visit_type: Concepts = ()
    visit_type_cs: ConceptSetSelection | None = None
    provider_specialty: Concepts = ()
    provider_specialty_cs: ConceptSetSelection | None = None


class ConditionOccurrence(EncounteredCriterion):
    """Diagnoses: records of OMOP's condition_occurrence."""

    condition_type: Concepts = ()
    condition_type_cs: ConceptSetSelection | None = None
    condition_type_exclude: bool = False
    condition_source_concept: int | None = None
    condition_status: Concepts = ()
    condition_status_cs: ConceptSetSelection | None = None
    stop_reason: TextFilter | None = None


class DrugExposure(EncounteredCriterion):
    """Prescriptions, dispensings, administrations: records of OMOP's drug_exposure. ``DaysSupply`` is in days."""

    drug_type: Concepts = ()
    drug_type_cs: ConceptSetSelection | None = None
    drug_type_exclude: bool = False
    drug_source_concept: int | None = None
    refills: NumericRange | None = None
    quantity: NumericRange | None = None
    days_supply: NumericRange | None = None
    route_concept: Concepts = ()
    route_concept_cs: ConceptSetSelection | None = None
    lot_number: TextFilter | None = None
    stop_reason: TextFilter | None = None


class DeviceExposure(EncounteredCriterion):
    """Devices used or implanted: records of OMOP's device_exposure."""

    device_type: Concepts = ()
    device_type_cs: ConceptSetSelection | None = None
    device_type_exclude: bool = False
    device_source_concept: int | None = None
    unique_device_id: TextFilter | None = None
    quantity: NumericRange | None = None


class Measurement(EncounteredCriterion):
    """``Abnormal``: outside the range that came with the value, or called high or low."""

    measurement_type: Concepts = ()
    measurement_type_cs: ConceptSetSelection | None = None
    measurement_type_exclude: bool = False
    measurement_source_concept: int | None = None
    operator: Concepts = ()
    operator_cs: ConceptSetSelection | None = None
    value_as_number: NumericRange | None = None
    value_as_concept: Concepts = ()
    value_as_concept_cs: ConceptSetSelection | None = None
    unit: Concepts = ()
    unit_cs: ConceptSetSelection | None = None
    range_low: NumericRange | None = None
    range_high: NumericRange | None = None
    range_low_ratio: NumericRange | None = None
    range_high_ratio: NumericRange | None = None
    abnormal: bool = False


class Observation(EncounteredCriterion):
    """Facts that no other domain has: records of OMOP's observation, with a number, a text or a concept as value."""

    observation_type: Concepts = ()
    observation_type_cs: ConceptSetSelection | None = None
    observation_type_exclude: bool = False
    observation_source_concept: int | None = None
    value_as_number: NumericRange | None = None
    value_as_string: TextFilter | None = None
    value_as_concept: Concepts = ()
    value_as_concept_cs: ConceptSetSelection | None = None
    qualifier: Concepts = ()
    qualifier_cs: ConceptSetSelection | None = None
    unit: Concepts = ()
    unit_cs: ConceptSetSelection | None = None


class ProcedureOccurrence(EncounteredCriterion):
    """Procedures: records of OMOP's procedure_occurrence."""

    procedure_type: Concepts = ()
    procedure_type_cs: ConceptSetSelection | None = None
    procedure_type_exclude: bool = False
    procedure_source_concept: int | None = None
    modifier: Concepts = ()
    modifier_cs: ConceptSetSelection | None = None
    quantity: NumericRange | None = None


class Specimen(OccurrenceCriterion):
    """Samples taken of a person: records of OMOP's specimen."""

    specimen_type: Concepts = ()
    specimen_type_cs: ConceptSetSelection | None = None
    specimen_type_exclude: bool = False
    quantity: NumericRange | None = None
    unit: Concepts = ()
    unit_cs: ConceptSetSelection | None = None
    anatomic_site: Concepts = ()
    anatomic_site_cs: ConceptSetSelection | None = None
    disease_status: Concepts = ()
    disease_status_cs: ConceptSetSelection | None = None
    source_id: TextFilter | None = None


class VisitOccurrence(OccurrenceCriterion):
    """``VisitType`` is the provenance of the visit's record here, and the kind of visit in every other domain.

    ``PlaceOfServiceLocation`` is a concept set of regions.
    """

    visit_type: Concepts = ()
    visit_type_cs: ConceptSetSelection | None = None
    visit_type_exclude: bool = False
    visit_source_concept: int | None = None
    visit_length: NumericRange | None = None
    provider_specialty: Concepts = ()
    provider_specialty_cs: ConceptSetSelection | None = None
    place_of_service: Concepts = ()
    place_of_service_cs: ConceptSetSelection | None = None
    place_of_service_location: int | None = None


class VisitDetail(Criterion):
    """Parts of a visit, such as a stay on a ward: records of OMOP's visit_detail. ``VisitDetailLength`` is in days."""

    codeset_id: int | None = None
    first: bool = False
    visit_detail_start_date: DateRange | None = None
    visit_detail_end_date: DateRange | None = None
    visit_detail_type_cs: ConceptSetSelection | None = None
    visit_detail_source_concept: int | None = None
    visit_detail_length: NumericRange | None = None
    age: NumericRange | None = None
    gender_cs: ConceptSetSelection | None = None
    provider_specialty_cs: ConceptSetSelection | None = None
    place_of_service_cs: ConceptSetSelection | None = None
    place_of_service_location: int | None = None


class Death(CodedCriterion):
    """A person's death, by its cause where there is a concept set: OMOP's death."""

    occurrence_start_date: DateRange | None = None
    age: NumericRange | None = None
    death_type: Concepts = ()
    death_type_cs: ConceptSetSelection | None = None
    death_type_exclude: bool = False
    death_source_concept: int | None = None


class EraCriterion(CodedCriterion):
    """An era of the tables that a Trust's own load derived; none is derived here."""

    first: bool = False
    era_start_date: DateRange | None = None
    era_end_date: DateRange | None = None
    era_length: NumericRange | None = None
    age_at_start: NumericRange | None = None
    age_at_end: NumericRange | None = None


class ConditionEra(EraCriterion):
    """Times with a condition, as OMOP's condition_era has them; ``OccurrenceCount`` is the number of its diagnoses."""

    occurrence_count: NumericRange | None = None


class DrugEra(EraCriterion):
    """``GapDays`` is compared with the era's gap days (circe, by mistake, compares them with ``EraLength``)."""

    occurrence_count: NumericRange | None = None
    gap_days: NumericRange | None = None


class DoseEra(EraCriterion):
    """Times with an ingredient at one daily dose, as OMOP's dose_era has them; ``DoseValue`` is in ``Unit``."""

    unit: Concepts = ()
    unit_cs: ConceptSetSelection | None = None
    dose_value: NumericRange | None = None


class PeriodCriterion(Criterion):
    """``UserDefinedPeriod``: days that the period must hold, which become its start and end."""

    first: bool = False
    period_start_date: DateRange | None = None
    period_end_date: DateRange | None = None
    user_defined_period: Period | None = None
    period_length: NumericRange | None = None
    age_at_start: NumericRange | None = None
    age_at_end: NumericRange | None = None


class ObservationPeriod(PeriodCriterion):
    """Times during which a person was observed: OMOP's observation_period."""

    period_type: Concepts = ()
    period_type_cs: ConceptSetSelection | None = None


class PayerPlanPeriod(PeriodCriterion):
    """Numbers are ids of concept sets."""

    gender: Concepts = ()
    gender_cs: ConceptSetSelection | None = None
    payer_concept: int | None = None
    plan_concept: int | None = None
    sponsor_concept: int | None = None
    stop_reason_concept: int | None = None
    payer_source_concept: int | None = None
    plan_source_concept: int | None = None
    sponsor_source_concept: int | None = None
    stop_reason_source_concept: int | None = None


class Episode(Criterion):
    """A disease episode or a course of treatment."""

    codeset_id: int | None = None
    first: bool = False
    episode_start_date: DateRange | None = None
    episode_end_date: DateRange | None = None
    episode_number: NumericRange | None = None
    age: NumericRange | None = None
    gender_cs: ConceptSetSelection | None = None
    episode_object_concept_cs: ConceptSetSelection | None = None
    episode_type_cs: ConceptSetSelection | None = None


class CustomEraCriterion(Criterion):
    """Records of several criteria, joined where they are at most ``GapDays`` apart."""

    criteria_list: tuple[Criteria, ...] = Field(min_length=1)
    gap_days: Days = 0
    first: bool = False
    start_date: DateRange | None = None
    end_date: DateRange | None = None
    duration: NumericRange | None = None
    age_at_start: NumericRange | None = None
    gender_cs: ConceptSetSelection | None = None


class LocationRegion(Criterion):
    """Where the person lived, by the location's region; reads ``location_history``, which CDM 5.4 itself has not."""

    codeset_id: int | None = None


class TextMention(EncounteredCriterion):
    """A concept that was found in a clinical note: a row of NOTE_NLP, dated by its note.

    ``TermExists`` is OMOP's summary of what the text says of it: Y, the patient has or had it; N, it is negated, ruled
    out, very unlikely, or of somebody else. ``TermTemporal``: whether it is there or is history. A row that doesn't say
    is neither. Notes are asked for concepts alone, never for words, by which a single person could be named.
    """

    text_source_concept: int | None = None
    term_exists: Literal["Y", "N"] | None = None
    term_temporal: Literal["present", "past"] | None = None
    note_type: Concepts = ()
    note_type_cs: ConceptSetSelection | None = None
    note_type_exclude: bool = False
    note_class: Concepts = ()
    note_class_cs: ConceptSetSelection | None = None
    section: Concepts = ()
    section_cs: ConceptSetSelection | None = None


class ImageFeature(ExpressionPart):
    """A feature of an image (a row of IMAGE_FEATURE), and its value in the MEASUREMENT or OBSERVATION it refers to."""

    codeset_id: int
    value_as_number: NumericRange | None = None
    value_as_concept: Concepts = ()
    value_as_concept_cs: ConceptSetSelection | None = None
    unit: Concepts = ()
    unit_cs: ConceptSetSelection | None = None


class ImageSeries(OccurrenceCriterion):
    """A series of images: a row of IMAGE_OCCURRENCE of OMOP's imaging extension. ``CodesetId`` is of modalities.

    A series has each of ``Features``.
    """

    visit_type: Concepts = ()
    visit_type_cs: ConceptSetSelection | None = None
    anatomic_site: Concepts = ()
    anatomic_site_cs: ConceptSetSelection | None = None
    features: tuple[ImageFeature, ...] = ()


class Criteria(ExpressionPart):
    """One criterion under its domain's name."""

    condition_era: ConditionEra | None = None
    condition_occurrence: ConditionOccurrence | None = None
    custom_era: CustomEraCriterion | None = None
    death: Death | None = None
    device_exposure: DeviceExposure | None = None
    dose_era: DoseEra | None = None
    drug_era: DrugEra | None = None
    drug_exposure: DrugExposure | None = None
    episode: Episode | None = None
    flip_image: ImageSeries | None = None
    flip_text: TextMention | None = None
    location_region: LocationRegion | None = None
    measurement: Measurement | None = None
    observation: Observation | None = None
    observation_period: ObservationPeriod | None = None
    payer_plan_period: PayerPlanPeriod | None = None
    procedure_occurrence: ProcedureOccurrence | None = None
    specimen: Specimen | None = None
    visit_detail: VisitDetail | None = None
    visit_occurrence: VisitOccurrence | None = None

    @model_validator(mode="after")
    def _one(self) -> Criteria:
        if len(self.model_fields_set) != 1:
            raise ValueError("a criterion has exactly one domain")
        return self

    @property
    def criterion(self) -> Criterion:
        """The one criterion there is, of whatever domain."""
        (name,) = self.model_fields_set
        value: Criterion = getattr(self, name)
        return value


class WindowEnd(ExpressionPart):
    """``Coeff`` · ``Days`` from the index; without days it is the observation period's start (-1) or end (1)."""

    days: Days | None = None
    coeff: Literal[-1, 1]

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, part: object) -> object:
        return in_days(part, "Days", "TimeUnit", "TimeUnitValue")


class Window(ExpressionPart):
    """Days around the index event in which a record starts or ends.

    ``UseIndexEnd`` counts from the index event's end instead of its start, ``UseEventEnd`` looks at the record's end
    instead of its start.
    """

    start: WindowEnd
    end: WindowEnd
    use_index_end: bool | None = None
    use_event_end: bool | None = None


CountColumn = Literal[
    "DAYS_SUPPLY", "DOMAIN_CONCEPT", "DURATION", "END_DATE", "ERA_OCCURRENCES", "GAP_DAYS", "QUANTITY", "RANGE_HIGH",
    "RANGE_LOW", "REFILLS", "START_DATE", "UNIT", "VALUE_AS_NUMBER", "VISIT_DETAIL_ID", "VISIT_ID",
]  # fmt: skip


class Occurrence(ExpressionPart):
    """``Type`` 0 exactly, 1 at most, 2 at least ``Count`` records; distinct concepts or ``CountColumn``s."""

    type: Literal[0, 1, 2]
    count: int = Field(ge=0, lt=2**31)
    is_distinct: bool = False
    count_column: CountColumn | None = None


class CorrelatedCriterion(ExpressionPart):
    """So many records of a criterion (``Occurrence``) around the index event.

    ``RestrictVisit`` asks for the same visit; with ``IgnoreObservationPeriod`` records count outside the observation
    period too.
    """

    criteria: Criteria
    start_window: Window
    end_window: Window | None = None
    occurrence: Occurrence
    restrict_visit: bool = False
    ignore_observation_period: bool = False

    @property
    def is_about_one_date(self) -> bool:
        """Whether the records' start alone, or their end alone, decides: such records can be put in one order.

        Others are held against each event, pair by pair, of which there are many where a person has many of both.
        """
        windows = [(self.start_window, self.start_window.use_event_end or False)]
        if self.end_window is not None:
            windows.append((self.end_window, self.end_window.use_event_end is not False))
        within = not self.ignore_observation_period
        dates = {end for one, end in windows if within or one.start.days is not None or one.end.days is not None}
        if within:
            dates.add(False)
        if len(dates) > 1:
            return False
        occurrence = self.occurrence
        if not occurrence.is_distinct or (occurrence.type, occurrence.count) in ((0, 0), (1, 0), (2, 1), (2, 0)):
            return True
        criterion = self.criteria.criterion
        moved = isinstance(criterion, PeriodCriterion) and criterion.user_defined_period is not None
        counted = "END_DATE" if True in dates else "START_DATE"
        return occurrence.count_column == counted and not moved


class DemographicCriterion(ExpressionPart):
    """About the person, at the index event."""

    age: NumericRange | None = None
    gender: Concepts = ()
    gender_cs: ConceptSetSelection | None = None
    race: Concepts = ()
    race_cs: ConceptSetSelection | None = None
    ethnicity: Concepts = ()
    ethnicity_cs: ConceptSetSelection | None = None
    occurrence_start_date: DateRange | None = None
    occurrence_end_date: DateRange | None = None


def upper(value: object) -> object:
    """Capitals of a text, since ATLAS has written All, ALL and all; anything else as it is."""
    return value.upper() if isinstance(value, str) else value


class CriteriaGroup(ExpressionPart):
    """Conditions of which all, any, at least or at most ``Count`` must hold for an event."""

    type: Annotated[Literal["ALL", "ANY", "AT_LEAST", "AT_MOST"], BeforeValidator(upper)]
    count: int | None = Field(default=None, ge=0, lt=2**31)
    criteria_list: tuple[CorrelatedCriterion, ...] = ()
    demographic_criteria_list: tuple[DemographicCriterion, ...] = ()
    groups: tuple[CriteriaGroup, ...] = ()

    @model_validator(mode="after")
    def _counted(self) -> CriteriaGroup:
        if self.type.startswith("AT_") and self.count is None:
            raise ValueError(f"a group of Type {self.type} needs a Count")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing at all."""
        return not (self.criteria_list or self.demographic_criteria_list or self.groups)
