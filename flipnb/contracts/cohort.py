"""OHDSI cohort expressions (the JSON that ATLAS writes), the definition language of cohorts.

The models hold what the compiler supports; every other field is refused by name and place, never ignored, because a
definition with one criterion dropped is another cohort. To support more, add the field here and its meaning to
``flipnb.estate.cohort``. Meaning follows OHDSI's own generator (circe-be), whose SQL is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from flipnb.contracts.cohort_bounds import require_short, require_within_bounds
from flipnb.contracts.cohort_criteria import Criteria, CriteriaGroup, upper
from flipnb.contracts.cohort_values import Concept, Days, ExpressionPart, Offset, Period, in_days
from flipnb.contracts.problem import FlipError

MAXIMUM_DEPTH = 40
"""Nesting of groups and correlated criteria, in levels of JSON."""


class ConceptSetItem(BaseModel):
    """A concept, with descendants and mapped source concepts if it says so; ``isExcluded`` takes all of them out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: Concept
    is_excluded: bool = Field(default=False, alias="isExcluded")
    include_descendants: bool = Field(default=False, alias="includeDescendants")
    include_mapped: bool = Field(default=False, alias="includeMapped")


class ConceptSetExpression(BaseModel):
    """What is in a concept set: all included items without all excluded ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: tuple[ConceptSetItem, ...] = ()


class ConceptSet(BaseModel):
    """A set of concepts under the ``id`` by which criteria refer to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=0, lt=2**31)
    name: str = ""
    expression: ConceptSetExpression


class Limit(ExpressionPart):
    """Which of a person's events count: all of them, the first or the last."""

    type: Annotated[Literal["ALL", "FIRST", "LAST"], BeforeValidator(upper)] = "ALL"


class ObservationWindow(ExpressionPart):
    """Days for which a person must have been observed without a break before and after an event for it to count."""

    prior_days: Days = 0
    post_days: Days = 0


class PrimaryCriteria(ExpressionPart):
    """The events by which people enter: any of the criteria, all such events or a person's first or last."""

    criteria_list: tuple[Criteria, ...] = Field(min_length=1)
    observation_window: ObservationWindow = ObservationWindow()
    primary_criteria_limit: Limit = Limit()


class InclusionRule(BaseModel):
    """A condition on the entry event, and a step of the funnel under its ``name``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    description: str = ""
    expression: CriteriaGroup


class DateOffset(ExpressionPart):
    """People leave ``Offset`` days after the entry event's start or end, if their observation has not ended before."""

    date_field: Literal["StartDate", "EndDate"]
    offset: Offset

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, part: object) -> object:
        return in_days(part, "Offset", "OffsetUnit", "OffsetUnitValue")


class CustomEra(ExpressionPart):
    """People leave at the end of persistent exposure to the drugs of a concept set.

    Exposures at most ``GapDays`` apart are one, ``Offset`` days are added; ``DaysSupplyOverride`` takes the place of
    each exposure's own length in days.
    """

    drug_codeset_id: int
    gap_days: Days = 0
    offset: Offset = 0
    days_supply_override: Days | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, part: object) -> object:
        return in_days(in_days(part, "GapDays", "GapUnit", "GapUnitValue"), "Offset", "OffsetUnit", "OffsetUnitValue")


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
    """A person's stays in the cohort that are at most ``EraPad`` days apart become one."""

    collapse_type: Annotated[Literal["ERA"], BeforeValidator(upper)] = "ERA"
    era_pad: Days = 0

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, part: object) -> object:
        return in_days(part, "EraPad", "EraPadUnit", "EraPadUnitValue")


class CohortExpression(ExpressionPart):
    """A cohort definition, in the fields and JSON names of OHDSI's circe.

    Entry events (``PrimaryCriteria``, ``AdditionalCriteria``), rules that they must meet, when people leave, and the
    concept sets that all of these refer to. ``parse`` makes one out of ATLAS's JSON.
    """

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
        what no OHDSI tool would write, ``cohort-too-large`` beyond the bounds of ``cohort_bounds``.
        """
        require_short(expression)
        try:
            parsed = cls.model_validate(_without_nulls(expression, 0))
        except ValidationError as error:
            raise _refusal(error) from None
        require_within_bounds(parsed)
        parsed._require_concept_sets()
        return parsed

    @property
    def beyond_atlas(self) -> tuple[str, ...]:
        """JSON names of the criteria that it uses and that ATLAS has not: ATLAS refuses the whole expression then."""
        return tuple(sorted({name for name in _domains(self) if name.startswith("Flip")}))

    def _require_concept_sets(self) -> None:
        known = {concept_set.id for concept_set in self.concept_sets}
        if len(known) != len(self.concept_sets):
            raise FlipError("invalid-cohort", "Two ConceptSets of the cohort have the same id.")
        for path, used in _codesets(self, ""):
            if used not in known:
                raise FlipError("invalid-cohort", f"The cohort has no concept set {used}, which {path} refers to.")


_CODESET_FIELDS = {
    "CodesetId", "DrugCodesetId", "PayerConcept", "PlaceOfServiceLocation", "PlanConcept", "SponsorConcept",
    "StopReasonConcept",
}  # fmt: skip


def names_concept_set(alias: str) -> bool:
    """Whether a field of this JSON name holds the id of a concept set."""
    return alias in _CODESET_FIELDS or alias.endswith("SourceConcept")


def _codesets(part: BaseModel, path: str) -> Iterator[tuple[str, int]]:
    """Every reference to a concept set, with its place."""
    for name, field in type(part).model_fields.items():
        alias, value = field.alias or name, getattr(part, name)
        place = f"{path}.{alias}" if path else alias
        if isinstance(value, int) and names_concept_set(alias):
            yield place, value
        elif isinstance(value, BaseModel):
            yield from _codesets(value, place)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _codesets(item, f"{place}[{index}]")


def _domains(part: BaseModel) -> Iterator[str]:
    """The JSON name of every criterion's domain."""
    if isinstance(part, Criteria):
        yield from (field.alias or name for name, field in Criteria.model_fields.items() if getattr(part, name))
    for name in type(part).model_fields:
        value = getattr(part, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, BaseModel):
                yield from _domains(item)


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
