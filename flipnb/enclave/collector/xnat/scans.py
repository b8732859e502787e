"""What a session consists of: its scans as series, and their DICOM files, counted one by one.

A catalogue's count is not believed where it says less than there is, and is held against what is there where it says
more: a session that is an empty shell is told of, and one of which some files are gone is not whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from flipnb.enclave.collector.pacs import answers
from flipnb.enclave.collector.pacs.answers import Implausible, SeriesAnswer
from flipnb.enclave.collector.pacs.archive import NotGiven
from flipnb.enclave.collector.xnat.site import Row, Site, path_of
from flipnb.enclave.collector.xnat.unzip import is_inside

_LABELS = ("DICOM", "secondary")
"""Of resources with DICOM files: XNAT's own names. Others hold what was made of them."""
_FILE = re.compile(r".*/scans/([^/]+)/resources/([^/]+)/files/(.+)", re.DOTALL)


@dataclass(frozen=True)
class StoredFile:
    """A file of a resource of a scan; ``name`` may lead into folders below it."""

    scan: str
    resource: str
    name: str


@dataclass
class Scans:
    """Those of one session whose series have this UID: XNAT makes two of one, sometimes."""

    modality: str
    scans: list[str] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    catalogued: int = 0


def scans_of(site: Site, session: str) -> dict[str, Scans]:
    """By the series' UID. Raises Away, NotGiven, Implausible."""
    place = ("data", "archive", "experiments", session, "scans")
    scans = site.rows(path_of(*place), columns="ID,UID,modality,type")
    files = _files(site.rows(path_of(*place, "ALL", "files")))
    counts = _catalogued(site, place)
    series: dict[str, Scans] = {}
    for row in {row.get("id", ""): row for row in scans}.values():
        number = row.get("id", "")
        if not files[number] and not counts[number]:
            continue  # nothing of it is DICOM
        uid = answers.uid(row.get("uid", ""), "SeriesInstanceUID")
        one = series.setdefault(uid, Scans(answers.code(row.get("modality", ""), "Modality")))
        one.scans.append(number)
        one.files += files[number]
        one.catalogued += counts[number]
    if lost := set(files) - {row.get("id", "") for row in scans}:
        raise Implausible(f"{len(lost)} scans of it have files, and are not listed")
    return series


def series_of(study_uid: str, series: Mapping[str, Scans]) -> list[SeriesAnswer]:
    """As a pull wants them. Where not one file is there, none is expected, whatever catalogues say."""
    empty = not any(one.files for one in series.values())
    return [
        SeriesAnswer(study_uid, uid, one.modality, "", 0 if empty else max(len(one.files), one.catalogued))
        for uid, one in series.items()
    ]


def _files(rows: Sequence[Row]) -> defaultdict[str, list[StoredFile]]:
    """The DICOM files of each scan; every file once. Raises Implausible."""
    found: dict[StoredFile, None] = {}
    for row in rows:
        if row.get("collection", "") not in _LABELS:
            continue
        fitting = _FILE.fullmatch(row.get("uri", ""))
        if fitting is None:
            raise Implausible("a file of it has an address that is none")
        one = StoredFile(*(unquote(part) for part in fitting.groups()))
        if not is_inside(one.name):
            raise Implausible("a file of it has a name that leads elsewhere")
        found[one] = None
    by_scan: defaultdict[str, list[StoredFile]] = defaultdict(list)
    for one in found:
        by_scan[one.scan].append(one)
    return by_scan


def _catalogued(site: Site, place: Sequence[str]) -> defaultdict[str, int]:
    """What catalogues say, by scan; where the site does not list them together, nothing. Raises Implausible."""
    counts: defaultdict[str, int] = defaultdict(int)
    try:
        rows = site.rows(path_of(*place, "ALL", "resources"))
    except NotGiven:
        return counts
    for row in rows:
        if row.get("label", "") in _LABELS:
            counts[row.get("cat_id", "")] += answers.count(row.get("file_count", ""), "count of files")
    return counts
