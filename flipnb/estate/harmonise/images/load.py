"""``load_images``: a folder or a zip of DICOM files into an estate; what became of each study."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import MEMORY
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.images.feed import DECIDED, ImagesFeed
from flipnb.estate.harmonise.loading import LoadReport, load_directory
from flipnb.estate.imaging.deidentify import Policy
from flipnb.estate.versions import Estate

_EVERY = 1.0


class StudyState(Document):
    """What became of a study, by its replaced UID. ``wanted`` is None where nobody said how many images there are.

    ``state``: ``whole``, ``partial``, ``nothing released``, ``not there``, or why it has no one person.
    """

    study: str
    state: str
    wanted: int | None
    retrieved: int
    released: int
    quarantined: int
    refused: int


class ImagesReport(Document):
    """``load``: as for any load. ``studies`` are all of the version; ``rejects`` are of all images in it, with the file
    or study, and why; ``people`` how many people have images."""

    load: LoadReport
    studies: tuple[StudyState, ...]
    rejects: tuple[tuple[str, str], ...]
    people: int


@dataclass(frozen=True)
class Settings:
    """How images are loaded: by which policy, whose numbers PatientIDs are (else what headers say), whether all images
    of earlier loads go, and in how many processes."""

    policy: Policy
    system: str | None = None
    replace: bool = False
    workers: int | None = None


def load_images(
    source: Path | str | None,
    into: Path | str,
    settings: Settings,
    *,
    progress: Progress | None = None,
    memory: str = MEMORY,
    in_use: Collection[str] | None = None,
) -> ImagesReport:
    """De-identify the DICOM files of a file, folder or zip into the estate's archive, and make a new version with them.

    No file ends the load of the others: what is not released is named and counted. Files that were released before by
    the same policy, key and person are not released again, so that a load that died goes on. A source may have a
    ``wanted.csv`` (study, series, images: original UIDs) that says how many images were asked for. What a controller
    has decided of images that were held back is carried out; without a ``source``, that alone.

    Raises FlipError ``images-need-directory``, ``no-such-source``, ``bad-zip``, ``bad-wanted``, ``estate-busy``,
    ``disk-full``.
    """
    if str(into).startswith(("postgresql://", "postgres://")):
        raise FlipError(
            "images-need-directory",
            "Images are kept in an estate's own directory, and a PostgreSQL estate has none.",
            remedy="Load the records and the images into a directory. A server holds numbers of people "
            "(flip estate identities) and lists of series (flip estate load).",
        )
    told = progress or (lambda stage, rows: None)
    directory = Path(into)
    directory.mkdir(parents=True, exist_ok=True)
    feed = ImagesFeed(
        directory,
        settings.policy,
        system=settings.system,
        replace=settings.replace,
        workers=settings.workers,
        progress=told,
    )
    try:
        report = load_directory(
            feed,
            DECIDED if source is None else str(source),
            directory,
            max_rejects=_EVERY,
            progress=told,
            memory=memory,
            in_use=in_use,
        )
        feed.carry_out()
    finally:
        feed.close()
    return images_of(directory, report)


def images_of(directory: Path, report: LoadReport) -> ImagesReport:
    """What a load's version says of images."""
    with Estate.open(directory).reading(report.version) as connection:
        rejects = connection.execute(
            "SELECT r.file, r.reason FROM flip_reject r JOIN flip_source s USING (source_id) WHERE s.feed = 'images' "
            "ORDER BY r.file, r.reason"
        ).fetchall()
        people = connection.execute("SELECT count(DISTINCT person_id) FROM image_file").fetchone()
    return ImagesReport(
        load=report,
        studies=studies_of(directory, report.version),
        rejects=tuple((file, reason) for file, reason in rejects),
        people=int(people[0]) if people else 0,
    )


def studies_of(directory: Path, version: str | None = None) -> tuple[StudyState, ...]:
    """Every study of a version, else of the current one. Raises FlipError ``no-estate``, ``unknown-version``."""
    estate = Estate.open(directory)
    chosen = version or estate.current()
    if chosen is None:
        raise FlipError(
            "no-estate", f"{directory} holds no estate.", remedy="Load one with flip estate load.", status=404
        )
    with estate.reading(chosen) as connection:
        known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'image_study'").fetchone()
        if known is None:
            return ()
        rows = connection.execute(
            "SELECT study_uid, min(state), max(wanted), sum(files), sum(released), sum(quarantined), sum(refused) "
            "FROM image_study GROUP BY study_uid ORDER BY study_uid"
        ).fetchall()
    return tuple(
        StudyState(
            study=study,
            state=state,
            wanted=wanted,
            retrieved=int(files),
            released=int(released),
            quarantined=int(quarantined),
            refused=int(refused),
        )
        for study, state, wanted, files, released, quarantined, refused in rows
    )
