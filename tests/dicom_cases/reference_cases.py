"""A study whose files refer to each other: slices, their segmentation, contours, and a second study of the person."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import numpy as np
import pydicom
from dicom_cases.answer_key import Action, CaseFile
from dicom_cases.document_cases import _document
from dicom_cases.headers import SOP_CLASSES, case, dicom_date, encoded, image, reference, uid
from dicom_cases.people import ELEANOR, HYPHEN, Person
from pydicom.dataset import Dataset

SLICES = ("slice_1.dcm", "slice_2.dcm", "slice_3.dcm")
LATER = "later_study.dcm"
OF_ANOTHER = "of_another_person.dcm"
WEEKS_LATER = timedelta(days=23)
SEG, RTSTRUCT = "segmentation.dcm", "contours.dcm"


def cases() -> Iterator[CaseFile]:
    slices = [image(study=970, instance=number + 1) for number in range(3)]
    for name, ds in zip(SLICES, slices, strict=True):
        yield case(name, ds)
    yield _segmentation([pydicom.dcmread(BytesIO(encoded(ds))) for ds in slices])
    yield _contours()
    yield _at(LATER, ELEANOR, 971)
    yield _at(OF_ANOTHER, HYPHEN, 972)


def _at(name: str, person: Person, study: int) -> CaseFile:
    ds = image(person, study=study)
    ds.StudyDate = dicom_date(person.scanned + WEEKS_LATER)
    return case(name, ds, person)


def _segmentation(sources: list[Dataset]) -> CaseFile:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lung nodule",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        tracking_uid=uid(970, 50),
        tracking_id="Whitcombe nodule 1",
    )
    mask = np.zeros((3, 64, 64), np.uint8)
    mask[:, 20:30, 24:40] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=mask,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[described],
            series_instance_uid=uid(970, 2),
            series_number=2,
            sop_instance_uid=uid(970, 2, 1),
            instance_number=1,
            manufacturer="Acme Imaging",
            manufacturer_model_name="Segmenter",
            software_versions="1",
            device_serial_number="SEG4411907",
            content_creator_name="Ravenscroft^Imogen",
            content_label="NODULES",
        )
    answered = case(SEG, made)
    for frame in range(3):
        source = f"52009230[{frame}].00089124[0].00082112[0].00081155"
        answered.add(Action.TAG_RETAINED, source)
        answered.add(Action.TEXT_NOTNULL, source)
    answered.kept("00620002[0].00620004", "1").kept("00620002[0].0062000F[0].00080104", "Nodule")
    for number in range(3):
        answered.add(Action.TEXT_NOTNULL, f"00081115[0].0008114A[{number}].00081155")
    return answered


def _contours() -> CaseFile:
    ds = _document(970, "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
    ds.SeriesInstanceUID, ds.SOPInstanceUID = uid(970, 3), uid(970, 3, 1)
    ds.StructureSetLabel, ds.StructureSetName = "WHITCOMBE", "of Mrs Whitcombe"
    ds.StructureSetDate, ds.StructureSetTime = "20230504", "101500"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = uid(970, 1)
    images = [reference(SOP_CLASSES["CT"], uid(970, 1, number)) for number in (1, 2, 3)]
    series.ContourImageSequence = images
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", uid(970)
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = uid(970, 99), [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    roi, contour, drawn, seen = Dataset(), Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID, roi.ROIName = "1", uid(970, 99), "GTV"
    roi.ROIGenerationAlgorithm = "MANUAL"
    contour.ContourImageSequence = [reference(SOP_CLASSES["CT"], uid(970, 1, 2))]
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", "3"
    contour.ContourData = ["-100.5", "-90", "3", "-80.25", "-90", "3", "-90", "-70", "3"]
    drawn.ReferencedROINumber, drawn.ContourSequence, drawn.ROIDisplayColor = "1", [contour], ["255", "0", "0"]
    seen.ObservationNumber, seen.ReferencedROINumber, seen.RTROIInterpretedType = "1", "1", "GTV"
    seen.ROIInterpreter = "Pemberton^Giles"
    ds.StructureSetROISequence, ds.ROIContourSequence = [roi], [drawn]
    ds.RTROIObservationsSequence = [seen]
    made = case(RTSTRUCT, ds)
    for place in (
        "30060010[0].00200052",
        "30060010[0].30060012[0].30060014[0].0020000E",
        "30060010[0].30060012[0].30060014[0].30060016[0].00081155",
        "30060020[0].30060024",
        "30060039[0].30060040[0].30060016[0].00081155",
    ):
        made.add(Action.TEXT_NOTNULL, place)
    return made.kept("30060039[0].30060040[0].30060050", "-100.5\\-90\\3\\-80.25\\-90\\3\\-90\\-70\\3")
