"""Phantoms as DICOM files: a number for each place in the patient, sampled on any grid, with segmentations of it.

What a file means is known without a reader of DICOM: ``value_at`` is a function of the patient's millimetres (RAS+),
without any symmetry, so that an axis that is turned round, swapped or shifted shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR, CR, PT = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.128",
)
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
MODALITY = {CT: "CT", MR: "MR", CR: "CR", PT: "PT", ENHANCED_CT: "CT"}


def value_at(place: np.ndarray) -> np.ndarray:
    """A whole number for places (…, 3), RAS+ millimetres: other along each axis and each way of it, without a jump."""
    x, y, z = np.moveaxis(place, -1, 0)
    bends = 2 * np.maximum(y - 5, 0) + np.maximum(z - x, 0)
    return np.rint(1500 + 7 * x - 5 * y + 3 * z + 40 * np.sin(x / 9) + bends).astype(int)


@dataclass(frozen=True)
class Series:
    """A grid of slices; directions and positions in LPS, as headers have them."""

    along_row: tuple[float, float, float] = (1, 0, 0)
    along_column: tuple[float, float, float] = (0, 1, 0)
    step: tuple[float, float, float] = (0, 0, 3)
    origin: tuple[float, float, float] = (-20, -31, 12)
    spacing: tuple[float, float] = (1.5, 1.0)
    """Between columns, between rows."""
    columns: int = 17
    rows: int = 23
    slices: int = 9
    sop_class: str = CT
    slope: float = 1
    intercept: float = -1024
    signed: bool = False
    bits: int = 16
    study_uid: str = field(default_factory=generate_uid)
    series_uid: str = field(default_factory=generate_uid)
    reference_uid: str = field(default_factory=generate_uid)

    def place(self, column: Any, row: Any, number: Any) -> np.ndarray:
        """Millimetres (RAS+) of a pixel's centre."""
        parts = ((self.along_row, self.spacing[0], column), (self.along_column, self.spacing[1], row))
        lps = np.asarray(self.origin, float) + sum(
            np.multiply.outer(np.asarray(index, float), np.asarray(way, float) * size) for way, size, index in parts
        )
        lps = lps + np.multiply.outer(np.asarray(number, float), np.asarray(self.step, float))
        return lps * (-1, -1, 1)

    def values(self) -> np.ndarray:
        """What is at each place: (slices, rows, columns)."""
        k, j, i = np.meshgrid(np.arange(self.slices), np.arange(self.rows), np.arange(self.columns), indexing="ij")
        return value_at(self.place(i, j, k))

    def stored(self) -> np.ndarray:
        made = np.rint((self.values() - self.intercept) / self.slope)
        return made.astype(np.int16 if self.signed else np.uint16)

    def datasets(self) -> list[FileDataset]:
        """A classic file for each slice, in the order of the slices."""
        return [self._slice(number, pixels) for number, pixels in enumerate(self.stored())]

    def files(self) -> list[bytes]:
        return [written(one) for one in self.datasets()]

    def _slice(self, number: int, pixels: np.ndarray) -> FileDataset:
        made = self.blank(self.sop_class)
        made.ImagePositionPatient = [float(f"{v:.6f}") for v in self._position(number)]
        made.ImageOrientationPatient = [float(f"{v:.6f}") for v in (*self.along_row, *self.along_column)]
        made.PixelSpacing = [self.spacing[1], self.spacing[0]]
        made.SliceThickness = 3
        made.InstanceNumber = number + 1
        made.RescaleSlope, made.RescaleIntercept = self.slope, self.intercept
        return with_pixels(made, pixels, self.bits)

    def _position(self, number: int) -> np.ndarray:
        return np.asarray(self.origin, float) + number * np.asarray(self.step, float)

    def blank(self, sop_class: str) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = sop_class
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
        made.StudyInstanceUID, made.SeriesInstanceUID = self.study_uid, self.series_uid
        made.FrameOfReferenceUID = self.reference_uid
        made.Modality = MODALITY.get(sop_class, "OT")
        made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = "P", "P", "", "O"
        made.StudyDate, made.StudyTime, made.AccessionNumber = "20200101", "120000", ""
        made.StudyID, made.SeriesNumber, made.ReferringPhysicianName = "1", 1, ""
        made.Manufacturer = "Phantom"
        return made

    def enhanced(self, order: list[int] | None = None) -> FileDataset:
        """One multi-frame file, its frames in ``order``."""
        made = self.blank(ENHANCED_CT)
        order = order or list(range(self.slices))
        shared, transformation, measures, orientation = Dataset(), Dataset(), Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = self.slope, self.intercept
        transformation.RescaleType = "HU"
        measures.PixelSpacing, measures.SliceThickness = [self.spacing[1], self.spacing[0]], 3
        orientation.ImageOrientationPatient = [float(f"{v:.6f}") for v in (*self.along_row, *self.along_column)]
        shared.PixelValueTransformationSequence = [transformation]
        shared.PixelMeasuresSequence = [measures]
        shared.PlaneOrientationSequence = [orientation]
        made.SharedFunctionalGroupsSequence = [shared]
        each = []
        for number in order:
            own, position = Dataset(), Dataset()
            position.ImagePositionPatient = [float(f"{v:.6f}") for v in self._position(number)]
            own.PlanePositionSequence = [position]
            each.append(own)
        made.PerFrameFunctionalGroupsSequence = each
        made.NumberOfFrames = len(order)
        return with_pixels(made, self.stored()[order], self.bits)

    def segmentation(self, masks: dict[str, np.ndarray], **more: Any) -> bytes:
        """A DICOM SEG of this series by highdicom; each mask is (slices, rows, columns), of this order of slices."""
        import highdicom as hd
        from pydicom.sr.codedict import codes

        described = [
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=label,
                segmented_property_category=codes.SCT.Organ,
                segmented_property_type=codes.SCT.Liver,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number, label in enumerate(masks, start=1)
        ]
        made = hd.seg.Segmentation(
            source_images=[pydicom.dcmread(BytesIO(one)) for one in self.files()],
            pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=generate_uid(),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="Phantom",
            manufacturer_model_name="Phantom",
            software_versions="1",
            device_serial_number="1",
            **more,
        )
        stream = BytesIO()
        made.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    def with_(self, **changed: Any) -> Series:
        return replace(self, **changed)


def with_pixels(made: FileDataset, pixels: np.ndarray, bits: int = 16) -> FileDataset:
    made.Rows, made.Columns = pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored, made.HighBit = min(bits, made.BitsAllocated), min(bits, made.BitsAllocated) - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    return made


def picture(pixels: np.ndarray, *, sop_class: str = CR, spacing: tuple[float, float] | None = None) -> FileDataset:
    """A radiograph, without a place in the patient: (rows, columns)."""
    made = Series().blank(sop_class)
    del made.FrameOfReferenceUID
    made.InstanceNumber = 1
    if spacing is not None:
        made.ImagerPixelSpacing = [spacing[1], spacing[0]]
    return with_pixels(made, pixels)


def written(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def turned(degrees: float, axis: int) -> np.ndarray:
    """A rotation (3, 3)."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    a, b = [n for n in range(3) if n != axis]
    made = np.eye(3)
    made[a, a] = made[b, b] = c
    made[a, b], made[b, a] = -s, s
    return made


def oblique(rotation: np.ndarray, base: Series) -> Series:
    """The same scan of a turned field of view."""
    row, column, step = (
        tuple(float(v) for v in rotation @ np.asarray(way, float))
        for way in (base.along_row, base.along_column, base.step)
    )
    return base.with_(along_row=row, along_column=column, step=step)


AXIAL = Series()
SERIES = {
    "axial": AXIAL,
    "axial, feet last": AXIAL.with_(step=(0, 0, -2.5)),
    "sagittal": AXIAL.with_(along_row=(0, 1, 0), along_column=(0, 0, -1), step=(2, 0, 0)),
    "coronal": AXIAL.with_(along_row=(1, 0, 0), along_column=(0, 0, -1), step=(0, 4, 0)),
    "prone": AXIAL.with_(along_row=(-1, 0, 0), along_column=(0, -1, 0)),
    "oblique": oblique(turned(25, 0) @ turned(-17, 2), AXIAL),
    "double oblique sagittal": oblique(
        turned(11, 1) @ turned(31, 2), AXIAL.with_(along_row=(0, 1, 0), along_column=(0, 0, -1), step=(2, 0, 0))
    ),
    "gantry tilted": AXIAL.with_(step=(0, 0.8, 2.9)),
}
