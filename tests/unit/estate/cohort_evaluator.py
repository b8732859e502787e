"""A cohort expression evaluated in plain Python, person by person: slow, short, and written apart from the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

WHOLE = {"Age", "AgeAtStart", "AgeAtEnd", "Refills", "DaysSupply", "VisitLength", "PeriodLength", "EraLength",
         "OccurrenceCount", "GapDays", "VisitDetailLength", "Duration", "EpisodeNumber"}  # fmt: skip
WHOLE_IN = {("ProcedureOccurrence", "Quantity"), ("DeviceExposure", "Quantity")}
STARTS = {
    "StartDate",
    "EpisodeStartDate",
    "OccurrenceStartDate",
    "EraStartDate",
    "PeriodStartDate",
    "VisitDetailStartDate",
}
ENDS = {"EndDate", "EpisodeEndDate", "OccurrenceEndDate", "EraEndDate", "PeriodEndDate", "VisitDetailEndDate"}
LENGTHS = {"Duration", "VisitLength", "EraLength", "PeriodLength", "VisitDetailLength"}
APART = {"CriteriaList", "CodesetId", "First", "CorrelatedCriteria", "DateAdjustment", "UserDefinedPeriod"}


@dataclass(frozen=True)
class Event:
    """A record. ``fields`` holds its values under the criterion's names for them."""

    number: int
    domain: str
    concept: int | None
    start: date
    end: date
    visit: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    sort: date | None = None


@dataclass(frozen=True)
class Person:
    fields: dict[str, int]
    born: int
    periods: tuple[tuple[int, date, date], ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Vocabulary:
    concepts: dict[int, bool]
    """Concepts, and whether each is valid."""
    ancestors: set[tuple[int, int]]
    mapped: set[tuple[int, int]]
    """Source concept, standard concept."""

    def closure(self, items: list[dict]) -> set[int]:
        included = self._all([item for item in items if not item.get("isExcluded")])
        return included - self._all([item for item in items if item.get("isExcluded")])

    def _all(self, items: list[dict]) -> set[int]:
        targets = self._descended([item for item in items if item.get("includeMapped")])
        return self._descended(items) | {source for source, target in self.mapped if target in targets}

    def _descended(self, items: list[dict]) -> set[int]:
        named = {item["concept"]["CONCEPT_ID"] for item in items}
        parents = {item["concept"]["CONCEPT_ID"] for item in items if item.get("includeDescendants")}
        below = {child for parent, child in self.ancestors if parent in parents and self.concepts.get(child)}
        return {concept for concept in named if concept in self.concepts} | below


@dataclass(frozen=True)
class Index:
    """An event that may begin a stay, with its place among the person's."""

    number: int
    event: Event
    op_start: date
    op_end: date

    @property
    def start(self) -> date:
        return self.event.start


class Evaluator:
    def __init__(self, expression: dict, vocabulary: Vocabulary) -> None:
        self.expression = expression
        self.sets = {one["id"]: vocabulary.closure(one["expression"]["items"]) for one in expression["ConceptSets"]}

    def rows(self, person: Person) -> list[tuple[date, date]]:
        expression = self.expression
        indices = self.primary(person)
        extra = expression.get("AdditionalCriteria")
        if extra:
            indices = [index for index in indices if self.group(extra, index, person)]
            indices = limited(indices, expression.get("QualifiedLimit"))
        for rule in expression.get("InclusionRules", []):
            indices = [index for index in indices if self.group(rule["expression"], index, person)]
        indices = limited(indices, expression.get("ExpressionLimit"))
        eras = self.drug_eras(person)
        stays = []
        for index in indices:
            ends = [end for end in self.exits(index, person, eras) if end >= index.start]
            if ends:
                stays.append((index.start, min(ends)))
        window = expression.get("CensorWindow", {})
        first = date.fromisoformat(window.get("StartDate", "0001-01-01"))
        last = date.fromisoformat(window.get("EndDate", "9999-12-31"))
        joined = merged(stays, expression["CollapseSettings"]["EraPad"])
        cut = [(max(start, first), min(end, last)) for start, end in joined]
        return [(start, end) for start, end in cut if start <= end]

    def primary(self, person: Person) -> list[Index]:
        primary = self.expression["PrimaryCriteria"]
        window = primary["ObservationWindow"]
        before, after = timedelta(days=window["PriorDays"]), timedelta(days=window["PostDays"])
        found = [
            (event, op_start, op_end)
            for criteria in primary["CriteriaList"]
            for event in self.records(criteria, person)
            for _, op_start, op_end in person.periods
            if op_start <= event.start <= op_end and op_start + before <= event.start <= op_end - after
        ]
        found.sort(key=lambda one: (one[0].number, one[0].end, one[0].visit is None, one[0].visit or 0, one[1]))
        last = primary["PrimaryCriteriaLimit"]["Type"] == "Last"
        found.sort(key=lambda one: one[0].sort or one[0].start, reverse=last)
        indices = [Index(number, *one) for number, one in enumerate(found)]
        return indices if primary["PrimaryCriteriaLimit"]["Type"] == "All" else indices[:1]

    def exits(self, index: Index, person: Person, eras: list[tuple[date, date]]) -> Iterable[date]:
        strategy = self.expression.get("EndStrategy") or {}
        offset = strategy.get("DateOffset")
        if offset:
            base = index.start if offset["DateField"] == "StartDate" else index.event.end
            yield min(base + timedelta(days=offset["Offset"]), index.op_end)
        else:
            yield index.op_end
        yield from (end for start, end in eras if start <= index.start <= end)
        for criteria in self.expression.get("CensoringCriteria", []):
            yield from (e.start for e in self.records(criteria, person) if index.start <= e.start <= index.op_end)

    def drug_eras(self, person: Person) -> list[tuple[date, date]]:
        strategy = (self.expression.get("EndStrategy") or {}).get("CustomEra")
        if not strategy:
            return []
        drugs, override = self.sets[strategy["DrugCodesetId"]], strategy.get("DaysSupplyOverride")
        exposures = []
        for event in person.events:
            if event.domain == "DrugExposure":
                end = event.end if override is None else event.start + timedelta(days=override)
                exposures += [(event.start, end)] * sum(
                    concept in drugs for concept in (event.concept, event.fields["DrugSourceConcept"])
                )
        gap, offset = strategy["GapDays"], strategy["Offset"]
        padded = merged([(start, end + timedelta(days=gap + offset)) for start, end in exposures], 0)
        return [(start, end - timedelta(days=gap)) for start, end in padded]

    def records(self, criteria: dict, person: Person) -> list[Event]:
        ((domain, criterion),) = criteria.items()
        events = [e for e in person.events if e.domain == domain]
        if domain == "ObservationPeriod":
            events = [Event(n, domain, 0, start, end, fields={"PeriodType": 0}) for n, start, end in person.periods]
        if domain == "CustomEra":
            gap = timedelta(days=criterion["GapDays"])
            found = [e for inner in criterion["CriteriaList"] for e in self.records(inner, person)]
            eras = merged([(e.start, e.end + gap) for e in found], 0)
            events = [Event(n, domain, None, start, end - gap) for n, (start, end) in enumerate(eras)]
        for name in ("CodesetId", *(key for key in criterion if key.endswith("SourceConcept"))):
            if name in criterion:
                wanted = self.sets[criterion[name]]
                events = [e for e in events if (e.concept if name == "CodesetId" else e.fields[name]) in wanted]
        events.sort(key=lambda e: (e.start, e.number))
        if criterion.get("First"):
            events = events[:1]
        events = [adjusted(event, criterion.get("DateAdjustment")) for event in events]
        events = [e for e in events if all(self.passes(domain, key, criterion, e, person) for key in criterion)]
        group = criterion.get("CorrelatedCriteria")
        if group:
            around = [
                Index(0, event, op_start, op_end)
                for event in events
                for _, op_start, op_end in person.periods
                if op_start <= event.start <= op_end
            ]
            events = [index.event for index in around if self.group(group, index, person)]
        return [user_defined(event, criterion.get("UserDefinedPeriod") or {}) for event in events]

    def passes(self, domain: str, key: str, criterion: dict, event: Event, person: Person) -> bool:
        limits = criterion[key]
        if key == "UserDefinedPeriod":
            days = [date.fromisoformat(day) for day in limits.values()]
            return all(event.start <= day <= event.end for day in days)
        if key in APART or (domain == "CustomEra" and key == "GapDays") or key.endswith(("SourceConcept", "Exclude")):
            return True
        if key == "Abnormal":
            value, low, high = (event.fields[name] for name in ("ValueAsNumber", "RangeLow", "RangeHigh"))
            outside = value is not None and ((low is not None and value < low) or (high is not None and value > high))
            return not limits or outside or event.fields["ValueAsConcept"] in (4155142, 4155143)
        if key in ("TermExists", "TermTemporal"):
            return event.fields[key] is not None and event.fields[key].lower() == limits.lower()
        if key == "Features":
            return all(self.featured(one, event, person) for one in limits)
        name = key.removesuffix("CS")
        if name in STARTS | ENDS:
            return compared(event.start if name in STARTS else event.end, limits, date.fromisoformat)
        if name in ("Age", "AgeAtStart", "AgeAtEnd"):
            value = (event.end if name == "AgeAtEnd" else event.start).year - person.born
        elif name in LENGTHS:
            value = (event.end - event.start).days
        elif name in person.fields:
            value = person.fields[name]
        elif name == "VisitType" and domain != "VisitOccurrence":
            visits = {e.number: e.concept for e in person.events if e.domain == "VisitOccurrence"}
            if event.visit not in visits:
                return False
            value = visits[event.visit]
        elif name in ("RangeLowRatio", "RangeHighRatio"):
            number, bound = event.fields["ValueAsNumber"], event.fields[name.removesuffix("Ratio")]
            value = None if number is None or not bound else number / bound
        else:
            value = event.fields[name]
        if key.endswith("CS"):
            return self.selected(value, limits)
        if isinstance(limits, list):
            inside = value in {concept["CONCEPT_ID"] for concept in limits}
            return not limits or (value is not None and inside != criterion.get(f"{key}Exclude", False))
        if "Text" in limits:
            return value is not None and like(value, limits)
        return compared(value, limits, int if key in WHOLE or (domain, key) in WHOLE_IN else float)

    def featured(self, asked: dict, image: Event, person: Person) -> bool:
        """Whether an image has a feature of the set, whose value (a measurement or observation) is as asked."""
        for concept, value_of in image.fields["Features"]:
            if concept in self.sets[asked["CodesetId"]]:
                values = [e for e in person.events if (e.domain, e.number) == value_of]
                others = [key for key in asked if key != "CodesetId"]
                if not others or any(all(self.passes("", key, asked, v, person) for key in others) for v in values):
                    return True
        return False

    def selected(self, value: int | None, selection: dict) -> bool:
        wanted = self.sets[selection["CodesetId"]]
        if selection.get("IsExclusion"):
            return not wanted or (value is not None and value not in wanted)
        return value in wanted

    def group(self, expression: dict, index: Index, person: Person) -> bool:
        results = [self.correlated(one, index, person) for one in expression["CriteriaList"]]
        results += [self.demographic(one, index, person) for one in expression["DemographicCriteriaList"]]
        results += [self.group(one, index, person) for one in expression["Groups"]]
        if not results:
            return True
        true, count = sum(results), expression.get("Count", 0)
        return {"ALL": true == len(results), "ANY": true > 0, "AT_LEAST": true >= count, "AT_MOST": true <= count}[
            expression["Type"]
        ]

    def demographic(self, one: dict, index: Index, person: Person) -> bool:
        return all(self.passes("", key, one, index.event, person) for key in one)

    def correlated(self, one: dict, index: Index, person: Person) -> bool:
        ignore = one.get("IgnoreObservationPeriod", False)
        hits = []
        for event in self.records(one["Criteria"], person):
            inside = ignore or index.op_start <= event.start <= index.op_end
            windows = [(one["StartWindow"], event.start)]
            if "EndWindow" in one:
                windows.append((one["EndWindow"], event.end))
            for window, default in windows:
                base = index.event.end if window["UseIndexEnd"] else index.start
                day = default if window["UseEventEnd"] is None else event.end if window["UseEventEnd"] else event.start
                low, high = (edge(window[side], base, index, ignore) for side in ("Start", "End"))
                inside = inside and (low is None or low <= day) and (high is None or day <= high)
            if one.get("RestrictVisit"):
                inside = inside and event.visit is not None and event.visit == index.event.visit
            if inside:
                hits.append(event)
        occurrence = one["Occurrence"]
        found = len(hits)
        if occurrence["IsDistinct"]:
            counted = {
                "DOMAIN_CONCEPT": lambda e: e.concept, "START_DATE": lambda e: e.start, "END_DATE": lambda e: e.end,
                "VISIT_ID": lambda e: e.visit, "DURATION": lambda e: (e.end - e.start).days,
            }[occurrence.get("CountColumn") or "DOMAIN_CONCEPT"]  # fmt: skip
            found = len({counted(event) for event in hits} - {None})
        count = occurrence["Count"]
        return {0: found == count, 1: found <= count, 2: found >= count}[occurrence["Type"]]


def compared(value: Any, limits: dict, kind: Any) -> bool:
    if value is None:
        return False
    low, high = kind(limits["Value"]), kind(limits["Extent"]) if "Extent" in limits else None
    return {
        "lt": lambda: value < low, "lte": lambda: value <= low, "eq": lambda: value == low,
        "!eq": lambda: value != low, "gt": lambda: value > low, "gte": lambda: value >= low,
        "bt": lambda: low <= value <= high, "!bt": lambda: not low <= value <= high,
    }[limits["Op"]]()  # fmt: skip


def like(value: str, text: dict) -> bool:
    """% stands for any text, _ for any character."""
    pattern = "".join({"%": ".*", "_": "."}.get(one, re.escape(one)) for one in text["Text"])
    operator = text["Op"].removeprefix("!").lower()
    before = ".*" if operator in ("endswith", "contains") else ""
    after = ".*" if operator in ("startswith", "contains") else ""
    return bool(re.fullmatch(before + pattern + after, value, re.DOTALL)) != text["Op"].startswith("!")


def adjusted(event: Event, adjustment: dict | None) -> Event:
    if not adjustment:
        return event
    dates = {"START_DATE": event.start, "END_DATE": event.end}
    start = dates[adjustment["StartWith"]] + timedelta(days=adjustment["StartOffset"])
    return replace(event, start=start, end=dates[adjustment["EndWith"]] + timedelta(days=adjustment["EndOffset"]))


def user_defined(event: Event, period: dict) -> Event:
    days = {side: date.fromisoformat(period[name]) for side, name in (("start", "StartDate"), ("end", "EndDate"))
            if name in period}  # fmt: skip
    return replace(event, sort=event.start, **days)


def limited(indices: list[Index], limit: dict | None) -> list[Index]:
    kind = (limit or {"Type": "All"})["Type"]
    if kind == "All":
        return indices
    numbered = sorted(indices, key=lambda index: index.number)
    return sorted(numbered, key=lambda index: index.start, reverse=kind == "Last")[:1]


def edge(side: dict, base: date, index: Index, ignore: bool) -> date | None:
    if side.get("Days") is not None:
        return base + timedelta(days=side["Days"] * side["Coeff"])
    if ignore:
        return None
    return index.op_start if side["Coeff"] == -1 else index.op_end


def merged(rows: list[tuple[date, date]], pad: int) -> list[tuple[date, date]]:
    result: list[list[date]] = []
    for start, end in sorted(rows):
        if result and start <= result[-1][1] + timedelta(days=pad):
            result[-1][1] = max(result[-1][1], end)
        else:
            result.append([start, end])
    return [(start, end) for start, end in result]
