"""The engine over bytes: against pydicom's reading of the same files, random data sets, and hostile bytes."""

import io
import struct
import warnings

import pydicom
import pytest
from dicom_files import SYNTAXES, ct, encoded, pydicom_files, read
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy, Refused
from flipnb.estate.imaging.deidentify.table import table

KEYS = Keys(b"k" * 32)
BASIC = Deidentifier(Policy.named("basic"), KEYS)
RESEARCH = Deidentifier(Policy.named("research"), KEYS)
ENGINES = pytest.mark.parametrize("engine", [BASIC, RESEARCH], ids=["basic", "research"])
ADDED = {0x00120062, 0x00120063, 0x00120064, 0x00280303}
REMOVED = {group << 16 | element for group, element in (tag[:2] for tag in dicomfields_2026c.X_TAGS if len(tag) == 2)}


def out(engine, data):
    return read(engine.deidentify(data).to_bytes())


@pytest.mark.parametrize("path", [path for path in pydicom_files() if path.is_file()], ids=lambda path: path.name)
@ENGINES
def test_files_of_many_makers(engine, path):
    """Never a crash; what comes out is read by pydicom, with the pixels that it had and none of another's rows."""
    data = path.read_bytes()
    try:
        made = engine.deidentify(data).to_bytes()
    except Refused as error:
        assert error.reason in {"dicomdir", "not-dicom", "truncated"}
        return
    before, after = read(data), read(made)
    assert made[:128] == bytes(128)
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        assert before.get(keyword) == after.get(keyword)
    for element in after.iterall():
        assert element.tag.element != 0, "a group's length"
        assert element.tag.group >> 8 not in (0x50, 0x60)
        if engine is BASIC:
            assert not element.tag.is_private
            assert element.tag not in REMOVED


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_every_encoding_says_the_same(syntax):
    ds = ct()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.ReferencedImageSequence = [item]
    wanted = out(RESEARCH, encoded(ds))
    found = out(RESEARCH, encoded(ds, syntax))
    assert found.file_meta.TransferSyntaxUID == (syntax if not syntax.is_deflated else ExplicitVRLittleEndian)
    assert found.to_json_dict() == wanted.to_json_dict()
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == found.SOPInstanceUID != ds.SOPInstanceUID


def test_what_stands_before_the_data_set_is_new():
    made = RESEARCH.deidentify(encoded(ct())).to_bytes()
    after = read(made)
    assert made[:132] == bytes(128) + b"DICM"
    assert "SourceApplicationEntityTitle" not in after.file_meta
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.file_meta.FileMetaInformationGroupLength == made.index(b"\x08\0\x05\0CS") - 144


def test_a_second_time_gives_the_same_bytes():
    data = encoded(ct())
    assert (
        RESEARCH.deidentify(data).to_bytes() == Deidentifier(Policy.named("research"), KEYS).deidentify(data).to_bytes()
    )
    assert (
        RESEARCH.deidentify(data).to_bytes()
        != Deidentifier(RESEARCH.policy, Keys(b"j" * 32)).deidentify(data).to_bytes()
    )


def test_who_knows_better_says_who_it_is():
    data = encoded(ct())
    assert out(RESEARCH, data).PatientID != read(RESEARCH.deidentify(data, person=b"17").to_bytes()).PatientID
    other = encoded(ct(PatientID="another"))
    one, two = (read(RESEARCH.deidentify(some, person=b"17").to_bytes()) for some in (data, other))
    assert (one.PatientID, one.StudyDate) == (two.PatientID, two.StudyDate)


# Attributes that no table lists, by VR, whose values may not change.
KEPT = {
    "DS": 0x00180088, "IS": 0x00200011, "US": 0x00280002, "FD": 0x00189306, "FL": 0x00089459, "CS": 0x00180022,
    "UL": 0x00480006, "SS": 0x00189219,
}  # fmt: skip
NUMBERS = {
    "DS": st.decimals(-1000, 1000, places=2).map(str), "IS": st.integers(-9999, 9999).map(str),
    "US": st.integers(0, 65535), "FD": st.floats(-1e3, 1e3), "FL": st.floats(-1e3, 1e3, width=32),
    "CS": st.sampled_from(["HELICAL", "A_1", ""]), "UL": st.integers(0, 2**32 - 1), "SS": st.integers(-9, 9),
}  # fmt: skip
SECRET = st.text("ABCDEFGHJKMNPQRSTVXZ", min_size=8, max_size=16)
GONE = ("PatientName", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator", "OperatorsName", "StudyID")


@st.composite
def data_sets(draw, depth=0):
    """A data set with numbers that stay, identifiers that go, private elements, and sequences of such data sets."""
    ds = Dataset()
    for vr in draw(st.sets(st.sampled_from(sorted(KEPT)))):
        ds.add_new(KEPT[vr], vr, draw(NUMBERS[vr]))
    for keyword in draw(st.sets(st.sampled_from(GONE))):
        setattr(ds, keyword, "zz" + draw(SECRET))
    if draw(st.booleans()):
        ds.add_new(0x00090010, "LO", "SECRETS INC")
        ds.add_new(0x00091001, "LO", "zz" + draw(SECRET))
    if depth < 3 and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth + 1), max_size=3))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        name = draw(st.sampled_from(["CTExposureSequence", "PixelMeasuresSequence"]))
        setattr(ds, name, items)
        ds[name].is_undefined_length = draw(st.booleans())
    return ds


def compared(before, after):
    for element in before:
        if element.tag in KEPT.values():
            assert after[element.tag].value == element.value
        elif element.VR == "SQ":
            assert len(after[element.tag].value) == len(element.value)
            for one, other in zip(element.value, after[element.tag].value, strict=True):
                compared(one, other)
    assert {element.tag for element in after} <= {element.tag for element in before} | ADDED


@given(data_sets(), st.sampled_from(SYNTAXES))
@settings(max_examples=80)
def test_random_data_sets(ds, syntax):
    """Numbers stay at every depth and in every encoding; what was removed is nowhere in the bytes."""
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    data = encoded(ds, syntax)
    for engine in (BASIC, RESEARCH):
        made = engine.deidentify(data).to_bytes()
        compared(read(data), read(made))
        for element in ds.iterall():
            if isinstance(element.value, str) and element.value.startswith("zz"):
                assert element.value.encode() not in made
            elif element.VR == "PN":
                assert str(element.value).encode() not in made


@given(st.data())
@settings(max_examples=150)
def test_damaged_files_are_refused_or_read(data):
    """A byte changed, cut or doubled anywhere: a reason, or a file; never another error, never twice the size."""
    whole = bytearray(encoded(ct(), data.draw(st.sampled_from(SYNTAXES))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else bytes(whole)
    for engine in (BASIC, RESEARCH):
        try:
            made = engine.deidentify(cut)
        except Refused as error:
            assert "hitcombe" not in str(error)
            continue
        assert made.size <= 2 * len(cut) + 2000


@given(st.binary(max_size=200))
def test_any_bytes_after_a_prefix(tail):
    for start in (bytes(128) + b"DICM", encoded(ct())[:400], b""):
        try:
            BASIC.deidentify(start + tail).to_bytes()
        except Refused as error:
            assert error.reason


def element(tag, vr, value, length=None):
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    length = len(value) if length is None else length
    return head + (struct.pack("<HI", 0, length) if long else struct.pack("<H", length)) + value


def with_tail(tail):
    """A file whose last elements are ``tail``."""
    ds = ct()
    del ds.PixelData
    return encoded(ds) + tail


def refused(tail):
    with pytest.raises(Refused) as error:
        RESEARCH.deidentify(with_tail(tail))
    return error.value.reason


def test_a_length_of_four_gigabytes_in_four_kilobytes():
    assert refused(element(0x7FE00010, b"OW", b"abc" * 8, 0xFFFFFFF0)) == "truncated"
    assert refused(element(0x7FE00010, b"OB", b"", 0xFFFFFFFF)) == "bad-fragments"
    assert refused(element(0x00540016, b"SQ", b"", 0xFFFFFFFF)) == "truncated"
    assert refused(element(0x00540016, b"SQ", b"abcdefgh")) == "not-an-item"


@pytest.mark.parametrize("depth", [30, 40, 5000])
def test_sequences_in_sequences(depth):
    value = b""
    for _ in range(min(depth, 60)):
        value = element(0x00540016, b"SQ", b"\xfe\xff\0\xe0" + struct.pack("<I", len(value)) + value)
    opened = (element(0x00540016, b"SQ", b"", 0xFFFFFFFF) + b"\xfe\xff\0\xe0\xff\xff\xff\xff") * depth
    if depth > 32:
        assert refused(value) == "too-deep"
        assert refused(opened) == "too-deep"
    else:
        RESEARCH.deidentify(with_tail(value))


def test_what_follows_the_data_set():
    whole = encoded(ct())
    padded = RESEARCH.deidentify(whole + bytes(4001)).to_bytes()
    assert padded == RESEARCH.deidentify(whole).to_bytes()
    padding = element(0xFFFCFFFC, b"OB", b"secret")
    assert b"secret" not in RESEARCH.deidentify(whole + padding).to_bytes()
    for tail in (b"Whitcombe", b"\0\0\0\0Whitcombe^Eleanor", bytes(5000) + b"Whitcombe"):
        with pytest.raises(Refused):
            RESEARCH.deidentify(whole + tail)


def test_pixel_data_below_the_top_is_a_picture_of_it():
    ds = ct()
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated = 8
    icon.PixelData = b"icon"
    item = Dataset()
    item.IconImageSequence = [icon]
    ds.ReferencedSeriesSequence = [item]
    nested = Dataset()
    nested.BitsAllocated = 8
    nested.PixelData = b"NEST"
    ds.CTExposureSequence = [nested]
    for policy in (BASIC, RESEARCH):
        made = policy.deidentify(encoded(ds)).to_bytes()
        assert b"icon" not in made and b"NEST" not in made
        assert read(made).PixelData == ds.PixelData


def test_a_name_in_an_unknown_vr_and_a_sequence_hidden_in_one():
    hidden = Dataset()
    hidden.PatientName, hidden.KVP = "Hidden^Name", "80"
    implicit = encoded(Dataset(), ImplicitVRLittleEndian)
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    pydicom.filewriter.write_dataset(buffer, hidden)
    assert implicit
    item = b"\xfe\xff\0\xe0" + struct.pack("<I", len(buffer.getvalue())) + buffer.getvalue()
    tail = element(0x00100010, b"UN", b"Whitcombe^Eleanor ") + element(0x00189321, b"UN", item)
    made = RESEARCH.deidentify(with_tail(tail)).to_bytes()
    assert b"hitcombe" not in made and b"Hidden" not in made
    assert read(made).CTExposureSequence[0].KVP == 80


def test_odd_lengths_become_even():
    made = RESEARCH.deidentify(with_tail(element(0x00400008, b"SH", b"abc") + element(0x00420013, b"CS", b"odd")))
    data = made.to_bytes()
    after = read(data)
    assert len(data) % 2 == 0
    assert after[0x00420013].value == "odd"


def test_private_elements_stay_by_creator_and_element():
    """At another block, in UN, with another VR, without a creator: the list is by what the creator says it is."""
    ds = ct()
    ds.add_new(0x00190011, "LO", "SIEMENS MR HEADER")
    ds.add_new(0x0019110C, "IS", "1000")  # B Value, in the list
    ds.add_new(0x00191108, "CS", "IMAGE NUM 4")  # not in it
    ds.add_new(0x00190012, "LO", "WHITCOMBE")
    ds.add_new(0x0019120C, "IS", "1234")
    ds.add_new(0x0021100C, "IS", "7")
    found = [e for e in out(RESEARCH, encoded(ds)) if e.tag.is_private]
    assert [(int(e.tag), e.value) for e in found] == [(0x00190011, "SIEMENS MR HEADER"), (0x0019110C, 1000)]
    assert not [e for e in out(BASIC, encoded(ds)) if e.tag.is_private]
    ds[0x0019110C].VR = "LO"
    ds[0x0019110C].value = "Whitcombe"
    assert b"hitcombe" not in RESEARCH.deidentify(encoded(ds)).to_bytes()


def test_a_policy_of_ones_own(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(
        'name = "ours"\ndates = "keep"\nsafe_private = true\nkeep = ["(0008,0050)"]\nremove = ["00181030"]\n'
        '[[private]]\ncreator = "ACME 1"\ngroup = "0011"\nelement = "02"\nvr = "DS"\n'
    )
    ds = ct(ProtocolName="Thorax")
    ds.add_new(0x00110010, "LO", "ACME 1")
    ds.add_new(0x00111002, "DS", "1.5")
    after = out(Deidentifier(Policy.load(path), KEYS), encoded(ds))
    assert (after.AccessionNumber, after.StudyDate, after[0x00111002].value) == ("RAD7741209", "20230503", 1.5)
    assert "ProtocolName" not in after and "StudyDescription" not in after
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    codes = {item.CodeValue for item in after.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113106", "113111"}


def test_the_table_is_the_standards_as_another_reads_it():
    """Row for row the basic actions of dicom-anonymizer's 2026c."""
    names = {"Z_D": "Z/D", "X_Z": "X/Z", "X_D": "X/D", "X_Z_D": "X/Z/D", "X_Z_U_STAR": "X/Z/U*"}
    theirs = {
        group << 16 | number: names.get(kind, kind)
        for kind in ("D", "Z", "X", "U", *names)
        for group, number in (tag for tag in getattr(dicomfields_2026c, f"{kind}_TAGS") if len(tag) == 2)
    }
    assert {tag: row.basic for tag, row in table().items()} == theirs


def test_a_broken_policy_says_where(tmp_path):
    from flipnb.contracts.problem import FlipError

    path = tmp_path / "broken.toml"
    for text, words in (
        ('name = "x"\ndates = "move"\n', "dates"),
        ('name = "x"\nkeep = ["pixels"]\n', "keep"),
        ("=", "nvalid"),
    ):
        path.write_text(text)
        with pytest.raises(FlipError, match=words) as error:
            Policy.load(path)
        assert error.value.code == "bad-policy"
    with pytest.raises(FlipError, match="basic"):
        Policy.named("strict")


def test_big_values_are_passed_on_as_views():
    """Memory: the output's large pieces lie in the input."""
    ds = ct(NumberOfFrames=5000)
    ds.PixelData = bytes(5000 * 512)
    data = encoded(ds)
    made = RESEARCH.deidentify(memoryview(data))
    views = [chunk for chunk in made.chunks if isinstance(chunk, memoryview)]
    assert [view.obj is data for view in views] == [True]
    assert sum(len(chunk) for chunk in made.chunks if isinstance(chunk, bytes)) < 4000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pydicom.dcmread(io.BytesIO(made.to_bytes())).PixelData == ds.PixelData
