"""How a file is written: transfer syntaxes, lengths, VRs that say nothing, and what lies around the dataset."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from dicom_cases.answer_key import CaseFile, Fate
from dicom_cases.headers import case, elements, encoded, image, said
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_AS_THEY_ARE = (
    "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPEGLSNearLossless_16.dcm",
    "MR_small_jp2klossless.dcm", "SC_rgb_rle_2frame.dcm", "JPEG-lossy.dcm",
)  # fmt: skip
"""pydicom's own files whose compressed pixels a header of ours is put around."""


def cases() -> Iterator[CaseFile]:
    yield from _transfer_syntaxes()
    yield from _around_the_dataset()
    yield from _value_representations()
    yield from _structure()
    yield from _no_images()


def _transfer_syntaxes() -> Iterator[CaseFile]:
    for number, syntax in enumerate(NATIVE):
        ds = image(study=800 + number)
        made = case(f"syntax_native_{number}.dcm", ds, data=encoded(ds, syntax))
        yield made.held(Fate.ANY) if syntax == ExplicitVRBigEndian else made
    for number, syntax in enumerate((RLELossless, JPEG2000Lossless)):
        ds = image(study=810 + number)
        ds.compress(syntax, generate_instance_uid=False)
        yield case(f"syntax_compressed_{number}.dcm", ds, data=encoded(ds))
    ds = image(modality="CR", study=815, frames=1)
    file = BytesIO()
    Image.fromarray(np.frombuffer(ds[0x7FE00010].value, np.uint8).reshape(64, 64)).save(file, "jpeg")
    ds.add_new(0x7FE00010, "OB", encapsulate([file.getvalue()]))
    ds[0x7FE00010].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    yield case("syntax_jpeg.dcm", ds, data=encoded(ds))
    for number, name in enumerate(_AS_THEY_ARE):
        path = get_testdata_file(name)
        assert isinstance(path, str)
        theirs = pydicom.dcmread(path)
        ds = image(modality="MR", study=820 + number)
        for element in theirs:
            if element.tag.group in (0x0028, 0x7FE0):
                ds[element.tag] = element
        ds.file_meta.TransferSyntaxUID = theirs.file_meta.TransferSyntaxUID
        made = case(f"syntax_of_{Path(name).stem}.dcm", ds, data=encoded(ds))
        # Of this one no decoder makes a picture: whoever looks for letters in it may hold it back.
        yield made.held(Fate.ANY) if name == "JPEG-lossy.dcm" else made
    frames = [b"\xff\xd8" + bytes(range(60)) + b"\xff\xd9", b"\xff\xd8" + bytes(range(90)) + b"\xff\xd9"]
    for number, syntax in enumerate(one for one in AllTransferSyntaxes if one.is_encapsulated):
        ds = image(study=840 + number)
        ds.NumberOfFrames = "2"
        ds.add_new(0x7FE00010, "OB", encapsulate(frames))
        ds[0x7FE00010].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = syntax
        yield case(f"syntax_opaque_{number:02}.dcm", ds, data=encoded(ds)).held(Fate.ANY)
    for number, syntax in enumerate(("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.7.1", "1.2.3.4.5", "")):
        ds = image(study=890 + number)
        if syntax.endswith(".94"):
            del ds[0x7FE00010]
            ds.PixelDataProviderURL = "https://pacs.example.org/Whitcombe/1.jpip"
        data = encoded(ds).replace(*_syntax(ExplicitVRLittleEndian, syntax))
        yield case(f"syntax_unknown_{number}.dcm", ds, data=data).held(Fate.ANY)


def _syntax(old: str, new: str) -> tuple[bytes, bytes]:
    """The element of the meta information before and after; of the same length, so that the group's length is true."""
    size = len(old) + len(old) % 2
    head = b"\x02\x00\x10\x00UI" + struct.pack("<H", size)
    return head + old.encode().ljust(size, b"\0"), head + new.encode().ljust(size, b"\0")[:size]


def _around_the_dataset() -> Iterator[CaseFile]:
    ds = image(study=900)
    yield case("preamble_text.dcm", ds, data=encoded(ds, preamble=b"Whitcombe^Eleanor 00451873".ljust(128, b"\0")))
    ds = image(study=901)
    tiff = b"II*\0\x08\0\0\0" + b"Eleanor Whitcombe".ljust(120, b"\0")
    yield case("preamble_tiff.dcm", ds, data=encoded(ds, preamble=tiff)).gone("II*\0", where="*")
    ds = image(study=902)
    meta = ds.file_meta
    meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle = "WHITCOMBE", "KINGFISHER7"
    meta.ReceivingApplicationEntityTitle = "NIDDERDALE"
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = "1.2.826.0.1.3680043.9.7433.4", b"Eleanor Whitcombe "
    yield case("meta_information.dcm", ds).gone("NIDDERDALE", "KINGFISHER7")
    ds = image(study=903)
    ds.add_new(0xFFFCFFFC, "OB", b"Eleanor Whitcombe 00451873")
    yield case("trailing_padding.dcm", ds)
    ds = image(study=904)
    yield case("trailing_bytes.dcm", ds, data=encoded(ds) + b"Eleanor Whitcombe 00451873 ").held(Fate.ANY)
    ds = image(study=905)
    yield case("trailing_element.dcm", ds, data=encoded(ds) + _explicit(0x00100010, "PN", b"Whitcombe ")).held(Fate.ANY)
    ds = image(study=906)
    length = _explicit(0x00100000, "UL", struct.pack("<I", 500))
    yield case("group_length.dcm", ds, data=spliced(ds, 0x00100000, length))
    ds = image(study=907)
    data = encoded(ds)
    yield case("no_preamble.dcm", ds, data=data[128:]).held(Fate.ANY)
    start = data.index(b"\x08\x00\x05\x00CS")
    yield case("no_meta_information.dcm", image(study=907), data=data[start:]).held(Fate.ANY)
    ds = image(study=908)
    yield case("WHITCOMBE_ELEANOR_00451873.dcm", ds)
    ds = image(study=909)
    yield case("Whitcombe^Eleanor/19480412/CT 1/IM0001", ds)


def _explicit(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    size = len(value) if length is None else length
    if vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UR", "UT", "UN", "SV", "UV"):
        return head + b"\0\0" + struct.pack("<I", size) + value
    return head + struct.pack("<H", size) + value


def _implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, size) + value


_UNDEFINED = 0xFFFFFFFF
_ITEM_END = _implicit(0xFFFEE00D, b"")
_SEQUENCE_END = _implicit(0xFFFEE0DD, b"")


def spliced(ds: Dataset, tag: int, raw: bytes) -> bytes:
    """The file in Explicit VR Little Endian with these bytes in the place of an element."""
    lower, higher = Dataset(), Dataset()
    for element in ds:
        (lower if element.tag < tag else higher)[element.tag] = element
    lower.file_meta = ds.file_meta
    body = DicomBytesIO()
    body.is_little_endian, body.is_implicit_VR = True, False
    write_dataset(body, higher)
    return encoded(lower) + raw + body.getvalue()


def _value_representations() -> Iterator[CaseFile]:
    ds = image(study=920)
    del ds.PatientName
    yield case("name_in_un.dcm", ds, data=spliced(ds, 0x00100010, _explicit(0x00100010, "UN", b"Whitcombe^Eleanor ")))
    nested = _implicit(0x00100010, b"Whitcombe^Eleanor ") + _implicit(0x00100020, b"00451873")
    item = _implicit(0xFFFEE000, nested, _UNDEFINED) + _ITEM_END
    ds = image(study=921)
    raw = _explicit(0x00081120, "UN", item + _SEQUENCE_END, _UNDEFINED)
    yield case("sequence_in_un_undefined.dcm", ds, data=spliced(ds, 0x00081120, raw))
    ds = image(study=922)
    inner = _implicit(0xFFFEE000, nested)
    raw = _explicit(0x00081120, "UN", inner)
    yield case("sequence_in_un.dcm", ds, data=spliced(ds, 0x00081120, raw))
    ds = image(study=923)
    raw = _explicit(0x0018FFF0, "UN", inner)
    yield case("unknown_element_in_un.dcm", ds, data=spliced(ds, 0x0018FFF0, raw)).held(Fate.ANY)
    ds = image(study=924)
    raw = _explicit(0x0018FFF0, "LO", b"Eleanor Whitcombe ")
    yield case("unknown_element.dcm", ds, data=spliced(ds, 0x0018FFF0, raw)).held(Fate.ANY)
    for number, vr in enumerate(("OB", "LO", "UT", "OW", "ST", "AE")):
        ds = image(study=925 + number)
        del ds.PatientName
        raw = _explicit(0x00100010, vr, b"Whitcombe^Eleanor ")
        yield case(f"name_in_{vr.lower()}.dcm", ds, data=spliced(ds, 0x00100010, raw)).held(Fate.ANY)
    ds = image(study=935)
    del ds.Modality
    raw = _explicit(0x00080060, "OB", b"CT of Mrs Whitcombe ")
    yield case("name_in_a_retained_element.dcm", ds, data=spliced(ds, 0x00080060, raw)).held(Fate.ANY)
    ds = image(study=936)
    del ds.StudyDescription
    raw = _explicit(0x00081030, "??", b"")[:6] + struct.pack("<H", 10) + b"Whitcombe "
    yield case("unknown_vr.dcm", ds, data=spliced(ds, 0x00081030, raw)).held(Fate.ANY)
    ds = image(study=937)
    yield case("implicit_with_a_private_sequence.dcm", _with_private(ds), data=encoded(ds, ImplicitVRLittleEndian))
    ds = image(study=938)
    ds.ImageComments = "odd length lung Whitcombe"
    yield case("odd_lengths.dcm", ds)


def _with_private(ds: Dataset) -> Dataset:
    block = ds.private_block(0x0043, "ACME SHADOW", create=True)
    inner = Dataset()
    inner.PatientName = "Whitcombe^Eleanor"
    block.add_new(0x01, "SQ", [inner])
    block.add_new(0x02, "PN", "Whitcombe^Eleanor")
    return ds


def _structure() -> Iterator[CaseFile]:
    for number, (undefined_sequence, undefined_item) in enumerate(
        ((True, True), (True, False), (False, True), (False, False))
    ):
        ds = image(study=940 + number)
        ds.ReferencedPatientSequence = [_person_item(), _person_item()]
        for element in ds:
            if element.VR == "SQ":
                element.is_undefined_length = undefined_sequence
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined_item
        yield case(f"lengths_{number}.dcm", ds)
    ds = image(study=950)
    ds.ReferencedPatientSequence = []
    ds.add_new(0x00080050, "SH", "")
    yield case("empty_elements.dcm", ds)
    ds = image(study=951)
    nested = image(study=951, series=2)
    holder = Dataset()
    for place, element in elements(nested):
        if len(place) == 8 and said(element) and element.tag.group in (0x0028, 0x7FE0):
            holder[element.tag] = element
    holder.PatientName = "Whitcombe^Eleanor"
    ds.add_new(0x00880200, "SQ", [holder])
    yield case("pixels_in_an_item.dcm", ds)
    ds = image(study=952)
    block = ds.private_block(0x7FE1, "ACME PIXELS", create=True)
    block.add_new(0x10, "OB", b"Whitcombe raw samples ")
    yield case("private_pixels.dcm", ds)
    ds = image(study=953)
    ds.FloatPixelData = None
    del ds[0x7FE00010], ds[0x7FE00008]
    ds.BitsAllocated = ds.BitsStored = 32
    ds.HighBit = 31
    ds.add_new(0x7FE00008, "OF", np.linspace(0, 1, 4096, dtype=np.float32).tobytes())
    made = case("float_pixels.dcm", ds)
    yield made
    ds = image(study=954)
    ds.PatientName = "Whitcombe^Eleanor\\Whitcombe^Ellie"
    ds.OtherPatientNames = ["Whitcombe^Nell", "Whitcombe^Ellie"]
    yield case("several_names.dcm", ds).gone("Ellie")
    ds = image(study=955)
    ds.PatientID = ""
    made = case("no_patient_id.dcm", ds)
    made.answers = [a for a in made.answers if a.where != "00100020"]
    yield made.held(Fate.ANY)


def _person_item() -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientID = "Whitcombe^Eleanor", "00451873"
    return item


def _no_images() -> Iterator[CaseFile]:
    """No DICOM file, or an index of them: refused by name."""
    path = get_testdata_file("dicomdirtests/DICOMDIR")
    assert isinstance(path, str)
    yield CaseFile("DICOMDIR", Path(path).read_bytes()).held()
    yield CaseFile("notes.txt", b"Eleanor Whitcombe, chest on Tuesday\n").held()
    yield CaseFile("empty.dcm", b"").held()
    yield CaseFile("archive.dcm", b"PK\3\4" + b"\0" * 60).held()
    yield CaseFile("only_a_prefix.dcm", b"\0" * 128 + b"DICM").held()
    ds = image(study=960)
    data = encoded(ds)
    yield CaseFile("truncated_pixels.dcm", data[:-2000]).held(Fate.ANY).gone("Whitcombe")
    yield CaseFile("truncated_header.dcm", data[:900]).held(Fate.ANY).gone("Whitcombe")
