"""The mapping file: what an extract's files and columns mean in OMOP. Declarative; TOML or JSON.

Everything that one hospital has otherwise than another is said here, so that the loader knows no hospital. A mapping is
checked as a whole, against the vocabulary and the extract's columns, before anything is read.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier
from flipnb.estate.harmonise.image_mapping import Series
from flipnb.estate.harmonise.mapping_parts import Codes, EventDate, MappingPart
from flipnb.estate.harmonise.text_mapping import Documents, Mentions
from flipnb.records.view_definition import ViewDefinition

FORMAT = "flip/mapping/1"
FieldTable = Literal["measurement", "observation", "condition_occurrence"]
EventTableName = Literal[
    "condition_occurrence", "drug_exposure", "procedure_occurrence", "device_exposure", "measurement", "observation"
]


class Holder(MappingPart):
    """What the CDM's table cdm_source says."""

    name: str = Field(min_length=1, max_length=255)
    abbreviation: str = Field(min_length=1, max_length=25)
    holder: str = Field(min_length=1, max_length=255)
    description: str = ""
    release_date: date


class ExtractFile(MappingPart):
    """One file of the extract. ``columns`` are all its columns in order; a header must say the same.

    ``format`` is delimited text (``csv``), one JSON object per line (``jsonl``, whose keys are columns, those of an
    object within by a dotted name; absent and null keys are missing values, and keys that are ``ignored`` are let go,
    in whose names * stands for anything), ``parquet``, ``sql``: a ``query`` that the source, a database, is asked
    (order its rows, so that the same data give the same version), or ``fhir``: FHIR R4 resources (a bundle, an array,
    NDJSON, or a folder of them), whose rows and columns a SQL on FHIR ``view`` makes. ``missing`` are texts that mean
    that there is no value. ``person`` is the column with the person's id, where the people's file has another.
    """

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
    format: Literal["csv", "jsonl", "parquet", "sql", "fhir"] = "csv"
    query: str | None = Field(default=None, min_length=1)
    view: dict[str, Any] | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: Literal["utf-8", "utf-8-sig", "latin-1", "windows-1252"] = "utf-8"
    decimal: Literal[".", ","] = "."
    header: bool = True
    columns: tuple[str, ...] = Field(min_length=1)
    person: str | None = None
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ("",)

    @model_validator(mode="after")
    def _distinct(self) -> ExtractFile:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("two columns have the same name")
        if self.ignored and self.format != "jsonl":
            raise ValueError("ignored is for the format jsonl")
        if (self.format == "sql") != (self.query is not None):
            raise ValueError("a query is for the format sql, which needs one")
        if (self.format == "fhir") != (self.view is not None):
            raise ValueError("a view is for the format fhir, which needs one")
        return self

    @model_validator(mode="before")
    @classmethod
    def _columns_of_the_view(cls, part: Any) -> Any:
        if not isinstance(part, dict) or not isinstance(part.get("view"), dict):
            return part
        try:
            view = ViewDefinition.read(part["view"])
        except FlipError as error:
            raise ValueError(error.message) from None
        columns = tuple(column.name for column in view.columns)
        if tuple(part.setdefault("columns", columns)) != columns:
            raise ValueError("columns are not those of the view")
        if many := next((column.name for column in view.columns if column.collection), None):
            raise ValueError(f"the view's column {many} is a collection, a row needs one value")
        return part


class Sex(MappingPart):
    """``codes`` from the extract's text to a gender concept; 0 is a sex that is not known, as is a missing value."""

    column: str
    codes: dict[str, int] = Field(min_length=1)


class Persons(MappingPart):
    """The file with one row per person. Birth is a column of years, or of ages in whole years at ``date``.

    Without ``sex`` nobody's is known (concept 0).
    """

    file: str
    id: str
    sex: Sex | None = None
    birth_year: str | None = None
    age: str | None = None
    date: EventDate

    @model_validator(mode="after")
    def _birth(self) -> Persons:
        if (self.birth_year is None) == (self.age is None):
            raise ValueError("a person's birth is either birth_year or age")
        return self


class Deaths(MappingPart):
    """A ``column`` with the day on which a person died, empty where that is not known; in the people's own file, or in
    another ``file`` that names each person once at most."""

    file: str | None = None
    column: str


class FollowUp(MappingPart):
    """Columns with the first and the last day on which a person was followed (the observation period); either may be
    left out, or empty in a row: the first or last record is taken then. What is recorded beyond stays, unobserved.

    In the people's own file, or in another ``file`` that names each person once at most.
    """

    file: str | None = None
    start: str | None = None
    end: str | None = None

    @model_validator(mode="after")
    def _some(self) -> FollowUp:
        if self.start is None and self.end is None:
            raise ValueError("follow-up needs a column of its start or its end")
        return self


class Flag(MappingPart):
    """A value that is kept as recorded, and marked by an observation of ``concept`` that points to its row."""

    equals: float
    concept: int


class FieldMapping(MappingPart):
    """What one column holds: values of one OMOP concept.

    A number needs its ``unit`` (UCUM); ``to`` converts it, with ``molar_mass`` (g/mol) between substance and mass, and
    ``decimals`` rounds what conversion leaves. A coded value needs ``codes`` from text to concept. A condition is there
    where the text is one of ``present``. In a long file, ``where`` says which rows: column → text. ``date`` is the
    person's unless it is given.
    """

    file: str
    column: str
    where: dict[str, str] = Field(default_factory=dict)
    date: EventDate | None = None
    table: FieldTable
    concept: int
    unit: str | None = None
    to: str | None = None
    molar_mass: float | None = Field(default=None, gt=0)
    decimals: int | None = Field(default=None, ge=0, le=12)
    codes: dict[str, int] = Field(default_factory=dict)
    present: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()

    @model_validator(mode="after")
    def _kind(self) -> FieldMapping:
        if self.table == "condition_occurrence":
            if not self.present or self.codes or self.unit is not None:
                raise ValueError("a condition needs present, and neither codes nor unit")
        elif self.present:
            raise ValueError("present is for conditions")
        elif bool(self.codes) == (self.unit is not None):
            raise ValueError("a value has either a unit (a number; '1' if it has none) or codes")
        if self.unit is None and (self.to is not None or self.molar_mass is not None or self.decimals is not None):
            raise ValueError("to, molar_mass and decimals need a unit")
        return self

    @property
    def target_unit(self) -> str | None:
        """The unit that the estate has its numbers in (UCUM): ``to``, else ``unit``."""
        return self.to or self.unit


class CodedEvents(Codes):
    """A column of codes, each row an event of a person. The domain of the code's concept decides the table.

    ``table`` is where rows go whose code has no concept; they get concept 0 and keep their code. ``end`` is a column of
    dates, ``value`` one of numbers or texts; a number's UCUM ``unit`` is said once or in ``unit_column``.
    """

    table: EventTableName
    end: str | None = None
    value: str | None = None
    unit: str | None = None
    unit_column: str | None = None

    @model_validator(mode="after")
    def _one(self) -> CodedEvents:
        if self.unit is not None and self.unit_column is not None:
            raise ValueError("a unit is either said once or in a column")
        return self

    def columns(self) -> Iterator[str]:
        """Every column that it reads; one may come twice."""
        named = (self.column, self.end, self.value, self.unit_column, self.id, self.date.column, *self.where)
        yield from (column for column in named if column is not None)


class Mapping(MappingPart):
    """A whole mapping file. ``vocabulary`` are CSV files of concepts, by path from the mapping file.

    ``code_lists`` are files of Usagi's or in the shape of source_to_concept_map, by path from the mapping file.
    ``reviewer`` is who answers for the mapping; every row that it makes names its version and its reviewer.
    """

    format: Literal["flip/mapping/1"]
    source: Holder
    reviewer: str | None = Field(default=None, min_length=1, max_length=255)
    vocabulary: tuple[str, ...] = ()
    files: dict[Identifier, ExtractFile] = Field(min_length=1)
    person: Persons
    death: Deaths | None = None
    follow_up: FollowUp | None = None
    fields: tuple[FieldMapping, ...] = ()
    code_lists: dict[Identifier, str] = Field(default_factory=dict)
    events: tuple[CodedEvents, ...] = ()
    documents: tuple[Documents, ...] = ()
    mentions: tuple[Mentions, ...] = ()
    series: tuple[Series, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Mapping:
        for place, file, column in self._uses():
            if file not in self.files:
                raise ValueError(f"{place}: there is no file {file!r} under files")
            if column not in self.files[file].columns:
                raise ValueError(f"{place}: file {file!r} has no column {column!r}")
        if self.person_column(self.person.file) != self.person.id:
            raise ValueError("the people's own file has its person under person.id")
        if not (self.fields or self.events or self.documents or self.series):
            raise ValueError("there are neither fields nor events, documents or series")
        if self.mentions and not self.documents:
            raise ValueError("there are mentions, but no documents")
        for place, coded in self._coded():
            lists = (coded.codes, coded.site_codes if isinstance(coded, Series) else None)
            for name in lists:
                if name is not None and name not in self.code_lists:
                    raise ValueError(f"{place}: there is no code list {name!r} under code_lists")
        return self

    def person_column(self, file: str) -> str:
        """By which column a file's rows name their person."""
        named = self.files[file].person if file in self.files else None
        return named or self.person.id

    def _uses(self) -> Iterator[tuple[str, str, str]]:
        person = self.person
        sex = person.sex.column if person.sex is not None else None
        for column in (person.id, sex, person.birth_year, person.age, person.date.column):
            if column is not None:
                yield "person", person.file, column
        for place, file, column in self._ends():
            yield place, file, self.person_column(file)
            yield place, file, column
        for index, field in enumerate(self.fields):
            dated = [field.date.column] if field.date is not None and field.date.column is not None else []
            for column in (self.person_column(field.file), field.column, *field.where, *dated):
                yield f"fields[{index}]", field.file, column
        for index, events in enumerate(self.events):
            for column in (self.person_column(events.file), *events.columns()):
                yield f"events[{index}]", events.file, column
        for index, documents in enumerate(self.documents):
            for column in (self.person_column(documents.file), *documents.columns()):
                yield f"documents[{index}]", documents.file, column
        for index, mentions in enumerate(self.mentions):
            for column in mentions.columns():
                yield f"mentions[{index}]", mentions.file, column
        for index, series in enumerate(self.series):
            for column in (self.person_column(series.file), *series.columns()):
                yield f"series[{index}]", series.file, column

    def _ends(self) -> Iterator[tuple[str, str, str]]:
        """Where it reads deaths and follow-up: place, file, column."""
        if self.death is not None and self.death_file is not None:
            yield "death", self.death_file, self.death.column
        if self.follow_up is not None and self.follow_up_file is not None:
            for column in (self.follow_up.start, self.follow_up.end):
                if column is not None:
                    yield "follow_up", self.follow_up_file, column

    @property
    def death_file(self) -> str | None:
        """The file whose rows say when people died; None where none does."""
        return None if self.death is None else self.death.file or self.person.file

    @property
    def follow_up_file(self) -> str | None:
        """The file whose rows say how long people were followed; None where none does."""
        return None if self.follow_up is None else self.follow_up.file or self.person.file

    def _coded(self) -> Iterator[tuple[str, Codes]]:
        for index, events in enumerate(self.events):
            yield f"events[{index}]", events
        for index, mentions in enumerate(self.mentions):
            yield f"mentions[{index}]", mentions
        for index, series in enumerate(self.series):
            yield f"series[{index}]", series

    def concepts(self) -> Iterator[tuple[str, int, str]]:
        """Every concept that the mapping names: where, its id, and the domain that it must have."""
        codes = self.person.sex.codes if self.person.sex is not None else {}
        yield from ((f"person.sex.codes.{text}", concept, "Gender") for text, concept in codes.items() if concept)
        for index, field in enumerate(self.fields):
            domain = {"measurement": "Measurement", "observation": "Observation"}.get(field.table, "Condition")
            yield f"fields[{index}].concept", field.concept, domain
            for text, concept in field.codes.items():
                yield f"fields[{index}].codes.{text}", concept, "Meas Value"
            for number, flag in enumerate(field.flags):
                yield f"fields[{index}].flags[{number}].concept", flag.concept, "Observation"


def read_mapping(path: Path) -> Mapping:
    """Raises FlipError ``no-mapping``, ``invalid-mapping`` (names the file and the field)."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise FlipError("no-mapping", f"The mapping file {path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise FlipError("invalid-mapping", f"The mapping file {path} can't be read: {error}.") from None
    except RecursionError:
        raise _nested(path) from None
    try:
        return Mapping.model_validate(content)
    except RecursionError:
        raise _nested(path) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        if first["type"] == "extra_forbidden":
            reason = "a mapping has no such field"
        raise FlipError("invalid-mapping", f"The mapping file {path}, {place}: {reason}.") from None


def _nested(path: Path) -> FlipError:
    return FlipError("invalid-mapping", f"The mapping file {path} is nested too deeply to be read.")
