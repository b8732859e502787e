"""Images with invented identities and what is left of them without, written by pydicom."""

from __future__ import annotations

import io

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_GONE = """
PatientBirthDate PatientSex PatientAge StudyDate SeriesDate StudyTime AccessionNumber StudyID
OperatorsName ReferringPhysicianName InstitutionName InstitutionAddress StationName DeviceSerialNumber
StudyDescription SeriesDescription
"""
CR = "1.2.840.10008.5.1.4.1.1.1"


def original(**attributes: object) -> Dataset:
    """A radiograph of an invented person; ``attributes`` by keyword are put into it besides."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CR
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Okafor^Nneka Grace", "RXH1234567", "19610312"
    ds.PatientSex, ds.PatientAge = "F", "062Y"
    ds.StudyDate = ds.SeriesDate = "20230503"
    ds.StudyTime = "102133"
    ds.AccessionNumber, ds.StudyID = "A7712345", "881234"
    ds.ReferringPhysicianName, ds.OperatorsName = "Bhattacharya^Asha", "Quill^M"
    ds.InstitutionName, ds.InstitutionAddress = "St Elsewhere Hospital", "1 Wapping Rise, London SE1 7EH"
    ds.StationName, ds.DeviceSerialNumber = "XR01ROOM2", "998877"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Acme", "DX 5000", "5.2.1"
    ds.StudyDescription, ds.SeriesDescription = "XR Chest PA", "Chest PA"
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 8, 8, 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.arange(256, dtype=np.uint8).tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def cleaned(ds: Dataset) -> Dataset:
    """What a good engine makes of ``original``: descriptions, device's kind and pixels stay, identities do not."""
    clean = dcmread(io.BytesIO(saved(ds)))
    for keyword in _GONE.split():
        if keyword in clean:
            delattr(clean, keyword)
    clean.pop("PatientName", None)  # it may have another VR
    clean.PatientName, clean.PatientID = "7D3B90A1", "7D3B90A1"
    clean.ProtocolName = "Chest"
    clean.SOPInstanceUID, clean.StudyInstanceUID, clean.SeriesInstanceUID = (generate_uid() for _ in range(3))
    clean.file_meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    return clean


def saved(ds: Dataset) -> bytes:
    """The file."""
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()
