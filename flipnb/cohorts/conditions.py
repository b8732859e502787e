"""What is asked of people: records of a domain, how many of them and when, age and sex, and groups of all these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from flipnb.cohorts.codes import Codes
from flipnb.cohorts.written import Json, concept_list, day_range, number_range, window

Sex = Literal["female", "male"]
Distinct = Literal["concept", "day", "visit"]
Feature = tuple[Codes, Mapping[str, Any]]

_SEX = {"female": 8532, "male": 8507}
_COUNT_COLUMN = {"concept": "DOMAIN_CONCEPT", "day": "START_DATE", "visit": "VISIT_ID"}
_EXACTLY, _AT_MOST, _AT_LEAST = 0, 1, 2


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
        """Measurements and observations by their number, in the unit of the estate (see ``unit``).

            measurement(hba1c).value(at_least=5, at_most=7)

        One limit, or ``at_least`` and ``at_most``; else ValueError.
        """
        limits = number_range(at_least=at_least, above=above, at_most=at_most, below=below)
        return self._with(ValueAsNumber=limits)

    def value_is(self, *concept_ids: int) -> Records:
        """Measurements and observations whose value is one of these concepts."""
        return self._with(ValueAsConcept=concept_list(concept_ids))

    def unit(self, *concept_ids: int) -> Records:
        """Measurements, observations and specimens in one of these units, by concept id (8840 is mg/dL)."""
        return self._with(Unit=concept_list(concept_ids))

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
        return self._with(NoteClass=concept_list(concept_ids))

    def at_site(self, *concept_ids: int) -> Records:
        """Images and specimens of this part of the body."""
        return self._with(AnatomicSite=concept_list(concept_ids))

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
        asked: Json = {"ValueAsNumber": number_range(**limits)} if any(x is not None for x in limits.values()) else {}
        if unit is not None:
            asked["Unit"] = concept_list([unit])
        return replace(self, features=(*self.features, (codes, asked)))

    def at_visit(self, *concept_ids: int) -> Records:
        """Recorded during a visit of this kind."""
        return self._with(VisitType=concept_list(concept_ids))

    def at_age(self, *, at_least: int | None = None, at_most: int | None = None) -> Records:
        """The person's age at the record's start, in years, by the year of birth. Raises ValueError without a limit."""
        limits = number_range(at_least=at_least, at_most=at_most)
        return self._with(**{"AgeAtStart" if self.domain.endswith(("Era", "Period")) else "Age": limits})

    def starting(self, *, since: date | None = None, until: date | None = None) -> Records:
        """Records that start on these days of the calendar, both included. Raises ValueError without a day."""
        name = {"Era": "EraStartDate", "Period": "PeriodStartDate", "Detail": "VisitDetailStartDate"}
        found = next((value for end, value in name.items() if self.domain.endswith(end)), "OccurrenceStartDate")
        return self._with(**{found: day_range(since, until)})

    def with_field(self, name: str, value: Any) -> Records:
        """Any other field of the domain's criterion, under OHDSI's name and in its JSON."""
        return self._with(**{name: value})

    def when(self, *conditions: Condition) -> Records:
        """Only records around which all of this holds; days count from the record's start."""
        return replace(self, around=all_of(*conditions))

    def within(self, start: int | None, end: int | None) -> Found:
        """At least one that starts between so many days after the index event (negative: before it)."""
        return Found(self, window(start, end))

    def any_time(self) -> Found:
        """At least one within the observation period."""
        return self.within(None, None)

    def _with(self, **fields: Any) -> Records:
        return replace(self, fields={**self.fields, **fields})

    def written(self, ids: Callable[[Codes], int]) -> Json:
        """OHDSI's JSON of the criterion; ``ids`` numbers the concept sets."""
        fields = dict(self.fields)
        if self.codes is not None:
            fields["CodesetId"] = ids(self.codes)
        if self.features:
            fields["Features"] = [{"CodesetId": ids(codes), **asked} for codes, asked in self.features]
        if self.around is not None:
            fields["CorrelatedCriteria"] = self.around.written(ids)
        return {self.domain: fields}


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
        """So many or more of the records."""
        return replace(self, kind=_AT_LEAST, count=count)

    def at_most(self, count: int) -> Found:
        """So many of the records or fewer, none included."""
        return replace(self, kind=_AT_MOST, count=count)

    def exactly(self, count: int) -> Found:
        """So many of the records, no more and no fewer."""
        return replace(self, kind=_EXACTLY, count=count)

    def none(self) -> Found:
        """No such record."""
        return self.exactly(0)

    def different(self, by: Distinct = "concept") -> Found:
        """Count different concepts, days or visits instead of records."""
        return replace(self, distinct=by)

    def ending(self, start: int | None, end: int | None) -> Found:
        """And that end between so many days after the index event's start."""
        return replace(self, end_window=window(start, end))

    def from_index_end(self) -> Found:
        """Days count from the end of the index event."""
        ends = None if self.end_window is None else {**self.end_window, "UseIndexEnd": True}
        return replace(self, window={**self.window, "UseIndexEnd": True}, end_window=ends)

    def in_the_same_visit(self) -> Found:
        """Only records of the visit that the index event is of."""
        return replace(self, same_visit=True)

    def outside_observation(self) -> Found:
        """Also where the person was not observed."""
        return replace(self, ignore_observation=True)

    def written(self, ids: Callable[[Codes], int]) -> Json:
        """OHDSI's JSON of the records, their window and their number; ``ids`` numbers the concept sets."""
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
    """In years at the index event, by the year of birth: ``age(at_least=18)``. Raises ValueError without a limit."""
    return Who({"Age": number_range(at_least=at_least, at_most=at_most)})


def sex(*allowed: Sex) -> Who:
    """People recorded as one of these: ``sex("female")``. People of another or unknown sex are neither."""
    return Who({"Gender": concept_list([_SEX[one] for one in allowed])})


@dataclass(frozen=True)
class Group:
    """Conditions, of which all must hold, or any, or at least or at most so many."""

    kind: Literal["ALL", "ANY", "AT_LEAST", "AT_MOST"]
    parts: tuple[Condition, ...]
    count: int | None = None

    def written(self, ids: Callable[[Codes], int]) -> Json:
        """OHDSI's JSON of the group and of the groups within it; ``ids`` numbers the concept sets."""
        return {
            "Type": self.kind,
            **({} if self.count is None else {"Count": self.count}),
            "CriteriaList": [part.written(ids) for part in self.parts if isinstance(part, Found)],
            "DemographicCriteriaList": [dict(part.fields) for part in self.parts if isinstance(part, Who)],
            "Groups": [part.written(ids) for part in self.parts if isinstance(part, Group)],
        }


Condition = Found | Who | Group


def all_of(*parts: Condition) -> Group:
    """Every part holds; without any part it always does."""
    return Group("ALL", parts)


def any_of(*parts: Condition) -> Group:
    """One of the parts holds, or more."""
    return Group("ANY", parts)


def at_least(count: int, *parts: Condition) -> Group:
    """So many of the parts hold, or more."""
    return Group("AT_LEAST", parts, count)


def at_most(count: int, *parts: Condition) -> Group:
    """So many of the parts hold, or fewer."""
    return Group("AT_MOST", parts, count)
