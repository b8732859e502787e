"""A project of an XNAT as an archive of images (``Archive``): its sessions are studies, its scans are series.

What XNAT anonymised when it took it in is treated like any other image here: this Trust's own engine and post-scan go
over it, and they are the guarantee.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

from flipnb.enclave.collector.pacs.answers import Implausible, Question, SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.pacs.archive import NotGiven
from flipnb.enclave.collector.quarantine import Incoming, Refused
from flipnb.enclave.collector.xnat.configuration import Xnat
from flipnb.enclave.collector.xnat.scans import Scans, StoredFile, scans_of, series_of
from flipnb.enclave.collector.xnat.sessions import Session, Sessions
from flipnb.enclave.collector.xnat.site import Site, path_of
from flipnb.enclave.collector.xnat.unzip import BrokenZip, HostileName, Unzip


class XnatArchive:
    """See ``Archive``. ``folder`` is the configuration's. Raises FlipError as ``token_of``."""

    def __init__(self, xnat: Xnat, folder: Path) -> None:
        self._site = Site(xnat, folder)
        self._sessions = Sessions(self._site, xnat.project)
        self._zipped = xnat.download == "zip"
        self._looked: dict[str, tuple[Session, dict[str, Scans]]] = {}

    def studies(self, question: Question) -> Iterator[StudyAnswer | Implausible]:
        for one in self._sessions.answering(question):
            # By days alone all sessions were looked at: those of other days are no answers.
            if isinstance(one, Implausible) or question.fits(one):
                yield one

    def series(self, studies: Sequence[str]) -> Iterator[SeriesAnswer | Implausible]:
        self._looked = {}
        for study in studies:
            try:
                _, series = self._look(study)
            except Implausible as error:
                yield error
                continue
            yield from series_of(study, series)

    def instances(self, study_uid: str, series_uid: str) -> Iterator[str | Implausible]:
        """Never needed: ``series`` says how many files there are."""
        raise NotGiven("XNAT lists files, and no SOP instance UIDs")

    def retrieve(self, study: StudyAnswer, series_uid: str, into: Incoming) -> None:
        try:
            session, series = self._looked.get(study.study_uid) or self._look(study.study_uid)
        except Implausible as error:
            raise NotGiven(f"its answer is not taken: {error}") from None
        scans = series.get(series_uid)
        if scans is None:
            raise NotGiven("the session has no such scan any more")
        if self._zipped:
            self._zips(session, scans, into)
        else:
            self._files(session, scans, into)

    def close(self) -> None:
        self._site.close()

    def cut(self) -> None:
        self._site.cut()

    def _look(self, study: str) -> tuple[Session, dict[str, Scans]]:
        """Raises Away, NotGiven, Implausible."""
        session = self._sessions.of_study(study)
        if session is None:
            raise NotGiven("the project has no such session, or several")
        self._looked[study] = found = session, scans_of(self._site, session.id)
        return found

    def _files(self, session: Session, scans: Scans, into: Incoming) -> None:
        """One after the other; what is catalogued and is not there is passed by, and told."""
        missed: list[NotGiven] = []
        for one in scans.files:
            try:
                self._file(session, one, into)
            except NotGiven as error:
                missed.append(error)
        if missed:
            raise NotGiven(f"{len(missed)} of {len(scans.files)} files are not given: {missed[0]}")

    def _file(self, session: Session, one: StoredFile, into: Incoming) -> None:
        place = _place(session, one.scan, one.resource, *one.name.split("/"))
        with closing(self._site.content(place)) as pieces:
            first = next(pieces, b"")  # what is not given begins no file
            _take(into, f"{one.scan}/{one.resource}/{one.name}", chain((first,), pieces))

    def _zips(self, session: Session, scans: Scans, into: Incoming) -> None:
        """Each resource of each scan as one zip."""
        for scan, resource in dict.fromkeys((one.scan, one.resource) for one in scans.files):
            with closing(self._site.content(_place(session, scan, resource), "zip")) as pieces:
                try:
                    for name, content in Unzip(pieces).files():
                        _take(into, f"{scan}/{resource}/{name}", content)
                except HostileName:
                    raise Refused("a file in its zip has a name that leads elsewhere") from None
                except BrokenZip as error:
                    raise NotGiven(f"its zip is broken: {error}") from None


def _take(into: Incoming, name: str, pieces: Iterable[bytes]) -> None:
    """One more file; ``name`` tells it from the others, and is part of no path."""
    file = into.file(hashed=False)
    try:
        for piece in pieces:
            file.write(piece)
        file.finish(name)
    finally:
        file.drop()  # nothing, where it became whole


def _place(session: Session, scan: str, resource: str, *name: str) -> str:
    return path_of("data", "archive", "experiments", session.id, "scans", scan, "resources", resource, "files", *name)
