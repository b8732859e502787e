"""DICOM files for tests: written by pydicom, so that the engine under test reads nothing that it wrote itself."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.8.498"


def pydicom_files() -> list[Path]:
    """What pydicom brings for its own tests, from many makers and in every encoding; some are broken on purpose."""
    return sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("**/*"))


def ct(**values: object) -> Dataset:
    """A CT slice with a person; ``values`` by keyword, on top or instead."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"{ROOT}.1.2.3"
    ds.StudyDate, ds.StudyTime = "20230503", "101112"
    ds.Modality, ds.Manufacturer = "CT", "Acme Imaging"
    ds.AccessionNumber = "RAD7741209"
    ds.ReferringPhysicianName = "Farquharson^Fiona^^Dr"
    ds.StudyDescription, ds.SeriesDescription = "CT thorax with contrast", "Axial lung 1.5 mm"
    ds.PatientName, ds.PatientID = "Whitcombe^Eleanor^Jane", "00451873"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19480412", "F", "075Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.1.2"
    ds.SeriesNumber, ds.InstanceNumber, ds.KVP = 2, 7, "120"
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.SamplesPerPixel, ds.PixelRepresentation, ds.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    ds.PixelData = bytes(range(256)) * 2
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as a whole file in one of ``SYNTAXES``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", ROOT)
    meta.TransferSyntaxUID = syntax
    meta.SourceApplicationEntityTitle = "NIDDERDALE"
    ds.file_meta = meta
    ds.preamble = b"II*\0" + b"x" * 124
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(
            buffer,
            ds,
            enforce_file_format=True,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
        )
    return buffer.getvalue()


def read(data: bytes) -> Dataset:
    """A data set with all its elements parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        ds.walk(lambda *_: None)
    return ds
