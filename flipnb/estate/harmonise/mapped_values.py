"""What a mapping reads out of one row: whose it is, of which day, and the number or concept that a field means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from flipnb.estate.harmonise.extract import Row
from flipnb.estate.harmonise.mapping import FieldMapping
from flipnb.estate.harmonise.mapping_parts import EventDate
from flipnb.estate.harmonise.units import conversion_factor
from flipnb.estate.harmonise.vocabulary import Vocabulary

NO_CONCEPT = 0
"""OMOP's "no matching concept": a Trust's own records say no more, about their provenance for one."""


@dataclass(frozen=True)
class Person:
    """Whose a row is, and on which day their record began."""

    person_id: int
    day: date


@dataclass(frozen=True)
class Converter:
    """A number of one field from the extract's unit to the estate's."""

    factor: float
    unit_concept: int
    unit: str

    @classmethod
    def of(cls, field: FieldMapping, vocabulary: Vocabulary, where: str) -> Converter | None:
        """The conversion that a field asks for; None where it has no unit."""
        if field.unit is None or field.target_unit is None:
            return None
        factor = conversion_factor(field.unit, field.target_unit, field.molar_mass, where)
        return cls(factor, vocabulary.unit(field.target_unit, where), field.unit)


@dataclass(frozen=True)
class Value:
    """What one field of one row holds: its text, and the number (in the estate's unit) or concept that it means."""

    text: str
    day: date
    number: float | None
    concept: int | None

    @classmethod
    def read(cls, row: Row, person: Person, field: FieldMapping, converter: Converter | None) -> Value | None:
        """None where there is no value. Raises BadRow."""
        text = row.text(field.column)
        if text is None:
            return None
        number = None
        if converter is not None:
            number = (row.number(field.column) or 0.0) * converter.factor
            if field.decimals is not None:
                number = round(number, field.decimals)
        concept = row.code(field.column, field.codes) if field.codes else None
        return cls(text, person.day if field.date is None else day_of(row, field.date), number, concept)


def matches(row: Row, where: dict[str, str]) -> bool:
    """Whether each column has exactly this text."""
    return all(row.text(column) == text for column, text in where.items())


def day_of(row: Row, when: EventDate) -> date:
    """The day of a row by the mapping's column or fixed day. Raises BadRow where the column is empty."""
    day = when.day if when.column is None else row.day(when.column)
    if day is None:
        row.refuse(f"the date in column {when.column} is missing", when.column)
    return day
