"""A cohort in sentences, out of its OHDSI expression: nothing of it is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flipnb.contracts.brief import Sentence
from flipnb.contracts.cohort import (
    CohortExpression,
    ConceptSet,
    ConceptSetItem,
    CustomEra,
    DateOffset,
    EndStrategy,
    Limit,
    ObservationWindow,
)
from flipnb.wording.criteria import Terms, criterion_head, criterion_sentence, group_sentence
from flipnb.wording.values import days, listed, many, period, quoted, visible

_HEAD = 2
"""So many kinds of entry events are named in a cohort's one sentence; more are counted."""


def cohort_sentence(expression: dict[str, Any]) -> Sentence:
    """The cohort in one sentence, with everything of it as parts.

    ``expression`` is OHDSI's JSON; concepts are called what it calls them. Raises FlipError as
    ``CohortExpression.parse``.
    """
    cohort = CohortExpression.parse(expression)
    terms = Terms(
        {one.id: one.name for one in cohort.concept_sets}, {key: tuple(names) for key, names in _names(expression)}
    )
    return Sentence(text=_in_one(cohort, terms), parts=tuple(_all_of_it(cohort, terms)))


def _in_one(cohort: CohortExpression, terms: Terms) -> str:
    entries = cohort.primary_criteria.criteria_list
    heads = list(dict.fromkeys(criterion_head(one, terms) for one in entries))
    entry = listed(heads, "or") if len(heads) <= _HEAD else f"any of {len(entries)} kinds of records"
    rules = len(cohort.inclusion_rules)
    asked = f", who meet {many(rules, 'rule')}" if rules else ""
    return f"people with {entry}{asked}"


def _all_of_it(cohort: CohortExpression, terms: Terms) -> Iterator[Sentence]:
    yield _entry(cohort, terms)
    if cohort.additional_criteria is not None:
        yield group_sentence(cohort.additional_criteria, terms, "the entry", "Keep entries with ")
    yield Sentence(text=f"Of the entries that are kept, {_limit(cohort.qualified_limit)}.")
    for place, rule in enumerate(cohort.inclusion_rules, 1):
        name = f", {quoted(rule.name)}" if rule.name else ""
        about = f" ({quoted(rule.description)})" if rule.description else ""
        yield group_sentence(rule.expression, terms, "the entry", f"Rule {place}{name}{about}: ")
    yield Sentence(text=f"Of the entries that meet every rule, {_limit(cohort.expression_limit)}.")
    yield Sentence(text=_leaving(cohort.end_strategy, terms))
    if cohort.censoring_criteria:
        parts = tuple(criterion_sentence(one, terms) for one in cohort.censoring_criteria)
        yield Sentence(text="They leave at once on any of:", parts=parts)
    window = period(cohort.censor_window)
    yield Sentence(text=f"Only days {window} count." if window else "Days of every year count.")
    pad = cohort.collapse_settings.era_pad
    yield Sentence(text=f"Stays at most {days(pad)} apart become one.")
    if cohort.concept_sets:
        parts = tuple(_concept_set(one, terms) for one in cohort.concept_sets)
        yield Sentence(text=f"{many(len(parts), 'concept set')}:", parts=parts)
    if cohort.title or cohort.cdm_version_range:
        title = f"called {quoted(cohort.title)} by its author" if cohort.title else ""
        version = f"written for version {visible(cohort.cdm_version_range)} of OMOP's model"
        yield Sentence(text=f"It is {listed([title] * bool(title) + [version] * bool(cohort.cdm_version_range))}.")


def _entry(cohort: CohortExpression, terms: Terms) -> Sentence:
    primary = cohort.primary_criteria
    parts = tuple(criterion_sentence(one, terms) for one in primary.criteria_list)
    observed = _observed(primary.observation_window)
    return Sentence(
        text=f"People enter on any of these, {observed}; of these events {_limit(primary.primary_criteria_limit)}:",
        parts=parts,
    )


def _observed(window: ObservationWindow) -> str:
    return f"observed for {days(window.prior_days)} before and {days(window.post_days)} after"


def _limit(limit: Limit) -> str:
    if limit.type == "ALL":
        return "all of a person's count"
    return f"only a person's {limit.type.lower()} counts"


def _leaving(strategy: EndStrategy | None, terms: Terms) -> str:
    if strategy is not None and isinstance(strategy.date_offset, DateOffset):
        end = "start" if strategy.date_offset.date_field == "StartDate" else "end"
        return f"They leave {days(strategy.date_offset.offset)} after the entry's {end}, or when observation ends."
    if strategy is not None and isinstance(strategy.custom_era, CustomEra):
        era = strategy.custom_era
        supply = f"{days(era.days_supply_override)} each" if era.days_supply_override is not None else "as recorded"
        return (
            f"They leave when exposure to {terms.concept_set(era.drug_codeset_id)} ends: gaps up to "
            f"{days(era.gap_days)} are bridged, {days(era.offset)} are added, supply is taken {supply}."
        )
    return "They leave when observation ends."


def _concept_set(one: ConceptSet, terms: Terms) -> Sentence:
    items = tuple(Sentence(text=_item(item, terms)) for item in one.expression.items)
    name = f", {quoted(one.name)}" if one.name else ""
    return Sentence(text=f"Set {one.id}{name}: {many(len(items), 'entry', 'entries')}", parts=items)


def _item(item: ConceptSetItem, terms: Terms) -> str:
    mapped = ["with what is mapped to it"] if item.include_mapped else []
    more = [*(["with its descendants"] if item.include_descendants else []), *mapped]
    said = f", {listed(more)}" if more else ""
    return f"{'not ' if item.is_excluded else ''}{terms.concept(item.concept.concept_id)}{said}"


def _names(expression: dict[str, Any]) -> list[tuple[int, list[str]]]:
    """What the expression calls each concept, every name once."""
    found: dict[int, list[str]] = {}
    open_parts: list[Any] = [expression]
    while open_parts:
        part = open_parts.pop(0)
        if isinstance(part, dict):
            concept, name = part.get("CONCEPT_ID"), part.get("CONCEPT_NAME")
            if isinstance(concept, int) and isinstance(name, str) and name:
                names = found.setdefault(concept, [])
                if name not in names:
                    names.append(name)
            open_parts.extend(part.values())
        elif isinstance(part, list):
            open_parts.extend(part)
    return list(found.items())
