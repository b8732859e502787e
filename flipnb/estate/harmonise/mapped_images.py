"""Series of images out of a mapping's rows: OMOP's IMAGE_OCCURRENCE, and the procedures that they were made in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flipnb.estate.harmonise.events import Code, Event, stable_id
from flipnb.estate.harmonise.extract import Row
from flipnb.estate.harmonise.image_mapping import Series
from flipnb.estate.harmonise.mapped_values import NO_CONCEPT, Person, day_of

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
"""DICOM PS3.5, section 9.1; of at most 64 characters."""


class ImageReader:
    """Knows which studies and series there are, in some 200 bytes for each."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._studies: dict[str, int] = {}
        self._series: set[str] = set()

    def events(self, row: Row, person: Person, series: Series, modality: Code, site: Code | None) -> Iterator[Event]:
        """The study's procedure, where this is its first series, and the series. Raises BadRow before the first."""
        study, uid = _uid(row, series.study), _uid(row, series.series)
        if self._studies.get(study, person.person_id) != person.person_id:
            row.refuse(f"study {study} is of another person, too", series.study)
        if uid in self._series:
            row.refuse(f"series {uid} is there twice", series.series)
        procedure = Event(
            id=stable_id(f"{self._source}/study#{study}"),
            table="procedure_occurrence",
            person_id=person.person_id,
            start=day_of(row, series.date),
            type_concept_id=NO_CONCEPT,
            codes=(modality,),
        )
        if study not in self._studies:
            yield procedure
        self._studies[study] = person.person_id
        self._series.add(uid)
        yield Event(
            id=stable_id(f"{self._source}/series#{uid}"),
            table="image_occurrence",
            person_id=person.person_id,
            start=procedure.start,
            type_concept_id=NO_CONCEPT,
            study_uid=study,
            series_uid=uid,
            procedure_id=procedure.id,
            codes=(modality,),
            value_codes=() if site is None else (site,),
        )


def _uid(row: Row, column: str) -> str:
    text = row.text(column)
    if text is None:
        row.refuse(f"column {column}, a DICOM UID, is missing", column)
    if len(text) > 64 or not _UID.fullmatch(text):
        row.refuse(f"{text[:40]!r} in column {column} is no DICOM UID", column)
    return text
