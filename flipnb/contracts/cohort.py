"""OHDSI cohort expressions (the JSON that ATLAS writes), the definition language of cohorts.

The models hold what the compiler supports; every other field is refused by name and place, never ignored, because a
definition with one criterion dropped is another cohort. To support more, add the field here and its meaning to
``flipnb.estate.cohort``. Meaning follows OHDSI's own generator (circe-be), whose SQL is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_pascal

from flipnb.contracts.problem import FlipError

MAXIMUM_DEPTH = 40
"""Nesting of groups and correlated criteria, in levels of JSON."""

ConceptId = Annotated[int, Field(ge=0, lt=2**31)]
Days = Annotated[int, Field(ge=0, le=100_000)]


class ExpressionPart(BaseModel):
    """A part of an expression; JSON names are OHDSI's (PascalCase)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=to_pascal)


class Concept(BaseModel):
    """A concept as ATLAS embeds it; only its id carries meaning, the rest describes it to people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    concept_id: ConceptId = Field(alias="CONCEPT_ID")


Concepts = tuple[Concept, ...]


class ConceptSetItem(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: Concept
    is_excluded: bool = Field(default=False, alias="isExcluded")
    include_descendants: bool = Field(default=False, alias="includeDescendants")
    include_mapped: bool = Field(default=False, alias="includeMapped")


class ConceptSetExpression(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    items: tuple[ConceptSetItem, ...] = ()


class ConceptSet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=0, lt=2**31)
    name: str = ""
    expression: ConceptSetExpression


class NumericRange(ExpressionPart):
    """``Op`` compares with ``Value``; ``bt`` and ``!bt`` also need ``Extent``. Four decimals count, as in circe."""

    value: float
    op: Literal["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]
    extent: float | None = None

    @model_validator(mode="after")
    def _extent(self) -> NumericRange:
        if self.op in ("bt", "!bt") and self.extent is None:
            raise ValueError(f"Op {self.op} needs an Extent")
        return self


class DateRange(ExpressionPart):
    value: date
    op: Literal["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]
    extent: date | None = None

    @model_validator(mode="after")
    def _extent(self) -> DateRange:
        if self.op in ("bt", "!bt") and self.extent is None:
            raise ValueError(f"Op {self.op} needs an Extent")
        return self


class Period(ExpressionPart):
    """A calendar window; an open end is absent."""

    start_date: date | None = None
    end_date: date | None = None


class Criterion(ExpressionPart):
    """What every domain's criterion may say. Without ``CodesetId`` any concept counts."""

    codeset_id: int | None = None
    correlated_criteria: CriteriaGroup | None = None
    occurrence_start_date: DateRange | None = None
    age: NumericRange | None = None
    gender: Concepts = ()


class RepeatableCriterion(Criterion):
    """A person may have several such records. ``First`` is the person's first of the concept set."""

    first: bool = False
    occurrence_end_date: DateRange | None = None


class ConditionOccurrence(RepeatableCriterion):
    condition_type: Concepts = ()
    condition_type_exclude: bool = False
    condition_source_concept: int | None = None
    condition_status: Concepts = ()
    visit_type: Concepts = ()


class DrugExposure(RepeatableCriterion):
    drug_type: Concepts = ()
    drug_type_exclude: bool = False
    drug_source_concept: int | None = None
    refills: NumericRange | None = None
    quantity: NumericRange | None = None
    days_supply: NumericRange | None = None
    route_concept: Concepts = ()
    visit_type: Concepts = ()


class Measurement(RepeatableCriterion):
    measurement_type: Concepts = ()
    measurement_type_exclude: bool = False
    measurement_source_concept: int | None = None
    operator: Concepts = ()
    value_as_number: NumericRange | None = None
    value_as_concept: Concepts = ()
    unit: Concepts = ()
    range_low: NumericRange | None = None
    range_high: NumericRange | None = None
    visit_type: Concepts = ()


class Observation(RepeatableCriterion):
    observation_type: Concepts = ()
    observation_type_exclude: bool = False
    observation_source_concept: int | None = None
    value_as_number: NumericRange | None = None
    value_as_concept: Concepts = ()
    qualifier: Concepts = ()
    unit: Concepts = ()
    visit_type: Concepts = ()


class ProcedureOccurrence(RepeatableCriterion):
    procedure_type: Concepts = ()
    procedure_type_exclude: bool = False
    procedure_source_concept: int | None = None
    modifier: Concepts = ()
    quantity: NumericRange | None = None
    visit_type: Concepts = ()


class VisitOccurrence(RepeatableCriterion):
    """``VisitType`` is the provenance of the visit's record here, and the kind of visit in every other domain."""

    visit_type: Concepts = ()
    visit_type_exclude: bool = False
    visit_source_concept: int | None = None
    visit_length: NumericRange | None = None


class Death(Criterion):
    death_type: Concepts = ()
    death_type_exclude: bool = False
    death_source_concept: int | None = None


class Criteria(ExpressionPart):
    """One criterion under its domain's name."""

    condition_occurrence: ConditionOccurrence | None = None
    death: Death | None = None
    drug_exposure: DrugExposure | None = None
    measurement: Measurement | None = None
    observation: Observation | None = None
    procedure_occurrence: ProcedureOccurrence | None = None
    visit_occurrence: VisitOccurrence | None = None

    @model_validator(mode="after")
    def _one(self) -> Criteria:
        if len(self.model_fields_set) != 1:
            raise ValueError("a criterion has exactly one domain")
        return self

    @property
    def criterion(self) -> Criterion:
        (name,) = self.model_fields_set
        value: Criterion = getattr(self, name)
        return value


class WindowEnd(ExpressionPart):
    """``Coeff`` · ``Days`` from the index; without days it is the observation period's start (-1) or end (1)."""

    days: Days | None = None
    coeff: Literal[-1, 1]


class Window(ExpressionPart):
    start: WindowEnd
    end: WindowEnd
    use_index_end: bool | None = None
    use_event_end: bool | None = None


class Occurrence(ExpressionPart):
    """``Type`` 0 exactly, 1 at most, 2 at least ``Count`` records; distinct concepts or ``CountColumn``s."""

    type: Literal[0, 1, 2]
    count: int = Field(ge=0, lt=2**31)
    is_distinct: bool = False
    count_column: Literal["DOMAIN_CONCEPT", "START_DATE", "VISIT_ID"] | None = None


class CorrelatedCriterion(ExpressionPart):
    criteria: Criteria
    start_window: Window
    end_window: Window | None = None
    occurrence: Occurrence
    restrict_visit: bool = False
    ignore_observation_period: bool = False


class DemographicCriterion(ExpressionPart):
    """About the person, at the index event."""

    age: NumericRange | None = None
    gender: Concepts = ()
    race: Concepts = ()
    ethnicity: Concepts = ()
    occurrence_start_date: DateRange | None = None
    occurrence_end_date: DateRange | None = None


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class CriteriaGroup(ExpressionPart):
    type: Annotated[Literal["ALL", "ANY", "AT_LEAST", "AT_MOST"], BeforeValidator(_upper)]
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
        return not (self.criteria_list or self.demographic_criteria_list or self.groups)


class Limit(ExpressionPart):
    type: Annotated[Literal["ALL", "FIRST", "LAST"], BeforeValidator(_upper)] = "ALL"


class ObservationWindow(ExpressionPart):
    prior_days: Days = 0
    post_days: Days = 0


class PrimaryCriteria(ExpressionPart):
    criteria_list: tuple[Criteria, ...] = Field(min_length=1)
    observation_window: ObservationWindow = ObservationWindow()
    primary_criteria_limit: Limit = Limit()


class InclusionRule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    description: str = ""
    expression: CriteriaGroup


class DateOffset(ExpressionPart):
    date_field: Literal["StartDate", "EndDate"]
    offset: int = Field(ge=-100_000, le=100_000)


class CustomEra(ExpressionPart):
    drug_codeset_id: int
    gap_days: Days = 0
    offset: int = Field(default=0, ge=-100_000, le=100_000)
    days_supply_override: Days | None = None


class EndStrategy(ExpressionPart):
    """Without one, a person leaves the cohort at the end of the observation period."""

    date_offset: DateOffset | None = None
    custom_era: CustomEra | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> EndStrategy:
        if self.date_offset is not None and self.custom_era is not None:
            raise ValueError("an EndStrategy is either DateOffset or CustomEra")
        return self


class CollapseSettings(ExpressionPart):
    collapse_type: Annotated[Literal["ERA"], BeforeValidator(_upper)] = "ERA"
    era_pad: Days = 0


class CohortExpression(ExpressionPart):
    title: str = ""
    cdm_version_range: str = Field(default="", alias="cdmVersionRange")
    primary_criteria: PrimaryCriteria
    additional_criteria: CriteriaGroup | None = None
    concept_sets: tuple[ConceptSet, ...] = ()
    qualified_limit: Limit = Limit()
    expression_limit: Limit = Limit()
    inclusion_rules: tuple[InclusionRule, ...] = ()
    end_strategy: EndStrategy | None = None
    censoring_criteria: tuple[Criteria, ...] = ()
    collapse_settings: CollapseSettings = CollapseSettings()
    censor_window: Period = Period()

    @classmethod
    def parse(cls, expression: dict[str, Any]) -> CohortExpression:
        """The expression, checked; null means absent.

        Raises FlipError ``unsupported-cohort`` that names what is not supported and where, ``invalid-cohort`` for
        what no OHDSI tool would write.
        """
        try:
            parsed = cls.model_validate(_without_nulls(expression, 0))
        except ValidationError as error:
            raise _refusal(error) from None
        parsed._require_concept_sets()
        return parsed

    def _require_concept_sets(self) -> None:
        known = {concept_set.id for concept_set in self.concept_sets}
        if len(known) != len(self.concept_sets):
            raise FlipError("invalid-cohort", "Two ConceptSets of the cohort have the same id.")
        for path, used in _codesets(self, ""):
            if used not in known:
                raise FlipError("invalid-cohort", f"The cohort has no concept set {used}, which {path} refers to.")


_CODESET_FIELDS = {"CodesetId", "DrugCodesetId"}


def _codesets(part: BaseModel, path: str) -> Iterator[tuple[str, int]]:
    """Every reference to a concept set, with its place."""
    for name, field in type(part).model_fields.items():
        alias, value = field.alias or name, getattr(part, name)
        place = f"{path}.{alias}" if path else alias
        if isinstance(value, int) and (alias in _CODESET_FIELDS or alias.endswith("SourceConcept")):
            yield place, value
        elif isinstance(value, BaseModel):
            yield from _codesets(value, place)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _codesets(item, f"{place}[{index}]")


def _without_nulls(value: Any, depth: int) -> Any:
    if depth > MAXIMUM_DEPTH:
        raise FlipError("unsupported-cohort", f"The cohort is nested deeper than {MAXIMUM_DEPTH} levels.")
    if isinstance(value, dict):
        return {key: _without_nulls(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in value]
    return value


def _place(parts: tuple[int | str, ...]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the top"


def _refusal(error: ValidationError) -> FlipError:
    """Unsupported things first: they are what a person can do something about."""
    errors = error.errors(include_url=False)
    for one in errors:
        if one["type"] == "extra_forbidden":
            *place, name = one["loc"]
            return FlipError(
                "unsupported-cohort",
                f"{str(name)[:80]} at {_place(tuple(place))} is not supported.",
                remedy=f"Leave it out, or say it by {', '.join(_DOMAINS)}." if _is_domain(place) else "",
            )
        if one["type"] == "literal_error":
            *place, name = one["loc"]
            return FlipError(
                "unsupported-cohort",
                f"{name} {str(one['input'])[:80]!r} at {_place(tuple(place))} is not supported.",
                remedy=f"Supported: {one['ctx']['expected']}.",
            )
    first = errors[0]
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    return FlipError("invalid-cohort", f"The cohort expression, {_place(first['loc'])}: {reason}.")


_DOMAINS = tuple(field.alias or name for name, field in Criteria.model_fields.items())


def _is_domain(place: list[int | str]) -> bool:
    return bool(place) and (isinstance(place[-1], int) or place[-1] == "Criteria")


def concept_ids(concepts: Concepts) -> tuple[int, ...]:
    return tuple(concept.concept_id for concept in concepts)
