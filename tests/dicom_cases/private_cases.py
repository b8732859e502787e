"""Private elements: other offsets, no creator, sequences with names in them, and those that are known to be safe."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_cases.answer_key import BASIC, RESEARCH, Action, CaseFile
from dicom_cases.headers import case, image, uid
from pydicom.dataset import Dataset

SAFE: tuple[tuple[str, int, int, str, object, str], ...] = (
    ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", "1000", "1000"),
    ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.25, 0.5, 0.75], "0.25\\0.5\\0.75"),
    ("Philips Imaging DD 001", 0x2001, 0x03, "FL", 800.0, "800"),
    ("Philips PET Private Group", 0x7053, 0x00, "DS", "0.00045", "0.00045"),
    ("Philips PET Private Group", 0x7053, 0x09, "DS", "1.75", "1.75"),
    ("GEMS_PARM_01", 0x0043, 0x39, "IS", ["1000", "8", "0", "0"], "1000\\8\\0\\0"),
    ("ELSCINT1", 0x01F1, 0x26, "DS", "0.9", "0.9"),
)
"""Of PS3.15 Table E.3.10-1: nothing of a person, and no analysis without them."""


def cases() -> Iterator[CaseFile]:
    for number, (creator, group, low, vr, value, text) in enumerate(SAFE):
        for block in (0x10, 0x11, 0xE3):
            ds = image(modality="MR", study=600 + number, series=block)
            if block == 0x11:
                ds.add_new((group, 0x10), "LO", "ANOTHER MAKER")
                ds.add_new((group, 0x1000 | low), "LO", "Whitcombe^Eleanor")
            ds.add_new((group, block), "LO", creator)
            ds.add_new((group, block << 8 | low), vr, value)
            ds.add_new((group, block << 8 | 0xF0), "LO", "of Eleanor Whitcombe 00451873")
            place = f"{group:04X}{{{creator}}}{low:02X}"
            made = case(f"private_safe_{number}_{block:02X}.dcm", ds)
            made.gone(text, where=place, only=BASIC) if len(text) > 2 else None
            made.gone("of Eleanor", where=f"{group:04X}{{{creator}}}F0")
            yield made.kept(place, text, only=RESEARCH)
    yield from _unsafe()
    yield from _broken()


def _unsafe() -> Iterator[CaseFile]:
    ds = image(modality="MR", study=620)
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", b"SV10\4\3\2\1" + b"tPatientName\0Whitcombe^Eleanor\0" + b"\1\2\3\4" * 90)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    yield case("private_csa_header.dcm", ds)
    ds = image(modality="MR", study=621)
    inner, nested = Dataset(), Dataset()
    inner.PatientName, inner.PatientID, inner.StudyDate = "Whitcombe^Eleanor", "00451873", "20230503"
    nested.add_new((0x2005, 0x14), "LO", "Philips MR Imaging DD 005")
    nested.add_new((0x2005, 0x1402), "SQ", [inner])
    nested.add_new((0x2005, 0x1403), "PN", "Whitcombe^Eleanor")
    nested.ReferencedSOPInstanceUID = uid(621, 9)
    ds.add_new((0x2005, 0x10), "LO", "Philips MR Imaging DD 001")
    ds.add_new((0x2005, 0x1080), "SQ", [nested])
    yield case("private_sequence_with_names.dcm", ds).gone(uid(621, 9))
    ds = image(modality="MR", study=622)
    item = Dataset()
    item.add_new((0x0019, 0x10), "LO", "SIEMENS MR HEADER")
    item.add_new((0x0019, 0x100C), "IS", "500")
    item.add_new((0x0019, 0x10F1), "LO", "Whitcombe")
    ds.AnatomicRegionSequence = [item]
    yield case("private_in_a_public_item.dcm", ds)
    ds = image(modality="MR", study=623)
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "LO", "b of Whitcombe")
    yield case("private_safe_with_a_name_in_it.dcm", ds).gone("b of Whitcombe", where="0019{SIEMENS MR HEADER}0C")
    ds = image(modality="MR", study=624)
    block = ds.private_block(0x0011, "ACME TEXTS", create=True)
    block.add_new(0x01, "UI", uid(624))
    block.add_new(0x02, "LO", uid(624, 1))
    block.add_new(0x03, "DA", "20230503")
    block.add_new(0x04, "UT", "Eleanor Whitcombe, 14 Larkspur Rise")
    block.add_new(0x05, "UN", "Whitcombe".encode("utf-16-le"))
    yield case("private_of_every_kind.dcm", ds).gone(uid(624), "20230503", "Larkspur")
    ds = image(modality="MR", study=625)
    block = ds.private_block(0x0009, "WHITCOMBE ELEANOR", create=True)
    block.add_new(0x01, "LO", "x")
    yield case("private_creator_is_a_name.dcm", ds)


def _broken() -> Iterator[CaseFile]:
    ds = image(modality="MR", study=640)
    ds.add_new((0x0019, 0x100C), "IS", "1000")
    ds.add_new((0x0019, 0x1011), "LO", "Whitcombe")
    yield case("private_without_creator.dcm", ds)
    ds = image(modality="MR", study=641)
    ds.add_new((0x0019, 0x10), "LO", "SIEMENS MR HEADER ")
    ds.add_new((0x0019, 0x11), "LO", "SIEMENS MR HEADER")
    ds.add_new((0x0019, 0x100C), "IS", "1000")
    ds.add_new((0x0019, 0x110C), "LO", "Whitcombe")
    yield case("private_creator_twice.dcm", ds)
    ds = image(modality="MR", study=642)
    ds.add_new((0x0019, 0x0005), "LO", "Whitcombe")
    ds.add_new((0x0001, 0x0010), "LO", "Whitcombe")
    ds.add_new((0x0029, 0xFF10), "LO", "Whitcombe")
    yield case("private_in_illegal_places.dcm", ds)
    ds = image(modality="MR", study=643)
    ds.add_new((0x0019, 0x10), "LO", "SIEMENS MR HEADER")
    made = case("private_creator_alone.dcm", ds)
    yield made.add(Action.TEXT_REMOVED, "00190010", "SIEMENS", only=BASIC)
