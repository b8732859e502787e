"""What the header of an image says of its person, its study and how it was made. Run in a process of its own."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pydicom import Dataset

_TEXTS = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "sop": "SOPInstanceUID",
    "number": "PatientID",
    "issuer": "IssuerOfPatientID",
    "accession": "AccessionNumber",
    "study_date": "StudyDate",
    "series_date": "SeriesDate",
    "acquisition_date": "AcquisitionDate",
    "content_date": "ContentDate",
    "modality": "Modality",
}
_LONGEST = 256
_BLOCK = 1 << 20
_SAME = 0.999
"""The cosine to an axis from which on a plane counts as across it: 2.6 degrees."""


@dataclass(frozen=True)
class Header:
    """What is needed of a file before it is de-identified; texts as they stand there, empty where there are none."""

    sha256: str
    study: str
    series: str
    sop: str
    number: str
    issuer: str
    accession: str
    study_date: str
    series_date: str
    acquisition_date: str
    content_date: str
    modality: str

    @property
    def day(self) -> str:
        """The study's date, else the first that is there; perhaps none, perhaps no date."""
        return self.study_date or self.series_date or self.acquisition_date or self.content_date


def read_header(path: Path) -> dict[str, str]:
    """The fields of Header of a DICOM file. Raises ValueError for what is no DICOM, and whatever pydicom raises."""
    from pydicom import dcmread

    with path.open("rb") as file:
        digest = _digest(file, 0)
        file.seek(0)
        wanted: list[Any] = [*_TEXTS.values(), "SpecificCharacterSet"]
        found = dcmread(file, stop_before_pixels=True, force=True, specific_tags=wanted)
    texts = {name: _text(found, keyword) for name, keyword in _TEXTS.items()}
    if not any(texts[name] for name in ("study", "series", "sop")):
        raise ValueError("it is no DICOM file")
    return {"sha256": digest, **texts}


def read_features(path: Path) -> dict[str, Any]:
    """How an image was made, of a de-identified file: numbers by name, its plane, the part of the body, and
    ``pixels``, the SHA-256 of what is stored from its pixel data on (of the whole file, where that can't be told)."""
    from pydicom import dcmread

    with path.open("rb") as file:
        found = dcmread(file, stop_before_pixels=True, force=True)
        start = file.tell()
        pixels = _digest(file, start) or _digest(file, 0)
    shared = _first(found, "SharedFunctionalGroupsSequence")
    measures = _first(shared, "PixelMeasuresSequence")
    plane = _first(shared, "PlaneOrientationSequence")
    spacing = _numbers(found, "PixelSpacing") or _numbers(measures, "PixelSpacing")
    features: dict[str, Any] = {
        "slice_thickness": max(_numbers(found, "SliceThickness") + _numbers(measures, "SliceThickness"), default=None),
        "pixel_spacing": max(spacing or _numbers(found, "ImagerPixelSpacing"), default=None),
        "kvp": max(_numbers(found, "KVP"), default=None),
        "rows": max(_numbers(found, "Rows"), default=None),
        "columns": max(_numbers(found, "Columns"), default=None),
        "plane": _plane(_numbers(found, "ImageOrientationPatient") or _numbers(plane, "ImageOrientationPatient")),
        "body_part": _text(found, "BodyPartExamined").upper()[:50],
        "body_part_snomed": _snomed(found),
        "pixels": pixels,
    }
    return {name: value for name, value in features.items() if value not in (None, "")}


def _digest(file: BinaryIO, start: int) -> str:
    """SHA-256 of a file from ``start`` on; empty where nothing is there."""
    file.seek(start)
    digest, some = hashlib.sha256(), False
    while block := file.read(_BLOCK):
        digest.update(block)
        some = True
    return digest.hexdigest() if some else ""


def _text(found: Dataset | None, keyword: str) -> str:
    try:
        value = None if found is None else found.get(keyword)
    except Exception:  # pydicom raises what it likes on a value of another kind than its VR
        return ""
    text = "" if value is None else str(value)
    return "".join(one for one in text if one.isprintable()).strip()[:_LONGEST]


def _numbers(found: Dataset | None, keyword: str) -> list[float]:
    try:
        value = None if found is None else found.get(keyword)
        listed: list[Any] = list(value) if value is not None and hasattr(value, "__iter__") else [value]
        numbers = [float(one) for one in listed if one is not None and str(one) != ""]
    except Exception:
        return []
    return numbers if all(math.isfinite(one) and abs(one) < 1e9 for one in numbers) else []


def _first(found: Dataset | None, keyword: str) -> Dataset | None:
    try:
        items = None if found is None else found.get(keyword)
        return items[0] if items else None
    except Exception:
        return None


def _snomed(found: Dataset) -> str:
    """The code of the anatomic region, where it is SNOMED CT's."""
    region = _first(found, "AnatomicRegionSequence")
    code = _text(region, "CodeValue")
    return code if _text(region, "CodingSchemeDesignator") == "SCT" and code.isdigit() else ""


def _plane(orientation: list[float]) -> str:
    """The plane of a slice by its normal (PS3.3, C.7.6.2.1.1): axial, coronal, sagittal or oblique."""
    if len(orientation) != 6:
        return ""
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    if length < 0.5:
        return ""
    along = [abs(one) / length for one in normal]
    return next(
        (name for name, one in zip(("sagittal", "coronal", "axial"), along, strict=True) if one > _SAME), "oblique"
    )
