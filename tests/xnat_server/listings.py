"""What is listed of each kind, with XNAT's names of columns, and what one thing says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from xnat_server.answers import item, item_of, rows
from xnat_server.archive import Archive, Project, Resource, Session, Subject
from xnat_server.places import Here, Place

Row = dict[str, str]
_INSERTED = "2026-11-02 09:00:00.0"


def listing(archive: Archive, place: Place, query: Mapping[str, str]) -> Response:
    """A listing, by ``format``, ``columns``, and ``xsiType`` or any column as a filter."""
    found = [_ROWS[place.kind](archive, here) for here in place.found]
    if place.kind == "experiments":
        found = [row for row in found if row["xsiType"] not in archive.unsecured and _is_of(row, query.get("xsiType"))]
    elif place.kind == "files":
        found = [row for here in place.found for row in _files(archive, here)]
    for name, wanted in query.items():
        if name not in ("format", "columns", "xsiType", "sortBy", "req_format") and found and name in _full(found[0]):
            found = [row for row in found if _full(row)[name] == wanted]
    columns = [one for one in query.get("columns", "").split(",") if one]
    if columns == ["DEFAULT"]:
        columns = []
    if place.kind in ("files", "resources"):
        columns = []  # these two are what they are, whatever is asked for
    asked = list(columns)
    if place.kind in ("experiments", "scans") and columns:
        asked += [one for one in ("URI", "xsiType") if one not in columns]
    if place.kind == "experiments" and columns:
        asked.append("xnat:subjectassessordata/id")
    shown = [{name: _full(row).get(name, "") for name in asked} for row in found] if asked else found
    if not shown and not asked:
        asked = list(_DEFAULT[place.kind])
    elif not asked and place.kind in _DEFAULT:
        shown = [{name: row.get(name, "") for name in _DEFAULT[place.kind]} for row in shown]
    return rows(shown, query.get("format", "html" if not query else "json"), asked, place.kind.title())


_DEFAULT: dict[str, Sequence[str]] = {
    "projects": ("ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname", "URI"),
    "subjects": ("ID", "project", "label", "insert_date", "insert_user", "URI"),
    "experiments": ("ID", "project", "date", "xsiType", "label", "insert_date", "URI"),
    "scans": ("xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description", "URI"),
    "resources": (
        "xnat_abstractresource_id", "label", "element_name", "category", "cat_id", "cat_desc", "content", "format",
        "file_count", "file_size",
    ),
    "files": ("Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID", "digest"),
}  # fmt: skip


def one(archive: Archive, place: Place, form: str) -> Response:
    """One thing with what is in it."""
    here = place.found[0]
    if place.kind == "projects":
        assert here.project is not None
        return item("xnat:projectData", {"ID": here.project.id, "name": here.project.name}, {}, form)
    if place.kind == "subjects":
        assert here.project is not None and here.subject is not None
        children = {"experiments/experiment": [_session(here.project, here.subject, s) for s in here.subject.sessions]}
        return item("xnat:subjectData", _subject_fields(here.project, here.subject), children, form)
    if place.kind == "experiments":
        assert here.session is not None
        project, subject = here.holder(archive)
        told = _session(project, subject, here.session)
        scans = {"scans/scan": [_scan(Here(session=here.session, scan=scan)) for scan in here.session.scans]}
        return item(here.session.xsi_type, told["data_fields"], scans, form)
    if place.kind == "scans":
        assert here.scan is not None and here.session is not None
        files = {"file": [_resource(resource) for resource in here.scan.resources]}
        return item(here.scan.xsi_type, _scan_fields(here), files, form)
    assert here.resource is not None
    return item("xnat:resourceCatalog", _resource(here.resource)["data_fields"], {}, form)


def _is_of(row: Row, wanted: str | None) -> bool:
    """A type is asked for by itself, or by one that it extends."""
    return not wanted or wanted in (row["xsiType"], "xnat:imageSessionData", "xnat:experimentData")


def _full(row: Row) -> Row:
    """With the long names of columns: ``xnat:imageSessionData/UID`` as ``UID``."""
    return {**row, **{f"xnat:imageSessionData/{name}": value for name, value in row.items()}}


def _projects(_: Archive, here: Here) -> Row:
    project = here.project
    assert project is not None
    return {
        "ID": project.id, "name": project.name, "secondary_ID": project.id, "description": "", "pi_firstname": "",
        "pi_lastname": "", "URI": f"/data/projects/{project.id}",
    }  # fmt: skip


def _subjects(_: Archive, here: Here) -> Row:
    assert here.project is not None and here.subject is not None
    return {
        **_subject_fields(here.project, here.subject),
        "insert_date": _INSERTED,
        "insert_user": "flip",
        "URI": f"/data/subjects/{here.subject.id}",
    }


def _experiments(archive: Archive, here: Here) -> Row:
    assert here.session is not None
    project, subject = here.holder(archive)
    return {
        **_session_fields(project, subject, here.session),
        "subject_label": subject.label,
        "xsiType": here.session.xsi_type,
        "insert_date": _INSERTED,
        "xnat:subjectassessordata/id": here.session.id,
        "URI": f"/data/experiments/{here.session.id}",
    }


def _scans(_: Archive, here: Here) -> Row:
    assert here.session is not None and here.scan is not None
    return {
        **_scan_fields(here),
        "xnat_imagescandata_id": str(sum(here.scan.id.encode())),
        "xsiType": here.scan.xsi_type,
        "note": "",
        "URI": f"/data/experiments/{here.session.id}/scans/{here.scan.id}",
    }


def _resources(_: Archive, here: Here) -> Row:
    assert here.resource is not None and here.scan is not None
    return {
        **_resource(here.resource)["data_fields"],
        "element_name": "xnat:resourceCatalog",
        "category": "scans",
        "cat_id": here.scan.id,
        "cat_desc": here.scan.type,
    }


def _files(_: Archive, here: Here) -> list[Row]:
    assert here.session is not None and here.scan is not None and here.resource is not None
    path = f"/data/experiments/{here.session.id}/scans/{here.scan.id}/resources/{here.resource.number}/files"
    return [
        {
            "Name": file.name.rsplit("/", 1)[-1], "Size": str(len(file.content)), "URI": f"{path}/{file.name}",
            "collection": here.resource.label, "file_tags": "", "file_format": "DICOM", "file_content": "RAW",
            "cat_ID": here.resource.number, "digest": hashlib.md5(file.content).hexdigest(),
        }
        for file in here.resource.files
    ]  # fmt: skip


_ROWS: dict[str, Callable[[Archive, Here], Row]] = {
    "projects": _projects,
    "subjects": _subjects,
    "experiments": _experiments,
    "scans": _scans,
    "resources": _resources,
    "files": lambda archive, here: {},
}


def _subject_fields(project: Project, subject: Subject) -> Row:
    return {"ID": subject.id, "label": subject.label, "project": project.id}


def _session_fields(project: Project, subject: Subject, session: Session) -> Row:
    return {
        "ID": session.id, "label": session.label, "project": project.id, "subject_ID": subject.id, "UID": session.uid,
        "date": session.date, "modality": session.modality, "dcmAccessionNumber": session.accession,
        "dcmPatientId": session.patient_id, "dcmPatientName": session.patient_id,
    }  # fmt: skip


def _session(project: Project, subject: Subject, session: Session) -> dict[str, Any]:
    return item_of(session.xsi_type, _session_fields(project, subject, session), {})


def _scan_fields(here: Here) -> Row:
    scan, session = here.scan, here.session
    assert scan is not None and session is not None
    return {
        "ID": scan.id, "UID": scan.uid, "type": scan.type, "modality": scan.modality, "quality": "usable",
        "series_description": "", "body_part_examined": "", "image_session_ID": session.id, **scan.fields,
    }  # fmt: skip


def _scan(here: Here) -> dict[str, Any]:
    assert here.scan is not None
    return item_of(here.scan.xsi_type, _scan_fields(here), {"file": [_resource(one) for one in here.scan.resources]})


def _resource(resource: Resource) -> dict[str, Any]:
    fields = {
        "xnat_abstractresource_id": resource.number, "label": resource.label, "content": "RAW", "format": "DICOM",
        "file_count": str(resource.file_count), "file_size": str(sum(len(file.content) for file in resource.files)),
        "URI": f"/archive/{resource.number}/{resource.label}_catalog.xml",
    }  # fmt: skip
    return item_of("xnat:resourceCatalog", fields, {})
