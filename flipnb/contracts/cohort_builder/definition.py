"""Cohorts in Python, for people who don't use ATLAS: the same JSON, written by words.

    diabetes, metformin = concepts("Diabetes", 201826), concepts("Metformin", 1503297)
    definition = (
        enter(condition(diabetes).first(), prior_days=365)
        .require("Adult", age(at_least=18))
        .require("Treated within 90 days", drug(metformin).within(0, 90))
        .require("No insulin before", drug(insulin).within(None, -1).none())
        .leave_after(365)
    )
    flip.cohort(definition)

Days count from the start of the event by which people enter; None is as far as the observation period goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from flipnb.contracts.cohort import CohortExpression

Json = dict[str, Any]
Limit = Literal["all", "first", "last"]
Sex = Literal["female", "male"]
Distinct = Literal["concept", "day", "visit"]
Feature = tuple["Codes", Mapping[str, Any]]

_SEX = {"female": 8532, "male": 8507}
_COUNT_COLUMN = {"concept": "DOMAIN_CONCEPT", "day": "START_DATE", "visit": "VISIT_ID"}
_EXACTLY, _AT_MOST, _AT_LEAST = 0, 1, 2


@dataclass(frozen=True)
class Codes:
    """A set of concepts."""

    name: str
    included: tuple[int, ...]
    excluded: tuple[int, ...]
    descendants: bool
    mapped: bool

    def written(self, number: int) -> Json:
        items = [(concept, False) for concept in self.included] + [(concept, True) for concept in self.excluded]
        return {
            "id": number,
            "name": self.name,
            "expression": {
                "items": [
                    {
                        "concept": {"CONCEPT_ID": concept},
                        "isExcluded": excluded,
                        "includeDescendants": self.descendants,
                        "includeMapped": self.mapped,
                    }
                    for concept, excluded in items
                ]
            },
        }


def concepts(
    name: str, *ids: int, excluding: Sequence[int] = (), descendants: bool = True, mapped: bool = False
) -> Codes:
    """Concepts with their descendants; ``mapped`` adds source concepts that map to them."""
    return Codes(name, ids, tuple(excluding), descendants, mapped)


@dataclass(frozen=True)
class Records:
    """Records of one domain. Each method gives narrower ones."""

    domain: str
    codes: Codes | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    around: Group | None = None
    features: tuple[Feature, ...] = ()

    def first(self) -> Records:
        """Each person's first of these concepts; what else is asked is asked of that one."""
        return self._with(First=True)

    def value(
        self,
        *,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
        below: float | None = None,
    ) -> Records:
        """Measurements and observations by their number, in the unit of the estate (see ``unit``)."""
        limits = _numbers(at_least=at_least, above=above, at_most=at_most, below=below)
        return self._with(ValueAsNumber=limits)

    def value_is(self, *concept_ids: int) -> Records:
        return self._with(ValueAsConcept=_concepts(concept_ids))

    def unit(self, *concept_ids: int) -> Records:
        return self._with(Unit=_concepts(concept_ids))

    def asserted(self) -> Records:
        """Texts that say it of the patient; not where it is negated, ruled out, or said of somebody else."""
        return self._with(TermExists="Y")

    def negated(self) -> Records:
        """Texts that deny it of the patient: negated, ruled out, very unlikely, or said of somebody else."""
        return self._with(TermExists="N")

    def in_time(self, when: Literal["present", "past"]) -> Records:
        """Texts that call it present, or history."""
        return self._with(TermTemporal=when)

    def in_notes(self, *concept_ids: int) -> Records:
        """Texts in notes of this class, such as discharge summaries."""
        return self._with(NoteClass=_concepts(concept_ids))

    def at_site(self, *concept_ids: int) -> Records:
        """Images and specimens of this part of the body."""
        return self._with(AnatomicSite=_concepts(concept_ids))

    def feature(
        self,
        codes: Codes,
        *,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
        below: float | None = None,
        unit: int | None = None,
    ) -> Records:
        """Images with such a feature (slice thickness, nodule diameter), and its number where a limit is given."""
        limits = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
        asked: Json = {"ValueAsNumber": _numbers(**limits)} if any(x is not None for x in limits.values()) else {}
        if unit is not None:
            asked["Unit"] = _concepts([unit])
        return replace(self, features=(*self.features, (codes, asked)))

    def at_visit(self, *concept_ids: int) -> Records:
        """Recorded during a visit of this kind."""
        return self._with(VisitType=_concepts(concept_ids))

    def at_age(self, *, at_least: int | None = None, at_most: int | None = None) -> Records:
        """In years, by the year of birth."""
        limits = _numbers(at_least=at_least, at_most=at_most)
        return self._with(**{"AgeAtStart" if self.domain.endswith(("Era", "Period")) else "Age": limits})

    def starting(self, *, since: date | None = None, until: date | None = None) -> Records:
        """On these days of the calendar, both included."""
        name = {"Era": "EraStartDate", "Period": "PeriodStartDate", "Detail": "VisitDetailStartDate"}
        found = next((value for end, value in name.items() if self.domain.endswith(end)), "OccurrenceStartDate")
        return self._with(**{found: _days(since, until)})

    def with_field(self, name: str, value: Any) -> Records:
        """Any other field of the domain's criterion, under OHDSI's name and in its JSON."""
        return self._with(**{name: value})

    def when(self, *conditions: Condition) -> Records:
        """Only records around which all of this holds; days count from the record's start."""
        return replace(self, around=all_of(*conditions))

    def within(self, start: int | None, end: int | None) -> Found:
        """At least one that starts between so many days after the index event (negative: before it)."""
        return Found(self, _window(start, end))

    def any_time(self) -> Found:
        """At least one within the observation period."""
        return self.within(None, None)

    def _with(self, **fields: Any) -> Records:
        return replace(self, fields={**self.fields, **fields})

    def written(self, ids: Callable[[Codes], int]) -> Json:
        fields = dict(self.fields)
        if self.codes is not None:
            fields["CodesetId"] = ids(self.codes)
        if self.features:
            fields["Features"] = [{"CodesetId": ids(codes), **asked} for codes, asked in self.features]
        if self.around is not None:
            fields["CorrelatedCriteria"] = self.around.written(ids)
        return {self.domain: fields}


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


@dataclass(frozen=True)
class Found:
    """So many records near the index event; at least one unless it says otherwise."""

    records: Records
    window: Json
    end_window: Json | None = None
    kind: int = _AT_LEAST
    count: int = 1
    distinct: Distinct | None = None
    same_visit: bool = False
    ignore_observation: bool = False

    def at_least(self, count: int) -> Found:
        return replace(self, kind=_AT_LEAST, count=count)

    def at_most(self, count: int) -> Found:
        return replace(self, kind=_AT_MOST, count=count)

    def exactly(self, count: int) -> Found:
        return replace(self, kind=_EXACTLY, count=count)

    def none(self) -> Found:
        return self.exactly(0)

    def different(self, by: Distinct = "concept") -> Found:
        """Count different concepts, days or visits instead of records."""
        return replace(self, distinct=by)

    def ending(self, start: int | None, end: int | None) -> Found:
        """And that end between so many days after the index event's start."""
        return replace(self, end_window=_window(start, end))

    def from_index_end(self) -> Found:
        """Days count from the end of the index event."""
        ends = None if self.end_window is None else {**self.end_window, "UseIndexEnd": True}
        return replace(self, window={**self.window, "UseIndexEnd": True}, end_window=ends)

    def in_the_same_visit(self) -> Found:
        return replace(self, same_visit=True)

    def outside_observation(self) -> Found:
        """Also where the person was not observed."""
        return replace(self, ignore_observation=True)

    def written(self, ids: Callable[[Codes], int]) -> Json:
        occurrence: Json = {"Type": self.kind, "Count": self.count, "IsDistinct": self.distinct is not None}
        if self.distinct is not None:
            occurrence["CountColumn"] = _COUNT_COLUMN[self.distinct]
        found: Json = {"Criteria": self.records.written(ids), "StartWindow": self.window, "Occurrence": occurrence}
        if self.end_window is not None:
            found["EndWindow"] = self.end_window
        return {**found, "RestrictVisit": self.same_visit, "IgnoreObservationPeriod": self.ignore_observation}


@dataclass(frozen=True)
class Who:
    """About the person, at the index event."""

    fields: Mapping[str, Any]


def age(*, at_least: int | None = None, at_most: int | None = None) -> Who:
    """In years, by the year of birth."""
    return Who({"Age": _numbers(at_least=at_least, at_most=at_most)})


def sex(*allowed: Sex) -> Who:
    return Who({"Gender": _concepts([_SEX[one] for one in allowed])})


@dataclass(frozen=True)
class Group:
    """Conditions, of which all must hold, or any, or at least or at most so many."""

    kind: Literal["ALL", "ANY", "AT_LEAST", "AT_MOST"]
    parts: tuple[Condition, ...]
    count: int | None = None

    def written(self, ids: Callable[[Codes], int]) -> Json:
        return {
            "Type": self.kind,
            **({} if self.count is None else {"Count": self.count}),
            "CriteriaList": [part.written(ids) for part in self.parts if isinstance(part, Found)],
            "DemographicCriteriaList": [dict(part.fields) for part in self.parts if isinstance(part, Who)],
            "Groups": [part.written(ids) for part in self.parts if isinstance(part, Group)],
        }


Condition = Found | Who | Group


def all_of(*parts: Condition) -> Group:
    return Group("ALL", parts)


def any_of(*parts: Condition) -> Group:
    return Group("ANY", parts)


def at_least(count: int, *parts: Condition) -> Group:
    return Group("AT_LEAST", parts, count)


def at_most(count: int, *parts: Condition) -> Group:
    return Group("AT_MOST", parts, count)


@dataclass(frozen=True)
class Definition:
    """A cohort definition. Each method gives another one; ``expression()`` is OHDSI's JSON."""

    entry: tuple[Records, ...]
    prior_days: int
    post_days: int
    limit: Limit
    rules: tuple[tuple[str, Group], ...] = ()
    kept: Limit = "all"
    end: Json | Callable[[Callable[[Codes], int]], Json] | None = None
    censoring: tuple[Records, ...] = ()
    gap_days: int = 0
    calendar: Mapping[str, str] = field(default_factory=dict)

    def require(self, name: str, *conditions: Condition) -> Definition:
        """An inclusion rule: all of this holds for the event. The funnel shows it under its name."""
        return replace(self, rules=(*self.rules, (name, all_of(*conditions))))

    def keep(self, limit: Limit) -> Definition:
        """Each person's first or last event of those that meet all rules."""
        return replace(self, kept=limit)

    def leave_after(self, days: int, *, of: Literal["start", "end"] = "start") -> Definition:
        """People leave so many days after the event's start or end, if observation has not ended before."""
        day = {"start": "StartDate", "end": "EndDate"}[of]
        return replace(self, end={"DateOffset": {"DateField": day, "Offset": days}})

    def leave_when_drug_stops(self, codes: Codes, *, gap_days: int = 0, more_days: int = 0) -> Definition:
        """People leave at the end of persistent exposure: exposures at most ``gap_days`` apart are one."""
        return replace(
            self,
            end=lambda ids: {"CustomEra": {"DrugCodesetId": ids(codes), "GapDays": gap_days, "Offset": more_days}},
        )

    def leave_on(self, *records: Records) -> Definition:
        """People leave at the first of such records."""
        return replace(self, censoring=(*self.censoring, *records))

    def join_stays(self, gap_days: int) -> Definition:
        """Stays of a person at most so many days apart become one."""
        return replace(self, gap_days=gap_days)

    def between(self, since: date | None = None, until: date | None = None) -> Definition:
        """Stays are cut to these days of the calendar."""
        days = {"StartDate": since, "EndDate": until}
        return replace(self, calendar={name: day.isoformat() for name, day in days.items() if day is not None})

    def expression(self) -> Json:
        """The JSON that ATLAS would write. Raises FlipError ``unsupported-cohort``, ``invalid-cohort``."""
        known: dict[Codes, int] = {}

        def ids(codes: Codes) -> int:
            return known.setdefault(codes, len(known))

        written: Json = {
            "PrimaryCriteria": {
                "CriteriaList": [records.written(ids) for records in self.entry],
                "ObservationWindow": {"PriorDays": self.prior_days, "PostDays": self.post_days},
                "PrimaryCriteriaLimit": _limit(self.limit),
            },
            "QualifiedLimit": _limit("all"),
            "ExpressionLimit": _limit(self.kept),
            "InclusionRules": [{"name": name, "expression": group.written(ids)} for name, group in self.rules],
            "CensoringCriteria": [records.written(ids) for records in self.censoring],
            "CollapseSettings": {"CollapseType": "ERA", "EraPad": self.gap_days},
            "CensorWindow": dict(self.calendar),
        }
        if self.end is not None:
            written["EndStrategy"] = self.end(ids) if callable(self.end) else self.end
        whole = {"ConceptSets": [codes.written(number) for codes, number in known.items()], **written}
        CohortExpression.parse(whole)
        return whole


def enter(*records: Records, prior_days: int = 0, post_days: int = 0, limit: Limit = "all") -> Definition:
    """People enter by any of these records, observed for so many days before and after; all of them, first or last."""
    return Definition(records, prior_days, post_days, limit)


def _limit(limit: Limit) -> Json:
    return {"Type": limit.title()}


def _concepts(ids: Sequence[int]) -> list[Json]:
    return [{"CONCEPT_ID": concept} for concept in ids]


def _window(start: int | None, end: int | None) -> Json:
    return {"Start": _edge(start, -1), "End": _edge(end, 1), "UseIndexEnd": False}


def _edge(days: int | None, open_side: int) -> Json:
    if days is None:
        return {"Coeff": open_side}
    return {"Days": abs(days), "Coeff": -1 if days < 0 else 1}


_OPERATORS = {"at_least": "gte", "above": "gt", "at_most": "lte", "below": "lt", "since": "gte", "until": "lte"}


def _numbers(**limits: float | None) -> Json:
    """One limit, or ``at_least`` and ``at_most``."""
    return _range(limits, ("at_least", "at_most"))


def _days(since: date | None, until: date | None) -> Json:
    days = {"since": since, "until": until}
    return _range({name: day.isoformat() if day else None for name, day in days.items()}, ("since", "until"))


def _range(limits: Mapping[str, Any], ends: tuple[str, str]) -> Json:
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if set(given) == set(ends):
        return {"Value": given[ends[0]], "Extent": given[ends[1]], "Op": "bt"}
    if len(given) != 1:
        raise ValueError(f"give one limit, or {ends[0]} and {ends[1]}")
    ((name, limit),) = given.items()
    return {"Value": limit, "Op": _OPERATORS[name]}
