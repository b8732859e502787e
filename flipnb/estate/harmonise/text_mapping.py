"""What a mapping file says of clinical text: documents, and the concepts that an NLP service found in them.

Rows of the shape that CogStack keeps in Elasticsearch, one for a document and one for an annotation, become OMOP's NOTE
and NOTE_NLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from flipnb.estate.harmonise.mapping_parts import Codes, EventDate, MappingPart


class Documents(MappingPart):
    """A file with a document of a person in each row. By ``id`` mentions say which document they are of."""

    file: str
    id: str
    text: str
    title: str | None = None
    where: dict[str, str] = Field(default_factory=dict)
    date: EventDate

    def columns(self) -> Iterator[str]:
        """Every column that it reads; one may come twice."""
        named = (self.id, self.text, self.title, self.date.column, *self.where)
        yield from (column for column in named if column is not None)


class Temporal(MappingPart):
    """A column that says whether what is mentioned is there or is history; other texts say neither."""

    column: str
    codes: dict[str, Literal["present", "past"]] = Field(min_length=1)


class Mentions(Codes):
    """A file with a concept in each row that was found in the document whose id is in the column ``document``.

    ``text`` holds the words that were found, ``offset`` where. ``exists`` gives columns and their texts by which the
    patient has or had it (CogStack's cohort tool counts Presence True, Subject Patient and Time not Future): a row that
    says otherwise in one of them is negated or about something else, one that leaves one empty says neither. ``date``
    is when it was found, and ``system`` by what.
    """

    document: str
    text: str
    offset: str | None = None
    exists: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    temporal: Temporal | None = None
    system: str | None = Field(default=None, min_length=1, max_length=250)

    def columns(self) -> Iterator[str]:
        """Every column that it reads; one may come twice."""
        temporal = None if self.temporal is None else self.temporal.column
        named = (self.document, self.column, self.text, self.offset, temporal, self.id, self.date.column)
        yield from (column for column in (*named, *self.where, *self.exists) if column is not None)
