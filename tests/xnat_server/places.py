"""Where a path of ``/data`` leads: through projects, subjects, experiments, scans and resources, by ID or label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xnat_server.archive import Archive, Project, Resource, Scan, Session, Subject


@dataclass(frozen=True)
class Here:
    """The things that a path has gone through, one of each kind."""

    project: Project | None = None
    subject: Subject | None = None
    session: Session | None = None
    scan: Scan | None = None
    resource: Resource | None = None

    def holder(self, archive: Archive) -> tuple[Project, Subject]:
        """Of a session: its own project and subject, however the path went there."""
        return next(
            (project, subject)
            for project in archive.projects
            for subject, session in project.sessions
            if session is self.session
        )


@dataclass(frozen=True)
class Place:
    """``kind`` is what is listed (``experiments``) or, where ``found`` is one thing, that thing's; ``rest`` is a file's
    name. ``ALL`` of something makes ``found`` many."""

    kind: str
    found: list[Here]
    whole: bool
    rest: str = ""


class Nowhere(Exception):
    """There is no such thing; XNAT answers 404."""


def go(archive: Archive, path: str) -> Place:
    """Raises Nowhere."""
    segments = [one for one in path.split("/") if one]
    here = [Here()]
    while segments:
        kind = segments.pop(0)
        if kind == "files" and segments:
            return Place(kind, here, False, "/".join(segments))
        inside = [one for at in here for one in _inside(archive, at, kind)]
        if not segments:
            return Place(kind, inside, True)
        here = _named(inside, kind, segments.pop(0))
    return Place(kind, here, False)


def _inside(archive: Archive, at: Here, kind: str) -> list[Here]:
    if kind == "projects" and at == Here():
        return [Here(project) for project in archive.projects]
    if kind == "subjects" and at.session is None:
        projects = [at.project] if at.project else archive.projects
        return [Here(project, subject) for project in projects for subject in project.subjects]
    if kind == "experiments" and at.session is None:
        projects = [at.project] if at.project else archive.projects
        return [
            Here(project, subject, session)
            for project in projects
            for subject, session in project.sessions
            if at.subject is None or subject is at.subject
        ]
    if kind == "scans" and at.session is not None and at.scan is None:
        return [Here(at.project, at.subject, at.session, scan) for scan in at.session.scans]
    if kind in ("resources", "files"):
        if at.resource is not None:
            return [at] if kind == "files" else []
        scans = [at.scan] if at.scan else []
        return [Here(at.project, at.subject, at.session, scan, one) for scan in scans for one in scan.resources]
    raise Nowhere(kind)


_NAMES: dict[str, Callable[[Any], Sequence[str]]] = {
    "projects": lambda here: (here.project.id, here.project.name),
    "subjects": lambda here: (here.subject.id, here.subject.label),
    "experiments": lambda here: (here.session.id, here.session.label),
    "scans": lambda here: (here.scan.id,),
    "resources": lambda here: (here.resource.number, here.resource.label),
}


def _named(inside: list[Here], kind: str, name: str) -> list[Here]:
    """Those of this name; of scans, many in a list or ``ALL``. There is no ``ALL`` of resources."""
    if kind == "scans" and name in ("ALL", "*"):
        return inside
    wanted = name.split(",") if kind in ("scans", "resources") else [name]
    found = [here for here in inside if set(_NAMES[kind](here)) & set(wanted)]
    if not found:
        raise Nowhere(f"{kind} {name}")
    return found
