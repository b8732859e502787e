"""An image with a full header of one invented person, and what follows for it from PS3.15 Table E.1-1 alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from io import BytesIO

import numpy as np
import pydicom
from dicom_cases.answer_key import BASIC, RESEARCH, Action, CaseFile
from dicom_cases.people import ELEANOR, Person
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

ROOT = "1.2.826.0.1.3680043.9.7433"
"""The root of the cases' UIDs."""

SOP_CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "CR": ComputedRadiographyImageStorage,
    "US": UltrasoundImageStorage,
    "USM": UltrasoundMultiFrameImageStorage,
    "SC": SecondaryCaptureImageStorage,
}

REMOVED = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "PatientAddress",
    "PatientTelephoneNumbers", "IssuerOfPatientID", "AccessionNumber", "InstitutionAddress",
    "ReferringPhysicianName", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers",
    "PhysiciansOfRecord", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName",
    "RequestingPhysician", "ResponsiblePerson", "StudyID", "CurrentPatientLocation", "AdmissionID",
    "PatientReligiousPreference", "RegionOfResidence", "PatientInstitutionResidence",
    "ScheduledPerformingPhysicianName",
)  # fmt: skip
"""Of Table E.1-1, removed, emptied or replaced under the profile, and kept by no option that either policy takes."""

REMOVED_BY_BASIC = (
    "StationName", "DeviceSerialNumber", "InstitutionName", "PatientAge", "PatientWeight", "PatientSize",
    "EthnicGroup", "ProtocolName", "SeriesDescription", "StudyDescription", "ImageComments",
    "InstitutionalDepartmentName",
)  # fmt: skip

RETAINED = (
    "SOPClassUID", "Modality", "ImageType", "Manufacturer", "ManufacturerModelName", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation",
    "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices",
    "SliceLocation", "KVP", "BodyPartExamined", "ViewPosition", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "WindowCenter", "WindowWidth", "PatientPosition", "InstanceNumber", "SeriesNumber", "ConvolutionKernel",
    "ExposureTime", "XRayTubeCurrent", "RepetitionTime", "EchoTime", "MagneticFieldStrength", "NumberOfFrames",
    "ImagerPixelSpacing", "PlanarConfiguration", "DataCollectionDiameter", "GantryDetectorTilt", "ScanningSequence",
    "SequenceVariant", "MRAcquisitionType", "FlipAngle", "PixelAspectRatio", "ScanOptions", "RotationDirection",
    "TableHeight", "FocalSpots", "FilterType", "LossyImageCompression", "PositionReferenceIndicator",
)  # fmt: skip
"""In no row of Table E.1-1: whoever removes these has lost something."""

STAFF_AND_PLACES = (
    "Farquharson", "Pemberton", "Ravenscroft", "Tattersall", "Kingfisher", "Foss Lane", "HG5 9ZZ", "HG2 7QW",
)  # fmt: skip
"""What every header below holds of staff, wards and addresses."""

RETAINED_BY_RESEARCH = ("PatientSex", "PatientSize", "PatientWeight", "PatientAge")
"""Patient characteristics (PS3.15 E.3.5). A single kept age above 89 years is a case of its own."""


def uid(*numbers: int) -> str:
    return ".".join([ROOT, *map(str, numbers)])


def dicom_date(day: date) -> str:
    return day.strftime("%Y%m%d")


def image(
    person: Person = ELEANOR,
    modality: str = "CT",
    *,
    study: int,
    series: int = 1,
    instance: int = 1,
    size: int = 64,
    frames: int = 1,
) -> Dataset:
    """A small image with pixels of its own and a header as scanners and registration desks fill it."""
    ds = Dataset()
    day = dicom_date(person.scanned)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", *{"CT": ["AXIAL"], "MR": ["M"]}.get(modality, [])]
    ds.SOPClassUID = SOP_CLASSES[modality]
    ds.SOPInstanceUID = uid(study, series, instance)
    ds.StudyInstanceUID = uid(study)
    ds.SeriesInstanceUID = uid(study, series)
    ds.FrameOfReferenceUID = uid(study, 99)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
    ds.InstanceCreationDate = dicom_date(person.scanned + timedelta(days=1))
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime, ds.ContentTime = "142233", "142301.5", "142302", "142303.25"
    ds.AcquisitionDateTime = f"{day}142302.120000"
    ds.AccessionNumber = person.accession
    ds.Modality = "OT" if modality == "SC" else modality[:2]
    ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber = "Acme Imaging", "Helix 900", "SN5577213"
    ds.StationName, ds.SoftwareVersions = "CTROOM4LGI", "VB42A"
    ds.InstitutionName, ds.InstitutionAddress = "Nidderdale Royal Infirmary", "2 Foss Lane, Knaresborough HG5 9ZZ"
    ds.InstitutionalDepartmentName = "Radiology West"
    ds.ReferringPhysicianName = "Farquharson^Fiona^^Dr"
    ds.PhysiciansOfRecord = "Pemberton^Giles"
    ds.PerformingPhysicianName = "Ravenscroft^Imogen"
    ds.OperatorsName = "Tattersall^Kit"
    ds.StudyDescription = "CT thorax with contrast"
    ds.SeriesDescription = "Axial 1.5 mm lung window"
    ds.ProtocolName = "Thorax routine"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = person.name, person.mrn, "NIDDERDALEPAS"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = dicom_date(person.born), person.sex, person.age
    ds.PatientSize, ds.PatientWeight, ds.EthnicGroup = "1.63", "71.5", "British"
    ds.PatientAddress, ds.PatientTelephoneNumbers = person.address, person.phone
    ds.PatientMotherBirthName = f"{person.mother}^Ada"
    ds.RegionOfResidence, ds.PatientReligiousPreference = "Nidderdale", "Quakerism"
    other = Dataset()
    other.PatientID, other.TypeOfPatientID, other.IssuerOfPatientID = person.nhs, "TEXT", "NHSNUMBERS"
    ds.OtherPatientIDsSequence = Sequence([other])
    ds.StudyID, ds.AdmissionID, ds.CurrentPatientLocation = "ST99120", "ADM661042", "Ward Kingfisher 7"
    ds.SeriesNumber, ds.InstanceNumber = str(series), str(instance)
    ds.RequestAttributesSequence = Sequence([_request(study)])
    ds.ReferencedStudySequence = Sequence([reference("1.2.840.10008.3.1.2.3.1", uid(study, 77))])
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber, ds.PatientOrientation = "1", ["L", "P"]
    _geometry(ds, modality, instance)
    _pixels(ds, modality, size, frames, seed=study * 1000 + series * 100 + instance)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item


def _request(study: int) -> Dataset:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = f"RP{study}4471", f"SPS{study}4471"
    item.RequestedProcedureDescription = "CT thorax"
    return item


def _geometry(ds: Dataset, modality: str, instance: int) -> None:
    ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = ["0.75", "0.75"], "1.5", "1.5"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImagePositionPatient = ["-120.5", "-118", str(1.5 * instance)]
    ds.SliceLocation, ds.PatientPosition, ds.BodyPartExamined = str(1.5 * instance), "HFS", "CHEST"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    if modality == "CT":
        ds.KVP, ds.ConvolutionKernel, ds.ExposureTime, ds.XRayTubeCurrent = "120", "B70f", "500", "210"
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "-1024", "HU"
        ds.DataCollectionDiameter, ds.GantryDetectorTilt, ds.TableHeight = "500", "0", "141.5"
        ds.RotationDirection, ds.FilterType, ds.FocalSpots, ds.ScanOptions = "CW", "FLAT", "1.2", "HELICAL"
    if modality == "MR":
        ds.ScanningSequence, ds.SequenceVariant, ds.MRAcquisitionType, ds.ScanOptions = "SE", "SK", "2D", "FS"
        ds.RepetitionTime, ds.EchoTime, ds.MagneticFieldStrength, ds.FlipAngle = "4500", "82", "1.5", "90"
        ds.EchoTrainLength = "16"
    if modality == "CR":
        ds.ViewPosition, ds.ImagerPixelSpacing = "PA", ["0.15", "0.15"]
        ds.PixelSpacing = ["0.15", "0.15"]
    if modality == "SC":
        ds.ConversionType = "WSD"
    if modality == "USM":
        ds.FrameTime, ds.FrameIncrementPointer = "33.3", 0x00181063


def _pixels(ds: Dataset, modality: str, size: int, frames: int, seed: int) -> None:
    """A smooth body with a bright organ: no letters, and no two files' pixels alike."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    shift = (seed % 17) / 40
    body = 700 * np.exp(-2 * (x**2 + 1.5 * y**2)) + 900 * np.exp(-30 * ((x - shift) ** 2 + (y + 0.2) ** 2))
    depth = 16 if modality in ("CT", "MR") else 8
    scaled = body + seed % 97 if depth == 16 else (body + seed % 97) / 8
    one = scaled.astype(np.uint16 if depth == 16 else np.uint8)
    stack = np.stack([np.roll(one, number, axis=1) for number in range(frames)])
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = depth
    ds.HighBit = depth - 1
    if frames > 1:
        ds.NumberOfFrames = str(frames)
    ds.add_new(0x7FE00010, "OW", stack.tobytes())


def encoded(ds: Dataset, syntax: str | None = None, *, preamble: bytes = b"\0" * 128) -> bytes:
    """The dataset as a file; a dataset of another transfer syntax is written as native data of that one."""
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    ds.preamble = preamble
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def case(name: str, ds: Dataset, person: Person = ELEANOR, data: bytes | None = None) -> CaseFile:
    """The file with what Table E.1-1 asks of each of its elements, and of the person's data anywhere in it."""
    data = encoded(ds) if data is None else data
    made = CaseFile(name, data)
    _by_table(made, pydicom.dcmread(BytesIO(data), force=True))
    made.gone(*person.forms(), *STAFF_AND_PLACES)
    return made


def elements(ds: Dataset, path: str = "") -> Iterator[tuple[str, pydicom.DataElement]]:
    """Every element at every depth with its place; of sequences their elements alone."""
    for element in ds:
        here = f"{path}{element.tag.group:04X}{element.tag.element:04X}"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from elements(item, f"{here}[{number}].")
        else:
            yield here, element


def said(element: pydicom.DataElement) -> str:
    """The value as text, several joined by backslashes."""
    value = element.value
    if value is None:
        return ""
    if isinstance(value, pydicom.multival.MultiValue | list | tuple):
        return "\\".join(str(one) for one in value)
    return str(value)


def pixels_digest(ds: Dataset) -> str:
    """SHA-256 of the pixel data's bytes; of big-endian words as if they were little-endian."""
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in ds:
            data = ds[keyword].value
            syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
            if syntax == pydicom.uid.ExplicitVRBigEndian and ds.get("BitsAllocated", 8) == 16:
                data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
            return hashlib.sha256(data).hexdigest()
    return ""


def _by_table(made: CaseFile, ds: Dataset) -> None:
    for place, element in elements(ds):
        text = said(element)
        if element.tag.is_private or not text:
            continue
        if element.VR == "UI" and not text.startswith("1.2.840.10008."):
            made.add(Action.UID_CHANGED, place, text)
            made.add(Action.UID_CONSISTENT, place, text)
        elif element.VR in ("DA", "DT"):
            made.add(Action.DATE_SHIFTED, place, text)
    for keywords, policy in ((REMOVED, None), (REMOVED_BY_BASIC, BASIC)):
        for keyword in keywords:
            if said(ds[keyword]) if keyword in ds else "":
                made.gone(said(ds[keyword]), where=_place(keyword), only=policy)
    for keyword in RETAINED:
        if keyword in ds:
            text = said(ds[keyword])
            made.kept(_place(keyword), text) if text else made.add(Action.TAG_RETAINED, _place(keyword))
    for keyword in RETAINED_BY_RESEARCH:
        if keyword in ds and said(ds[keyword]) and not (keyword == "PatientAge" and ds.PatientAge > "089Y"):
            made.kept(_place(keyword), said(ds[keyword]), only=RESEARCH)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        if keyword in ds:
            made.add(Action.TEXT_NOTNULL, _place(keyword))
    if ds.get("PatientID"):
        made.add(Action.PATID_CONSISTENT, _place("PatientID"), ds.PatientID)
        made.gone(ds.PatientID, where=_place("PatientID"))
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate"):
        if ds.get(keyword):
            made.add(Action.TEXT_NOTNULL, _place(keyword), only=RESEARCH)
    made.kept("00120062", "YES")
    if digest := pixels_digest(ds):
        made.add(Action.PIXELS_RETAINED, _place("PixelData"), digest)


def _place(keyword: str) -> str:
    return f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
