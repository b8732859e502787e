"""An extract into a new estate version, by a mapping: all of it, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from flipnb.contracts.document import Document
from flipnb.estate.harmonise.extract import Row, read_rows
from flipnb.estate.harmonise.mapping import EventDate, FieldMapping, Mapping, read_mapping
from flipnb.estate.harmonise.units import conversion_factor
from flipnb.estate.harmonise.vocabulary import Vocabulary, read_vocabulary
from flipnb.estate.omop.cdm import tables
from flipnb.estate.versions import CONFIG, Estate

Progress = Callable[[str, int], None]
"""Called with a stage (a file's path, or "writing") and how many rows of it are done."""

_CHUNK = 20_000
_SOURCE_LENGTH = 50
# The Trust's own records say no more about their provenance than that; 0 is OMOP's "no matching concept".
_UNKNOWN = 0


class LoadReport(Document):
    """What a load made: the version's id, its people, rows per table, and how many values were flagged."""

    version: str
    people: int
    rows: dict[str, int]
    flagged: int


def load(mapping_file: Path, sources_dir: Path, estate_dir: Path, progress: Progress | None = None) -> LoadReport:
    """Harmonise an extract into OMOP CDM 5.4 and make it the estate's current version.

    The same data give the same version id, which is a digest of every row. Raises FlipError for the mapping
    (``no-mapping``, ``invalid-mapping``, ``unknown-unit``, ``unit-conversion``, ``unknown-concept``,
    ``wrong-domain``), for the vocabulary (``no-vocabulary``, ``bad-vocabulary``) and for the extract (``no-source``,
    ``bad-header``, ``bad-row``); the estate is then as it was.
    """
    mapping = read_mapping(mapping_file)
    vocabulary = read_vocabulary(mapping, mapping_file)
    vocabulary.check(mapping, mapping_file)
    harmoniser = _Harmoniser(mapping, vocabulary, mapping_file, progress or (lambda stage, rows: None))
    harmoniser.read(sources_dir)
    version = Estate.open(estate_dir).add(harmoniser.write)
    rows = {name: len(items) for name, items in harmoniser.rows.items() if items}
    return LoadReport(version=version, people=rows.get("person", 0), rows=rows, flagged=harmoniser.flagged)


@dataclass(frozen=True)
class _Person:
    person_id: int
    day: date


@dataclass(frozen=True)
class _Converter:
    """A number of one field from the extract's unit to the estate's."""

    factor: float
    unit_concept: int
    unit: str

    @classmethod
    def of(cls, field: FieldMapping, vocabulary: Vocabulary, where: str) -> _Converter | None:
        if field.unit is None or field.target_unit is None:
            return None
        factor = conversion_factor(field.unit, field.target_unit, field.molar_mass, where)
        return cls(factor, vocabulary.unit(field.target_unit, where), field.unit)


class _Harmoniser:
    """Rows of OMOP tables, collected in the order of the extract's files."""

    def __init__(self, mapping: Mapping, vocabulary: Vocabulary, mapping_file: Path, progress: Progress) -> None:
        self._mapping, self._progress = mapping, progress
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables()}
        self.flagged = 0
        self._people: dict[str, _Person] = {}
        self._periods: dict[int, tuple[date, date]] = {}
        self._converters = [
            _Converter.of(field, vocabulary, f"The mapping file {mapping_file}, fields[{index}]")
            for index, field in enumerate(mapping.fields)
        ]
        columns = tables()["concept"].columns
        self.rows["concept"] = [dict(zip(columns, row, strict=True)) for row in vocabulary.rows]

    def read(self, sources: Path) -> None:
        self._read_people(sources)
        for name in self._mapping.files:
            self._read_fields(name, sources)
        for person_id, (start, end) in self._periods.items():
            self._add(
                "observation_period",
                person_id=person_id,
                observation_period_start_date=start,
                observation_period_end_date=end,
                period_type_concept_id=_UNKNOWN,
            )
        source = self._mapping.source
        self._add(
            "cdm_source",
            cdm_source_name=source.name,
            cdm_source_abbreviation=source.abbreviation,
            cdm_holder=source.holder,
            source_description=source.description or None,
            source_release_date=source.release_date,
            cdm_release_date=source.release_date,
            cdm_version="5.4",
            cdm_version_concept_id=_UNKNOWN,
            vocabulary_version="local",
        )

    def write(self, path: Path) -> str:
        """Write the tables to a new DuckDB file; returns the digest of their rows."""
        import duckdb

        digest = hashlib.sha256(b"flip/estate/1\n")
        done = 0
        with duckdb.connect(str(path), config=CONFIG) as connection:
            connection.execute("BEGIN")
            for table in tables().values():
                connection.execute(table.ddl())
                items = self.rows[table.name]
                for start in range(0, len(items), _CHUNK):
                    chunk = items[start : start + _CHUNK]
                    columns = {field.name: [row.get(field.name) for row in chunk] for field in table.fields}
                    lists = ", ".join(f"unnest(?::{field.type}[])" for field in table.fields)
                    connection.execute(f"INSERT INTO {table.name} SELECT {lists}", list(columns.values()))
                    for row in zip(*columns.values(), strict=True):
                        digest.update(json.dumps([table.name, *row], default=str, separators=(",", ":")).encode())
                        digest.update(b"\n")
                    done += len(chunk)
                    self._progress("writing", done)
            connection.execute("COMMIT")
        return digest.hexdigest()[:32]

    def _read_people(self, sources: Path) -> None:
        persons = self._mapping.person
        for row in read_rows(self._mapping.files[persons.file], sources):
            source_id = row.text(persons.id)
            if source_id is None:
                row.refuse(f"column {persons.id}, the person's id, is missing")
            if source_id in self._people:
                row.refuse(f"person {source_id[:40]!r} is there twice")
            day = _day(row, persons.date)
            person = _Person(len(self._people) + 1, day)
            if persons.age is not None:
                age = row.whole(persons.age)
                born = None if age is None else day.year - age
            else:
                born = row.whole(persons.birth_year or "")
            if born is None:
                row.refuse("the person's age or year of birth is missing")
            if not day.year - 130 <= born <= day.year:
                row.refuse(f"{born} is no plausible year of birth")
            self._people[source_id] = person
            self._extend_period(person, day)
            self._add(
                "person",
                person_id=person.person_id,
                gender_concept_id=row.code(persons.sex.column, persons.sex.codes) or _UNKNOWN,
                year_of_birth=born,
                race_concept_id=_UNKNOWN,
                ethnicity_concept_id=_UNKNOWN,
                person_source_value=source_id[:_SOURCE_LENGTH],
                gender_source_value=(row.text(persons.sex.column) or "")[:_SOURCE_LENGTH] or None,
            )
            self._progress(row.file, len(self._people))

    def _read_fields(self, name: str, sources: Path) -> None:
        fields = [
            (field, converter)
            for field, converter in zip(self._mapping.fields, self._converters, strict=True)
            if field.file == name
        ]
        if not fields:
            return
        known = [field.where for field, _ in fields]
        for number, row in enumerate(read_rows(self._mapping.files[name], sources), start=1):
            source_id = row.text(self._mapping.person.id)
            person = self._people.get(source_id or "")
            if person is None:
                row.refuse(f"there is no person {(source_id or '')[:40]!r}")
            if not any(_matches(row, where) for where in known):
                described = ", ".join(f"{column} {row.text(column)!r}" for column in known[0])
                row.refuse(f"the mapping has no field for {described}")
            for field, converter in fields:
                if _matches(row, field.where):
                    self._read_value(row, person, field, converter)
            self._progress(row.file, number)

    def _read_value(self, row: Row, person: _Person, field: FieldMapping, converter: _Converter | None) -> None:
        text = row.text(field.column)
        if text is None:
            return
        day = person.day if field.date is None else _day(row, field.date)
        self._extend_period(person, day)
        if field.table == "condition_occurrence":
            if text in field.present:
                self._add(
                    "condition_occurrence",
                    person_id=person.person_id,
                    condition_concept_id=field.concept,
                    condition_start_date=day,
                    condition_type_concept_id=_UNKNOWN,
                    condition_source_value=field.column[:_SOURCE_LENGTH],
                )
            return
        number = None
        if converter is not None:
            number = (row.number(field.column) or 0.0) * converter.factor
            if field.decimals is not None:
                number = round(number, field.decimals)
        prefix = field.table
        row_id = self._add(
            field.table,
            person_id=person.person_id,
            value_as_number=number,
            value_as_concept_id=row.code(field.column, field.codes) if field.codes else None,
            unit_concept_id=None if converter is None else converter.unit_concept,
            unit_source_value=None if converter is None else converter.unit,
            value_source_value=text[:_SOURCE_LENGTH],
            **{
                f"{prefix}_concept_id": field.concept,
                f"{prefix}_date": day,
                f"{prefix}_type_concept_id": _UNKNOWN,
                f"{prefix}_source_value": " ".join([field.column, *field.where.values()])[:_SOURCE_LENGTH],
            },
        )
        for flag in field.flags:
            if number == flag.equals:
                self._add(
                    "observation",
                    person_id=person.person_id,
                    observation_concept_id=flag.concept,
                    observation_date=day,
                    observation_type_concept_id=_UNKNOWN,
                    value_as_number=number,
                    observation_source_value=f"{prefix}.{prefix}_id",
                    observation_event_id=row_id,
                )
                self.flagged += 1

    def _extend_period(self, person: _Person, day: date) -> None:
        start, end = self._periods.get(person.person_id, (day, day))
        self._periods[person.person_id] = (min(start, day), max(end, day))

    def _add(self, table: str, **values: Any) -> int:
        """Add a row under the next id of its table; returns the id."""
        rows = self.rows[table]
        number = len(rows) + 1
        key = tables()[table].fields[0]
        if key.primary_key and table != "person":
            values[key.name] = number
        rows.append(values)
        return number


def _matches(row: Row, where: dict[str, str]) -> bool:
    return all(row.text(column) == text for column, text in where.items())


def _day(row: Row, when: EventDate) -> date:
    day = when.day if when.column is None else row.day(when.column)
    if day is None:
        row.refuse(f"the date in column {when.column} is missing")
    return day
