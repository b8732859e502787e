"""Files and names made by somebody who wants a name, a day or a number to come through, or the run to stop."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from dicom_files import ROOT, ct, encoded, read
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy, Refused
from flipnb.estate.imaging.folder import deidentify
from flipnb.estate.imaging.postscan.pixel_headers import Codestream
from flipnb.estate.imaging.release import release

RESEARCH = Policy.named("research")
ENGINE = Deidentifier(RESEARCH, Keys(b"k" * 32))
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def released(data, tmp_path):
    """What became of a file, and its output as pydicom reads it (None where there is none)."""
    source, output = tmp_path / "in.dcm", tmp_path / "out.dcm"
    for path in (source, output):
        path.unlink(missing_ok=True)
    source.write_bytes(data if isinstance(data, bytes) else encoded(data))
    outcome = release(source, output, ENGINE)
    return outcome, read(output.read_bytes()) if output.exists() else None


def run(source, to):
    return [(line.file, line.state, line.reason) for line in deidentify(source, to, RESEARCH, workers=1)]


# --- the run itself


def test_a_name_of_a_file_that_is_no_utf_8(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / os.fsdecode(b"Andr\xe9.dcm")).write_bytes(encoded(ct()))
    for _ in range(2):
        assert [state for _, state, _ in run(source, tmp_path / "out")] == ["released"]
    for options in ([], ["--json"]):
        told = subprocess.run(
            [sys.executable, "-m", "flipnb.cli.main", "images", "deidentify", str(source), "--to", "out", *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["state"] == "released"


def test_a_damaged_member_of_any_compression_costs_itself_alone(tmp_path):
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as writing:
        writing.writestr("a.dcm", encoded(ct()))
        writing.writestr("b.dcm", encoded(ct(SOPInstanceUID=f"{ROOT}.9")))
    damaged = bytearray(archive.read_bytes())
    at = damaged.index(b"BZh")
    damaged[at + 10] ^= 0x55
    damaged[at + 20] ^= 0xFF
    archive.write_bytes(damaged)
    assert run(archive, tmp_path / "out") == [
        ("a.dcm", "refused", "damaged in the zip (OSError)"),
        ("b.dcm", "released", ""),
    ]


def test_two_members_of_one_name_and_size_stay_two(tmp_path):
    archive = tmp_path / "in.zip"
    whole = encoded(ct())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(archive, "w") as writing:
        writing.writestr("a.dcm", whole)
        writing.writestr("a.dcm", b"x" * len(whole))
    first = run(archive, tmp_path / "out")
    assert [state for _, state, _ in first] == ["released", "refused"]
    assert run(archive, tmp_path / "out") == first


# --- numbers and days


def test_uids_below_dicoms_root_that_the_standard_does_not_have(tmp_path):
    """Only registered UIDs name a standard's thing; some makers put their instances below its root."""
    before = ct(
        StudyInstanceUID="1.2.840.10008.9434765919.20230503.101112",
        FrameOfReferenceUID="1.2.840.10008.1.4.1.1",
        StudyDescription="see 1.2.840.10008.9434765919.20230503.101112",
    )
    outcome, after = released(before, tmp_path)
    assert outcome.state == "released"
    assert after.StudyInstanceUID.startswith("2.25.")
    assert "9434765919" not in after.StudyDescription
    assert after.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"


def test_days_that_everybody_knows_do_not_move(tmp_path):
    """A code table's version is public, a device's dates are all its patients': moved, they tell by how much."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-28000", "SRT", "Lung"
    code.ContextIdentifier, code.MappingResource, code.ContextGroupVersion = "4031", "DCMR", "20020904000000"
    before = ct(
        AnatomicRegionSequence=[code],
        DeviceSerialNumber="S1234",
        DateOfManufacture="20100105",
        DateOfInstallation="20110202",
        DateOfLastCalibration="20230101",
    )
    outcome, after = released(before, tmp_path)
    assert outcome.state == "released"
    assert after.AnatomicRegionSequence[0].ContextGroupVersion == "20020904000000"
    assert after.DeviceSerialNumber == "S1234"
    for keyword in ("DateOfManufacture", "DateOfInstallation", "DateOfLastCalibration"):
        assert not after.get(keyword)
    assert after.StudyDate != before.StudyDate


def test_a_time_that_holds_a_day(tmp_path):
    before = ct(StudyTime="101112.5")
    before.add_new(0x00080032, "TM", "20230503101112")
    outcome, after = released(before, tmp_path)
    assert outcome.state == "released"
    assert (after.StudyTime, after[0x00080032].value) == ("101112.5", "")


@pytest.mark.parametrize("said", ["May 2023", "05/2023", "2023 May 3", "May the 3rd, 2023"])
def test_months_in_text_move_too(said, tmp_path):
    outcome, after = released(ct(StudyDescription=f"CT chest compared with {said} lung"), tmp_path)
    assert outcome.state == "released"
    moved = date(2023, 5, 15).toordinal() + (_day(after.StudyDate) - _day("20230503"))
    assert said not in after.StudyDescription
    assert after.StudyDescription.startswith("CT chest compared with")
    assert after.StudyDescription.endswith("lung")
    assert "2023" not in after.StudyDescription or date.fromordinal(moved).year == 2023


def _day(said):
    return date(int(said[:4]), int(said[4:6]), int(said[6:])).toordinal()


@pytest.mark.parametrize("vr", ["IS", "DS"])
def test_the_patients_number_in_a_number(vr, tmp_path):
    before = ct(PatientID="451873098")
    before.add_new(0x00200012 if vr == "IS" else 0x00180088, vr, "451873098")
    outcome, _ = released(before, tmp_path)
    assert outcome.state == "quarantined"
    assert "451873098" not in outcome.reason


# --- names


@pytest.mark.parametrize(
    "said",
    ["W.h.i.t.c.o.m.b.e", "W-h-i-t-c-o-m-b-e", "Whit-\ncombe", "Whit\u200bcombe", "Whit\u00adcombe", "Whit\0combe"],
)
def test_a_name_in_pieces(said, tmp_path):
    outcome, after = released(ct(ImageComments=f"CT chest {said} lung"), tmp_path)
    assert outcome.state == "quarantined" or after.ImageComments == "CT chest lung"


def test_a_name_that_a_clinical_word_begins_with(tmp_path):
    outcome, after = released(
        ct(PatientName="Stern^Thora", StudyDescription="CT thorax, sternum and sternal wires of Stern"), tmp_path
    )
    assert outcome.state == "released"
    assert after.StudyDescription == "CT thorax, sternum and sternal wires of"


@pytest.mark.parametrize(("said", "kept"), [("T1 apr\xe8s contraste", True), ("T1 apr\xe8s No\xebl", False)])
def test_accents_in_another_character_set_than_is_declared(said, kept, tmp_path):
    """Not emptied: UTF-8 is declared, and one description is in Latin 1."""
    data = encoded(ct(PatientName="Noël^Hervé", SeriesDescription="q" * len(said)))
    outcome, _ = released(data.replace(b"q" * len(said), said.encode("latin-1")), tmp_path)
    assert outcome.state == "released"
    made = (tmp_path / "out.dcm").read_bytes()
    assert b"T1 apr\xe8s" in made
    assert (said.encode("latin-1") in made) is kept


@pytest.mark.parametrize(
    "said", ["Lesion at T2 may represent", "segment 4 may be a cyst", "In segment 4. May be a cyst", "T1 mar", "T2 sep"]
)
def test_a_verb_is_no_month(said, tmp_path):
    outcome, after = released(ct(ImageComments=said), tmp_path)
    assert (outcome.state, after.ImageComments) == ("released", said)


def test_a_version_is_no_day(tmp_path):
    before = ct(SoftwareVersions="syngo 2019-03-01", ImageComments="tel 07700 900123 lung, MRN 12345 678901")
    outcome, after = released(before, tmp_path)
    assert outcome.state == "released"
    assert after.SoftwareVersions == "syngo 2019-03-01"
    assert after.ImageComments == "lung"


@pytest.mark.parametrize(
    ("tag", "vr"), [(0x00080060, b"SH"), (0x00200013, b"LT"), (0x00081090, b"OB"), (0x00181400, b"OF")]
)
def test_a_text_that_calls_itself_something_else(tag, vr, tmp_path):
    """A name that no header holds, behind a title, where no text is meant to be or none is said to be."""
    keyword = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    said = keyword + (b"\0\0\x0c\0\0\0" if vr[:1] == b"O" else b"\x0c\0") + b"Mrs Larkspur"
    data = encoded(ct())
    at = data.index(struct.pack("<HH", 0x0010, 0x0010))
    outcome, _ = released(data[:at] + said + data[at:], tmp_path)
    assert outcome.state == "refused" or b"Larkspur" not in (tmp_path / "out.dcm").read_bytes()


# --- pixels


def picture(pixels, syntax=ExplicitVRLittleEndian, **values):
    """A secondary capture with these pixels (an array), or with whatever else ``values`` say."""
    shape = pixels.shape
    ds = ct(SOPClassUID=CAPTURE, Modality="OT", Rows=shape[0], Columns=shape[1])
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    if pixels.ndim == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.PixelData = pixels.tobytes()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    if syntax == ExplicitVRLittleEndian:
        return encoded(ds)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    native, named = (
        b"UI" + struct.pack("<H", len(uid) + len(uid) % 2) + uid.encode() + b"\0" * (len(uid) % 2)
        for uid in (ExplicitVRLittleEndian, syntax)
    )
    return encoded(ds).replace(native, named, 1)


def written(text="WHITCOMBE ELEANOR", fg=255, bg=0, mode="L", turned=0, size=(512, 512)):
    drawn = Image.new(mode, size, bg)
    ImageDraw.Draw(drawn).text((20, 20), text, fill=fg, font=ImageFont.load_default(28))
    return np.asarray(drawn.rotate(turned, expand=True))


def _still():
    still = np.zeros((64, 64), np.uint8)
    still[20:40, 20:40] = 99
    return still


def _saved(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def _segment(marker, payload):
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


STILL = _still()
JPEG = _saved(STILL, "jpeg")
JP2 = _saved(STILL, "jpeg2000")
NAME = b"Eleanor Whitcombe"
_NOISE = b"\0\1\2" * 1500
HIDDEN = {
    "behind fill bytes": JPEG[:2] + b"\xff\xff" + _segment(0xFE, NAME) + JPEG[2:],
    "behind the scan": JPEG[:-2] + _segment(0xFE, NAME) + JPEG[-2:],
    "between two ends": JPEG + NAME + b"\xff\xd9",
    "a short one in much else": JPEG[:2] + _segment(0xE5, _NOISE + b"\0Jane\0" + _NOISE) + JPEG[2:],
    "a camera's date": JPEG[:2] + _segment(0xE1, b"Exif\0\0II*\x002023:05:03 10:11:12\0") + JPEG[2:],
    "another picture behind it": JPEG + _saved(written(size=(64, 64)), "jpeg"),
}


@pytest.mark.parametrize("stream", HIDDEN.values(), ids=HIDDEN.keys())
def test_what_a_jpeg_holds_beside_its_picture(stream, tmp_path):
    plain, _ = released(picture(STILL, JPEGBaseline8Bit, PixelData=encapsulate([JPEG])), tmp_path)
    assert plain.state == "released"
    outcome, _ = released(picture(STILL, JPEGBaseline8Bit, PixelData=encapsulate([stream])), tmp_path)
    assert outcome.state == "quarantined"


def test_what_a_jpeg_2000_holds_beside_its_picture(tmp_path):
    stream = _saved(STILL, "jpeg2000", no_jp2=True)
    tile = stream.index(b"\xff\x93", stream.index(b"\xff\x90"))
    at = stream.index(b"\xff\x90") + 6
    longer = bytearray(stream[:tile] + _segment(0x64, b"\0\1" + NAME) + stream[tile:])
    longer[at : at + 4] = struct.pack(">I", int.from_bytes(longer[at : at + 4], "big") + len(NAME) + 6)
    boxed = JP2 + struct.pack(">I", len(NAME) + 8) + b"xml " + NAME
    for some, state in (
        (stream, "released"),
        (JP2, "released"),
        (bytes(longer), "quarantined"),
        (boxed, "quarantined"),
    ):
        outcome, _ = released(picture(STILL, JPEG2000Lossless, PixelData=encapsulate([some])), tmp_path)
        assert outcome.state == state


@pytest.mark.parametrize(
    "stream",
    [
        b"\xff\x4f\xff\x93" * 9,
        b"\xff\x4f" + (b"\xff\x90\0\x0a" + bytes(8)) * 3000 + bytes(1 << 24),
        b"\xff\xd8" * 99999,
    ],
    ids=["data without a tile", "tiles without length", "beginnings"],
)
def test_streams_that_are_made_to_be_walked_for_ever(stream):
    assert Codestream(memoryview(stream)).known


def test_pixels_that_no_reader_of_letters_sees(tmp_path):
    twice = encoded(ct())
    at = twice.rindex(b"\xe0\x7f\x10\x00")
    letters = written().tobytes()
    files = {
        "more bytes than the frames need": picture(STILL, PixelData=STILL.tobytes() + letters),
        "no rows": picture(STILL, Rows=None, PixelData=letters),
        "twice": twice + twice[at : at + 8] + struct.pack("<I", len(letters)) + letters,
        "more streams than frames": picture(
            STILL, JPEGBaseline8Bit, PixelData=encapsulate([JPEG, _saved(written(), "jpeg")]), NumberOfFrames=1
        ),
        "a larger picture than the header says": picture(
            STILL, JPEGBaseline8Bit, Rows=8, Columns=8, PixelData=encapsulate([_saved(written(), "jpeg")])
        ),
    }
    for said, data in files.items():
        assert released(data, tmp_path)[0].state != "released", said


@pytest.mark.parametrize(
    "pixels",
    [
        written(fg=(255, 0, 0), bg=(255, 255, 255), mode="RGB"),
        written(fg=(0, 0, 255), bg=(255, 255, 255), mode="RGB"),
        written(turned=90),
        written(turned=180),
        written(turned=270),
    ],
    ids=["red on white", "blue on white", "90", "180", "270"],
)
def test_letters_of_any_colour_and_direction(pixels, tmp_path):
    assert released(picture(pixels), tmp_path)[0].reason == "pixels: text was found in its pixels"


def test_a_photograph_may_show_a_face(tmp_path):
    photograph = "1.2.840.10008.5.1.4.1.1.77.1.4"
    colours = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    assert released(picture(colours, SOPClassUID=photograph), tmp_path)[0].state == "quarantined"
    said = {"SOPClassUID": photograph, "RecognizableVisualFeatures": "NO"}
    assert released(picture(colours, **said), tmp_path)[0].state == "released"


def test_a_voice_names_people():
    ds = ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.9.4.1", Modality="AU")
    del ds.PixelData
    with pytest.raises(Refused, match="audio"):
        ENGINE.deidentify(encoded(ds))


def test_the_source_that_goes_while_it_is_read_costs_itself_alone(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.dcm", "b.dcm", "c.dcm"):
        (source / name).write_bytes(encoded(ct(SOPInstanceUID=f"{ROOT}.{ord(name[0])}")))
    lines = deidentify(source, tmp_path / "out", RESEARCH, workers=1)
    first = next(lines)
    Path(source / "c.dcm").unlink()
    assert [first.state, *(line.state for line in lines)] == ["released", "released", "refused"]
