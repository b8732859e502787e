"""Which images of a cohort's members a set asks for, with the archive's files of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from flipnb.contracts.images import ImageSet, Modality
from flipnb.contracts.window import Window

if TYPE_CHECKING:
    import duckdb

_STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES: Mapping[Modality, tuple[str, ...]] = {
    "CR": ("1",),
    "CT": ("2", "2.1", "2.2"),
    "DX": ("1.1", "1.1.1"),
    "ES": ("77.1.1", "77.1.1.1"),
    "IO": ("1.3", "1.3.1"),
    "MG": ("1.2", "1.2.1", "13.1.3"),
    "MR": ("4", "4.1", "4.3", "4.4"),
    "NM": ("20",),
    "OP": ("77.1.5.1", "77.1.5.2", "77.1.5.4"),
    "OT": ("7", "7.1", "7.2", "7.3", "7.4"),
    "PT": ("128", "128.1", "130"),
    "RF": ("12.2", "12.2.1"),
    "US": ("3", "3.1", "6", "6.1", "6.2"),
    "XA": ("12.1", "12.1.1", "13.1.1"),
}
"""Storage SOP classes (PS3.4, B.5) of a modality, after ``1.2.840.10008.5.1.4.1.1.``; a file's class says what it is,
whatever its list of series calls it."""

_OF_CLASS: Mapping[str, Modality] = {
    _STORAGE + suffix: modality for modality, suffixes in CLASSES.items() for suffix in suffixes
}
SEGMENTATION = (_STORAGE + "66.4", _STORAGE + "66.7")
RTSTRUCT = _STORAGE + "481.3"


@dataclass(frozen=True)
class Found:
    """One image of a member, by pseudonym; ``day`` is after the index date. ``files`` and ``labels`` are SHA-256.

    ``contoured``: its study has an RTSTRUCT and no segmentation.
    """

    person: int
    split: str
    modality: Modality
    body_part: int | None
    day: int
    files: tuple[str, ...]
    labels: tuple[str, ...] = ()
    contoured: bool = False
    frames: int = 1


@dataclass(frozen=True)
class _File:
    """A row of image_file with its series'."""

    person: int
    split: str
    day: int
    on: date
    study: str
    series: int
    body_part: int | None
    sop_class: str
    number: int
    frames: int
    sha256: str


@dataclass(frozen=True)
class _Labels:
    """The segmentations of a study, and whether it has contours."""

    files: tuple[str, ...] = ()
    contours: bool = False


def select(source: duckdb.DuckDBPyConnection, images: ImageSet) -> list[Found]:
    """The images that a set asks for, by person in pseudonymous order.

    ``source`` has an estate version attached as ``estate`` and its members in the temporary table ``member``, as
    ``estate.frozen_file`` makes it. None where the version has no files of images.
    """
    if not _has_files(source):
        return []
    chosen: list[Found] = []
    labels = _labels(source) if images.labels else {}
    for _, files in groupby(_files(source, images), key=lambda one: one.person):
        chosen += _of_person(list(files), images, labels)
    return chosen


def _of_person(files: Sequence[_File], images: ImageSet, labels: Mapping[tuple[int, str], _Labels]) -> Iterator[Found]:
    """The images of one person, those of the study that is taken, of volumes those with most slices first."""
    studies = [list(study) for _, study in groupby(files, key=lambda one: (one.on, one.study))]
    if images.take != "all":
        studies = studies[-1:] if images.take == "last" else studies[:1]
    found: list[Found] = []
    for study in studies:
        if images.dimensions == 2:
            found += (_image([one], _Labels()) for one in study)
            continue
        of_study = labels.get((study[0].person, study[0].study), _Labels())
        series = (list(one) for _, one in groupby(study, key=lambda one: one.series))
        found += sorted((_image(one, of_study) for one in series), key=lambda one: -one.frames)
    yield from found[: images.per_person]


def _image(files: Sequence[_File], labels: _Labels) -> Found:
    first = files[0]
    return Found(
        person=first.person,
        split=first.split,
        modality=_OF_CLASS[first.sop_class],
        body_part=first.body_part,
        day=first.day,
        files=tuple(one.sha256 for one in files),
        labels=labels.files,
        contoured=labels.contours and not labels.files,
        frames=sum(one.frames for one in files),
    )


def _files(source: duckdb.DuckDBPyConnection, images: ImageSet) -> Iterator[_File]:
    """Every file that may be of an image, by person, day, study, series and number."""
    classes = [uid for uid, modality in _OF_CLASS.items() if modality in images.modalities]
    where = ["f.sop_class IN (SELECT unnest(?::VARCHAR[]))", _within(images.window)]
    if images.body_parts:
        where.append(f"i.anatomic_site_concept_id IN ({', '.join(map(str, images.body_parts))})")
    rows = source.execute(
        "SELECT m.name, m.split, i.image_occurrence_date - m.first, i.image_occurrence_date, f.study_uid, "
        "i.image_occurrence_id, i.anatomic_site_concept_id, f.sop_class, coalesce(f.instance_number, 0), f.frames, "
        f"f.sha256 FROM {_SERIES} WHERE {' AND '.join(where)} ORDER BY 1, 4, 5, 6, 9, 11",
        [classes],
    )
    while page := rows.fetchmany(_PAGE):
        yield from (_File(*row) for row in page)


def _labels(source: duckdb.DuckDBPyConnection) -> dict[tuple[int, str], _Labels]:
    """Segmentations of members' studies, of whatever day they were drawn, by person and study."""
    kinds = ", ".join(f"'{uid}'" for uid in (*SEGMENTATION, RTSTRUCT))
    rows = source.execute(
        f"SELECT m.name, f.study_uid, list(f.sha256 ORDER BY f.sha256) FILTER (f.sop_class <> '{RTSTRUCT}'), "
        f"bool_or(f.sop_class = '{RTSTRUCT}') FROM {_SERIES} WHERE f.sop_class IN ({kinds}) GROUP BY ALL"
    ).fetchall()
    return {(person, study): _Labels(tuple(files or ()), contours) for person, study, files, contours in rows}


_SERIES = (
    "estate.image_file f JOIN member m ON m.person_id = f.person_id JOIN estate.image_occurrence i "
    "ON i.image_occurrence_id = f.image_occurrence_id AND i.person_id = f.person_id"
)
"""Files of members, with the series that the records know: one of another person is of nobody."""
_PAGE = 10_000


def _within(window: Window) -> str:
    bounds = ((">=", window.start_days), ("<=", window.end_days))
    found = [f"i.image_occurrence_date - m.first {op} {days}" for op, days in bounds if days is not None]
    return " AND ".join(found) or "TRUE"


def _has_files(source: duckdb.DuckDBPyConnection) -> bool:
    """Whether the version is of a release that knew files of images."""
    found = source.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'estate' AND table_name = 'image_file'"
    ).fetchone()
    return found == (1,)
