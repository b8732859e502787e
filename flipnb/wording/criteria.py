"""Criteria of a cohort in words, and groups of them: domain, concept set, every field, how many and around what.

The fields are read off the contract's own models: one that a later version gains has words before anybody writes nicer
ones, and none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flipnb.contracts.brief import Sentence
from flipnb.contracts.cohort import names_concept_set
from flipnb.contracts.cohort_criteria import (
    CorrelatedCriterion,
    Criteria,
    CriteriaGroup,
    DemographicCriterion,
    ImageFeature,
    Occurrence,
    Window,
    WindowEnd,
)
from flipnb.contracts.cohort_values import (
    Concept,
    ConceptSetSelection,
    DateAdjustment,
    DateRange,
    ExpressionPart,
    NumericRange,
    Period,
    TextFilter,
)
from flipnb.wording.values import (
    date_range,
    days,
    listed,
    number,
    numeric_range,
    period,
    quoted,
    text_filter,
)

_DOMAINS = {
    "ConditionOccurrence": "condition", "DrugExposure": "drug exposure", "DeviceExposure": "device exposure",
    "Measurement": "measurement", "Observation": "observation", "ProcedureOccurrence": "procedure",
    "Specimen": "specimen", "VisitOccurrence": "visit", "VisitDetail": "part of a visit", "Death": "death",
    "ConditionEra": "era of a condition", "DrugEra": "era of a drug", "DoseEra": "era of a dose",
    "ObservationPeriod": "observation period", "PayerPlanPeriod": "payer plan period", "Episode": "episode",
    "CustomEra": "joined time", "LocationRegion": "place of residence", "FlipText": "mention in a clinical note",
    "FlipImage": "series of images",
}  # fmt: skip
_LABELS = {
    "Age": "the person aged", "AgeAtStart": "the person aged at its start", "AgeAtEnd": "the person aged at its end",
    "Gender": "sex", "ValueAsNumber": "value", "ValueAsConcept": "value", "ValueAsString": "value as text",
    "RangeLowRatio": "value over the low end of its normal range",
    "RangeHighRatio": "value over the high end of its normal range",
    "RangeLow": "low end of its normal range", "RangeHigh": "high end of its normal range",
    "DaysSupply": "days of supply", "OccurrenceStartDate": "starting", "OccurrenceEndDate": "ending",
    "EraStartDate": "starting", "EraEndDate": "ending", "StartDate": "starting", "EndDate": "ending",
    "PeriodStartDate": "starting", "PeriodEndDate": "ending", "EpisodeStartDate": "starting",
    "EpisodeEndDate": "ending", "VisitDetailStartDate": "starting", "VisitDetailEndDate": "ending",
    "EraLength": "days that it lasts", "PeriodLength": "days that it lasts", "Duration": "days that it lasts",
    "VisitLength": "days that it lasts", "VisitDetailLength": "days that it lasts", "GapDays": "gap days",
    "OccurrenceCount": "number of its records", "DoseValue": "daily dose",
}  # fmt: skip
_SAID = {
    ("TermExists", "Y"): "said to be there", ("TermExists", "N"): "denied, ruled out or of somebody else",
    ("TermTemporal", "present"): "of now", ("TermTemporal", "past"): "of the past",
}  # fmt: skip
_ELSEWHERE = {"CodesetId", "First", "CorrelatedCriteria", "CriteriaList", "Features"}
"""Fields that the head or the parts of a criterion say."""

_COUNTED = {
    "DAYS_SUPPLY": "days of supply", "DOMAIN_CONCEPT": "concepts", "DURATION": "durations", "END_DATE": "end dates",
    "ERA_OCCURRENCES": "numbers of records", "GAP_DAYS": "gap days", "QUANTITY": "quantities",
    "RANGE_HIGH": "high ends of the normal range", "RANGE_LOW": "low ends of the normal range", "REFILLS": "refills",
    "START_DATE": "start dates", "UNIT": "units", "VALUE_AS_NUMBER": "values", "VISIT_DETAIL_ID": "parts of visits",
    "VISIT_ID": "visits",
}  # fmt: skip
_TYPES = ("exactly", "at most", "at least")


class Terms:
    """The concept sets of one expression, and what it calls its concepts; ``of`` is how it names them.

    The names are the researcher's: where one concept has several, all are said.
    """

    def __init__(self, sets: Mapping[int, str], names: Mapping[int, tuple[str, ...]]) -> None:
        self._sets, self._names = sets, names

    def concept(self, concept: int) -> str:
        """``Female (8532)``; ``concept 8532`` where it has no name."""
        names = self._names.get(concept, ())
        if not names:
            return f"concept {concept}"
        others = f", also called {listed([quoted(name) for name in names[1:]])}" if len(names) > 1 else ""
        return f"{quoted(names[0])} ({concept}{others})"

    def concept_set(self, number: int) -> str:
        """The set's name, with its number where another set has the same name or it has none."""
        name = self._sets.get(number, "")
        alone = name and sum(other == name for other in self._sets.values()) == 1
        return quoted(name) if alone else f"{quoted(name)} (set {number})" if name else f"set {number}"


def criterion_head(one: Criteria, terms: Terms) -> str:
    """``the first condition “Diabetes”``, in a few words, without its fields."""
    domain, criterion = _domain(one), one.criterion
    codeset = getattr(criterion, "codeset_id", None)
    what = (
        f"{_DOMAINS.get(domain, _spaced(domain))}{f' of {terms.concept_set(codeset)}' if codeset is not None else ''}"
    )
    article = "the first" if getattr(criterion, "first", False) else "any" if codeset is None else _article(what)
    return f"{article} {what}"


def criterion_sentence(one: Criteria, terms: Terms, before: str = "", after: str = "") -> Sentence:
    """The whole criterion; ``before`` and ``after`` stand around its own words."""
    criterion = one.criterion
    text = "; ".join([f"{before}{criterion_head(one, terms)}{after}", *_clauses(criterion, terms, _domain(one))])
    parts = [criterion_sentence(inner, terms, "joined of: ") for inner in getattr(criterion, "criteria_list", ())]
    parts += [Sentence(text=_feature(feature, terms)) for feature in getattr(criterion, "features", ())]
    if isinstance(criterion.correlated_criteria, CriteriaGroup):
        parts.append(group_sentence(criterion.correlated_criteria, terms, "that record", "only with "))
    return Sentence(text=text, parts=tuple(parts))


def demographic_sentence(one: DemographicCriterion, terms: Terms) -> Sentence:
    """What is asked of the person themselves, at the index event."""
    clauses = "; ".join(_clauses(one, terms, ""))
    return Sentence(text=f"at that event: {clauses}" if clauses else "at that event: nothing is asked of the person")


def group_sentence(group: CriteriaGroup, terms: Terms, index: str, before: str = "") -> Sentence:
    """``before`` and how many of the group's conditions must hold; the conditions are its parts. ``index`` names the
    event that their windows count from."""
    parts = [_correlated(one, terms, index) for one in group.criteria_list]
    parts += [demographic_sentence(one, terms) for one in group.demographic_criteria_list]
    parts += [group_sentence(one, terms, index) for one in group.groups]
    nothing = "" if parts else " nothing; it asks for nothing"
    return Sentence(text=f"{before}{_how_many(group)}:{nothing}", parts=tuple(parts))


def _how_many(group: CriteriaGroup) -> str:
    if group.type.startswith("AT_"):
        return f"{group.type.replace('_', ' ').lower()} {group.count} of"
    unused = f" (its count of {group.count} has no effect)" if group.count is not None else ""
    return f"{group.type.lower()} of{unused}"


def _correlated(one: CorrelatedCriterion, terms: Terms, index: str) -> Sentence:
    clauses = [_within(one.start_window, index, ends=one.start_window.use_event_end or False)]
    if one.end_window is not None:
        clauses.append(_within(one.end_window, index, ends=one.end_window.use_event_end is not False))
    if one.restrict_visit:
        clauses.append(f"in the same visit as {index}")
    if one.ignore_observation_period:
        clauses.append("even outside the observation period")
    return criterion_sentence(one.criteria, terms, _occurrence(one.occurrence), f", {', '.join(clauses)}")


def _occurrence(wanted: Occurrence) -> str:
    how_many = f"{_TYPES[wanted.type]} {wanted.count}"
    counted = _COUNTED.get(wanted.count_column or "", "concepts" if wanted.is_distinct else "")
    if wanted.is_distinct:
        return f"{how_many} with different {counted} of: "
    return f"{how_many} of{f' (counted by {counted}, which has no effect here)' if counted else ''}: "


def _within(window: Window, index: str, *, ends: bool) -> str:
    """``starting from 365 days before to 0 days after the entry``."""
    at = f"{index}'s end" if window.use_index_end else index
    return f"{'ending' if ends else 'starting'} from {_edge(window.start)} to {_edge(window.end)} {at}"


def _edge(edge: WindowEnd) -> str:
    side = "before" if edge.coeff < 0 else "after"
    return f"{days(edge.days)} {side}" if edge.days is not None else f"any day {side}"


def _domain(one: Criteria) -> str:
    (name,) = one.model_fields_set
    return str(Criteria.model_fields[name].alias)


def _feature(feature: ImageFeature, terms: Terms) -> str:
    head = f"with the feature {terms.concept_set(feature.codeset_id)}"
    return "; ".join([head, *_clauses(feature, terms, "")])


def _clauses(part: ExpressionPart, terms: Terms, domain: str) -> Iterator[str]:
    """Words for every field that is set, in the contract's order."""
    for name, field in type(part).model_fields.items():
        alias, value = str(field.alias or name), getattr(part, name)
        if alias in _ELSEWHERE or value is None or value is False or value == ():
            continue
        if alias == "GapDays" and isinstance(value, int):
            yield f"where they are at most {days(value)} apart"
        elif alias.endswith("TypeExclude"):
            types = getattr(part, f"{name.removesuffix('_exclude')}", ())
            if not types:
                yield f"of any {_label(alias.removesuffix('Exclude'), domain)} but those named, which are none"
        else:
            yield _clause(alias, value, terms, domain, excluded=bool(getattr(part, f"{name}_exclude", False)))


def _clause(alias: str, value: object, terms: Terms, domain: str, *, excluded: bool) -> str:
    label = _label(alias.removesuffix("CS"), domain)
    if isinstance(value, NumericRange):
        return f"{label} {numeric_range(value)}"
    if isinstance(value, DateRange):
        return f"{label} {date_range(value)}"
    if isinstance(value, TextFilter):
        return f"{label} {text_filter(value)}"
    if isinstance(value, DateAdjustment):
        return (
            f"its start taken as {days(value.start_offset)} after its {_end(value.start_with)}, "
            f"its end as {days(value.end_offset)} after its {_end(value.end_with)}"
        )
    if isinstance(value, Period):
        return f"that holds the days {period(value) or 'of any time'}, which become its start and end"
    if isinstance(value, ConceptSetSelection):
        within = "any concept" if value.codeset_id is None else f"the set {terms.concept_set(value.codeset_id)}"
        return f"{label} {'not ' if value.is_exclusion else ''}in {within}"
    if isinstance(value, tuple):
        named = [terms.concept(item.concept_id) for item in value if isinstance(item, Concept)]
        return f"{label} {'none of ' if excluded else ''}{listed(named, 'or')}"
    if value is True:
        return _spaced(alias)
    if isinstance(value, int) and names_concept_set(alias):
        return f"{label} in the set {terms.concept_set(value)}"
    if isinstance(value, int | float):
        return f"{label} {number(value)}"
    return _SAID.get((alias, str(value)), f"{label} {quoted(str(value))}")


def _label(alias: str, domain: str) -> str:
    if alias == "VisitType" and domain == "VisitOccurrence":
        return "provenance"
    if alias.removesuffix("Type") + "Type" == alias and alias.removesuffix("Type") in domain:
        return "provenance"
    return _LABELS.get(alias) or _spaced(alias)


def _end(which: str) -> str:
    return "start date" if which == "START_DATE" else "end date"


def _spaced(alias: str) -> str:
    """``ProviderSpecialty`` as ``provider specialty``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", alias).lower()


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
