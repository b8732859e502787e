"""What XNAT takes: DICOM files, alone or in zips, into prearchive or archive; and what it says of their tags."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError
from starlette.responses import PlainTextResponse, Response

from xnat_server.answers import not_found, rows, wrong
from xnat_server.archive import Archive, Session, Waiting
from xnat_server.places import Nowhere, go

_TIMESTAMP = "20261102_090000123"


def import_(archive: Archive, body: bytes, query: Mapping[str, str]) -> Response:
    """``/data/services/import``: one study in a zip or a single file. ``dest=/archive`` puts it there at once."""
    try:
        files = _files(body)
    except (InvalidDicomError, zipfile.BadZipFile):
        return wrong(400, "Unable to parse the uploaded data")
    studies = {str(dataset.StudyInstanceUID) for dataset in files.values()}
    if len(studies) != 1:
        return wrong(400, "One session at a time")
    first = next(iter(files.values()))
    project, subject = query.get("project", "Unassigned"), query.get("subject", str(first.PatientID))
    session = archive.new_session(
        query.get("session", str(first.get("AccessionNumber", "")) or str(first.PatientID)),
        str(first.StudyInstanceUID),
        str(first.Modality),
        date=_date(str(first.get("StudyDate", ""))),
        accession=str(first.get("AccessionNumber", "")),
        patient_id=str(first.PatientID),
    )
    _fill(archive, session, files)
    waiting = Waiting(project, _TIMESTAMP, subject, session)
    archive.waiting.append(waiting)
    if query.get("dest", "/prearchive").startswith("/prearchive"):
        return PlainTextResponse(f"/data{waiting.url}\r\n")
    return _archived(archive, waiting)


def archive_waiting(archive: Archive, query: Mapping[str, str]) -> Response:
    """``/data/services/archive``: what ``src`` names goes from the prearchive into the archive."""
    source = query.get("src", "").removeprefix("/data")
    waiting = next((one for one in archive.waiting if one.url == source), None)
    if waiting is None:
        return not_found(source)
    waiting.project = query.get("project", waiting.project)
    waiting.subject = query.get("subject", waiting.subject)
    waiting.session.label = query.get("session", waiting.session.label)
    return _archived(archive, waiting)


def refresh(archive: Archive, resource: str) -> Response:
    """``/data/services/refresh/catalog``: the catalogue counts what is there, and lists no more."""
    try:
        place = go(archive, resource.removeprefix("/archive").removeprefix("/data"))
        found = [one for here in place.found if here.session for scan in here.session.scans for one in scan.resources]
    except Nowhere as error:
        return not_found(str(error))
    for one in found:
        one.counted, one.files = None, [file for file in one.files if not file.gone]
    return PlainTextResponse("")


def dump(archive: Archive, source: str, form: str) -> Response:
    """``/data/services/dicomdump``: the tags of one file of a scan."""
    try:
        place = go(archive, source.removeprefix("/archive").removeprefix("/data"))
        file = next(file for here in place.found if here.scan for one in here.scan.resources for file in one.files)
    except (Nowhere, StopIteration):
        return not_found(source)
    dataset = pydicom.dcmread(io.BytesIO(file.content), stop_before_pixels=True)
    told = [
        {"tag1": str(one.tag).upper(), "tag2": "", "vr": one.VR, "value": str(one.value), "desc": one.name}
        for one in dataset
    ]
    return rows(told, form, ["tag1", "tag2", "vr", "value", "desc"], "DICOM dump")


def prearchive_rows(archive: Archive, project: str | None, form: str) -> Response:
    """``/data/prearchive/projects[/P]``."""
    told = [
        {
            "project": one.project, "timestamp": one.timestamp, "lastmod": "2026-11-02 09:00:00.0", "uploaded": "",
            "scan_date": one.session.date, "scan_time": "", "subject": one.subject, "folderName": one.session.label,
            "name": one.session.label, "tag": one.session.uid, "status": one.status, "url": one.url, "autoarchive": "",
            "prevent_anon": "false", "prevent_auto_commit": "false", "source": "", "visit": "", "protocol": "",
            "TIMEZONE": "",
        }
        for one in archive.waiting
        if project in (None, one.project)
    ]  # fmt: skip
    return rows(
        told, form, ["project", "timestamp", "name", "url", "status", "subject"] if not told else [], "Prearchive"
    )


def _archived(archive: Archive, waiting: Waiting) -> Response:
    try:
        session = archive.archive(waiting)
    except FileExistsError:
        return wrong(409, "Session already exists")
    return PlainTextResponse(f"/data/archive/projects/{waiting.project}/experiments/{session.id}\r\n")


def _files(body: bytes) -> dict[str, Any]:
    if body[:2] != b"PK":
        return {"1.dcm": pydicom.dcmread(io.BytesIO(body))}
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        return {
            name.rsplit("/", 1)[-1]: pydicom.dcmread(io.BytesIO(opened.read(name)))
            for name in opened.namelist()
            if not name.endswith("/")
        }


def _fill(archive: Archive, session: Session, files: Mapping[str, Any]) -> None:
    series: dict[str, dict[str, bytes]] = {}
    first: dict[str, Any] = {}
    for name, dataset in files.items():
        stream = io.BytesIO()
        dataset.save_as(stream)
        series.setdefault(str(dataset.SeriesInstanceUID), {})[name] = stream.getvalue()
        first.setdefault(str(dataset.SeriesInstanceUID), dataset)
    for number, (uid, content) in enumerate(series.items(), 1):
        dataset = first[uid]
        scan = archive.scan(
            session,
            str(dataset.get("SeriesNumber") or number),
            uid,
            type=str(dataset.get("SeriesDescription", "")) or str(dataset.Modality),
            modality=str(dataset.Modality),
        )
        archive.resource(scan, content)


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else ""
