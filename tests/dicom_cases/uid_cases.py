"""UIDs wherever they can be: replaced alike in every element, kept where DICOM itself defined them."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_cases.answer_key import BASIC, RESEARCH, Action, CaseFile, Fate
from dicom_cases.headers import ROOT, case, encoded, image, reference, uid
from dicom_cases.name_cases import COMMENTS
from pydicom.dataset import Dataset

IN_THE_TABLE = (
    "FrameOfReferenceUID", "SynchronizationFrameOfReferenceUID", "ConcatenationUID",
    "SOPInstanceUIDOfConcatenationSource", "DimensionOrganizationUID", "IrradiationEventUID", "DoseReferenceUID",
    "DeviceUID", "FailedSOPInstanceUIDList", "ReferencedFrameOfReferenceUID", "RelatedFrameOfReferenceUID",
    "StorageMediaFileSetUID", "TransactionUID", "InstanceCreatorUID", "TargetUID",
    "TemplateExtensionOrganizationUID", "FiducialUID", "SpecimenUID", "TrackingUID", "ObservationUID",
    "ReferencedObservationUIDTrial", "CreatorVersionUID", "PaletteColorLookupTableUID",
    "LargePaletteColorLookupTableUID", "ReferencedGeneralPurposeScheduledProcedureStepTransactionUID",
    "PrescriptionUID", "SourceConceptualVolumeUID", "ConceptualVolumeUID", "TreatmentPositionGroupUID",
    "ManufacturerDeviceClassUID", "ReferencedDoseReferenceUID", "ContextGroupExtensionCreatorUID",
)  # fmt: skip


def cases() -> Iterator[CaseFile]:
    for number, keyword in enumerate(IN_THE_TABLE):
        ds = image(study=500 + number)
        setattr(ds, keyword, uid(500 + number, 7, number + 1))
        made = case(f"uid_{keyword}.dcm", ds)
        if keyword in ("ManufacturerDeviceClassUID", "DeviceUID"):
            # Of a device: a policy may keep them (PS3.15 E.3.8).
            made.answers = [a for a in made.answers if not (a.where in ("0018100B", "00181002") and a.text)]
        if keyword == "DeviceUID":
            made.add(Action.UID_CHANGED, "00181002", uid(500 + number, 7, number + 1), only=BASIC)
        yield made
    yield from _in_other_elements()
    yield from _well_known()
    yield from _one_uid_twice()


def _in_other_elements() -> Iterator[CaseFile]:
    ds = image(study=540)
    ds.ImageComments = f"see {uid(540, 1, 1)} lung"
    yield case("uid_in_text.dcm", ds).gone(uid(540, 1, 1)).kept(COMMENTS, "lung", only=RESEARCH)
    ds = image(study=541)
    ds.SeriesDescription = f"{uid(541, 3, 4)}"
    yield case("uid_alone_in_text.dcm", ds).gone(uid(541, 3, 4))
    ds = image(study=542)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.add_new(0x00189004, "LO", uid(542, 3, 4))
    yield case("uid_in_lo_of_no_row.dcm", ds).gone(uid(542, 3, 4)).held(Fate.ANY)
    ds = image(study=543)
    ds.add_new(0x0020000D, "UN", uid(543).encode() + b"\0")
    yield case("uid_in_un.dcm", ds).gone(uid(543))
    ds = image(study=544)
    ds.add_new(0x00420013, "UI", [uid(544, 5), uid(544, 6)])
    ds.IrradiationEventUID = [uid(544, 7), uid(544, 8), uid(544, 9)]
    yield case("uid_several_values.dcm", ds).gone(uid(544, 7), uid(544, 8), uid(544, 9))
    ds = image(study=545)
    ds.ImageComments = f"urn:oid:{uid(545)} and file {uid(545, 1)}.dcm"
    yield case("uid_in_urn.dcm", ds).gone(uid(545))
    for number, odd in enumerate(("1.2.3.04.5", "1.2.826.0.1." + "7" * 64, "not a uid", "2.25.")):
        ds = image(study=546 + number)
        data = encoded(ds)
        old = ds.FrameOfReferenceUID.encode()
        filled = odd.encode().ljust(len(old) + len(old) % 2, b"\0") if len(odd) <= len(old) else odd.encode()
        padded = filled + b"\0" * (len(filled) % 2)
        head = b"\x20\x00\x52\x00UI"
        before = head + (len(old) + len(old) % 2).to_bytes(2, "little") + old + b"\0" * (len(old) % 2)
        assert data.count(before) == 1
        data = data.replace(before, head + len(padded).to_bytes(2, "little") + padded)
        made = case(f"uid_malformed_{number}.dcm", ds, data=data)
        made.answers = [a for a in made.answers if not (a.where == "00200052" and a.action == "uid_consistent")]
        yield made.held(Fate.ANY)


def _well_known() -> Iterator[CaseFile]:
    ds = image(study=560)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    code.ContextUID, code.ContextIdentifier, code.MappingResource = "1.2.840.10008.6.1.308", "4031", "DCMR"
    ds.AnatomicRegionSequence = [code]
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = "SCT", "2.16.840.1.113883.6.96"
    ds.CodingSchemeIdentificationSequence = [scheme]
    made = case("uid_well_known.dcm", ds)
    made.answers = [a for a in made.answers if not a.where.endswith("0008010C")]
    made.kept("00080110[0].0008010C", "2.16.840.1.113883.6.96")
    made.kept("00082218[0].00080117", "1.2.840.10008.6.1.308")
    yield made.kept("00020002", str(ds.SOPClassUID)).kept("00020010", "1.2.840.10008.1.2.1")
    ds = image(study=561)
    ds.FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"
    yield case("uid_well_known_frame_of_reference.dcm", ds).kept("00200052", "1.2.840.10008.1.4.1.1")
    ds = image(study=562)
    ds.FrameOfReferenceUID = "1.2.840.10008999.3.4"
    yield case("uid_like_a_well_known_one.dcm", ds).gone("1.2.840.10008999.3.4", where="00200052")


def _one_uid_twice() -> Iterator[CaseFile]:
    """A series of two that refer to each other: every reference still resolves."""
    for instance in (1, 2):
        ds = image(study=570, instance=instance)
        other = uid(570, 1, 3 - instance)
        ds.ReferencedImageSequence = [reference(str(ds.SOPClassUID), other)]
        source = reference(str(ds.SOPClassUID), other)
        source.PurposeOfReferenceCodeSequence = [_code("121320", "DCM", "Uncompressed predecessor")]
        ds.SourceImageSequence = [source]
        made = case(f"uid_references_{instance}.dcm", ds)
        for place in ("00081140[0].00081155", "00082112[0].00081155"):
            made.add(Action.TAG_RETAINED, place, only=RESEARCH)
        yield made.kept("00081140[0].00081150", str(ds.SOPClassUID), only=RESEARCH)
    assert uid(570).startswith(ROOT)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
