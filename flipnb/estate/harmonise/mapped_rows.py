"""Rows of an extract into rows of OMOP, as a mapping says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any

from flipnb.estate.harmonise.build import Build, Loading
from flipnb.estate.harmonise.code_lists import CodeMapping
from flipnb.estate.harmonise.events import Code, Event, EventTable, stable_id
from flipnb.estate.harmonise.extract import Row, read_rows
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.image_mapping import Series
from flipnb.estate.harmonise.mapped_images import ImageReader
from flipnb.estate.harmonise.mapped_life import LifeReader
from flipnb.estate.harmonise.mapped_text import NoteReader
from flipnb.estate.harmonise.mapped_values import NO_CONCEPT, Converter, Person, Value, day_of, matches
from flipnb.estate.harmonise.mapping import CodedEvents, Deaths, FieldMapping, FollowUp, Mapping
from flipnb.estate.harmonise.mapping_parts import Codes
from flipnb.estate.harmonise.rejects import BadRow, Reject
from flipnb.estate.harmonise.source import SourceFile
from flipnb.estate.harmonise.text_mapping import Documents, Mentions
from flipnb.estate.harmonise.vocabulary import Vocabulary
from flipnb.estate.omop.cdm import tables

_CHUNK = 20_000
_SOURCE_LENGTH = 50

_Place = tuple[SourceFile, Loading]


class MappedRows:
    """Rows of OMOP tables in the order of the extract's files, numbered from 1 in each table."""

    def __init__(
        self,
        mapping: Mapping,
        vocabulary: Vocabulary,
        converters: Sequence[Converter | None],
        build: Build,
        own: Loading,
        progress: Progress,
    ) -> None:
        self._mapping, self._vocabulary, self._converters = mapping, vocabulary, converters
        self._build, self._progress = build, progress
        self._own = self._loading = own
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables()}
        self._numbers = dict.fromkeys(tables(), 0)
        self._people: dict[str, Person] = {}
        self._periods: dict[int, tuple[date, date]] = {}
        self._life = LifeReader()
        self._events = EventTable(build)
        self._notes = NoteReader(mapping.source.abbreviation)
        self._images = ImageReader(mapping.source.abbreviation)
        self._broken: set[Reject] = set()

    def read(self, places: dict[str, list[_Place]]) -> None:
        """``places``: by path, what each of the mapping's files is, and what its transaction says of it."""
        self._add_concepts()
        self._flush()
        for place in places[self._mapping.files[self._mapping.person.file].path]:
            self._read_people(*place)
        for name, file in self._mapping.files.items():
            for place in places[file.path]:
                self._read_fields(name, *place)
                self._read_events(name, *place)
                self._read_documents(name, *place)
                self._read_series(name, *place)
                self._read_deaths(name, *place)
        for name, file in self._mapping.files.items():
            for place in places[file.path]:
                self._read_mentions(name, *place)
        for name, file in self._mapping.files.items():
            for place in places[file.path]:
                self._read_follow_up(name, *place)
        self._loading = self._own
        for person_id, (start, end) in self._periods.items():
            self._add(
                "observation_period",
                person_id=person_id,
                observation_period_start_date=start,
                observation_period_end_date=end,
                period_type_concept_id=NO_CONCEPT,
            )
            self._flush_if_full()
        self._add_source()
        self._flush()

    def add_code_lists(self, lists: dict[str, list[CodeMapping]]) -> None:
        """Code lists as the CDM keeps them, each under its own name as the vocabulary of its codes."""
        for name, codes in lists.items():
            self._rows["source_to_concept_map"] += [code.row(self._vocabulary_of(name)) for code in codes]
            self._flush()
            self._events.tell_domains({code.concept_id: code.domain for code in codes if code.domain})

    def _vocabulary_of(self, code_list: str) -> str:
        return f"{self._mapping.source.abbreviation}:{code_list}"

    def _add_concepts(self) -> None:
        known = {row[0] for row in self._build.connection.execute("SELECT concept_id FROM concept").fetchall()}
        columns = tables()["concept"].columns
        for values in self._vocabulary.rows:
            if values[0] not in known:
                self._rows["concept"].append(dict(zip(columns, values, strict=True)))

    def _add_source(self) -> None:
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
            cdm_version_concept_id=NO_CONCEPT,
            vocabulary_version="local",
        )

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            self._build.insert(tables()[name], self._loading, rows)
            rows.clear()

    def _flush_if_full(self) -> None:
        if max(map(len, self._rows.values())) >= _CHUNK:
            self._flush()

    def _good_rows(self, name: str, source: SourceFile, loading: Loading) -> Iterator[Row]:
        """Rows of one file; what raises BadRow while a row is handled is kept as a reject, with nothing of that row."""
        self._loading = loading
        for row in read_rows(self._mapping.files[name], source):
            if isinstance(row, Reject):
                # A file that is read for its people and again for their fields has its broken lines once.
                if row not in self._broken:
                    self._broken.add(row)
                    loading.rejects.append(row)
                continue
            yield row
            self._flush_if_full()
        self._flush()
        self._progress(source.name, loading.rows)

    def _read_people(self, source: SourceFile, loading: Loading) -> None:
        self._read_rows(self._mapping.person.file, source, loading, self._read_person)

    def _read_person(self, row: Row) -> bool:
        persons = self._mapping.person
        source_id = row.text(persons.id)
        if source_id is None:
            row.refuse(f"column {persons.id}, the person's id, is missing", persons.id)
        if source_id in self._people:
            row.refuse(f"person {source_id[:40]!r} is there twice", persons.id)
        day = day_of(row, persons.date)
        if persons.age is not None:
            age = row.whole(persons.age)
            born = None if age is None else day.year - age
        else:
            born = row.whole(persons.birth_year or "")
        if born is None:
            row.refuse("the person's age or year of birth is missing", persons.age or persons.birth_year)
        if not day.year - 130 <= born <= day.year:
            row.refuse(f"{born} is no plausible year of birth", persons.age or persons.birth_year)
        sex = persons.sex
        gender = NO_CONCEPT if sex is None else row.code(sex.column, sex.codes) or NO_CONCEPT
        person = Person(len(self._people) + 1, day)
        self._people[source_id] = person
        self._extend_period(person, day)
        self._add(
            "person",
            person_id=person.person_id,
            gender_concept_id=gender,
            year_of_birth=born,
            race_concept_id=NO_CONCEPT,
            ethnicity_concept_id=NO_CONCEPT,
            person_source_value=source_id[:_SOURCE_LENGTH],
            gender_source_value=None if sex is None else (row.text(sex.column) or "")[:_SOURCE_LENGTH] or None,
        )
        return True

    def _read_fields(self, name: str, source: SourceFile, loading: Loading) -> None:
        fields = [
            (field, converter)
            for field, converter in zip(self._mapping.fields, self._converters, strict=True)
            if field.file == name
        ]
        if not fields:
            return

        def read(row: Row) -> bool:
            person = self._person_of(name, row)
            if person is None:
                return False
            self._read_row(row, person, fields)
            return name != self._mapping.person.file

        self._read_rows(name, source, loading, read)

    def _person_of(self, name: str, row: Row) -> Person | None:
        """None for a person whose own row, in the same file, was rejected."""
        column = self._mapping.person_column(name)
        source_id = row.text(column)
        person = self._people.get(source_id or "")
        if person is None and name != self._mapping.person.file:
            row.refuse(f"there is no person {(source_id or '')[:40]!r}", column)
        return person

    def _read_row(self, row: Row, person: Person, fields: Sequence[tuple[FieldMapping, Converter | None]]) -> None:
        """All of a row's fields, or BadRow and none."""
        wanted = [(field, converter) for field, converter in fields if matches(row, field.where)]
        if not wanted:
            where = fields[0][0].where
            described = ", ".join(f"{column} {row.text(column)!r}" for column in where)
            row.refuse(f"the mapping has no field for {described}", next(iter(where), None))
        read = [
            (field, converter, value)
            for field, converter in wanted
            if (value := Value.read(row, person, field, converter)) is not None
        ]
        for field, converter, value in read:
            self._add_value(person, field, converter, value)

    def _read_events(self, name: str, source: SourceFile, loading: Loading) -> None:
        wanted = [events for events in self._mapping.events if events.file == name]
        if not wanted:
            return
        counted = any(field.file == name for field in self._mapping.fields) or name == self._mapping.person.file

        def read(row: Row) -> bool:
            person = self._person_of(name, row)
            if person is None:
                return False
            for event in [one for events in wanted if (one := self._event(row, person, events)) is not None]:
                self._events.add(event)
                self._extend_period(person, event.start)
                self._extend_period(person, event.end or event.start)
            return not counted

        self._read_rows(name, source, loading, read)
        self._events.route(loading)

    def _read_deaths(self, name: str, source: SourceFile, loading: Loading) -> None:
        if self._mapping.death is not None and name == self._mapping.death_file:
            self._read_rows(name, source, loading, partial(self._read_death, name, self._mapping.death))

    def _read_death(self, name: str, deaths: Deaths, row: Row) -> bool:
        person = self._person_of(name, row)
        died = None if person is None else self._life.death(row, person, deaths)
        if person is None or died is None:
            return False
        self._extend_period(person, died)
        self._add("death", person_id=person.person_id, death_date=died, death_type_concept_id=NO_CONCEPT)
        return name != self._mapping.person.file

    def _read_follow_up(self, name: str, source: SourceFile, loading: Loading) -> None:
        if self._mapping.follow_up is not None and name == self._mapping.follow_up_file:
            self._read_rows(name, source, loading, partial(self._read_period, name, self._mapping.follow_up))

    def _read_period(self, name: str, follow_up: FollowUp, row: Row) -> bool:
        """What the row says of the observation period takes the place of the first and last record."""
        person = self._person_of(name, row)
        if person is None:
            return False
        recorded = self._periods[person.person_id]
        self._periods[person.person_id] = self._life.period(row, person, follow_up, recorded)
        return name != self._mapping.person.file

    def _read_documents(self, name: str, source: SourceFile, loading: Loading) -> None:
        for documents in self._mapping.documents:
            if documents.file == name:
                self._read_rows(name, source, loading, partial(self._read_document, name, documents))

    def _read_document(self, name: str, documents: Documents, row: Row) -> bool:
        person = self._person_of(name, row)
        if person is None or not matches(row, documents.where):
            return False
        note = self._notes.document(row, documents)
        self._rows["note"].append({"person_id": person.person_id, **note})
        self._extend_period(person, note["note_date"])
        return name != self._mapping.person.file

    def _read_series(self, name: str, source: SourceFile, loading: Loading) -> None:
        for series in self._mapping.series:
            if series.file == name:
                self._read_rows(name, source, loading, partial(self._read_one_series, name, series))
                self._events.route(loading)

    def _read_one_series(self, name: str, series: Series, row: Row) -> bool:
        person = self._person_of(name, row)
        if person is None or not matches(row, series.where):
            return False
        modality = row.text(series.column)
        if modality is None:
            row.refuse(f"column {series.column}, the modality, is missing", series.column)
        where = None if series.site is None else row.text(series.site)
        site = None
        if where is not None:
            site = Code(series.site_vocabulary or self._vocabulary_of(series.site_codes or ""), where)
        for event in self._images.events(row, person, series, Code(self._listed_in(series), modality), site):
            self._events.add(event)
            self._extend_period(person, event.start)
        return name != self._mapping.person.file

    def _read_mentions(self, name: str, source: SourceFile, loading: Loading) -> None:
        for mentions in self._mapping.mentions:
            if mentions.file == name:
                self._read_rows(name, source, loading, partial(self._read_mention, mentions))
                self._events.route(loading)

    def _read_mention(self, mentions: Mentions, row: Row) -> bool:
        code = row.text(mentions.column)
        if code is None or not matches(row, mentions.where):
            return False
        event_id = self._id_of(row, mentions)
        self._events.add(self._notes.mention(row, mentions, event_id, Code(self._listed_in(mentions), code)))
        return True

    def _read_rows(self, name: str, source: SourceFile, loading: Loading, read: Callable[[Row], bool]) -> None:
        """``read`` says of a row whether it counts, or raises BadRow."""
        for row in self._good_rows(name, source, loading):
            try:
                loading.rows += int(read(row))
            except BadRow as bad:
                loading.rejects.append(bad.reject)

    def _listed_in(self, coded: Codes) -> str:
        """The vocabulary of a column's codes."""
        return coded.vocabulary or self._vocabulary_of(coded.codes or "")

    def _id_of(self, row: Row, coded: Codes) -> int:
        which = row.text(coded.id) if coded.id is not None else f"{row.line}.{row.part}" if row.part else str(row.line)
        # Several views may read one file of FHIR; the name of a view keeps their rows apart.
        view = f"{coded.file}/" if self._mapping.files[coded.file].format == "fhir" else ""
        return stable_id(f"{self._mapping.source.abbreviation}/{row.file}/{view}{coded.column}#{which}")

    def _event(self, row: Row, person: Person, events: CodedEvents) -> Event | None:
        """None where the row has no code, or is another's."""
        code = row.text(events.column)
        if code is None or not matches(row, events.where):
            return None
        value = None if events.value is None else row.text(events.value)
        number = None if events.value is None or value is None else row.number_or_none(events.value)
        return Event(
            id=self._id_of(row, events),
            table=events.table,
            person_id=person.person_id,
            start=day_of(row, events.date),
            end=None if events.end is None else row.day(events.end),
            type_concept_id=NO_CONCEPT,
            number=number,
            text=None if number is not None else value,
            unit=events.unit if events.unit_column is None else row.text(events.unit_column),
            codes=(Code(self._listed_in(events), code),),
        )

    def _add_value(self, person: Person, field: FieldMapping, converter: Converter | None, value: Value) -> None:
        self._extend_period(person, value.day)
        if field.table == "condition_occurrence":
            if value.text in field.present:
                self._add(
                    "condition_occurrence",
                    person_id=person.person_id,
                    condition_concept_id=field.concept,
                    condition_start_date=value.day,
                    condition_type_concept_id=NO_CONCEPT,
                    condition_source_value=field.column[:_SOURCE_LENGTH],
                )
            return
        prefix = field.table
        row_id = self._add(
            field.table,
            person_id=person.person_id,
            value_as_number=value.number,
            value_as_concept_id=value.concept,
            unit_concept_id=None if converter is None else converter.unit_concept,
            unit_source_value=None if converter is None else converter.unit,
            value_source_value=value.text[:_SOURCE_LENGTH],
            **{
                f"{prefix}_concept_id": field.concept,
                f"{prefix}_date": value.day,
                f"{prefix}_type_concept_id": NO_CONCEPT,
                f"{prefix}_source_value": " ".join([field.column, *field.where.values()])[:_SOURCE_LENGTH],
            },
        )
        for flag in field.flags:
            if value.number == flag.equals:
                self._add(
                    "observation",
                    person_id=person.person_id,
                    observation_concept_id=flag.concept,
                    observation_date=value.day,
                    observation_type_concept_id=NO_CONCEPT,
                    value_as_number=value.number,
                    observation_source_value=f"{prefix}.{prefix}_id",
                    observation_event_id=row_id,
                )

    def _extend_period(self, person: Person, day: date) -> None:
        start, end = self._periods.get(person.person_id, (day, day))
        self._periods[person.person_id] = (min(start, day), max(end, day))

    def _add(self, table: str, **values: Any) -> int:
        """Add a row under the next id of its table; returns the id."""
        self._numbers[table] += 1
        number = self._numbers[table]
        key = tables()[table].key
        if key is not None and table != "person":
            values[key.name] = number
        self._rows[table].append(values)
        return number
