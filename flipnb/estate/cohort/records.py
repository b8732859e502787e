"""A criterion's records as SQL: which rows of its table, with which dates."""

from __future__ import annotations

from collections.abc import Iterable

from flipnb.contracts.cohort_criteria import (
    CountColumn,
    Criterion,
    ImageSeries,
    Measurement,
    PeriodCriterion,
)
from flipnb.contracts.cohort_values import Period
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.by_concept import PERIOD, copied, held, table_by_concept
from flipnb.estate.cohort.concept_sets import ConceptSets
from flipnb.estate.cohort.conditions import day, in_concepts, in_dates, in_range, is_word, like, shifted, where
from flipnb.estate.cohort.domains import DOMAINS, Domain
from flipnb.estate.cohort.images import has_feature
from flipnb.estate.cohort.subqueries import Select
from flipnb.estate.database import Copies

_HIGH, _LOW = 4155142, 4155143
"""OMOP's standard concepts for a value above or below its normal range, by which circe knows an abnormal result."""

# Other tables that a filter may be about, by the name that ``domains`` gives them.
_JOINS = {
    "person": "JOIN person person ON t.person_id = person.person_id",
    "visit": (
        "JOIN visit_occurrence visit ON t.visit_occurrence_id = visit.visit_occurrence_id "
        "AND t.person_id = visit.person_id"
    ),
    "provider": "LEFT JOIN provider provider ON t.provider_id = provider.provider_id",
    "site": "JOIN care_site site ON t.care_site_id = site.care_site_id",
    "location": (
        "JOIN location_history history ON history.entity_id = t.care_site_id AND history.domain_id = 'CARE_SITE' "
        "AND {start} >= history.start_date AND {end} <= COALESCE(history.end_date, DATE '2099-12-31') "
        "JOIN location location ON location.location_id = history.location_id"
    ),
}


def records(
    criterion: Criterion,
    sets: ConceptSets,
    columns: Iterable[str],
    counted: CountColumn | None,
    *,
    copies: Copies,
    table: str | None = None,
) -> Select:
    """A criterion's records: person_id, event_id, start_date, ``columns`` (end_date, sort_date, visit_occurrence_id;
    where ``knows_period``, those of ``PERIOD``, which are null outside of all periods) and what is ``counted``.
    A record may be there more than once only where its care site has several locations.

    ``copies``: what the database has of ``by_concept``. ``table`` is read instead of the domain's.
    """
    domain = DOMAINS[type(criterion)]
    start, end = _dates(criterion, domain)
    listed = ""
    of_concept: list[str] = []
    for attribute, column in domain.codesets.items():
        if (codeset := getattr(criterion, attribute)) is None:
            continue
        if attribute == "codeset_id":
            listed, condition = sets.restricts(column, codeset)
        else:
            # Most source concepts are 0, which a join's estimate takes for any other.
            condition = sets.holds(column, codeset)
        of_concept += [condition] if condition else []
    conditions, joins = _filters(criterion, domain, sets, start, end)
    copy = table is None and _reads_copy(criterion, copies)
    table = table_by_concept(domain.table) if copy else table or domain.table
    period = criterion.user_defined_period if isinstance(criterion, PeriodCriterion) else None
    shown = {
        "person_id": "t.person_id",
        "event_id": domain.event_id,
        "start_date": day(period.start_date) if period and period.start_date else start,
        "end_date": day(period.end_date) if period and period.end_date else end,
        "sort_date": start,
        "visit_occurrence_id": f"CAST({domain.visit} AS BIGINT)",
        "op_start_date": "t.op_start_date",
        "op_end_date": "t.op_end_date",
    }
    names = dict.fromkeys(("person_id", "event_id", "start_date", *columns))
    selected = [(name, shown[name]) for name in names]
    if counted is not None:
        selected.append(("counted", _counted(domain, counted, start, end)))
    source: str | Select = f"{table} t {listed}".rstrip()
    if getattr(criterion, "first", False):
        # The first of the concept set, whatever its value: other conditions come after, as in circe.
        if copy:
            source = _first(domain, f"{table} t", f"{listed} {where(of_concept)}")
        else:
            source = (
                "(SELECT t.*, row_number() OVER (PARTITION BY t.person_id "
                f"ORDER BY {domain.start}, {domain.event_id}) AS ordinal FROM {source} {where(of_concept)}) t"
            )
            conditions.append("t.ordinal = 1")
    else:
        conditions = of_concept + conditions
    return Select(tuple(selected), source, " ".join((*joins, where(conditions))))


def one_each(criterion: Criterion, copies: Copies) -> bool:
    """Whether ``records`` gives everybody one record at most, with its observation period."""
    placed = getattr(criterion, "place_of_service_location", None) is not None
    return getattr(criterion, "first", False) and not placed and knows_period(criterion, copies)


def knows_period(criterion: Criterion, copies: Copies) -> bool:
    """Whether ``records`` can tell the observation period that a record's start is in: a copy has it, and the start is
    the record's own."""
    moved = criterion.date_adjustment or (isinstance(criterion, PeriodCriterion) and criterion.user_defined_period)
    return copies is Copies.WITH_PERIODS and _reads_copy(criterion, copies) and not moved


def _reads_copy(criterion: Criterion, copies: Copies) -> bool:
    table = DOMAINS[type(criterion)].table
    listed = getattr(criterion, "codeset_id", None) is not None
    return copies is not Copies.NONE and listed and table in copied()


def _first(domain: Domain, source: str, rest: str) -> Select:
    """Everybody's first record in a copy, by start and id.

    Aggregates, which DuckDB finds faster than a window. Periods do not overlap, so that records of one day, of which
    the id says which is first, have one.
    """
    start = domain.start.removeprefix("t.")
    order = f"CAST({domain.start} - DATE '1970-01-01' AS HUGEINT) * {1 << 64} + {domain.event_id}"
    keys = dict.fromkeys(held(domain), order) | dict.fromkeys(PERIOD, domain.start)
    found = {name: f"ARG_MIN_NULL(t.{name}, {key})" for name, key in keys.items()}
    found |= {"person_id": "t.person_id", start: f"MIN({domain.start})"}
    return Select(tuple(found.items()), source, f"{rest} GROUP BY t.person_id")


def _dates(criterion: Criterion, domain: Domain) -> tuple[str, str]:
    adjusted = criterion.date_adjustment
    if adjusted is None:
        return domain.start, domain.end
    dates = {"START_DATE": domain.start, "END_DATE": f"({domain.end})"}
    return (
        f"({shifted(dates[adjusted.start_with], adjusted.start_offset)})",
        f"({shifted(dates[adjusted.end_with], adjusted.end_offset)})",
    )


def _filters(
    criterion: Criterion, domain: Domain, sets: ConceptSets, start: str, end: str
) -> tuple[list[str], list[str]]:
    """Conditions of the criterion's fields, and the joins that they need."""
    conditions: list[str] = []
    tables: set[str] = set()

    def add(condition: str | None, about: str) -> None:
        if condition is not None:
            conditions.append(condition)
            tables.update(name for name in _JOINS if about.startswith(f"{name}."))

    for attribute, (kind, template) in domain.filters.items():
        column = template.format(start=start, end=end)
        value = getattr(criterion, attribute, None)
        selection = getattr(criterion, f"{attribute}_cs", None)
        if selection is not None:
            add(sets.selects(column, selection), template)
        if not value and not (kind == "codeset" and value is not None):
            continue
        if kind == "concepts":
            add(in_concepts(column, value, exclude=getattr(criterion, f"{attribute}_exclude", False)), template)
        elif kind == "codeset":
            add(sets.holds(column, value), template)
        elif kind == "dates":
            add(in_dates(column, value), template)
        elif kind == "text":
            add(like(column, value), template)
        elif kind == "word":
            add(is_word(column, value), template)
        elif kind == "age":
            add(in_range(f"EXTRACT(YEAR FROM {column}) - person.year_of_birth", value, whole=True), "person.")
        else:
            add(in_range(column, value, whole=kind == "whole"), template)
    if isinstance(criterion, Measurement) and criterion.abnormal:
        conditions.append(
            "(t.value_as_number < t.range_low OR t.value_as_number > t.range_high "
            f"OR t.value_as_concept_id IN ({_HIGH}, {_LOW}))"
        )
    if isinstance(criterion, ImageSeries):
        conditions += [has_feature(one, sets) for one in criterion.features]
    if isinstance(criterion, PeriodCriterion):
        conditions += _holding(criterion.user_defined_period or Period(), start, end)
    return conditions, [join.format(start=start, end=end) for name, join in _JOINS.items() if name in tables]


def _holding(period: Period, start: str, end: str) -> list[str]:
    return [f"{start} <= {day(date)} AND {end} >= {day(date)}" for date in (period.start_date, period.end_date) if date]


def _counted(domain: Domain, column: CountColumn, start: str, end: str) -> str:
    general: dict[CountColumn, str] = {
        "DOMAIN_CONCEPT": domain.concept,
        "START_DATE": start,
        "END_DATE": end,
        "DURATION": f"({end} - {start})",
        "VISIT_ID": f"CAST({domain.visit} AS BIGINT)",
    }
    found = {**general, **domain.counted}.get(column)
    if found is None:
        raise FlipError("unsupported-cohort", f"Occurrences in {domain.table} can't be counted by {column}.")
    return found
