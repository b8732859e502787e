"""Cohort expressions to one SQL query that gives the cohort's rows.

The meaning of every step is that of OHDSI's circe-be (Apache License 2.0), whose generated scripts are the reference of
the tests; instead of its temporary tables there is one statement of named subqueries, which runs on a read-only
database. The text is written for DuckDB and turned into other dialects by sqlglot. Where circe leaves the order of
events on one day to the database, events are ordered by their id, so that the same data give the same rows.

Events carry an id of their own, so that one number says which event a criterion holds for. A group is a condition on
events: each of its criteria asks for the event among those that it found, and an inclusion rule sees only the events
that the rules before it left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.cohort_criteria import (
    CorrelatedCriterion,
    CountColumn,
    CriteriaGroup,
    Criterion,
    CustomEraCriterion,
    DemographicCriterion,
)
from flipnb.estate.cohort.concept_sets import ConceptSets
from flipnb.estate.cohort.conditions import day, in_concepts, in_dates, in_range, in_window, is_about_end, shifted
from flipnb.estate.cohort.eras import drug_eras, merged, offset_exit
from flipnb.estate.cohort.records import knows_period, records
from flipnb.estate.database import Copies

_EVENT = "event_id, person_id, start_date, end_date, op_start_date, op_end_date, visit_occurrence_id, ordinal"
_PERIOD = ("op_start_date", "op_end_date")
_SOURCE = re.compile(r"\b(?:FROM|JOIN) \(?(\w+)")
_LIMITS = {"ALL": "All events", "FIRST": "First event", "LAST": "Last event"}


@dataclass(frozen=True)
class Step:
    """A step on the way into a cohort; ``events`` names the subquery of the events that are left."""

    name: str
    events: str


@dataclass
class CompiledCohort:
    """A cohort's queries, in DuckDB's SQL."""

    _subqueries: dict[str, str]
    _events: frozenset[str]
    _rows: str
    steps: tuple[Step, ...]
    _with_people: tuple[str, ...]
    """Subqueries that have the people, if not their stays, of the cohort with so many rules as were asked for."""

    def rows(self) -> str:
        """A SELECT of person_id, start_date and end_date."""
        return self._with(self._rows)

    def people(self) -> str:
        """A SELECT of how many people there are."""
        return self._with(f"SELECT COUNT(DISTINCT person_id) FROM {self._with_people[-1]} c")

    def sizes(self) -> str:
        """A SELECT of number and people: how many there are with so many inclusion rules as were asked for, in order.

        One pass: what the cohorts have in common is found once.
        """
        counts = [
            f"SELECT {number} AS number, COUNT(DISTINCT person_id) AS people FROM {source} c"
            for number, source in enumerate(self._with_people)
        ]
        return self._with(f"{' UNION ALL '.join(counts)} ORDER BY number")

    def members(self) -> str:
        """A SELECT of number and person_id: who ``sizes`` counts, each once for a number."""
        found = [
            f"SELECT DISTINCT {number} AS number, person_id FROM {source} c"
            for number, source in enumerate(self._with_people)
        ]
        return self._with(" UNION ALL ".join(found))

    def attrition(self) -> str:
        """A SELECT of step (its number), people and events; the last row holds the cohort's people and rows."""
        counts = [
            f"SELECT {number} AS step, COUNT(DISTINCT person_id) AS people, COUNT(*) AS events FROM {source}"
            for number, source in enumerate([*(step.events for step in self.steps), f"({self._rows}) c"])
        ]
        return self._with(f"{' UNION ALL '.join(counts)} ORDER BY step")

    def _with(self, query: str) -> str:
        """The query with the subqueries that it needs; a database takes time to plan others, too.

        Ids of events may be given anew each time that a subquery is read, so that it is kept where that is more than
        once. Elsewhere a database may merge it with what reads it.
        """
        times: dict[str, int] = {}
        needed: list[str] = []

        def reads(sql: str, how_often: int) -> None:
            for name in _SOURCE.findall(sql):
                if name in self._subqueries:
                    times[name] = times.get(name, 0) + how_often

        reads(query, 1)
        # A subquery reads earlier ones alone.
        for name in reversed(self._subqueries):
            if name in times:
                kept = name in self._events and times[name] > 1
                reads(self._subqueries[name], 1 if kept else times[name])
                needed.append(f"{name} AS {'MATERIALIZED ' if kept else ''}({self._subqueries[name]})")
        return f"WITH {', '.join(reversed(needed))} {query}" if needed else query


def compile_steps(
    expression: CohortExpression,
    concepts: Mapping[int, tuple[int, ...]] | None = None,
    *,
    copies: Copies = Copies.NONE,
    rules: Sequence[int] = (),
) -> CompiledCohort:
    """The queries over OMOP CDM 5.4 tables; ``concepts`` holds the concepts of concept sets that are known already.

    ``copies``: what the database has of ``cohort.by_concept``. ``rules``: with how many inclusion rules
    ``sizes`` and ``members`` are wanted; all of them, if not said. Raises FlipError ``unsupported-cohort``.
    """
    compiler = _Compiler(expression, ConceptSets(expression.concept_sets, concepts or {}), copies)
    return compiler.compiled(rules or (len(expression.inclusion_rules),))


def compile_cohort(expression: CohortExpression, dialect: str = "duckdb") -> str:
    """A SELECT of person_id, start_date, end_date over OMOP CDM 5.4 tables; ``dialect`` is sqlglot's name."""
    return in_dialect(compile_steps(expression).rows(), dialect)


def in_dialect(sql: str, dialect: str) -> str:
    if dialect == "duckdb":
        return sql
    import sqlglot

    return sqlglot.transpile(sql, read="duckdb", write=dialect)[0]


@dataclass
class _Compiler:
    """Collects named subqueries in the order in which they need each other."""

    _expression: CohortExpression
    _sets: ConceptSets
    _copies: Copies
    _subqueries: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _steps: list[Step] = field(default_factory=list)
    _kept: set[str] = field(default_factory=set)

    def compiled(self, rules: Sequence[int]) -> CompiledCohort:
        self._subqueries["codesets"] = self._sets.query()
        self._primary_events()
        self._qualified_events()
        left = [self._steps[-1].events, *self._events_by_rule()]
        rows, people = self._stays(left[-1], "")
        self._steps.append(Step(_LIMITS[self._expression.expression_limit.type], "included_events"))
        last = len(left) - 1
        sizes = tuple(people if count == last else self._stays(left[count], f"_after_{count}")[1] for count in rules)
        return CompiledCohort(self._subqueries, frozenset(self._kept), rows, tuple(self._steps), sizes)

    def _stays(self, left: str, suffix: str) -> tuple[str, str]:
        """The cohort's rows, and a source of its people, where ``left`` names the events that all rules left."""
        self._included_events(left, suffix)
        self._cohort_rows(suffix)
        rows = f"cohort_rows{suffix}"
        if not self._one_event_each:
            pad = self._expression.collapse_settings.era_pad
            rows, stays = f"eras{suffix}", rows
            self._subqueries[rows] = merged(f"SELECT person_id, start_date, end_date FROM {stays}", pad, pad)
        final = self._censored(rows)
        window = self._expression.censor_window
        if window.start_date is not None or window.end_date is not None:
            return final, f"({final})"
        if not self._stays_are_certain:
            return final, f"cohort_rows{suffix}"
        # A limit leaves everybody an event, so that without it there are the same people.
        return final, left if self._expression.inclusion_rules else self._before_limit

    def _name(self, prefix: str, sql: str) -> str:
        """The name of a subquery; the same text has one name."""
        if sql not in self._names:
            self._names[sql] = f"{prefix}_{len(self._names)}"
            self._subqueries[self._names[sql]] = sql
        return self._names[sql]

    def _keep(self, events: str, sql: str) -> None:
        self._subqueries[events] = sql
        self._kept.add(events)

    def _step(self, name: str, events: str, sql: str) -> None:
        self._keep(events, sql)
        self._steps.append(Step(name, events))

    @property
    def _before_limit(self) -> str:
        """The name of the events that come before inclusion rules, without the last limit."""
        return "matching_events" if self._expression.additional_criteria is not None else "found_events"

    @property
    def _one_event_each(self) -> bool:
        """Whether a limit leaves everybody at most one event."""
        cohort = self._expression
        qualified = cohort.additional_criteria is not None and cohort.qualified_limit.type != "ALL"
        return (
            cohort.primary_criteria.primary_criteria_limit.type != "ALL"
            or qualified
            or cohort.expression_limit.type != "ALL"
        )

    @property
    def _stays_are_certain(self) -> bool:
        """Whether each included event gives a row: one exit, at least, is not before its start."""
        strategy = self._expression.end_strategy
        offset = None if strategy is None else strategy.date_offset
        return offset is None or (offset.date_field == "StartDate" and offset.offset >= 0)

    def _primary_events(self) -> None:
        primary = self._expression.primary_criteria
        in_period = all(knows_period(one.criterion, self._copies) for one in primary.criteria_list)
        columns = ("end_date", "sort_date", "visit_occurrence_id", *(_PERIOD if in_period else ()))
        events = " UNION ALL ".join(
            f"SELECT person_id, event_id, start_date, {', '.join(columns)} FROM {self._records(one.criterion, columns)}"
            for one in primary.criteria_list
        )
        source = f"({events}) e" if in_period else f"({_with_period(f'({events})')}) e"
        window, limit = primary.observation_window, primary.primary_criteria_limit.type
        ordinal = (
            f"row_number() OVER (PARTITION BY e.person_id ORDER BY e.sort_date {_order(limit)}, e.event_id, "
            "e.end_date, e.visit_occurrence_id, e.op_start_date)"
        )
        found = (
            f"SELECT {{ordinal}} AS ordinal, e.person_id, e.start_date, e.end_date, e.visit_occurrence_id, "
            f"e.op_start_date, e.op_end_date FROM {source} "
            f"WHERE {shifted('e.op_start_date', window.prior_days)} <= e.start_date "
            f"AND {shifted('e.start_date', window.post_days)} <= e.op_end_date"
        )
        shown = _EVENT.removeprefix("event_id, ")
        self._subqueries["found_events"] = found.format(ordinal="0")
        if limit != "ALL":
            sql = f"SELECT person_id AS event_id, {shown} FROM ({found.format(ordinal=ordinal)}) p WHERE ordinal = 1"
        else:
            counted = found.format(ordinal=ordinal if self._one_event_each else "0")
            sql = f"SELECT row_number() OVER () AS event_id, {shown} FROM ({counted}) p"
        self._step("Initial events", "primary_events", sql)

    def _qualified_events(self) -> None:
        group, limit = self._expression.additional_criteria, self._expression.qualified_limit.type
        if group is None:
            # As in circe, the limit is of no effect without additional criteria.
            return
        matching = f"SELECT {_EVENT} FROM primary_events p WHERE {self._holds(group, 'primary_events')}"
        self._subqueries["matching_events"] = matching
        self._step("Additional criteria", "qualified_events", _limited(matching, limit))

    def _events_by_rule(self) -> list[str]:
        """The names of the events that are left after each inclusion rule."""
        names = []
        for number, rule in enumerate(self._expression.inclusion_rules):
            before = self._steps[-1].events
            condition = self._holds(rule.expression, before)
            sql = f"SELECT {_EVENT} FROM {before} p WHERE {condition}"
            names.append(f"rule_{number}")
            self._step(rule.name or f"Inclusion rule {number + 1}", names[-1], sql)
        return names

    def _included_events(self, left: str, suffix: str) -> None:
        limit = self._expression.expression_limit.type
        if limit == "ALL":
            self._subqueries[f"included_events{suffix}"] = f"SELECT * FROM {left}"
        else:
            self._keep(f"included_events{suffix}", _limited(f"SELECT {_EVENT} FROM {left}", limit))

    def _cohort_rows(self, suffix: str) -> None:
        included = f"included_events{suffix}"
        strategy = self._expression.end_strategy
        offset = None if strategy is None else strategy.date_offset
        end = "op_end_date" if offset is None else offset_exit(offset)
        era = None if strategy is None else strategy.custom_era
        censoring = self._expression.censoring_criteria
        if era is None and not censoring:
            self._subqueries[f"cohort_rows{suffix}"] = (
                f"SELECT person_id, start_date, {end} AS end_date FROM {included} WHERE {end} >= start_date"
            )
            return
        exits = [f"SELECT event_id, {end} AS end_date FROM {included}"]
        if era is not None:
            eras = self._name("drug_eras", drug_eras(era, self._sets, included, copies=self._copies))
            exits.append(
                f"SELECT i.event_id, d.end_date FROM {included} i JOIN {eras} d "
                "ON d.person_id = i.person_id AND i.start_date BETWEEN d.start_date AND d.end_date"
            )
        for one in censoring:
            found = self._records(one.criterion, among=included)
            exits.append(
                f"SELECT i.event_id, c.start_date AS end_date FROM {included} i JOIN {found} c "
                "ON c.person_id = i.person_id AND c.start_date >= i.start_date AND c.start_date <= i.op_end_date"
            )
        self._subqueries[f"cohort_rows{suffix}"] = (
            f"SELECT i.person_id, i.start_date, MIN(x.end_date) AS end_date FROM {included} i "
            f"JOIN ({' UNION ALL '.join(exits)}) x ON x.event_id = i.event_id AND x.end_date >= i.start_date "
            "GROUP BY i.person_id, i.event_id, i.start_date"
        )

    def _censored(self, rows: str) -> str:
        start, end, where = "start_date", "end_date", ""
        window = self._expression.censor_window
        if window.start_date is not None:
            start = f"CASE WHEN start_date > {day(window.start_date)} THEN start_date ELSE {day(window.start_date)} END"
        if window.end_date is not None:
            end = f"CASE WHEN end_date < {day(window.end_date)} THEN end_date ELSE {day(window.end_date)} END"
        if window.start_date is not None or window.end_date is not None:
            where = f" WHERE {start} <= {end}"
        return f"SELECT person_id, {start} AS start_date, {end} AS end_date FROM {rows}{where}"

    def _records(
        self,
        criterion: Criterion,
        columns: tuple[str, ...] = (),
        counted: CountColumn | None = None,
        *,
        among: str | None = None,
    ) -> str:
        """The name of a subquery of a criterion's records: person_id, event_id, start_date, and what is asked for.

        ``among`` names events; records of other people may be left out.
        """
        group = criterion.correlated_criteria
        in_period = knows_period(criterion, self._copies)
        wanted = columns
        if group is not None:
            about = ("end_date", "visit_occurrence_id", *(_PERIOD if in_period else ()))
            wanted = tuple(dict.fromkeys((*columns, *about)))
        table = self._custom_eras(criterion) if isinstance(criterion, CustomEraCriterion) else None
        sql = records(criterion, self._sets, wanted, counted, copies=self._copies, table=table)
        found = self._name("records", sql)
        if group is None:
            return found
        if among is not None:
            people = f"SELECT person_id FROM {among}"
            found = self._name("among", f"SELECT r.* FROM {found} r WHERE r.person_id IN ({people})")
        within = f"SELECT r.* FROM {found} r WHERE r.op_start_date IS NOT NULL" if in_period else _with_period(found)
        around = self._name("index", within)
        matching = f"SELECT p.event_id FROM {around} p WHERE {self._holds(group, around)}"
        return self._name("correlated", f"SELECT r.* FROM {found} r WHERE r.event_id IN ({matching})")

    def _custom_eras(self, criterion: CustomEraCriterion) -> str:
        """The name of a subquery of eras: event_id, person_id, start_date, end_date."""
        found = " UNION ALL ".join(
            f"SELECT person_id, start_date, end_date FROM {self._records(one.criterion, ('end_date',))}"
            for one in criterion.criteria_list
        )
        eras = merged(found, criterion.gap_days, criterion.gap_days)
        return self._name(
            "custom_eras",
            "SELECT row_number() OVER (ORDER BY m.person_id, m.start_date, m.end_date) AS event_id, m.person_id, "
            f"m.start_date, m.end_date FROM ({eras}) m",
        )

    def _holds(self, group: CriteriaGroup, events: str) -> str:
        """The condition that an event ``p`` meets the group."""
        if group.is_empty:
            return "1 = 1"
        parts = [self._correlated(one, events) for one in group.criteria_list]
        parts += [self._demographic(one, events) for one in group.demographic_criteria_list]
        parts += [self._holds(one, events) for one in group.groups]
        if group.type in ("ALL", "ANY"):
            return f"({(' AND ' if group.type == 'ALL' else ' OR ').join(parts)})"
        met = " + ".join(f"CASE WHEN {part} THEN 1 ELSE 0 END" for part in parts)
        return f"({met} {'>=' if group.type == 'AT_LEAST' else '<='} {group.count})"

    def _correlated(self, one: CorrelatedCriterion, events: str) -> str:
        occurrence = one.occurrence
        if occurrence.type == 2 and occurrence.count == 0:
            return "1 = 1"
        within = not one.ignore_observation_period
        conditions = ["a.person_id = q.person_id"]
        if within:
            conditions += ["a.start_date >= q.op_start_date", "a.start_date <= q.op_end_date"]
        conditions += in_window(one.start_window, within_period=within, ends=False)
        if one.end_window is not None:
            conditions += in_window(one.end_window, within_period=within, ends=True)
        if one.restrict_visit:
            conditions.append("a.visit_occurrence_id = q.visit_occurrence_id")
        counted = (occurrence.count_column or "DOMAIN_CONCEPT") if occurrence.is_distinct else None
        found = self._records(one.criteria.criterion, _columns(one), counted, among=events)
        wanted = _wanted(occurrence.type, occurrence.count)
        having = ""
        if wanted not in ("> 0", ">= 1"):
            having = f" GROUP BY q.event_id HAVING COUNT({'DISTINCT a.counted' if counted else '*'}) {wanted}"
        elif counted:
            conditions.append("a.counted IS NOT NULL")
        inverted = occurrence.type == 1 or occurrence.count == 0
        return (
            f"p.event_id {'NOT IN' if inverted else 'IN'} (SELECT q.event_id FROM {events} q JOIN {found} a "
            f"ON {' AND '.join(dict.fromkeys(conditions))}{having})"
        )

    def _demographic(self, one: DemographicCriterion, events: str) -> str:
        conditions = []
        if one.age is not None:
            conditions.append(in_range("EXTRACT(YEAR FROM q.start_date) - n.year_of_birth", one.age, whole=True))
        for column, concepts, selection in (
            ("n.gender_concept_id", one.gender, one.gender_cs),
            ("n.race_concept_id", one.race, one.race_cs),
            ("n.ethnicity_concept_id", one.ethnicity, one.ethnicity_cs),
        ):
            if concepts:
                conditions.append(in_concepts(column, concepts))
            selected = None if selection is None else self._sets.selects(column, selection)
            if selected is not None:
                conditions.append(selected)
        if one.occurrence_start_date is not None:
            conditions.append(in_dates("q.start_date", one.occurrence_start_date))
        if one.occurrence_end_date is not None:
            conditions.append(in_dates("q.end_date", one.occurrence_end_date))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"p.event_id IN (SELECT q.event_id FROM {events} q JOIN person n ON n.person_id = q.person_id{where})"


def _columns(one: CorrelatedCriterion) -> tuple[str, ...]:
    """What a criterion's windows and visit need of its records, beside their start."""
    about_end = is_about_end(one.start_window, ends=False) or (
        one.end_window is not None and is_about_end(one.end_window, ends=True)
    )
    return (*(("end_date",) if about_end else ()), *(("visit_occurrence_id",) if one.restrict_visit else ()))


def _wanted(kind: int, count: int) -> str:
    """Which events are counted in; where none at all is well, as for "at most", which are counted out."""
    return f"> {count}" if kind == 1 or count == 0 else f"{('=', '', '>=')[kind]} {count}"


def _with_period(found: str) -> str:
    """Records that ``found`` names or selects, each with the observation periods that its start is in."""
    return (
        "SELECT r.*, op.observation_period_start_date AS op_start_date, "
        f"op.observation_period_end_date AS op_end_date FROM {found} r JOIN observation_period op "
        "ON r.person_id = op.person_id AND op.observation_period_start_date <= r.start_date "
        "AND op.observation_period_end_date >= r.start_date"
    )


def _limited(events: str, limit: str) -> str:
    """Everybody's first or last event by its start, or all."""
    if limit == "ALL":
        return events
    return (
        f"SELECT {_EVENT} FROM (SELECT e.*, row_number() OVER (PARTITION BY e.person_id "
        f"ORDER BY e.start_date {_order(limit)}, e.ordinal) AS place FROM ({events}) e) l WHERE place = 1"
    )


def _order(limit: str) -> str:
    return "DESC" if limit == "LAST" else "ASC"
