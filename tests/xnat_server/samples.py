"""Invented images, small and whole, for a test's archive."""

from __future__ import annotations

import io

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from xnat_server.archive import Archive, Scan, Session

CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"


def instance(
    study: str, series: str, number: int, *, modality: str = "CR", patient: str = "X1", side: int = 8
) -> bytes:
    """A grey image as a DICOM file in Explicit VR Little Endian."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CR_STORAGE, f"{series}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientID, dataset.PatientName = patient, "INVENTED^ONE"
    dataset.Modality, dataset.StudyDate, dataset.AccessionNumber = modality, "20260401", ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.Rows = dataset.Columns = side
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes((number + place) % 256 for place in range(side * side))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def series(study: str, uid: str, count: int, *, modality: str = "CR", side: int = 8) -> dict[str, bytes]:
    """``count`` instances by their files' names."""
    return {
        f"{number}.dcm": instance(study, uid, number, modality=modality, side=side) for number in range(1, count + 1)
    }


def put(
    archive: Archive,
    project: str,
    subject: str,
    label: str,
    study: str,
    *counts: int,
    modality: str = "CR",
    **more: str,
) -> Session:
    """A session in the archive with a scan for each of ``counts``; series have the study's UID and their number."""
    session = archive.session(project, subject, label, study, modality, **more)
    for number, count in enumerate(counts, 1):
        scan: Scan = archive.scan(session, str(number), f"{study}.{number}", type=f"Chest PA {number}")
        archive.resource(scan, series(study, f"{study}.{number}", count, modality=modality))
    return session
