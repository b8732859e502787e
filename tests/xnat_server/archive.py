"""What the server holds: projects, subjects, sessions, scans, resources and their files, archive and prearchive."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

SESSION_TYPES = {
    "CR": "xnat:crSessionData",
    "CT": "xnat:ctSessionData",
    "DX": "xnat:dxSessionData",
    "MG": "xnat:mgSessionData",
    "MR": "xnat:mrSessionData",
    "NM": "xnat:nmSessionData",
    "PT": "xnat:petSessionData",
    "RF": "xnat:rfSessionData",
    "US": "xnat:usSessionData",
    "XA": "xnat:xaSessionData",
}
"""By modality; XNAT calls the others ``otherDicom``."""


def session_type(modality: str) -> str:
    return SESSION_TYPES.get(modality, "xnat:otherDicomSessionData")


@dataclass
class StoredFile:
    """``gone``: the catalogue lists it, and the disk has it no more."""

    name: str
    content: bytes
    gone: bool = False


@dataclass
class Resource:
    """``counted``: what the catalogue says, where that is not how many files there are."""

    number: str
    label: str
    files: list[StoredFile] = field(default_factory=list)
    counted: int | None = None

    @property
    def file_count(self) -> int:
        return len(self.files) if self.counted is None else self.counted


@dataclass
class Scan:
    id: str
    uid: str
    type: str
    modality: str
    resources: list[Resource] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def xsi_type(self) -> str:
        return session_type(self.modality).replace("SessionData", "ScanData")


@dataclass
class Session:
    id: str
    label: str
    uid: str
    modality: str
    date: str = ""
    accession: str = ""
    patient_id: str = ""
    scans: list[Scan] = field(default_factory=list)

    @property
    def xsi_type(self) -> str:
        return session_type(self.modality)


@dataclass
class Subject:
    id: str
    label: str
    sessions: list[Session] = field(default_factory=list)


@dataclass
class Project:
    id: str
    name: str
    subjects: list[Subject] = field(default_factory=list)

    @property
    def sessions(self) -> list[tuple[Subject, Session]]:
        return [(subject, session) for subject in self.subjects for session in subject.sessions]


@dataclass
class Waiting:
    """A session in the prearchive: nobody has put it into the archive yet."""

    project: str
    timestamp: str
    subject: str
    session: Session
    status: str = "READY"

    @property
    def url(self) -> str:
        return f"/prearchive/projects/{self.project}/{self.timestamp}/{self.session.label}"


Node: TypeAlias = "Project | Subject | Session | Scan | Resource"


class Archive:
    """Everything on the site. ``unsecured``: session types that nobody may search (XNAT's *data type security*)."""

    def __init__(self) -> None:
        self.projects: list[Project] = []
        self.waiting: list[Waiting] = []
        self.unsecured: set[str] = set()
        self._numbers = count(1)

    def project(self, name: str) -> Project:
        """The project of this ID, made where there is none."""
        found = next((one for one in self.projects if one.id == name), None)
        if found is None:
            found = Project(name, name.title())
            self.projects.append(found)
        return found

    def subject(self, project: str, label: str) -> Subject:
        holder = self.project(project)
        found = next((one for one in holder.subjects if label in (one.id, one.label)), None)
        if found is None:
            found = Subject(f"TRUST_S{next(self._numbers):05d}", label)
            holder.subjects.append(found)
        return found

    def session(self, project: str, subject: str, label: str, uid: str, modality: str, **more: str) -> Session:
        """A new session in the archive."""
        made = self.new_session(label, uid, modality, **more)
        self.subject(project, subject).sessions.append(made)
        return made

    def new_session(self, label: str, uid: str, modality: str, **more: str) -> Session:
        return Session(f"TRUST_E{next(self._numbers):05d}", label, uid, modality, **more)

    def scan(self, session: Session, number: str, uid: str, **more: str) -> Scan:
        made = Scan(
            number, uid, more.pop("type", session.modality), more.pop("modality", session.modality), fields=more
        )
        session.scans.append(made)
        return made

    def resource(
        self, scan: Scan, files: dict[str, bytes], label: str = "DICOM", counted: int | None = None
    ) -> Resource:
        stored = [StoredFile(name, content) for name, content in files.items()]
        made = Resource(str(next(self._numbers)), label, stored, counted)
        scan.resources.append(made)
        return made

    def archive(self, waiting: Waiting) -> Session:
        """Move a session from the prearchive. Raises FileExistsError where the label is taken."""
        holder = self.project(waiting.project)
        if any(session.label == waiting.session.label for _, session in holder.sessions):
            raise FileExistsError(waiting.session.label)
        self.waiting.remove(waiting)
        self.subject(waiting.project, waiting.subject).sessions.append(waiting.session)
        return waiting.session
