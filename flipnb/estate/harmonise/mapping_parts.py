"""What all parts of a mapping file are made of."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MappingPart(BaseModel):
    """Base of all parts of a mapping file: immutable, no unknown key, no infinite or NaN number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EventDate(MappingPart):
    """When what a row records was: a column of ISO dates (a time is let go), or one day for the whole extract."""

    column: str | None = None
    day: date | None = None

    @model_validator(mode="after")
    def _one(self) -> EventDate:
        if (self.column is None) == (self.day is None):
            raise ValueError("a date is either a column or a day")
        return self


class Codes(MappingPart):
    """A file's column of codes, looked up in the code list ``codes``, or in the estate's own ``vocabulary`` (OMOP's
    name for it, ICD10 and the like). ``where`` says which rows: column → text. ``id`` is a column that tells the file's
    rows apart, so that their ids stay when others are added."""

    file: str
    column: str
    codes: str | None = None
    vocabulary: str | None = None
    where: dict[str, str] = Field(default_factory=dict)
    date: EventDate
    id: str | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Codes:
        if (self.codes is None) == (self.vocabulary is None):
            raise ValueError("codes come from either a code list or a vocabulary")
        return self
