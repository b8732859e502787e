"""What is no image: reports, presentation states, PDF, notes; and sequences that tell what a header was before."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_cases.answer_key import BASIC, Action, CaseFile, Fate
from dicom_cases.headers import case, image, reference, uid
from dicom_cases.uid_cases import _code
from pydicom.dataset import Dataset

_PIXELS = (
    "PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "WindowCenter", "WindowWidth", "RescaleSlope",
    "RescaleIntercept", "RescaleType",
)  # fmt: skip
_CT = "1.2.840.10008.5.1.4.1.1.2"


def cases() -> Iterator[CaseFile]:
    yield from _reports()
    yield from _presentation_states()
    yield from _encapsulated()
    yield from _former_headers()


def _document(study: int, sop_class: str, modality: str) -> Dataset:
    """A header without pixels."""
    ds = image(study=study)
    ds.SOPClassUID, ds.Modality = sop_class, modality
    for keyword in (*_PIXELS, "FrameOfReferenceUID", "ImageType"):
        if keyword in ds:
            del ds[keyword]
    return ds


def _content(relation: str, kind: str, **values: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relation, kind
    item.ConceptNameCodeSequence = [_code("121071", "DCM", "Finding")]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _reports() -> Iterator[CaseFile]:
    ds = _document(700, "1.2.840.10008.5.1.4.1.1.88.33", "SR")
    ds.ValueType, ds.ContinuityOfContent, ds.CompletionFlag, ds.VerificationFlag = (
        "CONTAINER",
        "SEPARATE",
        "COMPLETE",
        "VERIFIED",
    )
    ds.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerificationDateTime = "Pemberton^Giles", "20230503150000"
    observer.VerifyingOrganization = "Nidderdale Royal Infirmary"
    ds.VerifyingObserverSequence = [observer]
    image_item = _content("CONTAINS", "IMAGE")
    image_item.ReferencedSOPSequence = [reference(_CT, uid(700, 1, 5))]
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "4.2", [_code("mm", "UCUM", "mm")]
    inner = _content("CONTAINS", "TEXT", TextValue="Mrs Whitcombe, MRN 00451873: nodule seen on 3 May 2023")
    outer = _content("CONTAINS", "CONTAINER", ContinuityOfContent="SEPARATE")
    outer.ContentSequence = [inner]
    ds.ContentSequence = [
        _content("HAS OBS CONTEXT", "PNAME", PersonName="Farquharson^Fiona"),
        _content("CONTAINS", "TEXT", TextValue="Eleanor Whitcombe has a nodule."),
        _content("CONTAINS", "DATE", Date="20230503"),
        _content("CONTAINS", "DATETIME", DateTime="20230503142233+0100"),
        _content("CONTAINS", "UIDREF", UID=uid(700, 1, 6)),
        _content("CONTAINS", "CODE", ConceptCodeSequence=[_code("39607008", "SCT", "Lung structure")]),
        _content("CONTAINS", "NUM", MeasuredValueSequence=[measured]),
        image_item,
        outer,
    ]
    made = case("sr_report.dcm", ds).held(Fate.ANY)
    made.gone("3 May 2023", uid(700, 1, 5), uid(700, 1, 6))
    yield made.add(Action.TAG_RETAINED, "0040A730")
    ds = _document(701, "1.2.840.10008.5.1.4.1.1.88.59", "KO")
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [_code("113000", "DCM", "Of Interest")]
    ds.ContentSequence = [_content("CONTAINS", "TEXT", TextValue="show to Whitcombe family"), image_item]
    evidence, series = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = uid(700, 1), [reference(_CT, uid(700, 1, 5))]
    evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = uid(700), [series]
    ds.CurrentRequestedProcedureEvidenceSequence = [evidence]
    yield case("key_object_note.dcm", ds).gone(uid(700, 1, 5)).held(Fate.ANY)


def _presentation_states() -> Iterator[CaseFile]:
    ds = _document(710, "1.2.840.10008.5.1.4.1.1.11.1", "PR")
    ds.ContentLabel, ds.ContentDescription = "WHITCOMBE", "for Mrs Whitcombe"
    ds.ContentCreatorName, ds.PresentationCreationDate, ds.PresentationCreationTime = (
        "Ravenscroft^Imogen",
        "20230503",
        "151500",
    )
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = uid(711, 1), [reference(_CT, uid(711, 1, 1))]
    ds.ReferencedSeriesSequence = [series]
    text, annotation, layer = Dataset(), Dataset(), Dataset()
    text.BoundingBoxAnnotationUnits, text.UnformattedTextValue = "PIXEL", "Whitcombe 00451873 3 May 23"
    text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner = [1, 1], [30, 12]
    text.BoundingBoxTextHorizontalJustification = "LEFT"
    annotation.GraphicLayer, annotation.TextObjectSequence = "WHITCOMBE", [text]
    ds.GraphicAnnotationSequence = [annotation]
    layer.GraphicLayer, layer.GraphicLayerOrder, layer.GraphicLayerDescription = "WHITCOMBE", "1", "Mrs Whitcombe"
    ds.GraphicLayerSequence = [layer]
    made = case("presentation_state.dcm", ds).held(Fate.ANY).gone("3 May 23")
    for keyword in ("SOPClassUID",):
        made.kept("00080016", str(ds[keyword].value))
    yield made


def _encapsulated() -> Iterator[CaseFile]:
    pdf = (
        b"%PDF-1.4\n1 0 obj<</Title(Letter of Eleanor Whitcombe)>>endobj\nstream\nBT (Whitcombe 00451873) Tj ET\n"
        b"endstream\n%%EOF\n"
    )
    for study, sop_class, kind, data in (
        (720, "1.2.840.10008.5.1.4.1.1.104.1", "application/pdf", pdf),
        (721, "1.2.840.10008.5.1.4.1.1.104.2", "text/XML", b"<ClinicalDocument>Eleanor Whitcombe</ClinicalDocument>"),
        (722, "1.2.840.10008.5.1.4.1.1.104.3", "model/stl", b"solid Whitcombe\nendsolid Whitcombe\n"),
    ):
        ds = _document(study, sop_class, "DOC")
        ds.MIMETypeOfEncapsulatedDocument, ds.DocumentTitle = kind, "Letter of Whitcombe"
        ds.EncapsulatedDocument = data + b" " * (len(data) % 2)
        yield case(f"encapsulated_{study}.dcm", ds).held(Fate.ANY)
    ds = _document(723, "1.2.840.10008.5.1.4.1.1.66", "OT")
    yield case("raw_data.dcm", ds).held(Fate.ANY)


def _former_headers() -> Iterator[CaseFile]:
    ds = image(study=730)
    change, former = Dataset(), Dataset()
    former.PatientName, former.PatientID, former.StudyDate = "Whitcombe^Elenor", "00451874", "20230502"
    change.AttributeModificationDateTime, change.ModifyingSystem = "20230504080000", "PACS WHITCOMBE"
    change.SourceOfPreviousValues, change.ReasonForTheAttributeModification = "Ward Kingfisher 7", "CORRECT"
    change.ModifiedAttributesSequence = [former]
    ds.OriginalAttributesSequence = [change]
    yield case("original_attributes.dcm", ds).gone("Elenor", "00451874", "20230502")
    ds = image(study=731)
    request, code = Dataset(), _code("RPC7", "L", "CT for Whitcombe")
    request.RequestedProcedureDescription, request.ScheduledProcedureStepDescription = "CT of Whitcombe", "for Eleanor"
    request.RequestedProcedureID, request.AccessionNumber = "RP00451873", "RAD7741209"
    request.ReasonForTheRequestedProcedure, request.RequestingPhysician = "Mrs Whitcombe coughs", "Farquharson^Fiona"
    request.RequestedProcedureCodeSequence = [code]
    ds.RequestAttributesSequence = [request]
    yield case("request_attributes.dcm", ds)
    ds = image(study=732)
    mac, signature = Dataset(), Dataset()
    mac.MACIDNumber, mac.MACCalculationTransferSyntaxUID, mac.MACAlgorithm = 1, "1.2.840.10008.1.2.1", "SHA256"
    mac.DataElementsSigned = [0x00100010]
    ds.MACParametersSequence = [mac]
    signature.MACIDNumber, signature.DigitalSignatureUID = 1, uid(732, 8)
    signature.DigitalSignatureDateTime, signature.CertificateType = "20230503150000", "X509_1993_SIG"
    signature.CertificateOfSigner = b"0\x82CN=Eleanor Whitcombe "
    signature.Signature = b"\1\2\3\4" * 16
    ds.DigitalSignaturesSequence = [signature]
    yield case("digital_signature.dcm", ds).gone(uid(732, 8))
    ds = image(study=733)
    who, role = Dataset(), Dataset()
    who.PersonIdentificationCodeSequence = [_code("GMC7712", "L", "Dr Pemberton")]
    who.PersonName, who.InstitutionName, who.PersonTelephoneNumbers = "Pemberton^Giles", "Nidderdale", "01423 555 0199"
    ds.ReferringPhysicianIdentificationSequence = [who]
    role.ContributionDateTime, role.ContributionDescription, role.Manufacturer = (
        "20230503140000",
        "by Pemberton",
        "Acme",
    )
    role.ContactDisplayName = "Giles Pemberton"
    role.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    ds.ContributingEquipmentSequence = [role]
    yield case("staff_in_sequences.dcm", ds).gone("GMC7712", "555 0199")
    ds = image(study=734)
    ds.ConsultingPhysicianName, ds.AdmittingDiagnosesDescription = "Ravenscroft^Imogen", "Mrs Whitcombe, cough"
    ds.PatientComments, ds.MilitaryRank, ds.Occupation = "lives with Eleanor Whitcombe", "Sergeant Whitcombe", "Harpist"
    ds.ClinicalTrialSubjectID, ds.ClinicalTrialSiteName = "WHITCOMBE01", "Nidderdale"
    ds.MedicalRecordLocator, ds.PatientBirthName, ds.OtherPatientNames = "00451873/2", "Whitcombe^E", "Whitcombe^Nelly"
    ds.InsurancePlanIdentification = "PLAN00451873"
    yield case("patient_module_in_full.dcm", ds).gone("Nelly", "WHITCOMBE01").gone("Harpist", only=BASIC)
