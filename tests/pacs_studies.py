"""Studies of invented people for a PACS: small images with pixels of their own, as Part 10 bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import httpx
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CR, CT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.2"
MODALITIES = {CR: "CR", CT: "CT"}
ENOUGH = 50
"""Files in one STOW-RS request."""


@dataclass
class Made:
    """A study: its numbers, and the bytes of its instances by series."""

    patient: str
    accession: str
    study_uid: str
    series: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def files(self) -> list[bytes]:
        return [file for files in self.series.values() for file in files]


def make_study(
    patient: str,
    accession: str,
    *,
    series: tuple[int, ...] = (1,),
    sop_class: str = CR,
    syntax: str = ExplicitVRLittleEndian,
    size: int = 64,
    day: str = "20200102",
    study_uid: str | None = None,
) -> Made:
    """A study with so many instances in each series; ``size`` × ``size`` pixels of 8 bits, other ones in each."""
    made = Made(patient, accession, study_uid or generate_uid())
    random = np.random.default_rng(abs(hash(made.study_uid)) % 2**32)
    for number, instances in enumerate(series, 1):
        uid = generate_uid()
        made.series[uid] = [
            _instance(made, uid, number, at, sop_class, syntax, random.integers(0, 256, (size, size), np.uint8), day)
            for at in range(1, instances + 1)
        ]
    return made


def _instance(made: Made, series: str, number: int, at: int, sop_class: str, syntax: str, pixels, day: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = made.study_uid, series
    image.PatientID, image.PatientName, image.AccessionNumber = made.patient, "Invented^Person", made.accession
    image.StudyDate, image.StudyTime, image.StudyID = day, "101112", "1"
    image.Modality, image.BodyPartExamined = MODALITIES[sop_class], "CHEST"
    image.SeriesNumber, image.InstanceNumber = number, at
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = pixels.tobytes()
    if syntax != ExplicitVRLittleEndian:
        image.compress(syntax)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def store(client: httpx.Client, studies: list[Made]) -> None:
    """STOW-RS (PS3.18, section 10.5), many at a time."""
    files = [file for made in studies for file in made.files]
    for start in range(0, len(files), ENOUGH):
        parts = [
            b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + one for one in files[start : start + ENOUGH]
        ]
        answer = client.post(
            "/dicom-web/studies",
            content=b"\r\n".join([*parts, b"--frontier--\r\n"]),
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=frontier'},
        )
        answer.raise_for_status()
        assert not (answer.json().get("00081198") or {}).get("Value"), answer.text[:500]
