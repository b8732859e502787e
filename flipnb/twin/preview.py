"""How many of a twin's invented people a cohort definition fits: at once, for nothing, and no count of anybody.

A twin has one day, a record of each variable at most, and no vocabulary: windows, observation periods and units are
taken as fitting, a concept stands for itself alone; texts and images are drawn (``twin.invented``). What a twin can't
say is refused by name.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.cohort_criteria import (
    ConditionOccurrence,
    CorrelatedCriterion,
    CriteriaGroup,
    Criterion,
    DemographicCriterion,
    ImageFeature,
    ImageSeries,
    Measurement,
    Observation,
    TextMention,
)
from flipnb.contracts.cohort_values import ExpressionPart, NumericRange
from flipnb.contracts.dataset import Dataset
from flipnb.contracts.document import Document
from flipnb.contracts.frozen import DATABASE, KIND_TWIN, META_DATASET, META_KIND
from flipnb.contracts.problem import FlipError
from flipnb.twin.invented import ANYTHING, Inventor

_TABLES: dict[type[Criterion], str] = {
    Measurement: "measurement",
    Observation: "observation",
    ConditionOccurrence: "condition_occurrence",
}
_WHOSE = {"codeset_id", "age", "gender", "correlated_criteria", "first"}
_VALUE = {"value_as_number", "unit", "unit_cs"}
_SAID = {*_WHOSE, *_VALUE, "value_as_concept"}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "!eq": operator.ne, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


class Preview(Document):
    """``people`` of the twin's ``of`` fit. They are invented."""

    people: int
    of: int
    twin: bool = True


@dataclass(frozen=True)
class _Record:
    concept: int
    number: float | None
    value: int | None


@dataclass
class _Person:
    number: int
    age: int
    gender: int
    records: dict[str, list[_Record]] = field(default_factory=lambda: defaultdict(list))


def preview(twin: Path, expression: CohortExpression) -> Preview:
    """Raises FlipError ``twin-cannot-say``, ``not-a-twin``."""
    sets = {
        one.id: {item.concept.concept_id for item in one.expression.items if not item.is_excluded}
        - {item.concept.concept_id for item in one.expression.items if item.is_excluded}
        for one in expression.concept_sets
    }
    people, inventor = _read(twin)
    fits = _Fits(sets, inventor)
    return Preview(people=sum(fits.cohort(expression, person) for person in people), of=len(people))


@dataclass(frozen=True)
class _Fits:
    sets: dict[int, set[int]]
    inventor: Inventor

    def cohort(self, expression: CohortExpression, person: _Person) -> bool:
        # Each part is looked at for everybody, so that what can't be said is refused whoever is drawn.
        start = [bool(self.found(one.criterion, person)) for one in expression.primary_criteria.criteria_list]
        groups = [expression.additional_criteria, *(rule.expression for rule in expression.inclusion_rules)]
        rules = [self.group(group, person) for group in groups if group is not None]
        return any(start) and all(rules)

    def group(self, group: CriteriaGroup, person: _Person) -> bool:
        if group.is_empty:
            return True
        matches = [self.correlated(one, person) for one in group.criteria_list]
        matches += [self.demographic(one, person) for one in group.demographic_criteria_list]
        matches += [self.group(one, person) for one in group.groups]
        count = group.count or 0
        return {
            "ALL": all(matches),
            "ANY": any(matches),
            "AT_LEAST": sum(matches) >= count,
            "AT_MOST": sum(matches) <= count,
        }[group.type]

    def correlated(self, one: CorrelatedCriterion, person: _Person) -> bool:
        occurrence = one.occurrence
        if occurrence.count_column not in (None, "DOMAIN_CONCEPT"):
            raise _cannot_say(f"CountColumn {occurrence.count_column}")
        records = self.found(one.criteria.criterion, person)
        count = len({record.concept for record in records}) if occurrence.is_distinct else len(records)
        return (count == occurrence.count, count <= occurrence.count, count >= occurrence.count)[occurrence.type]

    def demographic(self, one: DemographicCriterion, person: _Person) -> bool:
        _refuse(one, {"age", "gender"})
        genders = {concept.concept_id for concept in one.gender}
        return (one.age is None or _within(person.age, one.age)) and (not genders or person.gender in genders)

    def found(self, criterion: Criterion, person: _Person) -> list[_Record]:
        if isinstance(criterion, TextMention | ImageSeries):
            records = self.invented(criterion, person)
        elif isinstance(criterion, Measurement | Observation | ConditionOccurrence):
            _refuse(criterion, _SAID)
            concepts = self.sets[criterion.codeset_id] if criterion.codeset_id is not None else None
            recorded = person.records[_TABLES[type(criterion)]]
            records = [record for record in recorded if concepts is None or record.concept in concepts]
        else:
            raise _cannot_say(type(criterion).__name__)
        if isinstance(criterion, Measurement | Observation):
            number, values = criterion.value_as_number, {concept.concept_id for concept in criterion.value_as_concept}
            if number is not None:
                records = [r for r in records if r.number is not None and _within(r.number, number)]
            if values:
                records = [r for r in records if r.value in values]
        genders = {concept.concept_id for concept in criterion.gender}
        whole = (criterion.age is None or _within(person.age, criterion.age)) and (
            not genders or person.gender in genders
        )
        if criterion.correlated_criteria is not None:
            whole = self.group(criterion.correlated_criteria, person) and whole
        return records[: 1 if criterion.first else None] if whole else []

    def invented(self, criterion: TextMention | ImageSeries, person: _Person) -> list[_Record]:
        """A text or an image of each concept that was drawn for the person."""
        concepts = sorted(self.sets[criterion.codeset_id]) if criterion.codeset_id is not None else [ANYTHING]
        if isinstance(criterion, TextMention):
            _refuse(criterion, {*_WHOSE, "term_exists", "term_temporal"})
            found = [c for c in concepts if self.inventor.mentioned(person.number, c, criterion)]
        else:
            _refuse(criterion, {*_WHOSE, "features"})
            found = [
                c
                for c in concepts
                if all(self.featured(one, person, c) for one in criterion.features)
                and self.inventor.scanned(person.number, c)
            ]
        return [_Record(concept, None, None) for concept in found]

    def featured(self, feature: ImageFeature, person: _Person, modality: int) -> bool:
        _refuse(feature, {"codeset_id", *_VALUE})
        numbers = [self.inventor.number(person.number, modality, c) for c in sorted(self.sets[feature.codeset_id])]
        wanted = feature.value_as_number
        if wanted is None:
            return bool(numbers)
        if None in numbers:
            raise _cannot_say("the numbers of an image's feature that is no variable of the dataset")
        return any(number is not None and _within(number, wanted) for number in numbers)


def _within(number: float, wanted: NumericRange) -> bool:
    if wanted.op in _COMPARE:
        return _COMPARE[wanted.op](number, wanted.value)
    assert wanted.extent is not None
    return (wanted.value <= number <= wanted.extent) == (wanted.op == "bt")


def _refuse(part: ExpressionPart, said: Iterable[str]) -> None:
    for name, declared in type(part).model_fields.items():
        if name not in said and getattr(part, name) != declared.get_default(call_default_factory=True):
            raise _cannot_say(declared.alias or name)


def _cannot_say(what: str) -> FlipError:
    return FlipError("twin-cannot-say", f"The twin knows nothing of {what}.", remedy="Ask the Trusts.")


def _read(path: Path) -> tuple[list[_Person], Inventor]:
    import duckdb

    with duckdb.connect(str(path / DATABASE), read_only=True) as connection:
        kind = connection.execute("SELECT value FROM meta WHERE key = ?", [META_KIND]).fetchone()
        if kind != (KIND_TWIN,):
            raise FlipError("not-a-twin", f"{path} is no twin.")
        said = connection.execute("SELECT value FROM meta WHERE key = ?", [META_DATASET]).fetchone()
        inventor = Inventor.of(Dataset.model_validate_json(said[0]).variables if said else ())
        people = {
            number: _Person(number, age, gender)
            for number, age, gender in connection.execute(
                "SELECT p.person_id, year(c.cohort_start_date) - p.year_of_birth, p.gender_concept_id "
                "FROM person p JOIN cohort c ON c.subject_id = p.person_id"
            ).fetchall()
        }
        for table in ("measurement", "observation"):
            for person, *record in connection.execute(
                f"SELECT person_id, {table}_concept_id, value_as_number, value_as_concept_id FROM {table}"
            ).fetchall():
                people[person].records[table].append(_Record(*record))
        for person, concept in connection.execute(
            "SELECT person_id, condition_concept_id FROM condition_occurrence"
        ).fetchall():
            people[person].records["condition_occurrence"].append(_Record(concept, None, None))
    return list(people.values()), inventor
