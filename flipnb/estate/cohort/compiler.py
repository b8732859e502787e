"""Cohort expressions to one SQL query that gives the cohort's rows.

The meaning of every step is that of OHDSI's circe-be (Apache License 2.0), whose generated scripts are the reference of
the tests; instead of its temporary tables there is one statement of named subqueries, which runs on a read-only
database. The text is written for DuckDB and turned into other dialects by sqlglot. Where circe leaves the order of
events on one day to the database, events are ordered by their id, so that the same data give the same rows.
"""

from __future__ import annotations

from flipnb.contracts.cohort import (
    CohortExpression,
    ConceptSet,
    ConceptSetItem,
    CorrelatedCriterion,
    CriteriaGroup,
    Criterion,
    CustomEra,
    DateOffset,
    DemographicCriterion,
    RepeatableCriterion,
)
from flipnb.estate.cohort.conditions import day, in_concepts, in_dates, in_range, in_window, shifted
from flipnb.estate.cohort.domains import DOMAINS

_COUNT_COLUMNS = {
    None: "concept_id",
    "DOMAIN_CONCEPT": "concept_id",
    "START_DATE": "start_date",
    "VISIT_ID": "visit_occurrence_id",
}


def compile_cohort(expression: CohortExpression, dialect: str = "duckdb") -> str:
    """A SELECT of person_id, start_date, end_date over OMOP CDM 5.4 tables; ``dialect`` is sqlglot's name."""
    import sqlglot

    return sqlglot.transpile(_Compiler(expression).query(), read="duckdb", write=dialect)[0]


class _Compiler:
    """Collects named subqueries in the order in which they need each other."""

    def __init__(self, expression: CohortExpression) -> None:
        self._expression = expression
        self._subqueries: dict[str, str] = {}

    def query(self) -> str:
        cohort = self._expression
        self._name("codesets", _codesets(cohort.concept_sets))
        self._primary_events()
        self._qualified_events()
        self._included_events()
        self._exits()
        self._collapse()
        start, end, where = "start_date", "end_date", ""
        window = cohort.censor_window
        if window.start_date is not None:
            start = f"CASE WHEN start_date > {day(window.start_date)} THEN start_date ELSE {day(window.start_date)} END"
        if window.end_date is not None:
            end = f"CASE WHEN end_date < {day(window.end_date)} THEN end_date ELSE {day(window.end_date)} END"
        if window.start_date is not None or window.end_date is not None:
            where = f" WHERE {start} <= {end}"
        subqueries = ", ".join(f"{name} AS ({sql})" for name, sql in self._subqueries.items())
        return f"WITH {subqueries} SELECT person_id, {start} AS start_date, {end} AS end_date FROM eras{where}"

    def _name(self, name: str, sql: str) -> str:
        self._subqueries[name] = sql
        return name

    def _number(self, prefix: str) -> str:
        return f"{prefix}_{len(self._subqueries)}"

    def _primary_events(self) -> None:
        primary = self._expression.primary_criteria
        events = " UNION ALL ".join(
            f"SELECT person_id, event_id, start_date, end_date, visit_occurrence_id FROM {self._records(one.criterion)}"
            for one in primary.criteria_list
        )
        window, limit = primary.observation_window, primary.primary_criteria_limit.type
        self._name(
            "primary_events",
            "SELECT ordinal AS event_id, person_id, start_date, end_date, op_start_date, op_end_date, "
            "visit_occurrence_id FROM (SELECT e.person_id, e.start_date, e.end_date, e.visit_occurrence_id, "
            "op.observation_period_start_date AS op_start_date, op.observation_period_end_date AS op_end_date, "
            f"row_number() OVER (PARTITION BY e.person_id ORDER BY e.start_date {_order(limit)}, e.event_id, "
            f"e.end_date, e.visit_occurrence_id) AS ordinal FROM ({events}) e JOIN observation_period op "
            "ON e.person_id = op.person_id AND e.start_date >= op.observation_period_start_date "
            "AND e.start_date <= op.observation_period_end_date "
            f"WHERE {shifted('op.observation_period_start_date', window.prior_days)} <= e.start_date "
            f"AND {shifted('e.start_date', window.post_days)} <= op.observation_period_end_date) p"
            + ("" if limit == "ALL" else " WHERE ordinal = 1"),
        )

    def _qualified_events(self) -> None:
        group, limit = self._expression.additional_criteria, self._expression.qualified_limit.type
        join = ""
        if group is not None and not group.is_empty:
            matching = self._group(group, "primary_events")
            join = f" JOIN {matching} ac ON ac.person_id = pe.person_id AND ac.event_id = pe.event_id"
        # As in circe, the limit is of no effect without additional criteria.
        limited = group is not None and limit != "ALL"
        self._name(
            "qualified_events",
            "SELECT event_id, person_id, start_date, end_date, op_start_date, op_end_date, visit_occurrence_id FROM ("
            f"SELECT pe.*, row_number() OVER (PARTITION BY pe.person_id ORDER BY pe.start_date {_order(limit)}, "
            f"pe.event_id) AS ordinal FROM primary_events pe{join}) qe" + (" WHERE ordinal = 1" if limited else ""),
        )

    def _included_events(self) -> None:
        limit = self._expression.expression_limit.type
        joins = "".join(
            f" JOIN {self._group(rule.expression, 'qualified_events')} r{index} "
            f"ON r{index}.person_id = q.person_id AND r{index}.event_id = q.event_id"
            for index, rule in enumerate(self._expression.inclusion_rules)
        )
        self._name(
            "included_events",
            "SELECT event_id, person_id, start_date, end_date, op_start_date, op_end_date FROM (SELECT q.*, "
            f"row_number() OVER (PARTITION BY q.person_id ORDER BY q.start_date {_order(limit)}, q.event_id) "
            f"AS ordinal FROM qualified_events q{joins}) results" + ("" if limit == "ALL" else " WHERE ordinal = 1"),
        )

    def _exits(self) -> None:
        strategy = self._expression.end_strategy
        exits = []
        if strategy is None or strategy.date_offset is None:
            exits.append("SELECT event_id, person_id, op_end_date AS end_date FROM included_events")
        if strategy is not None and strategy.date_offset is not None:
            exits.append(_offset_exits(strategy.date_offset))
        if strategy is not None and strategy.custom_era is not None:
            self._name("drug_eras", _drug_eras(strategy.custom_era))
            exits.append(
                "SELECT i.event_id, i.person_id, d.end_date FROM included_events i JOIN drug_eras d "
                "ON d.person_id = i.person_id AND i.start_date BETWEEN d.start_date AND d.end_date"
            )
        exits += [
            "SELECT i.event_id, i.person_id, MIN(c.start_date) AS end_date FROM included_events i "
            f"JOIN {self._records(one.criterion)} c ON c.person_id = i.person_id AND c.start_date >= i.start_date "
            "AND c.start_date <= i.op_end_date GROUP BY i.event_id, i.person_id"
            for one in self._expression.censoring_criteria
        ]
        self._name("exits", " UNION ALL ".join(exits))
        self._name(
            "cohort_rows",
            "SELECT i.person_id, i.start_date, MIN(x.end_date) AS end_date FROM included_events i "
            "JOIN exits x ON x.event_id = i.event_id AND x.person_id = i.person_id AND x.end_date >= i.start_date "
            "GROUP BY i.person_id, i.event_id, i.start_date",
        )

    def _collapse(self) -> None:
        pad = self._expression.collapse_settings.era_pad
        self._name("eras", _merged("SELECT person_id, start_date, end_date FROM cohort_rows", pad, pad))

    def _records(self, criterion: Criterion) -> str:
        """The name of a subquery of a criterion's records: person_id, event_id, start_date, end_date, concept_id, …"""
        records = self._name(self._number("records"), _records(criterion))
        if criterion.correlated_criteria is None:
            return records
        around = self._name(
            self._number("index"),
            "SELECT q.*, op.observation_period_start_date AS op_start_date, "
            f"op.observation_period_end_date AS op_end_date FROM {records} q JOIN observation_period op "
            "ON q.person_id = op.person_id AND op.observation_period_start_date <= q.start_date "
            "AND op.observation_period_end_date >= q.start_date",
        )
        matching = self._group(criterion.correlated_criteria, around)
        return self._name(
            self._number("correlated"),
            f"SELECT pe.* FROM {records} pe JOIN {matching} ac "
            "ON ac.person_id = pe.person_id AND ac.event_id = pe.event_id",
        )

    def _group(self, group: CriteriaGroup, events: str) -> str:
        """The name of a subquery of the events (person_id, event_id) that the group's criteria hold for."""
        if group.is_empty:
            return self._name(self._number("group"), f"SELECT person_id, event_id FROM {events}")
        matches = [self._correlated(one, events) for one in group.criteria_list]
        matches += [_demographic(one, events) for one in group.demographic_criteria_list]
        matches += [f"SELECT person_id, event_id FROM {self._group(one, events)}" for one in group.groups]
        union = " UNION ALL ".join(
            f"SELECT {index} AS index_id, person_id, event_id FROM ({match}) m{index}"
            for index, match in enumerate(matches)
        )
        wanted = {
            "ALL": f"= {len(matches)}",
            "ANY": "> 0",
            "AT_LEAST": f">= {group.count}",
            "AT_MOST": f"<= {group.count}",
        }[group.type]
        none_may_match = group.type == "AT_MOST" or (group.type == "AT_LEAST" and group.count == 0)
        return self._name(
            self._number("group"),
            f"SELECT e.person_id, e.event_id FROM {events} e {'LEFT' if none_may_match else 'INNER'} JOIN ({union}) cq "
            "ON e.person_id = cq.person_id AND e.event_id = cq.event_id GROUP BY e.person_id, e.event_id "
            f"HAVING COUNT(cq.index_id) {wanted}",
        )

    def _correlated(self, criterion: CorrelatedCriterion, events: str) -> str:
        records = self._records(criterion.criteria.criterion)
        within = not criterion.ignore_observation_period
        conditions = ["a.person_id = p.person_id"]
        if within:
            conditions.append("a.start_date >= p.op_start_date AND a.start_date <= p.op_end_date")
        conditions += in_window(criterion.start_window, within_period=within, ends=False)
        if criterion.end_window is not None:
            conditions += in_window(criterion.end_window, within_period=within, ends=True)
        if criterion.restrict_visit:
            conditions.append("a.visit_occurrence_id = p.visit_occurrence_id")
        occurrence = criterion.occurrence
        counted = f"DISTINCT cc.{_COUNT_COLUMNS[occurrence.count_column]}" if occurrence.is_distinct else "cc.hit"
        found = (
            "SELECT p.person_id, p.event_id, a.event_id AS hit, a.concept_id, a.start_date, a.visit_occurrence_id "
            f"FROM {events} p JOIN {records} a ON {' AND '.join(conditions)}"
        )
        having = f"HAVING COUNT({counted}) {('=', '<=', '>=')[occurrence.type]} {occurrence.count}"
        if occurrence.type == 1 or occurrence.count == 0:
            return (
                f"SELECT p.person_id, p.event_id FROM {events} p LEFT JOIN ({found}) cc ON p.person_id = cc.person_id "
                f"AND p.event_id = cc.event_id GROUP BY p.person_id, p.event_id {having}"
            )
        return f"SELECT cc.person_id, cc.event_id FROM ({found}) cc GROUP BY cc.person_id, cc.event_id {having}"


def _order(limit: str) -> str:
    return "DESC" if limit == "LAST" else "ASC"


def _codesets(concept_sets: tuple[ConceptSet, ...]) -> str:
    if not concept_sets:
        return "SELECT CAST(NULL AS INTEGER) AS codeset_id, CAST(NULL AS INTEGER) AS concept_id WHERE 1 = 0"
    return " UNION ALL ".join(
        f"SELECT {concept_set.id} AS codeset_id, c.concept_id FROM ({_concepts(concept_set)}) c"
        for concept_set in concept_sets
    )


def _concepts(concept_set: ConceptSet) -> str:
    items = concept_set.expression.items
    included = _concept_union([item for item in items if not item.is_excluded])
    excluded = [item for item in items if item.is_excluded]
    if not excluded:
        return f"SELECT DISTINCT i.concept_id FROM ({included}) i"
    return (
        f"SELECT DISTINCT i.concept_id FROM ({included}) i LEFT JOIN ({_concept_union(excluded)}) x "
        "ON i.concept_id = x.concept_id WHERE x.concept_id IS NULL"
    )


def _concept_union(items: list[ConceptSetItem]) -> str:
    parts = [_listed(items)]
    mapped = [item for item in items if item.include_mapped]
    if mapped:
        parts.append(
            f"SELECT DISTINCT cr.concept_id_1 AS concept_id FROM ({_listed(mapped)}) c JOIN concept_relationship cr "
            "ON c.concept_id = cr.concept_id_2 AND cr.relationship_id = 'Maps to' AND cr.invalid_reason IS NULL"
        )
    return " UNION ".join(parts)


def _listed(items: list[ConceptSetItem]) -> str:
    """Named concepts that the vocabulary has, and valid descendants of those that ask for them."""
    if not items:
        return "SELECT concept_id FROM concept WHERE 1 = 0"
    named = in_concepts("concept_id", tuple(item.concept for item in items))
    listed = f"SELECT concept_id FROM concept WHERE {named}"
    ancestors = tuple(item.concept for item in items if item.include_descendants)
    if ancestors:
        listed += (
            " UNION SELECT c.concept_id FROM concept c JOIN concept_ancestor ca "
            "ON c.concept_id = ca.descendant_concept_id WHERE c.invalid_reason IS NULL "
            f"AND {in_concepts('ca.ancestor_concept_id', ancestors)}"
        )
    return listed


def _records(criterion: Criterion) -> str:
    domain = DOMAINS[type(criterion)]
    joins, conditions = "", []
    source_attribute, source_column = domain.source
    for alias, column, codeset in (
        ("cs", domain.concept, criterion.codeset_id),
        ("css", source_column, getattr(criterion, source_attribute)),
    ):
        if codeset is not None:
            joins += f" JOIN codesets {alias} ON {column} = {alias}.concept_id AND {alias}.codeset_id = {codeset}"
    for attribute, (kind, column) in domain.filters.items():
        value = getattr(criterion, attribute)
        if not value:
            continue
        if kind == "concepts":
            flag = domain.excluding.get(attribute)
            conditions.append(in_concepts(f"({column})", value, exclude=flag is not None and getattr(criterion, flag)))
        else:
            conditions.append(in_range(column, value, whole=kind == "whole"))
    if criterion.occurrence_start_date is not None:
        conditions.append(in_dates(domain.start, criterion.occurrence_start_date))
    if isinstance(criterion, RepeatableCriterion) and criterion.occurrence_end_date is not None:
        conditions.append(in_dates(domain.end, criterion.occurrence_end_date))
    first = isinstance(criterion, RepeatableCriterion) and criterion.first
    table = domain.table
    if first:
        # The first of the concept set, whatever its value: other conditions come after, as in circe.
        table = (
            f"(SELECT t.*, row_number() OVER (PARTITION BY t.person_id ORDER BY {domain.start}, {domain.event_id}) "
            f"AS ordinal FROM {domain.table} t{joins})"
        )
        joins = ""
        conditions.append("t.ordinal = 1")
    if criterion.age is not None or criterion.gender:
        joins += " JOIN person pn ON t.person_id = pn.person_id"
    if criterion.age is not None:
        conditions.append(in_range(f"EXTRACT(YEAR FROM {domain.start}) - pn.year_of_birth", criterion.age, whole=True))
    if criterion.gender:
        conditions.append(in_concepts("pn.gender_concept_id", criterion.gender))
    visit_type = getattr(criterion, "visit_type", ())
    if visit_type and domain.visit_type_is_kind_of_visit:
        joins += (
            " JOIN visit_occurrence v ON t.visit_occurrence_id = v.visit_occurrence_id AND t.person_id = v.person_id"
        )
        conditions.append(in_concepts("v.visit_concept_id", visit_type))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT t.person_id, {domain.event_id} AS event_id, {domain.start} AS start_date, {domain.end} AS end_date, "
        f"{domain.concept} AS concept_id, CAST({domain.visit} AS BIGINT) AS visit_occurrence_id "
        f"FROM {table} t{joins}{where}"
    )


def _demographic(criterion: DemographicCriterion, events: str) -> str:
    conditions = []
    if criterion.age is not None:
        conditions.append(in_range("EXTRACT(YEAR FROM e.start_date) - p.year_of_birth", criterion.age, whole=True))
    for column, concepts in (
        ("p.gender_concept_id", criterion.gender),
        ("p.race_concept_id", criterion.race),
        ("p.ethnicity_concept_id", criterion.ethnicity),
    ):
        if concepts:
            conditions.append(in_concepts(column, concepts))
    if criterion.occurrence_start_date is not None:
        conditions.append(in_dates("e.start_date", criterion.occurrence_start_date))
    if criterion.occurrence_end_date is not None:
        conditions.append(in_dates("e.end_date", criterion.occurrence_end_date))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT e.person_id, e.event_id FROM {events} e JOIN person p ON p.person_id = e.person_id{where} "
        "GROUP BY e.person_id, e.event_id"
    )


def _offset_exits(strategy: DateOffset) -> str:
    column = {"StartDate": "start_date", "EndDate": "end_date"}[strategy.date_field]
    exit_date = shifted(column, strategy.offset)
    return (
        f"SELECT event_id, person_id, CASE WHEN {exit_date} > op_end_date THEN op_end_date ELSE {exit_date} END "
        "AS end_date FROM included_events"
    )


def _drug_eras(strategy: CustomEra) -> str:
    """Eras of persistent exposure to the drugs of a concept set, by concept or source concept."""
    start = "de.drug_exposure_start_date"
    end = f"COALESCE(de.drug_exposure_end_date, {start} + de.days_supply, {start} + 1)"
    if strategy.days_supply_override is not None:
        end = shifted(start, strategy.days_supply_override)
    exposures = " UNION ALL ".join(
        f"SELECT de.person_id, {start} AS start_date, {end} AS end_date FROM drug_exposure de "
        f"JOIN codesets cs ON cs.codeset_id = {strategy.drug_codeset_id} AND de.{column} = cs.concept_id "
        "WHERE de.person_id IN (SELECT person_id FROM included_events)"
        for column in ("drug_concept_id", "drug_source_concept_id")
    )
    return _merged(exposures, strategy.gap_days + strategy.offset, strategy.gap_days)


def _merged(rows: str, pad: int, unpad: int) -> str:
    """Periods of a person that overlap, once ends are ``pad`` days later, as one; then ends ``unpad`` days earlier."""
    return (
        f"SELECT person_id, MIN(start_date) AS start_date, {shifted('MAX(end_date)', -unpad)} AS end_date FROM ("
        "SELECT person_id, start_date, end_date, SUM(is_start) OVER (PARTITION BY person_id "
        "ORDER BY start_date, is_start DESC ROWS UNBOUNDED PRECEDING) AS era FROM ("
        "SELECT person_id, start_date, end_date, CASE WHEN MAX(end_date) OVER (PARTITION BY person_id "
        "ORDER BY start_date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) >= start_date THEN 0 ELSE 1 END "
        f"AS is_start FROM (SELECT person_id, start_date, {shifted('end_date', pad)} AS end_date FROM ({rows}) r) "
        "padded) marked) grouped GROUP BY person_id, era"
    )
