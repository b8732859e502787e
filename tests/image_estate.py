"""An estate whose images lie in its archive: people, series of DICOM files that pydicom and highdicom wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pydicom
from small_estate import EVERYBODY, Person, fill, has

from flipnb.estate.imaging.archive import Archive
from flipnb.estate.omop.cdm import own_tables
from flipnb.estate.versions import Estate

INDEX = date(2015, 6, 1)
COHORT = has([EVERYBODY])


@dataclass(frozen=True)
class Scan:
    """One series of a person, its files in the archive; ``others`` are those of its study that are no series of ours
    (segmentations, structure sets)."""

    person: int
    files: Sequence[bytes]
    others: Sequence[bytes] = ()
    day: date = INDEX
    site: int | None = None


def estate_of(directory: Path, people: Sequence[int], scans: Sequence[Scan]) -> str:
    """Fill the archive and a new version; its id."""
    base = Estate.open(directory / "plain")
    plain = fill(directory / "plain", [Person(number, since=INDEX) for number in people])
    rows: dict[str, list[dict[str, Any]]] = {"image_occurrence": [], "image_file": []}
    archive = Archive(directory)
    for scan in scans:
        for files in (scan.files, *([one] for one in scan.others)):
            _add(rows, scan, files, archive, directory)

    def write(path: Path) -> str:
        path.write_bytes(base.file(plain).read_bytes())
        with duckdb.connect(str(path)) as connection:
            for table in own_tables().values():
                connection.execute(table.ddl(checked=False))
            for name, listed in rows.items():
                if listed:
                    lists = ", ".join(f"unnest(${number}) AS {column}" for number, column in enumerate(listed[0], 1))
                    columns = [[row[column] for row in listed] for column in listed[0]]
                    connection.execute(f"INSERT INTO {name} BY NAME SELECT {lists}", columns)
        return f"{abs(hash((plain, str(rows)))):032x}"

    return Estate.open(directory).add(write)


def _add(rows: dict[str, list[dict[str, Any]]], scan: Scan, files: Sequence[bytes], archive: Archive, place: Path):
    number = len(rows["image_occurrence"]) + 1
    first: Any = None
    for data in files:
        found = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
        first = first or found
        file = place / "incoming.dcm"
        file.write_bytes(data)
        rows["image_file"].append(
            {
                "image_occurrence_id": number,
                "person_id": scan.person,
                "sha256": archive.add(file),
                "bytes": len(data),
                "sop_class": str(found.get("SOPClassUID", first.SOPClassUID)),
                "transfer_syntax": "1.2.840.10008.1.2.1",
                "instance_number": found.get("InstanceNumber"),
                "frames": int(found.get("NumberOfFrames", 1) or 1),
                "rows": found.get("Rows"),
                "columns": found.get("Columns"),
                "study_uid": str(first.StudyInstanceUID),
                "series_uid": str(first.SeriesInstanceUID),
                "sop_uid": str(found.get("SOPInstanceUID", "")),
            }
        )
        file.unlink()
    rows["image_occurrence"].append(
        {
            "image_occurrence_id": number,
            "person_id": scan.person,
            "procedure_occurrence_id": number,
            "image_occurrence_date": scan.day,
            "image_study_uid": str(first.StudyInstanceUID),
            "image_series_uid": str(first.SeriesInstanceUID),
            "modality_concept_id": 0,
            "anatomic_site_concept_id": scan.site,
        }
    )
