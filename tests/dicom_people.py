"""DICOM files of known people: what a scanner of a hospital would write, small."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.9.9999"
CLASSES = {"CR": "1.2.840.10008.5.1.4.1.1.1", "CT": "1.2.840.10008.5.1.4.1.1.2"}


@dataclass(frozen=True)
class Scanned:
    """One instance; ``study``, ``series`` and ``instance`` number it."""

    number: str
    study: int
    series: int = 1
    instance: int = 1
    issuer: str = "KCH"
    name: str = "Quennell^Ottoline"
    day: date = date(2021, 3, 4)
    modality: str = "CR"
    accession: str = ""
    seed: int = 0
    size: int = 32

    @property
    def study_uid(self) -> str:
        return f"{ROOT}.{self.study}"

    @property
    def series_uid(self) -> str:
        return f"{self.study_uid}.{self.series}"

    @property
    def sop_uid(self) -> str:
        return f"{self.series_uid}.{self.instance}"


def write(path: Path, one: Scanned, **more: Any) -> Path:
    """The instance as a file; ``more`` are attributes by keyword, None for one that is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[one.modality]
    meta.MediaStorageSOPInstanceUID = one.sop_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    day = one.day.strftime("%Y%m%d")
    values: dict[str, Any] = {
        "SOPClassUID": CLASSES[one.modality],
        "SOPInstanceUID": one.sop_uid,
        "StudyInstanceUID": one.study_uid,
        "SeriesInstanceUID": one.series_uid,
        "StudyDate": day,
        "SeriesDate": day,
        "StudyTime": "101500",
        "AccessionNumber": one.accession,
        "Modality": one.modality,
        "PatientName": one.name,
        "PatientID": one.number,
        "IssuerOfPatientID": one.issuer,
        "PatientBirthDate": "19500607",
        "PatientSex": "F",
        "BodyPartExamined": "CHEST",
        "KVP": "120",
        "SeriesNumber": one.series,
        "InstanceNumber": one.instance,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": one.size,
        "Columns": one.size,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelSpacing": [0.5, 0.7],
    }
    if one.modality == "CT":
        values |= {
            "SliceThickness": "1.25",
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [0, 0, one.instance],
        }
    for keyword, value in (values | more).items():
        if value is not None:
            setattr(found, keyword, value)
    noise = np.random.default_rng([one.study, one.series, one.instance, one.seed])
    found.PixelData = noise.normal(900, 60, (one.size, one.size)).clip(0, 4095).astype(np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path
