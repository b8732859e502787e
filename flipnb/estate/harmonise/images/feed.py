"""``flip images load``: DICOM files as a mapping of an estate, a study at a time."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import Build, Loading, SourceRecord, filled_tables
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.images.linking import FEED, LINKED
from flipnb.estate.harmonise.loading import recorded
from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.harmonise.source import SourceFile
from flipnb.estate.identities import IdentityMap
from flipnb.estate.imaging.deidentify import Policy
from flipnb.estate.imaging.loading.intake import WANTED, Intake, Refusal, Taken
from flipnb.estate.imaging.loading.studies import Study, rows_of
from flipnb.estate.versions import Estate

DECIDED = ""
"""The source that is none: what controllers have decided of since."""
_STUDY = "study/"
_UNREAD = "unread in "
_AT_ONCE = 500
_Wanted = dict[str, dict[str, int]]


class ImagesFeed:
    """Into the estate in a directory, by one policy. ``system`` is whose numbers PatientIDs are, else what headers say.

    What earlier loads brought stays, but for files that come again, unless ``replace``. Closed by its user.
    """

    name = mapping = FEED
    reviewer: str | None = None

    def __init__(
        self,
        estate: Path,
        policy: Policy,
        *,
        system: str | None,
        replace: bool,
        workers: int | None,
        progress: Progress,
    ) -> None:
        self._estate = Estate.open(estate)
        self._intake = Intake(estate, policy, workers=workers)
        self._system, self._replace, self._progress = system, replace, progress
        self._studies: dict[str, Study] = {}
        self._refused: dict[str, tuple[Refusal, ...]] = {}

    def carry_out(self) -> None:
        """What controllers decided of images is in the estate now."""
        self._intake.carry_out()

    def close(self) -> None:
        """Close what loads of images have read."""
        self._intake.close()

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """Everything into the archive; then a file for each study of the source, and for each that was there before."""
        path = Path(source)
        if source != DECIDED and not path.exists():
            raise FlipError("no-such-source", f"There is no {path}.", remedy="Name a file, a folder or a zip.")
        wanted = {} if source == DECIDED else _wanted(path / WANTED)
        current = self._estate.current()
        taken = self._intake.take(
            None if source == DECIDED else path, self._people(current), self._system, self._progress
        )
        files = [self._study(one, path, taken, wanted.get(one, {})) for one in sorted({*taken.studies, *wanted})]
        if taken.refused:
            said = canonical_bytes([[one.name, one.reason] for one in taken.refused])
            files.append(SourceFile(f"{_UNREAD}{path.name}", path, sha256(said), 0))
            self._refused[files[-1].name] = taken.refused
        if source == DECIDED or not self._replace:
            files += _kept(recorded(self._estate, current), self._anew(files, source))
        everything = canonical_bytes(sorted([file.name, file.digest] for file in files))
        return [*files, SourceFile(LINKED, path, sha256(everything), 0)]

    def needs_vocabulary(self) -> bool:
        """No: what depends on concepts and people is made anew by every load, of whatever mapping."""
        return False

    def version(self, files: Sequence[SourceFile]) -> str:
        """A digest of this feed's own rules alone: policy and key are in each study's digest."""
        return sha256(b"images/1")

    def warnings(self, build: Build) -> list[str]:
        """Series of which images are missing, and numbers of systems that the estate does not know."""
        return _incomplete(build) + _unknown_systems(build)

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """Some hundred studies in a transaction."""
        for first in range(0, len(files), _AT_ONCE):
            some = files[first : first + _AT_ONCE]
            with build.together([record for _, record in some]) as loadings:
                for (file, _), loading in zip(some, loadings, strict=True):
                    self._load(build, file, loading)
            progress("studies", min(first + _AT_ONCE, len(files)))
        return []

    def _load(self, build: Build, file: SourceFile, loading: Loading) -> None:
        for refusal in self._refused.get(file.name, ()):
            loading.rejects.append(Reject(refusal.name, 0, None, f"refused: {refusal.reason}"))
        if file.name not in self._studies:
            return
        rows = rows_of(self._studies[file.name], self._intake.uid)
        for name, listed in rows.tables.items():
            build.insert(filled_tables()[name], loading, listed)
        loading.rows += len(rows.tables["image_file"])
        loading.rejects += rows.rejects

    @staticmethod
    def _anew(files: Sequence[SourceFile], source: str) -> set[str]:
        """What of the version before this source has a word on."""
        return {*(file.name for file in files), *((f"{_UNREAD}{Path(source).name}",) if source != DECIDED else ())}

    def _people(self, version: str | None) -> IdentityMap:
        if version is None:
            return IdentityMap({}, ())
        with self._estate.reading(version) as connection:
            return IdentityMap.of(connection)

    def _study(self, source_uid: str, path: Path, taken: Taken, wanted: Mapping[str, int]) -> SourceFile:
        given = self._intake.catalogue.of_study(source_uid)
        if self._replace:
            given = [one for one in given if one.header.sha256 in taken.given]
        study = Study(source_uid, tuple(given), wanted)
        name = f"{_STUDY}{self._intake.uid(source_uid)}"
        self._studies[name] = study
        return SourceFile(name, path, study.digest, 0)


def _kept(records: Sequence[SourceRecord], anew: set[str]) -> list[SourceFile]:
    """What earlier loads brought and this one does not."""
    before = [record for record in records if record.feed == FEED and record.file not in anew]
    return [SourceFile(one.file, Path(one.file), one.digest, 0) for one in before if one.file != LINKED]


def _wanted(path: Path) -> _Wanted:
    """How many images were asked for, by study and series. Raises FlipError ``bad-wanted`` with the line."""
    found: _Wanted = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            try:
                study, series, images = (row[name] for name in ("study", "series", "images"))
                found.setdefault(study, {})[series] = int(images)
            except (KeyError, TypeError, ValueError):
                raise FlipError(
                    "bad-wanted", f"{path}, line {reader.line_num}: study, series and images (a number) are needed."
                ) from None
    return found


def _incomplete(build: Build) -> list[str]:
    row = build.connection.execute(
        "SELECT count(*), coalesce(sum(missing), 0) FROM image_series WHERE missing > 0"
    ).fetchone()
    if not row or not row[0]:
        return []
    return [f"{row[0]} series are partial: {row[1]} of their images were not given."]


def _unknown_systems(build: Build) -> list[str]:
    people = IdentityMap.of(build.connection)
    rows = build.connection.execute("SELECT DISTINCT issuer FROM image_study WHERE issuer IS NOT NULL ORDER BY 1")
    unknown = [issuer for (issuer,) in rows.fetchall() if not people.knows(issuer)]
    if not unknown:
        return []
    return [
        f"The estate knows no number of {', '.join(unknown[:3])}: say whose they are in a file of identities, or load "
        "with --system."
    ]
