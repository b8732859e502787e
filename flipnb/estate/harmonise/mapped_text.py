"""Documents and what was found in them, out of a mapping's rows: OMOP's NOTE and NOTE_NLP."""

from __future__ import annotations

from typing import Any

from flipnb.estate.harmonise.events import Code, Event, stable_id
from flipnb.estate.harmonise.extract import Row
from flipnb.estate.harmonise.mapped_values import NO_CONCEPT, day_of
from flipnb.estate.harmonise.text_mapping import Documents, Mentions

_TITLE_LENGTH, _SOURCE_LENGTH = 250, 50


class NoteReader:
    """Knows which documents there are, in some 80 bytes for each."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._documents: set[int] = set()

    def document(self, row: Row, documents: Documents) -> dict[str, Any]:
        """The note, without its person. Raises BadRow."""
        name, text = row.text(documents.id), row.text(documents.text)
        if name is None:
            row.refuse(f"column {documents.id}, the document's id, is missing", documents.id)
        if text is None:
            row.refuse(f"column {documents.text}, the document's text, is missing", documents.text)
        day = day_of(row, documents.date)
        note_id = self._note_id(name)
        if note_id in self._documents:
            row.refuse(f"document {name[:40]!r} is there twice", documents.id)
        self._documents.add(note_id)
        title = None if documents.title is None else row.text(documents.title)
        return {
            "note_id": note_id,
            "note_date": day,
            "note_type_concept_id": NO_CONCEPT,
            "note_class_concept_id": NO_CONCEPT,
            "encoding_concept_id": NO_CONCEPT,
            "language_concept_id": NO_CONCEPT,
            "note_title": None if title is None else title[:_TITLE_LENGTH],
            "note_text": text,
            "note_source_value": name[:_SOURCE_LENGTH],
        }

    def mention(self, row: Row, mentions: Mentions, event_id: int, code: Code) -> Event:
        """Raises BadRow."""
        document, found = row.text(mentions.document), row.text(mentions.text)
        note_id = self._note_id(document or "")
        if document is None or note_id not in self._documents:
            row.refuse(f"there is no document {(document or '')[:40]!r}", mentions.document)
        if found is None:
            row.refuse(f"column {mentions.text}, the words that were found, is missing", mentions.text)
        temporal = mentions.temporal
        return Event(
            id=event_id,
            table="note_nlp",
            # NOTE_NLP names the note alone, which names the person.
            person_id=0,
            start=day_of(row, mentions.date),
            type_concept_id=NO_CONCEPT,
            text=found,
            note_id=note_id,
            offset=None if mentions.offset is None else row.text(mentions.offset),
            exists=_exists(row, mentions),
            temporal=None if temporal is None else temporal.codes.get(row.text(temporal.column) or ""),
            system=mentions.system,
            codes=(code,),
        )

    def _note_id(self, document: str) -> int:
        return stable_id(f"{self._source}/document#{document}")


def _exists(row: Row, mentions: Mentions) -> str | None:
    """OMOP's term_exists: Y, N, or nothing where the row does not say."""
    said = [(row.text(column), wanted) for column, wanted in mentions.exists.items()]
    if any(text is not None and text not in wanted for text, wanted in said):
        return "N"
    return "Y" if said and all(text is not None for text, _ in said) else None
