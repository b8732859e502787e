"""What is left of an identity is found wherever pydicom's writer hid it; what identifies nobody is not."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)
from scanned_pair import cleaned, original, saved

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.postscan import ScanPolicy, Survivor, survivors
from flipnb.estate.imaging.postscan.haystack import Haystack, Terms
from flipnb.estate.imaging.postscan.spellings import Spellings, fold, of_name
from flipnb.estate.imaging.postscan.words import clinical, says_nobody

BASIC = ScanPolicy()
RESEARCH = ScanPolicy(dates="shifted", characteristics=True, device=True, descriptions=True)


def left(before: Dataset, after: Dataset, policy: ScanPolicy = BASIC) -> tuple[Survivor, ...]:
    return survivors(saved(before), saved(after), policy=policy)


def kinds(before: Dataset, after: Dataset, policy: ScanPolicy = BASIC) -> set[str]:
    return {survivor.kind for survivor in left(before, after, policy)}


def test_nothing_is_left_in_a_clean_file() -> None:
    before = original()
    assert left(before, cleaned(before)) == ()
    assert left(before, cleaned(before), RESEARCH) == ()


def test_a_file_that_was_not_touched_is_full_of_survivors() -> None:
    before = original()
    found = kinds(before, before)
    assert {"name", "identifier", "place", "device", "date", "birth date", "time", "uid", "characteristic"} <= found


PLANTED = [
    ("Okafor", "name"),
    ("okafor", "name"),
    ("OKAFOR", "name"),
    ("seen: nneka", "name"),
    ("Nneka Okafor", "name"),
    ("OKAFOR, NNEKA", "name"),
    ("Okafor N", "name"),
    ("NOKAFOR_chest", "name"),
    ("okafornneka.dcm", "name"),
    ("Chest xOkaforx", "name"),
    ("Grace came", "name"),
    ("for Dr Bhattacharya", "name"),
    ("MRN RXH1234567", "identifier"),
    ("rxh-123-4567", "identifier"),
    ("rxh 1234567/1", "identifier"),
    ("acc A7712345", "identifier"),
    ("st elsewhere  hospital", "place"),
    ("1 Wapping Rise", "place"),
    ("xr01room2", "device"),
]


@pytest.mark.parametrize(("text", "kind"), PLANTED, ids=[text for text, _ in PLANTED])
def test_an_identity_in_a_description(text: str, kind: str) -> None:
    before = original()
    after = cleaned(before)
    after.ProtocolName = text
    found = left(before, after)
    assert Survivor("(0018,1030)", kind) in found
    assert text.lower() not in " ".join(map(str, found)).lower()


def test_the_same_identity_in_every_kind_of_place() -> None:
    before = original()

    def nested(after: Dataset) -> None:
        item, inner = Dataset(), Dataset()
        inner.CodeMeaning = "for Okafor"
        item.PurposeOfReferenceCodeSequence = [inner]
        after.ReferencedImageSequence = [item]

    def unknown(after: Dataset) -> None:
        after.add_new(0x00081070, "UN", b"Okafor^N")

    def binary(after: Dataset) -> None:
        after.add_new(0x00282000, "OB", b"\x00\x01\x02profile of okafor\x00")

    def wide(after: Dataset) -> None:
        after.add_new(0x00282000, "OB", "Nneka Okafor".encode("utf-16-le"))

    def padding(after: Dataset) -> None:
        after.PixelData = after.PixelData + b"Okafor  "

    def preamble(after: Dataset) -> None:
        after.preamble = b"II*\0 OKAFOR NNEKA".ljust(128, b"\0")

    def meta(after: Dataset) -> None:
        after.file_meta.ImplementationVersionName = "OKAFOR"

    for plant in (nested, unknown, binary, wide, padding, preamble, meta):
        after = cleaned(before)
        plant(after)
        assert "name" in kinds(before, after), plant.__name__
    after = cleaned(before)
    nested(after)
    assert Survivor("(0008,1140)[0].(0040,A170)[0].(0008,0104)", "name") in left(before, after)


def test_a_private_element_stays_only_where_the_policy_names_it() -> None:
    before = original()
    after = cleaned(before)
    block = after.private_block(0x0011, "ACME 1.0", create=True)
    block.add_new(0x02, "DS", "1.5")
    assert left(before, after) == (Survivor("(0011,1002)", "private element"),)
    policy = ScanPolicy(private=frozenset({("ACME 1.0", 0x00110002)}))
    assert left(before, after, policy) == ()
    block.add_new(0x02, "LO", "Okafor")
    assert kinds(before, after, policy) == {"name"}


def test_a_sequence_that_hides_in_an_unknown_element() -> None:
    before = original()
    hidden = Dataset()
    hidden.PatientName = "Wolfeschlegel^Hubert"
    hidden.add_new(0x00110010, "LO", "ACME")
    value = io.BytesIO()
    hidden.is_little_endian, hidden.is_implicit_VR = True, True
    from pydicom.filebase import DicomFileLike
    from pydicom.filewriter import write_sequence

    file = DicomFileLike(value)
    file.is_little_endian, file.is_implicit_VR = True, True
    from pydicom.dataelem import DataElement

    write_sequence(file, DataElement(0x00111001, "SQ", Sequence([hidden])), ["iso8859"])
    before.add_new(0x00110010, "LO", "ACME 2")
    before.add_new(0x00111001, "UN", value.getvalue())
    after = cleaned(before)
    del after[0x00111001], after[0x00110010]
    assert left(before, after) == ()
    after.ProtocolName = "for wolfeschlegel"
    assert kinds(before, after) == {"name"}


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", ["", "ISO 2022 IR 87"], "GB18030", "ISO_IR 144"])
def test_a_name_in_another_character_set(charset: str | list[str]) -> None:
    names = {
        "ISO_IR 100": ("Brontë^Emily", "Bronte", "BRONTË"),
        "ISO_IR 192": ("Łukasiewicz^Jan", "lukasiewicz", "ŁUKASIEWICZ"),
        "GB18030": ("王小东", "王小东", "王小东"),
        "ISO_IR 144": ("Люксембург^Роза", "ЛЮКСЕМБУРГ", "люксембург"),
    }
    name, ascii_or_not, again = names.get(charset if isinstance(charset, str) else "", ("山田^太郎", "山田", "太郎"))
    before = original(SpecificCharacterSet=charset)
    before.PatientName = name
    after = cleaned(before)
    assert left(before, after) == ()
    for text in (ascii_or_not, again):
        for other in (charset, "ISO_IR 192"):
            after = cleaned(before)
            after.SpecificCharacterSet = other
            after.ProtocolName = text
            assert "name" in kinds(before, after), (text, other)


@pytest.mark.parametrize(
    "text",
    [
        "3 May 23", "3rd of May 2023", "May 3, 2023", "2023-05-03", "2023/5/3", "03.05.23", "3/5/2023", "05-03-2023",
        "20230503", "at 20230503102133", "03052023", "of 12/03/61", "12 March 1961", "12MAR1961",
    ],
)  # fmt: skip
def test_a_date_however_it_is_written(text: str) -> None:
    before = original()
    after = cleaned(before)
    after.ProtocolName = f"Chest {text} PA"
    assert kinds(before, after) == {"date in text"}
    assert kinds(before, after, RESEARCH) == {"date in text"}
    assert kinds(before, after, ScanPolicy(dates="kept", descriptions=True)) == set()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NHS 943 476 5919", "nhs-number"),
        ("9434765919", "nhs-number"),
        ("home LS2 9JT", "postcode"),
        ("ec1a1bb", "postcode"),
        ("call 020 7946 0018", "phone"),
        ("+44 7700 900123", "phone"),
        ("mail n.okonkwo@example.org", "e-mail"),
        ("94 years old", "age from 90"),
    ],
)
def test_what_looks_like_somebodys_number(text: str, kind: str) -> None:
    before = original(ImageComments=f"of the patient, {text}.")
    after = cleaned(before)
    after.ImageComments = f"Of the patient: {text}"
    assert kind in kinds(before, after, RESEARCH)
    before.ImageComments = "nothing"
    assert kinds(before, after, RESEARCH) <= {"place"}, "it is no survivor where the original had it not"


@pytest.mark.parametrize(
    "text",
    [
        "T1 2FS",
        "SE2D1TR",
        "Slice 5 of 12",
        "943 476 5918",
        "L5/S1",
        "512 512 128",
        "0.1234567890",
        "1 2 3 4 5 6",
    ],
)
def test_what_looks_like_nobodys_number(text: str) -> None:
    before = original(ImageComments=text)
    after = cleaned(before)
    after.ImageComments = f"x {text}"
    assert kinds(before, after, RESEARCH) == set()


@pytest.mark.parametrize("name", ["Lung^Mary", "Marrow^Joan", "Chest^A", "Test^Patient", "Li^Wu"])
def test_a_name_that_is_a_clinical_word(name: str) -> None:
    before = original(PatientName=name, StudyDescription="CT Lung and bone marrow, chest, head first")
    after = cleaned(before)
    after.StudyDescription = before.StudyDescription
    assert left(before, after, RESEARCH) == ()
    family, given_name = name.split("^")
    if (family, given_name) not in {("Test", "Patient"), ("Chest", "A")}:
        after.StudyDescription = f"CT of {given_name} {family}"
        assert kinds(before, after, RESEARCH) == {"name"}


def test_a_name_that_is_no_clinical_word_is_found_in_one() -> None:
    before = original(PatientName="Drake^Francis")
    after = cleaned(before)
    after.StudyDescription = "CT drake"
    assert kinds(before, after, RESEARCH) == {"name"}
    assert "abdominal" in clinical()
    before = original(PatientName="Abdomin^Ann")
    after.StudyDescription = "abdominal"
    assert left(before, after, RESEARCH) == ()


def test_dates_that_moved_together_and_one_that_did_not() -> None:
    before = original(StudyDate="20230503", SeriesDate="20230510", AcquisitionDate="20230517")
    after = cleaned(before)
    after.StudyDate, after.SeriesDate, after.AcquisitionDate = "20230510", "20230517", "20230524"
    assert left(before, after, RESEARCH) == (), "a moved date may be another's original"
    after.AcquisitionDate = "20230517"
    assert left(before, after, RESEARCH) == (Survivor("(0008,0022)", "date"),)
    assert kinds(before, after) == {"date"}
    after.AcquisitionDate = before.PatientBirthDate
    assert left(before, after, RESEARCH) == (Survivor("(0008,0022)", "birth date"),)


@pytest.mark.parametrize("vr", ["LO", "UT", "AE", "OB", "UN", "OW"])
def test_a_name_with_another_vr_is_a_name(vr: str) -> None:
    before = original()
    del before.PatientName
    value = "Featherstonehaugh^Ann" if vr not in ("OB", "UN", "OW") else b"Featherstonehaugh^Ann "
    before.add_new(0x00100010, vr, value[:16] if vr == "AE" else value)
    after = cleaned(before)
    assert left(before, after) == ()
    after.ProtocolName = "for featherstonehau" if vr == "AE" else "for featherstonehaugh"
    assert "name" in kinds(before, after, RESEARCH) or vr == "AE"
    after.add_new(0x00100010, vr, before[0x00100010].value)
    assert "name" in kinds(before, after, RESEARCH)


def test_short_values_are_compared_where_they_stood() -> None:
    before = original(PatientID="7", StudyID="1", PatientName="Li")
    after = cleaned(before)
    after.AcquisitionNumber, after.InstanceNumber = 7, 1
    assert left(before, after) == ()
    after.StudyID = "1"
    assert left(before, after) == (Survivor("(0020,0010)", "identifier"),)


def test_uids_wherever_they_stand() -> None:
    before = original(FrameOfReferenceUID=generate_uid())
    for plant in ("ProtocolName", "FrameOfReferenceUID", "ImageComments"):
        after = cleaned(before)
        after.FrameOfReferenceUID = generate_uid()
        setattr(after, plant, str(before.StudyInstanceUID))
        found = left(before, after, RESEARCH)
        assert {survivor.kind for survivor in found} == {"uid"}, plant
    before = original(ProtocolName=f"ref {before.StudyInstanceUID}")
    after.ImageComments = before.ProtocolName
    assert "uid" in kinds(before, after, RESEARCH)


def test_codes_of_standards_are_no_uids_of_anybody() -> None:
    item = Dataset()
    item.CodingSchemeUID, item.MappingResourceUID = "2.16.840.1.113883.6.96", "1.2.840.10008.8.1.1"
    before = original(CodingSchemeIdentificationSequence=[item])
    assert left(before, cleaned(before)) == ()


def test_ages_from_ninety_are_told_as_ninety() -> None:
    before = original(PatientAge="094Y")
    after = cleaned(before)
    after.PatientAge = "090Y"
    assert left(before, after, RESEARCH) == ()
    after.PatientAge = "094Y"
    assert kinds(before, after, RESEARCH) == {"age from 90"}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_transfer_syntaxes(syntax: str) -> None:
    before = original()
    after = cleaned(before)
    for ds in (before, after):
        ds.file_meta.TransferSyntaxUID = syntax
    assert left(before, after) == ()
    after.ProtocolName = "Okafor"
    assert kinds(before, after) == {"name"}


def test_comments_inside_a_compressed_picture() -> None:
    before = original()
    after = cleaned(before)
    comment = b"for Nneka Okafor"
    jpeg = b"\xff\xd8\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + b"\xff\xda\x00\x02OKAFOR\xff\xd9"
    after.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    after.PixelData = encapsulate([jpeg])
    after["PixelData"].VR = "OB"
    assert left(before, after) == (Survivor("pixel data's headers", "name"),)
    after.PixelData = encapsulate([jpeg.replace(comment, b"x" * len(comment))])
    assert left(before, after) == (), "entropy-coded bits are no text"


def test_what_can_not_be_read_is_refused_without_its_values() -> None:
    before, after = saved(original()), saved(cleaned(original()))
    broken = [
        after[: len(after) - 300],
        after + b"Okafor at the end",
        b"Okafor" * 100,
        after.replace(b"\x18\x00\x30\x10LO", b"\x18\x00\x30\x10SQ"),
        after[:400],
    ]
    for output in broken:
        with pytest.raises(FlipError) as caught:
            survivors(before, output, policy=BASIC)
        assert caught.value.code == "image-unscannable"
        assert "kafor" not in str(caught.value)


def test_sequences_nested_out_of_all_proportion_are_refused() -> None:
    deep = b"".join(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" for _ in range(5000))
    start = saved(cleaned(original()))
    with pytest.raises(FlipError):
        survivors(start, start[:340] + deep, policy=BASIC)


NAMES = st.text(st.characters(codec="latin-1", categories=("Lu", "Ll")), min_size=4, max_size=12)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    NAMES, NAMES, st.sampled_from(["{f}", "{f} {g}", "{g} {f}", "{f}_{g}", "{g}.{f}@", "x {F}.", "{f}{g}"]), st.data()
)
def test_random_names_planted_anywhere_are_found(family: str, given_name: str, form: str, data: st.DataObject) -> None:
    if any(map(says_nobody, (fold(family), fold(given_name)))) or "ª" in family + given_name:
        return
    before = original(SpecificCharacterSet="ISO_IR 192", PatientName=f"{family}^{given_name}")
    after = cleaned(before)
    where = data.draw(st.sampled_from(["ProtocolName", "ImageComments", "SeriesDescription", "StudyDescription", "OB"]))
    written = form.format(f=family, g=given_name, F=family.upper())
    if where == "OB":
        after.add_new(0x00282000, "OB", written.encode("utf-8") + b"\0")
    else:
        setattr(after, where, written)
    assert "name" in "".join(kinds(before, after, RESEARCH)), written


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text("abcdefgh", min_size=6, max_size=9), max_size=300), st.text("abcdefgh 1.", max_size=400))
def test_many_terms_are_found_as_few_are(terms: set[str], text: str) -> None:
    hay = Haystack(text.encode(), text.encode())
    found = Terms([Spellings(within=tuple(terms), squeezed=tuple(terms), phrases=tuple(f"{t} 1" for t in terms))])
    squeezed, row = text.replace(" ", "").replace(".", ""), f" {' '.join(text.replace('.', ' ').split())} "
    expected = any(t in squeezed or t in text or f" {t} 1 " in row for t in terms)
    assert found.hit(hay) == expected


@pytest.mark.slow
def test_twenty_thousand_values_cost_a_pass_and_no_more() -> None:
    before = original()
    before.OtherPatientIDsSequence = []
    names = "\\".join(f"Zname{at:06d}^Q" for at in range(20_000))
    before.add_new(0x00101001, "PN", names.encode())
    raw = saved(original())
    after = cleaned(original())
    after.add_new(0x00204000, "LT", "a quiet text of many words " * 4_000)
    crowded = io.BytesIO()
    before.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    before.save_as(crowded, enforce_file_format=True)
    assert survivors(crowded.getvalue(), saved(after), policy=RESEARCH) == ()
    after.add_new(0x00204000, "LT", "a quiet text of many words " * 4_000 + "zname012345 q")
    assert "name" in {s.kind for s in survivors(crowded.getvalue(), saved(after), policy=RESEARCH)}
    assert raw


def test_pixels_are_not_copied() -> None:
    before = original(Rows=4096, Columns=4096, PixelData=b"\1" * (4096 * 4096))
    first, second = memoryview(saved(before)), memoryview(saved(cleaned(before)))
    tracemalloc.start()
    assert survivors(first, second, policy=BASIC) == ()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_names_of_pydicoms_files_are_spelled_as_people_write_them() -> None:
    spelled = of_name("Lestrade^Gregory")
    assert {"lestrade", "gregory", "lestradegregory", "gregorylestrade", "glestrade", "lestradeg"} <= set(spelled.words)
    assert {"lestrade gregory", "gregory lestrade", "lestrade g", "g lestrade"} <= set(spelled.phrases)


@pytest.mark.slow
def test_clinical_words_are_those_of_pydicoms_concepts() -> None:
    import re

    from pydicom.sr import _concepts_dict

    meanings = (
        meaning[0]
        for scheme in _concepts_dict.concepts.values()
        for by_value in scheme.values()
        for meaning in by_value.values()
    )
    small = {w for meaning in meanings for w in re.findall(r"[A-Za-z]+", meaning)[1:] if w.islower() and len(w) > 2}
    assert clinical() <= small
    assert len(clinical()) > 3000


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "test-SR.dcm", "rtplan.dcm", "examples_palette.dcm"])
def test_files_of_pydicom_with_every_identity_in_them_are_held(name: str) -> None:
    data = Path(get_testdata_file(name)).read_bytes()
    found = survivors(data, data, policy=RESEARCH)
    assert len(found) > 5
    values = {
        str(e.value)
        for e in dcmread(io.BytesIO(data)).iterall()
        if e.VR in ("PN", "UI", "DA") and len(str(e.value)) >= 6 and e.tag >> 16 != 2
    }
    told = " ".join(map(str, found))
    assert not [value for value in values if value in told]
