"""What a pull asks of an archive, however it is spoken to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from flipnb.enclave.collector.configuration import AnyArchive
from flipnb.enclave.collector.pacs.answers import Implausible, Question, SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.quarantine import Incoming
from flipnb.enclave.collector.xnat.configuration import Xnat


class Away(Exception):
    """The archive can't be reached, or broke off: it is asked again later."""


class NotGiven(Exception):
    """The archive answered, and refused or failed to give this: the study's fault, as far as can be told."""


class Archive(Protocol):
    """One connection to an archive; used by one thread."""

    def studies(self, question: Question) -> Iterator[StudyAnswer | Implausible]:
        """What it answers, as it comes; what is not to be believed as Implausible. Raises Away, NotGiven."""

    def series(self, studies: Sequence[str]) -> Iterator[SeriesAnswer | Implausible]:
        """The series of these studies. Raises Away, NotGiven."""

    def instances(self, study_uid: str, series_uid: str) -> Iterator[str | Implausible]:
        """The SOP instance UIDs of a series. Raises Away, NotGiven."""

    def retrieve(self, study: StudyAnswer, series_uid: str, into: Incoming) -> None:
        """Have all instances of a series written. Raises Away, NotGiven, and what ``into`` raises."""

    def close(self) -> None:
        """Hang up."""

    def cut(self) -> None:
        """From any thread: break off what goes on, which then raises."""


def connected(pacs: AnyArchive, folder: Path) -> Archive:
    """A connection by the configuration, made when it is first used. ``folder`` is the configuration's."""
    if isinstance(pacs, Xnat):
        from flipnb.enclave.collector.xnat.archive import XnatArchive

        return XnatArchive(pacs, folder)
    if pacs.way == "dicomweb":
        from flipnb.enclave.collector.pacs.dicomweb import DicomWeb

        return DicomWeb(pacs, folder)
    from flipnb.enclave.collector.pacs.dimse import Dimse

    return Dimse(pacs, folder)
