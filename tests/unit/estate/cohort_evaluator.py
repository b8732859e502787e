"""A cohort expression evaluated in plain Python, person by person: slow, short, and written apart from the compiler."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

OPERATORS = {
    "lt": lambda x, r: x < r["Value"],
    "lte": lambda x, r: x <= r["Value"],
    "eq": lambda x, r: x == r["Value"],
    "!eq": lambda x, r: x != r["Value"],
    "gt": lambda x, r: x > r["Value"],
    "gte": lambda x, r: x >= r["Value"],
    "bt": lambda x, r: r["Value"] <= x <= r["Extent"],
    "!bt": lambda x, r: not r["Value"] <= x <= r["Extent"],
}


@dataclass(frozen=True)
class Event:
    number: int
    domain: str
    concept: int
    start: date
    end: date
    value: float | None = None


@dataclass(frozen=True)
class Index:
    number: int
    start: date
    end: date
    op_start: date
    op_end: date


@dataclass(frozen=True)
class Person:
    gender: int
    born: int
    periods: tuple[tuple[date, date], ...]
    events: tuple[Event, ...]


def cohort(expression: dict, person: Person) -> list[tuple[date, date]]:
    sets = {
        one["id"]: {item["concept"]["CONCEPT_ID"] for item in one["expression"]["items"] if not item["isExcluded"]}
        - {item["concept"]["CONCEPT_ID"] for item in one["expression"]["items"] if item["isExcluded"]}
        for one in expression["ConceptSets"]
    }
    primary = expression["PrimaryCriteria"]
    window = primary["ObservationWindow"]
    found = []
    for criteria in primary["CriteriaList"]:
        for event in records(criteria, person, sets):
            for op_start, op_end in person.periods:
                if not op_start <= event.start <= op_end:
                    continue
                early = op_start + timedelta(days=window["PriorDays"]) <= event.start
                late = event.start + timedelta(days=window["PostDays"]) <= op_end
                if early and late:
                    found.append((event.start, event.number, event.end, op_start, op_end))
    indices = [
        Index(n, s, e, a, b) for n, (s, _, e, a, b) in enumerate(ordered(found, primary["PrimaryCriteriaLimit"]), 1)
    ]
    indices = limited(indices, primary["PrimaryCriteriaLimit"])
    extra = expression.get("AdditionalCriteria")
    if extra:
        indices = [index for index in indices if group(extra, index, person, sets)]
        indices = limited(by_day(indices, expression["QualifiedLimit"]), expression["QualifiedLimit"])
    for rule in expression["InclusionRules"]:
        indices = [index for index in indices if group(rule["expression"], index, person, sets)]
    indices = limited(by_day(indices, expression["ExpressionLimit"]), expression["ExpressionLimit"])
    rows = []
    for index in indices:
        offset = (expression.get("EndStrategy") or {}).get("DateOffset")
        end = index.op_end
        if offset:
            base = index.start if offset["DateField"] == "StartDate" else index.end
            end = min(base + timedelta(days=offset["Offset"]), index.op_end)
        ends = [end] if end >= index.start else []
        for criteria in expression["CensoringCriteria"]:
            starts = [e.start for e in records(criteria, person, sets) if index.start <= e.start <= index.op_end]
            ends += [min(starts)] if starts else []
        if ends:
            rows.append((index.start, min(ends)))
    return merged(rows, expression["CollapseSettings"]["EraPad"])


def ordered(found: list, limit: dict) -> list:
    by_number = sorted(found, key=lambda row: row[1:])
    return sorted(by_number, key=lambda row: row[0], reverse=limit["Type"] == "Last")


def by_day(indices: list[Index], limit: dict) -> list[Index]:
    numbered = sorted(indices, key=lambda index: index.number)
    return sorted(numbered, key=lambda index: index.start, reverse=limit["Type"] == "Last")


def limited(indices: list[Index], limit: dict) -> list[Index]:
    return indices if limit["Type"] == "All" else indices[:1]


def records(criteria: dict, person: Person, sets: dict) -> list[Event]:
    ((domain, criterion),) = criteria.items()
    events = [e for e in person.events if e.domain == domain and e.concept in sets[criterion["CodesetId"]]]
    events.sort(key=lambda e: (e.start, e.number))
    if criterion.get("First"):
        events = events[:1]
    if "ValueAsNumber" in criterion:
        limits = criterion["ValueAsNumber"]
        events = [e for e in events if e.value is not None and OPERATORS[limits["Op"]](e.value, limits)]
    if "Age" in criterion:
        limits = criterion["Age"]
        events = [e for e in events if OPERATORS[limits["Op"]](e.start.year - person.born, limits)]
    if "Gender" in criterion:
        events = events if person.gender in {c["CONCEPT_ID"] for c in criterion["Gender"]} else []
    return events


def group(expression: dict, index: Index, person: Person, sets: dict) -> bool:
    results = [correlated(one, index, person, sets) for one in expression["CriteriaList"]]
    for one in expression["DemographicCriteriaList"]:
        age, genders = one.get("Age"), {c["CONCEPT_ID"] for c in one.get("Gender", [])}
        of_age = age is None or OPERATORS[age["Op"]](index.start.year - person.born, age)
        results.append(of_age and (not genders or person.gender in genders))
    results += [group(one, index, person, sets) for one in expression["Groups"]]
    if not results:
        return True
    kind, true = expression["Type"], sum(results)
    return {
        "ALL": true == len(results),
        "ANY": true > 0,
        "AT_LEAST": true >= expression.get("Count", 0),
        "AT_MOST": true <= expression.get("Count", 0),
    }[kind]


def correlated(one: dict, index: Index, person: Person, sets: dict) -> bool:
    ignore = one.get("IgnoreObservationPeriod", False)
    hits = []
    for event in records(one["Criteria"], person, sets):
        inside = ignore or index.op_start <= event.start <= index.op_end
        windows = [(one["StartWindow"], event.start)]
        if "EndWindow" in one:
            windows.append((one["EndWindow"], event.end))
        for window, default in windows:
            base = index.end if window["UseIndexEnd"] else index.start
            day = default if window["UseEventEnd"] is None else event.end if window["UseEventEnd"] else event.start
            low, high = (edge(window[side], base, index, ignore) for side in ("Start", "End"))
            inside = inside and (low is None or low <= day) and (high is None or day <= high)
        if inside:
            hits.append(event)
    occurrence = one["Occurrence"]
    found = len({e.concept for e in hits}) if occurrence["IsDistinct"] else len(hits)
    return {0: found == occurrence["Count"], 1: found <= occurrence["Count"], 2: found >= occurrence["Count"]}[
        occurrence["Type"]
    ]


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
