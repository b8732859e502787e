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

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.cohort_criteria import (
    CorrelatedCriterion,
    CountColumn,
    CriteriaGroup,
    Criterion,
    CustomEraCriterion,
    DemographicCriterion,
)
from flipnb.estate.cohort.by_concept import PERIOD
from flipnb.estate.cohort.compiled import CompiledCohort, People, Step
from flipnb.estate.cohort.concept_sets import ConceptSets
from flipnb.estate.cohort.conditions import (
    day,
    in_concepts,
    in_dates,
    in_period_of,
    in_range,
    in_window,
    is_about_end,
    shifted,
    where,
)
from flipnb.estate.cohort.eras import drug_eras, merged, offset_exit
from flipnb.estate.cohort.met import Met, every, grouped
from flipnb.estate.cohort.nearest import FEW, Nearby, Nearest
from flipnb.estate.cohort.records import knows_period, one_each, records
from flipnb.estate.cohort.subqueries import Select, Subqueries, Union, in_dialect, passed_on
from flipnb.estate.database import Copies

_RECORD = ("person_id", "event_id", "start_date")
_EVENT = (*_RECORD, "end_date", *PERIOD, "visit_occurrence_id", "ordinal", "many")
_PERIOD_START, _PERIOD_END = "op.observation_period_start_date", "op.observation_period_end_date"
_Leaf = Callable[[str], Met]
"""A criterion of a group: which of the events of that name meet it."""
_LIMITS = {"ALL": "All events", "FIRST": "First event", "LAST": "Last event"}


def compile_steps(
    expression: CohortExpression,
    concepts: Mapping[int, tuple[int, ...]] | None = None,
    *,
    copies: Copies = Copies.NONE,
    rules: Sequence[int] = (),
    dialect: str = "duckdb",
) -> CompiledCohort:
    """The queries over OMOP CDM 5.4 tables; ``concepts`` holds the concepts of concept sets that are known already.

    ``copies``: what the database has of ``cohort.by_concept``. ``rules``: with how many inclusion rules
    ``sizes`` and ``members`` are wanted; all of them, if not said. ``dialect``: sqlglot's name of what the text will be
    turned into; of all that are read DuckDB alone has ASOF joins. Raises FlipError ``unsupported-cohort``.
    """
    compiler = _Compiler(expression, ConceptSets(expression.concept_sets, concepts or {}), copies, dialect == "duckdb")
    return compiler.compiled(rules or (len(expression.inclusion_rules),))


def compile_cohort(expression: CohortExpression, dialect: str = "duckdb") -> str:
    """A SELECT of person_id, start_date, end_date over OMOP CDM 5.4 tables; ``dialect`` is sqlglot's name."""
    return in_dialect(compile_steps(expression, dialect=dialect).rows(), dialect)


@dataclass
class _Compiler:
    """Collects named subqueries in the order in which they need each other."""

    _expression: CohortExpression
    _sets: ConceptSets
    _copies: Copies
    _finds_nearest: bool
    """Whether the database has ASOF joins: see ``nearest``."""
    _nearby: dict[str, Nearby] = field(default_factory=dict)
    """What is looked for near events of which a person may have many, by their name."""
    _subqueries: Subqueries = field(default_factory=Subqueries)
    _steps: list[Step] = field(default_factory=list)
    _in_turn: list[str] = field(default_factory=list)
    """Names of the entry events that each step left, of those of the step before."""
    _several: bool = False
    """Whether cohorts with fewer rules are asked for, too."""
    _times: Counter[Met] = field(default_factory=Counter)
    """How often a criterion is there, by what it would find among the first of ``_in_turn``."""
    _shared: dict[Met, Met] = field(default_factory=dict)

    def compiled(self, rules: Sequence[int]) -> CompiledCohort:
        self._subqueries.add("codesets", self._sets.query())
        self._primary_events()
        self._count_criteria()
        self._qualified_events()
        left = [self._steps[-1].events, *self._events_by_rule()]
        last = len(left) - 1
        self._several = any(count != last for count in rules)
        rows, people = self._stays(left[-1], "")
        self._steps.append(Step(_LIMITS[self._expression.expression_limit.type], "included_events"))
        sizes = tuple(people if count == last else self._stays(left[count], f"_after_{count}")[1] for count in rules)
        return CompiledCohort(self._subqueries, rows, tuple(self._steps), sizes)

    def _stays(self, left: str, suffix: str) -> tuple[str, People]:
        """The cohort's rows, and its people, where ``left`` names the events that all rules left."""
        self._included_events(left, suffix)
        self._cohort_rows(suffix)
        rows = f"cohort_rows{suffix}"
        if not self._one_event_each:
            pad = self._expression.collapse_settings.era_pad
            rows, stays = f"eras{suffix}", rows
            self._subqueries.add(rows, merged(f"SELECT person_id, start_date, end_date FROM {stays}", pad, pad))
        final = self._censored(rows)
        window = self._expression.censor_window
        if window.start_date is not None or window.end_date is not None:
            return final, People(f"({final})", self._one_event_each)
        if not self._stays_are_certain:
            return final, People(f"cohort_rows{suffix}", self._one_event_each)
        # A limit leaves everybody an event, so that without it there are the same people.
        if self._expression.inclusion_rules:
            return final, People(left, self._one_primary_event_each)
        if self._expression.additional_criteria is not None:
            return final, People("matching_events", self._one_primary_event_each)
        return final, People("found_events", self._one_found_event_each)

    def _step(self, name: str, events: str, query: Select) -> None:
        self._subqueries.keep(events, query)
        self._steps.append(Step(name, events))
        self._in_turn.append(events)

    @property
    def _one_found_event_each(self) -> bool:
        """Whether there is at most one event each before any limit."""
        listed = self._expression.primary_criteria.criteria_list
        return len(listed) == 1 and one_each(listed[0].criterion, self._copies)

    @property
    def _one_primary_event_each(self) -> bool:
        limit = self._expression.primary_criteria.primary_criteria_limit.type
        return limit != "ALL" or self._one_found_event_each

    @property
    def _one_event_each(self) -> bool:
        """Whether a limit leaves everybody at most one event."""
        cohort = self._expression
        qualified = cohort.additional_criteria is not None and cohort.qualified_limit.type != "ALL"
        return self._one_primary_event_each or qualified or cohort.expression_limit.type != "ALL"

    @property
    def _nearest(self) -> str:
        """A join to the nearest row alone, where it is the only one that matters, or else to all."""
        return "ASOF JOIN" if self._finds_nearest else "JOIN"

    @property
    def _stays_are_certain(self) -> bool:
        """Whether each included event gives a row: one exit, at least, is not before its start."""
        strategy = self._expression.end_strategy
        offset = None if strategy is None else strategy.date_offset
        return offset is None or (offset.date_field == "StartDate" and offset.offset >= 0)

    def _primary_events(self) -> None:
        primary = self._expression.primary_criteria
        criteria = [one.criterion for one in primary.criteria_list]
        in_period = all(knows_period(one, self._copies) for one in criteria)
        columns = ("end_date", "sort_date", "visit_occurrence_id", *(PERIOD if in_period else ()))
        # Where there are several, a record that two of them find is one event: John's must not multiply.
        records = self._records_of_any(criteria, columns, each_once=primary.primary_criteria_limit.type == "ALL")
        source, start, end = f"{records} e", "e.op_start_date", "e.op_end_date"
        if not in_period:
            source, start, end = _with_period(source, "e"), _PERIOD_START, _PERIOD_END
        window, limit = primary.observation_window, primary.primary_criteria_limit.type
        ordinal = (
            f"row_number() OVER (PARTITION BY e.person_id ORDER BY e.sort_date {_order(limit)}, e.event_id, "
            f"e.end_date, e.visit_occurrence_id, {start})"
        )
        found = dict(passed_on(("person_id", "start_date", "end_date", "visit_occurrence_id"), "e"))
        found |= {"op_start_date": start, "op_end_date": end, "ordinal": ordinal}
        # Records are in their periods, if they are in any.
        within = [f"{start} IS NOT NULL"] if in_period else []
        within += [f"{shifted(start, window.prior_days)} <= e.start_date"] if window.prior_days else []
        within += [f"{shifted('e.start_date', window.post_days)} <= {end}"] if window.post_days else []
        self._subqueries.keep("found_events", Select(tuple(found.items()), source, where(within)))
        event_id, numbered = ("row_number() OVER ()", "") if limit == "ALL" else ("p.person_id", "WHERE p.ordinal = 1")
        many = f"p.person_id IN (SELECT h.person_id FROM found_events h WHERE h.ordinal > {FEW})"
        event = dict(passed_on(_EVENT, "p")) | {"event_id": event_id, "many": many}
        self._step("Initial events", "primary_events", Select(tuple(event.items()), "found_events p", numbered))

    def _count_criteria(self) -> None:
        """How often each criterion of the entry event is there, in the additional criteria and all rules."""
        cohort = self._expression
        groups = [cohort.additional_criteria, *(rule.expression for rule in cohort.inclusion_rules)]
        leaves = [leaf for group in groups if group is not None for leaf in self._leaves(group)]
        self._times.update(self._listed(leaves, self._in_turn[0]))

    def _listed(self, leaves: Iterable[_Leaf], events: str) -> list[Met]:
        """What criteria find among ``events``; what they look for nearby is found at once."""
        met = [leaf(events) for leaf in leaves]
        nearby = self._nearby.get(events)
        if nearby is not None:
            many = f"SELECT DISTINCT person_id FROM {events} WHERE many"
            self._subqueries.keep(nearby.people, many)
            self._subqueries.keep(nearby.name, nearby.query())
        return met

    def _qualified_events(self) -> None:
        group, limit = self._expression.additional_criteria, self._expression.qualified_limit.type
        if group is None:
            # As in circe, the limit is of no effect without additional criteria.
            return
        holds = f"WHERE {self._holds(group, 'primary_events')}"
        self._subqueries.add("matching_events", Select(passed_on(_EVENT, "p"), "primary_events p", holds))
        self._step("Additional criteria", "qualified_events", _limited("matching_events", limit))

    def _events_by_rule(self) -> list[str]:
        """The names of the events that are left after each inclusion rule."""
        names = []
        for number, rule in enumerate(self._expression.inclusion_rules):
            before = self._steps[-1].events
            holds = f"WHERE {self._holds(rule.expression, before)}"
            names.append(f"rule_{number}")
            left = Select(passed_on(_EVENT, "p"), f"{before} p", holds)
            self._step(rule.name or f"Inclusion rule {number + 1}", names[-1], left)
        return names

    def _included_events(self, left: str, suffix: str) -> None:
        self._subqueries.keep(f"included_events{suffix}", _limited(left, self._expression.expression_limit.type))

    def _cohort_rows(self, suffix: str) -> None:
        included = f"included_events{suffix}"
        strategy = self._expression.end_strategy
        offset = None if strategy is None else strategy.date_offset
        end = "op_end_date" if offset is None else offset_exit(offset)
        era = None if strategy is None else strategy.custom_era
        censoring = self._expression.censoring_criteria
        if era is None and not censoring:
            columns = (("person_id", "person_id"), ("start_date", "start_date"), ("end_date", end))
            self._subqueries.add(f"cohort_rows{suffix}", Select(columns, included, f"WHERE {end} >= start_date"))
            return
        # When somebody leaves does not depend on their other events: of several cohorts it is found once.
        among = self._in_turn[0] if self._several else included
        exits = [f"SELECT event_id, {end} AS end_date FROM {among}"]
        if era is not None:
            eras = self._subqueries.named("drug_eras", drug_eras(era, self._sets, among, copies=self._copies))
            # Eras of one person are apart: the last that began is the one that an event may be in.
            exits.append(
                f"SELECT i.event_id, d.end_date FROM {among} i {self._nearest} (SELECT person_id, start_date, "
                f"end_date FROM {eras} WHERE end_date >= start_date) d ON d.person_id = i.person_id "
                "AND d.start_date <= i.start_date WHERE d.end_date >= i.start_date"
            )
        if censoring:
            # The first exit counts, whichever criterion found it.
            found = self._records_of_any([one.criterion for one in censoring], (), among=among)
            exits.append(
                f"SELECT i.event_id, c.start_date AS end_date FROM {among} i {self._nearest} {found} c "
                "ON c.person_id = i.person_id AND c.start_date >= i.start_date WHERE c.start_date <= i.op_end_date"
            )
        left = self._subqueries.named(
            "left",
            f"SELECT i.event_id, MIN(x.end_date) AS end_date FROM {among} i JOIN ({' UNION ALL '.join(exits)}) x "
            "ON x.event_id = i.event_id AND x.end_date >= i.start_date GROUP BY i.event_id",
            once=True,
        )
        self._subqueries.add(
            f"cohort_rows{suffix}",
            f"SELECT i.person_id, i.start_date, x.end_date FROM {included} i JOIN {left} x ON x.event_id = i.event_id",
        )

    def _censored(self, rows: str) -> str:
        start, end, kept = "start_date", "end_date", ""
        window = self._expression.censor_window
        if window.start_date is not None:
            start = f"CASE WHEN start_date > {day(window.start_date)} THEN start_date ELSE {day(window.start_date)} END"
        if window.end_date is not None:
            end = f"CASE WHEN end_date < {day(window.end_date)} THEN end_date ELSE {day(window.end_date)} END"
        if window.start_date is not None or window.end_date is not None:
            kept = f" WHERE {start} <= {end}"
        return f"SELECT person_id, {start} AS start_date, {end} AS end_date FROM {rows}{kept}"

    def _records(
        self,
        criterion: Criterion,
        columns: tuple[str, ...],
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
            about = ("end_date", "visit_occurrence_id", *(PERIOD if in_period else ()))
            wanted = tuple(dict.fromkeys((*columns, *about)))
        table = self._custom_eras(criterion) if isinstance(criterion, CustomEraCriterion) else None
        select = records(criterion, self._sets, wanted, counted, copies=self._copies, table=table)
        found = self._subqueries.named("records", select)
        if group is None:
            return found
        same = passed_on(select.names, "r")
        if among is not None:
            people = f"WHERE r.person_id IN (SELECT person_id FROM {among})"
            found = self._subqueries.named("among", Select(same, f"{found} r", people))
        often = f"(SELECT h.person_id FROM {found} h GROUP BY h.person_id HAVING COUNT(*) > {FEW})"
        many = ("many", f"r.person_id IN {often}")
        if in_period:
            around = Select((*same, many), f"{found} r", "WHERE r.op_start_date IS NOT NULL")
        else:
            period = (("op_start_date", _PERIOD_START), ("op_end_date", _PERIOD_END))
            around = Select((*same, *period, many), _with_period(f"{found} r", "r"))
        index = self._subqueries.named("index", around)
        if index not in self._nearby:
            self._listed(self._leaves(group), index)
        matching = f"SELECT p.event_id FROM {index} p WHERE {self._holds(group, index)}"
        holding = Select(same, f"{found} r", f"WHERE r.event_id IN ({matching})")
        return self._subqueries.named("correlated", holding, once=True)

    def _records_of_any(
        self,
        criteria: Sequence[Criterion],
        columns: tuple[str, ...],
        counted: CountColumn | None = None,
        *,
        among: str | None = None,
        each_once: bool = False,
    ) -> str:
        """As ``_records``, of all that any of the criteria finds; ``each_once``: no record is there twice.

        What is ``counted`` is of one criterion alone.
        """
        found = tuple(
            dict.fromkeys(self._records(one, columns, counted, among=among) for one in _in_one(criteria, self._sets))
        )
        if len(found) == 1:
            return found[0]
        return self._subqueries.named("any", Union(tuple(dict.fromkeys((*_RECORD, *columns))), found, each_once))

    def _custom_eras(self, criterion: CustomEraCriterion) -> str:
        """The name of a subquery of eras: event_id, person_id, start_date, end_date."""
        sources = dict.fromkeys(self._records(one.criterion, ("end_date",)) for one in criterion.criteria_list)
        found = " UNION ALL ".join(f"SELECT person_id, start_date, end_date FROM {one}" for one in sources)
        eras = merged(found, criterion.gap_days, criterion.gap_days)
        return self._subqueries.named(
            "custom_eras",
            "SELECT row_number() OVER (ORDER BY m.person_id, m.start_date, m.end_date) AS event_id, m.person_id, "
            f"m.start_date, m.end_date FROM ({eras}) m",
        )

    def _holds(self, group: CriteriaGroup, events: str) -> str:
        """The condition that an event ``p`` of ``events`` meets the group."""
        if group.type != "ALL":
            return self._met(group, events).condition()
        return every(self._parts(group, events), events)

    def _met(self, group: CriteriaGroup, events: str) -> Met:
        return Met() if group.is_empty else grouped(group, self._parts(group, events), events)

    def _parts(self, group: CriteriaGroup, events: str) -> list[Met]:
        """A group's criteria, and the groups in it."""
        parts = [self._found(one, events) for one in self._own_leaves(group)]
        for inner in group.groups:
            flat = group.type == inner.type == "ALL"
            parts += self._parts(inner, events) if flat else [self._met(inner, events)]
        return parts

    def _found(self, leaf: _Leaf, events: str) -> Met:
        """What a criterion finds among ``events``; what equal ones find is found once, and used as often as they say.

        Whether an event meets a criterion does not depend on other events, so that what was found among those of an
        earlier step holds for those that are left of them.
        """
        if events not in self._in_turn:
            met = leaf(events)
            return met if met.events is None else self._once(met)
        alike = leaf(self._in_turn[0])
        if alike.events is None or self._times[alike] < 2:
            return leaf(events)
        if alike not in self._shared:
            self._shared[alike] = self._once(leaf(events))
        return self._shared[alike]

    def _once(self, met: Met) -> Met:
        found = self._subqueries.named("met", f"SELECT DISTINCT event_id FROM ({met.events}) m", once=True)
        return Met(f"SELECT event_id FROM {found}", met.inverted)

    def _own_leaves(self, group: CriteriaGroup) -> list[_Leaf]:
        leaves: list[_Leaf] = [partial(self._correlated, some) for some in _together(group)]
        return leaves + [partial(self._demographic, one) for one in group.demographic_criteria_list]

    def _leaves(self, group: CriteriaGroup) -> Iterator[_Leaf]:
        """A group's criteria, with those of the groups in it."""
        yield from self._own_leaves(group)
        for inner in group.groups:
            yield from self._leaves(inner)

    def _correlated(self, some: Sequence[CorrelatedCriterion], events: str) -> Met:
        """The condition of the first, about the records of them all."""
        one = some[0]
        occurrence = one.occurrence
        if occurrence.type == 2 and occurrence.count == 0:
            return Met()
        within = not one.ignore_observation_period
        bounds = in_period_of(one.start_window) if within else []
        bounds += in_window(one.start_window, within_period=within, ends=False)
        if one.end_window is not None:
            bounds += in_window(one.end_window, within_period=within, ends=True)
        bounds = list(dict.fromkeys(bounds))
        counted = (occurrence.count_column or "DOMAIN_CONCEPT") if occurrence.is_distinct else None
        criteria = [each.criteria.criterion for each in some]
        inverted = occurrence.type == 1 or occurrence.count == 0
        first = self._in_turn[0] if events in self._in_turn else events
        nearest = self._finds_nearest and self._may_have_many(first) and one.is_about_one_date
        found = self._records_of_any(criteria, _columns(one), counted, among=first if nearest else events)
        conditions = ["a.person_id = q.person_id", *(bound.sql() for bound in bounds)]
        if one.restrict_visit:
            conditions.append("a.visit_occurrence_id = q.visit_occurrence_id")
        of_many = ""
        if nearest:
            conditions.append("NOT q.many")
            least = occurrence.count + 1 if inverted else occurrence.count
            exactly = occurrence.type == 0 and not inverted
            wanted = Nearest(found, tuple(bounds), one.restrict_visit, counted is not None, least, exactly)
            nearby = self._nearby.setdefault(first, Nearby(first))
            of_many = f" UNION ALL SELECT event_id FROM {nearby.name} WHERE number = {nearby.number(wanted)}"
        number = _wanted(occurrence.type, occurrence.count)
        having = ""
        if number not in ("> 0", ">= 1"):
            having = f" GROUP BY q.event_id HAVING COUNT({'DISTINCT a.counted' if counted else '*'}) {number}"
        elif counted:
            conditions.append("a.counted IS NOT NULL")
        joined = f"{events} q JOIN {found} a ON {' AND '.join(conditions)}"
        return Met(f"SELECT q.event_id FROM {joined}{having}{of_many}", inverted)

    def _may_have_many(self, events: str) -> bool:
        """Whether somebody may have several of ``events``, so that each of them is held against all records."""
        return events not in self._in_turn or not self._one_primary_event_each

    def _demographic(self, one: DemographicCriterion, events: str) -> Met:
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
        people = f"{events} q JOIN person n ON n.person_id = q.person_id {where(conditions)}".rstrip()
        return Met(f"SELECT q.event_id FROM {people}")


def _columns(one: CorrelatedCriterion) -> tuple[str, ...]:
    """What a criterion's windows and visit need of its records, beside their start."""
    about_end = is_about_end(one.start_window, ends=False) or (
        one.end_window is not None and is_about_end(one.end_window, ends=True)
    )
    return (*(("end_date",) if about_end else ()), *(("visit_occurrence_id",) if one.restrict_visit else ()))


def _wanted(kind: int, count: int) -> str:
    """Which events are counted in; where none at all is well, as for "at most", which are counted out."""
    return f"> {count}" if kind == 1 or count == 0 else f"{('=', '', '>=')[kind]} {count}"


def _together(group: CriteriaGroup) -> list[list[CorrelatedCriterion]]:
    """The group's criteria; those that ask about the same times, where none may find anything or any must, as one."""
    wanted = {"ALL": {(0, 0), (1, 0)}, "ANY": {(2, 1)}}.get(group.type, set())
    found: dict[object, list[CorrelatedCriterion]] = {}
    for number, one in enumerate(group.criteria_list):
        occurrence = one.occurrence
        alike = not occurrence.is_distinct and (occurrence.type, occurrence.count) in wanted
        times = (one.start_window, one.end_window, one.restrict_visit, one.ignore_observation_period)
        found.setdefault(times if alike else number, []).append(one)
    return list(found.values())


def _in_one(criteria: Sequence[Criterion], sets: ConceptSets) -> list[Criterion]:
    """The criteria; those that differ in their concept set alone as one."""
    if len(criteria) == 1:
        return list(criteria)
    found: dict[object, list[Criterion]] = {}
    for number, one in enumerate(criteria):
        alone = getattr(one, "codeset_id", None) is None or getattr(one, "first", False) or one.correlated_criteria
        found.setdefault(number if alone else one.model_copy(update={"codeset_id": 0}), []).append(one)
    asked: list[Criterion] = []
    for some in found.values():
        codesets = [getattr(one, "codeset_id", None) for one in some]
        union = sets.together([one for one in codesets if one is not None]) if len(some) > 1 else None
        asked += some if union is None else [some[0].model_copy(update={"codeset_id": union})]
    return asked


def _with_period(source: str, row: str) -> str:
    """The records ``row`` of a source, each with the observation periods that its start is in."""
    return (
        f"{source} JOIN observation_period op ON {row}.person_id = op.person_id "
        f"AND {_PERIOD_START} <= {row}.start_date AND {_PERIOD_END} >= {row}.start_date"
    )


def _limited(events: str, limit: str) -> Select:
    """Everybody's first or last event by its start, or all."""
    if limit == "ALL":
        return Select(passed_on(_EVENT, "e"), f"{events} e")
    placed = (
        f"(SELECT e.*, row_number() OVER (PARTITION BY e.person_id ORDER BY e.start_date {_order(limit)}, e.ordinal) "
        f"AS place FROM {events} e) l"
    )
    return Select(passed_on(_EVENT, "l"), placed, "WHERE place = 1")


def _order(limit: str) -> str:
    return "DESC" if limit == "LAST" else "ASC"
