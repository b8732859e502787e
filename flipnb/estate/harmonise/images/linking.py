"""Images to people, procedures and concepts: made anew at the end of every load, whatever it loaded.

What a load of images brings (``image_study``, ``image_series``, ``image_file``) names nobody of the estate: whose a
number is, what a person's id is and what a code means may change with every load of records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading
from flipnb.estate.harmonise.events import Code, Event, EventTable, stable_id
from flipnb.estate.identities import IdentityMap

FEED = "images"
LINKED = "(series)"
"""The source that rows of the CDM have, which are made here."""

_FEATURES: Mapping[str, tuple[str, str, str | None]] = {
    "slice_thickness": ("00180050", "Slice Thickness", "mm"),
    "pixel_spacing": ("00280030", "Pixel Spacing", "mm"),
    "kvp": ("00180060", "KVP", "kV"),
    "rows": ("00280010", "Rows", None),
    "columns": ("00280011", "Columns", None),
    "images": ("00201209", "Number of Series Related Instances", None),
}
_PLANE = ("00200037", "Image Orientation (Patient)")
_MEASUREMENT, _OBSERVATION = 1147330, 1147304
"""OMOP's concepts for the tables, by which a feature says where its value is."""
_NO_CONCEPT = 0
_MADE = (
    "procedure_occurrence",
    "image_occurrence",
    "measurement",
    "observation",
    "condition_occurrence",
    "drug_exposure",
    "device_exposure",
    "specimen",
    "image_feature",
)
"""Tables that a code's domain may send rows to."""


@dataclass(frozen=True)
class _Study:
    """A study of one person, or why it is of none."""

    uid: str
    source_uid: str
    person: int | None
    state: str
    day: date | None
    accession: str | None


@dataclass(frozen=True)
class _Series:
    uid: str
    source_uid: str
    day: date
    modality: str | None
    body_part: Code | None
    features: Mapping[str, Any]


@dataclass
class _Known:
    """What other mappings brought: procedures by accession and by study, series by UID; each with its person."""

    by_accession: dict[tuple[str, int], set[int]]
    by_study: dict[tuple[str, int], set[int]]
    series: dict[str, tuple[int, int]]

    def procedure(self, study: _Study) -> int | None:
        """The one procedure of the person that the study was made in; None for none, or for several."""
        assert study.person is not None
        for table, key in ((self.by_accession, study.accession), (self.by_study, study.source_uid)):
            found = table.get((key or "", study.person), set())
            if len(found) == 1:
                return next(iter(found))
        return None


def link_images(build: Build) -> None:
    """Give every study that was loaded its person, procedure and series; count those that find no one person."""
    row = build.connection.execute(
        "SELECT source_id FROM flip_source WHERE feed = ? AND file = ?", [FEED, LINKED]
    ).fetchone()
    if row is None:
        return
    loading = Loading(int(row[0]))
    build.connection.execute("BEGIN")
    try:
        _forget(build, loading.source_id)
        studies = _studies(build, IdentityMap.of(build.connection))
        _tell(build, _Linking(build, loading, _known(build)).link(studies))
        build.connection.execute("COMMIT")
    except BaseException:
        build.connection.execute("ROLLBACK")
        raise


class _Linking:
    """Rows of the CDM for studies that have a person."""

    def __init__(self, build: Build, loading: Loading, known: _Known) -> None:
        self._build, self._loading, self._known = build, loading, known
        self._events = EventTable(build)
        self._placed: list[tuple[str, int, int]] = []
        self._features: list[tuple[int, int]] = []

    def link(self, studies: Iterable[_Study]) -> list[_Study]:
        """All of them, in a few statements; those that a list of series gives to somebody else are nobody's."""
        series = _series(self._build)
        judged = [self._agreed(study, series.get(study.uid, [])) for study in studies]
        for study in judged:
            if study.person is not None:
                self._study(study, series.get(study.uid, []))
        self._events.route(self._loading)
        _fill(self._build, "placed", ("series_uid VARCHAR", "occurrence BIGINT", "person BIGINT"), self._placed)
        self._build.connection.execute(
            "UPDATE image_file SET image_occurrence_id = occurrence, person_id = person FROM placed "
            "WHERE placed.series_uid = image_file.series_uid"
        )
        _fill(self._build, "made_feature", ("event BIGINT", "occurrence BIGINT"), self._features)
        for table, field in (("measurement", _MEASUREMENT), ("observation", _OBSERVATION)):
            self._build.connection.execute(
                "INSERT INTO image_feature (image_feature_id, person_id, image_occurrence_id, "
                "image_feature_concept_id, image_feature_type_concept_id, image_feature_event_field_concept_id, "
                f"image_feature_event_id, alg_system, {SOURCE_ID}) "
                f"SELECT {table}_id, person_id, occurrence, {table}_concept_id, {_NO_CONCEPT}, {field}, {table}_id, "
                f"'DICOM header', {self._loading.source_id} "
                f"FROM {table} JOIN made_feature ON event = {table}_id WHERE {SOURCE_ID} = {self._loading.source_id}"
            )
        return judged

    def _agreed(self, study: _Study, series: list[_Series]) -> _Study:
        listed = {self._known.series[one.source_uid][1] for one in series if one.source_uid in self._known.series}
        if study.person is None or listed <= {study.person}:
            return study
        return replace(study, person=None, state="a list of series has it as another person's")

    def _study(self, study: _Study, series: list[_Series]) -> None:
        person = study.person
        if not series or person is None:
            return
        procedure = self._known.procedure(study)
        if procedure is None:
            procedure = stable_id(f"{FEED}/study#{study.uid}")
            self._add(procedure, "procedure_occurrence", person, study.day or series[0].day, series[0])
        for one in series:
            there = self._known.series.get(one.source_uid)
            if there is not None:
                occurrence = there[0]
            else:
                occurrence = stable_id(f"{FEED}/series#{one.uid}")
                self._add(occurrence, "image_occurrence", person, one.day, one, study=study.uid, procedure=procedure)
            self._placed.append((one.uid, occurrence, person))
            self._add_features(one, occurrence, person)

    def _add(
        self,
        identity: int,
        table: str,
        person: int,
        day: date,
        series: _Series,
        *,
        study: str | None = None,
        procedure: int | None = None,
    ) -> None:
        self._events.add(
            Event(
                id=identity,
                table=table,
                person_id=person,
                start=day,
                type_concept_id=_NO_CONCEPT,
                study_uid=study,
                series_uid=series.uid if study else None,
                procedure_id=procedure,
                codes=(Code("DICOM", series.modality),) if series.modality else (),
                value_codes=(series.body_part,) if study and series.body_part else (),
            )
        )

    def _add_features(self, series: _Series, occurrence: int, person: int) -> None:
        for name, (tag, words, unit) in _FEATURES.items():
            if name in series.features:
                number = float(series.features[name])
                self._add_feature(series, occurrence, person, Code("DICOM", tag, words), number=number, unit=unit)
        if "plane" in series.features:
            code = Code("DICOM", *_PLANE)
            self._add_feature(series, occurrence, person, code, text=str(series.features["plane"]))

    def _add_feature(
        self,
        series: _Series,
        occurrence: int,
        person: int,
        code: Code,
        *,
        number: float | None = None,
        unit: str | None = None,
        text: str | None = None,
    ) -> None:
        identity = stable_id(f"{FEED}/series#{series.uid}/{code.code}")
        self._features.append((identity, occurrence))
        self._events.add(
            Event(
                id=identity,
                table="observation" if number is None else "measurement",
                person_id=person,
                start=series.day,
                type_concept_id=_NO_CONCEPT,
                number=number,
                unit=unit,
                text=text,
                codes=(code,),
            )
        )


def _own() -> str:
    return f"(SELECT source_id FROM flip_source WHERE feed = '{FEED}')"


def _forget(build: Build, source_id: int) -> None:
    """What was made before of the same studies."""
    for table in _MADE:
        build.connection.execute(f"DELETE FROM {table} WHERE {SOURCE_ID} = {source_id}")
    build.connection.execute("UPDATE image_file SET image_occurrence_id = NULL, person_id = NULL")
    build.connection.execute(f"DELETE FROM flip_reject WHERE source_id IN {_own()} AND \"column\" = 'PatientID'")


def _studies(build: Build, people: IdentityMap) -> list[_Study]:
    """Each with the one person whom all its numbers are of, at its date."""
    rows = build.connection.execute(
        "SELECT study_uid, source_study_uid, issuer, number, study_date, accession, files FROM image_study "
        "ORDER BY study_uid, issuer, number"
    ).fetchall()
    by_study: dict[str, list[Any]] = {}
    for row in rows:
        by_study.setdefault(row[0], []).append(row)
    return [_of_one(listed, people) for listed in by_study.values()]


def _of_one(rows: list[Any], people: IdentityMap) -> _Study:
    uid, source_uid = rows[0][:2]
    found = [people.lookup(issuer, number, day) for _, _, issuer, number, day, _, files in rows if files]
    persons = frozenset().union(*(match.people for match in found))
    states: set[str] = {match.state for match in found}
    days = [row[4] for row in rows if row[4] is not None]
    accessions = {row[5] for row in rows if row[5]}
    state = _why_nobody(states, len(persons))
    person = None if state else next(iter(persons))
    return _Study(
        uid, source_uid, person, state, min(days, default=None), accessions.pop() if len(accessions) == 1 else None
    )


def _why_nobody(states: set[str], people: int) -> str:
    """Why a study has no one person; empty where it has."""
    if not states:
        return "not there"
    if "several" in states:
        return "several people have its number"
    if "nobody" in states:
        return "nobody has its number"
    return "of two people" if people > 1 else ""


def _series(build: Build) -> dict[str, list[_Series]]:
    rows = build.connection.execute(
        "SELECT study_uid, series_uid, source_series_uid, series_date, modality, body_part_vocabulary, body_part, "
        "features FROM image_series ORDER BY study_uid, series_uid"
    ).fetchall()
    found: dict[str, list[_Series]] = {}
    for study, uid, source_uid, day, modality, vocabulary, part, features in rows:
        site = Code(vocabulary, part) if part else None
        found.setdefault(study, []).append(_Series(uid, source_uid, day, modality, site, json.loads(features)))
    return found


def _known(build: Build) -> _Known:
    sql = build.connection.execute
    by_accession = sql(
        "SELECT a.accession, p.person_id, p.procedure_occurrence_id FROM procedure_accession a "
        "JOIN procedure_occurrence p USING (procedure_occurrence_id)"
    ).fetchall()
    listed = sql(
        "SELECT i.image_series_uid, i.image_study_uid, i.image_occurrence_id, i.person_id, p.procedure_occurrence_id "
        "FROM image_occurrence i LEFT JOIN procedure_occurrence p USING (procedure_occurrence_id) "
        "ORDER BY i.image_occurrence_id DESC"
    ).fetchall()
    return _Known(
        _grouped((accession, person, procedure) for accession, person, procedure in by_accession),
        _grouped((study, person, procedure) for _, study, _, person, procedure in listed if procedure is not None),
        {series: (occurrence, person) for series, _, occurrence, person, _ in listed},
    )


def _grouped(rows: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int], set[int]]:
    found: dict[tuple[str, int], set[int]] = {}
    for key, person, procedure in rows:
        found.setdefault((key, person), set()).add(procedure)
    return found


def _fill(build: Build, table: str, columns: tuple[str, ...], rows: list[Any]) -> None:
    build.connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({', '.join(columns)})")
    if rows:
        lists = ", ".join(f"unnest(?::{column.split()[1]}[])" for column in columns)
        values = [list(column) for column in zip(*rows, strict=True)]
        build.connection.execute(f"INSERT INTO {table} SELECT {lists}", values)


def _tell(build: Build, studies: list[_Study]) -> None:
    """Each study's state, and a reject for each whose images are of no one person."""
    _fill(
        build,
        "judged",
        ("study_uid VARCHAR", "person BIGINT", "said VARCHAR"),
        [(study.uid, study.person, study.state) for study in studies],
    )
    sql = build.connection.execute
    sql(
        "UPDATE image_study SET person_id = judged.person, state = CASE WHEN said <> '' THEN said "
        "WHEN released = 0 THEN 'nothing released' "
        "WHEN released < greatest(files, coalesce(wanted, 0)) OR EXISTS (SELECT 1 FROM image_series s "
        "WHERE s.study_uid = image_study.study_uid AND s.missing > 0) THEN 'partial' ELSE 'whole' END "
        "FROM judged WHERE judged.study_uid = image_study.study_uid"
    )
    sql(
        f"INSERT INTO flip_reject SELECT {SOURCE_ID}, 'study/' || study_uid, 0, 'PatientID', "
        "state || ' (' || files || ' images)', number FROM image_study WHERE files > 0 AND person_id IS NULL "
        "ORDER BY study_uid, issuer, number"
    )
    sql(
        "UPDATE flip_source SET reject_count = (SELECT count(*) FROM flip_reject r "
        f"WHERE r.source_id = flip_source.source_id) WHERE feed = '{FEED}'"
    )
