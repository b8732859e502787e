"""Text in pixels is found, markers and clean pictures are let through, and boxes are covered for good."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless
from radiographs import TEXTS, burnt, file_of, phantom, radiograph

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.burned_in import blank, examine, picture, samples
from flipnb.estate.imaging.burned_in.markers import is_marker

CT = "1.2.840.10008.5.1.4.1.1.2"
US_CLIP = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.mark.slow
def test_text_of_twelve_pixels_and_more_is_found_and_clean_pictures_pass(tmp_path: Path) -> None:
    place = random.Random(7)
    found, told = [], []
    for seed in range(24):
        size = (256, 512, 512, 1024)[seed % 4]
        text, pixels = TEXTS[seed % len(TEXTS)], (12, 16, 24)[seed % 3]
        marked = examine(file_of(burnt(phantom(size, seed), text, pixels, place), tmp_path))
        found.append(marked.state == "text" and bool(marked.texts))
        told.append(examine(file_of(phantom(size, 100 + seed), tmp_path)).state)
    assert sum(found) >= 23
    assert told == ["clean"] * 24


@pytest.mark.slow
def test_real_radiographs_as_phantoms(tmp_path: Path) -> None:
    import os

    data = Path(os.environ.get("FLIP_TEST_DATA", "nowhere")) / "chest-xray" / "pneumoniamnist-5030.npz"
    if not data.is_file():
        pytest.skip("public data: chest-xray is not here")
    images, place = np.load(data)["train_images"], random.Random(3)
    states = [examine(file_of(radiograph(images[at], 512, at), tmp_path)).state for at in range(40)]
    assert states.count("clean") == 40
    found = [
        examine(file_of(burnt(radiograph(images[at], 512, at), TEXTS[at % len(TEXTS)], 12 + at % 12, place), tmp_path))
        for at in range(40, 80)
    ]
    assert sum(verdict.state == "text" for verdict in found) >= 38


@pytest.mark.parametrize("text", ["L", "R", "AP ERECT", "PA", "SUPINE", "PORTABLE AP", "R LAT"])
def test_markers_that_radiographers_put_there_are_allowed(text: str) -> None:
    assert is_marker(text)


@pytest.mark.parametrize("text", ["OKAFOR", "L OKAFOR", "12/03/61", "62", "AP 1961", "", "St", "Lee R"])
def test_nothing_else_is_a_marker(text: str) -> None:
    assert not is_marker(text)


def test_a_side_marker_in_a_picture(tmp_path: Path) -> None:
    place = random.Random(1)
    assert examine(file_of(burnt(phantom(512, 1), "R", 24, place), tmp_path)).state == "clean"


@pytest.mark.parametrize("kind", ["16 bits", "16 bits in a window", "MONOCHROME1", "signed", "colours", "large"])
def test_text_is_seen_however_its_values_are_stored(kind: str, tmp_path: Path) -> None:
    grey = burnt(phantom(2048 if kind == "large" else 512, 5), "OKAFOR NNEKA", 28, random.Random(2))
    attributes: dict[str, object] = {}
    pixels = grey
    if kind == "16 bits":
        pixels = grey.astype(np.uint16) * 4
    elif kind == "16 bits in a window":
        pixels = grey.astype(np.uint16)
        pixels[0, 0] = 65000
        attributes = {"WindowCenter": 128, "WindowWidth": 256}
    elif kind == "MONOCHROME1":
        pixels, attributes = 255 - grey, {"PhotometricInterpretation": "MONOCHROME1"}
    elif kind == "signed":
        pixels = grey.astype(np.int16) - 1024
    elif kind == "colours":
        pixels = np.repeat(grey[..., None], 3, axis=2)
    verdict = examine(file_of(pixels, tmp_path, **attributes))
    assert verdict.state == "text"
    left, top, right, bottom = verdict.texts[0].box
    assert 0 <= left < right <= pixels.shape[1]
    assert 0 <= top < bottom <= pixels.shape[0]


def test_what_a_header_tells_costs_no_reading(tmp_path: Path) -> None:
    clean = phantom(64, 1)
    assert examine(Path(get_testdata_file("rtplan.dcm"))).state == "not-needed"
    assert examine(Path(get_testdata_file("liver_1frame.dcm"))).state == "not-needed"
    declared = examine(file_of(clean, tmp_path, BurnedInAnnotation="YES"))
    assert (declared.state, declared.texts) == ("text", ())
    assert examine(file_of(clean, tmp_path, RecognizableVisualFeatures="YES")).held
    assert examine(file_of(clean, tmp_path, BurnedInAnnotation="NO")).state == "clean"
    denied = file_of(burnt(phantom(512, 5), "OKAFOR NNEKA", 28, random.Random(2)), tmp_path, BurnedInAnnotation="NO")
    assert examine(denied).state == "text", "nobody believes a NO"


def test_slices_are_read_only_where_they_may_hold_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flipnb.estate.imaging.burned_in import reading

    looks: list[int] = []
    once = reading.read
    monkeypatch.setattr(reading, "read", lambda picture: looks.append(1) or once(picture))
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(x**2 + y**2 < 0.6, 1040 + 60 * np.sin(9 * x), 24).astype(np.int16)
    body += np.random.default_rng(0).normal(0, 8, body.shape).astype(np.int16)
    assert examine(file_of(body, tmp_path, SOPClassUID=CT, Modality="CT")).state == "clean"
    assert not looks
    assert examine(file_of(body, tmp_path, SOPClassUID=CT, Modality="CT"), thorough=True).state == "clean"
    assert len(looks) == 1
    looks.clear()
    marked = burnt(np.zeros((512, 512), np.uint8), "OKAFOR NNEKA", 14, random.Random(4))
    body[marked > 100] = 3071
    assert examine(file_of(body, tmp_path, SOPClassUID=CT, Modality="CT")).state == "text"
    capture = {"ConversionType": "WSD", "SOPClassUID": CT}
    assert examine(file_of(phantom(256, 3), tmp_path, **capture)).state == "clean"
    assert len(looks) == 2, "what looks like a screenshot is read, too"


def test_the_first_the_middle_and_the_last_of_a_series_are_named(tmp_path: Path) -> None:
    of = {
        (series, at): file_of(
            phantom(16, 1), tmp_path, f"{series}-{at}.dcm", SeriesInstanceUID=series, InstanceNumber=at
        )
        for series, count in (("1.2", 7), ("1.3", 1))
        for at in range(count, 0, -1)
    }
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 200)
    assert samples([*of.values(), broken]) >= {of["1.2", 1], of["1.2", 4], of["1.2", 7], of["1.3", 1]}
    assert not samples(of.values()) & {of["1.2", 2], of["1.2", 6]}


def test_a_clip_is_read_once_for_each_scene(tmp_path: Path) -> None:
    still = phantom(256, 1)
    named = burnt(still, "OKAFOR NNEKA", 20, random.Random(5))
    frames = np.stack([still] * 20 + [np.clip(named.astype(int) + 60, 0, 255).astype(np.uint8)] * 10)
    verdict = examine(file_of(frames, tmp_path, SOPClassUID=US_CLIP, Modality="US"))
    assert verdict.state == "text"
    assert {text.frame for text in verdict.texts} == {20}


@pytest.mark.parametrize(
    "content", [b"", b"DICM" * 100, b"\0" * 128 + b"DICM" + b"\x28\x00\x10\x00US\x02\x00\xff\xff" * 3]
)
def test_bytes_that_are_no_picture_never_raise(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.dcm"
    file.write_bytes(content)
    assert examine(file).state in ("unread", "not-needed")


def test_what_no_decoder_reads_is_held(tmp_path: Path) -> None:
    for name in ("JPEG-lossy.dcm", "MR_truncated.dcm"):
        assert examine(Path(get_testdata_file(name))).state == "unread"
    bomb = file_of(phantom(64, 1), tmp_path, Rows=60000, Columns=60000)
    assert examine(bomb).state == "unread"


@pytest.mark.parametrize("name", ["examples_palette.dcm", "GDCMJ2K_TextGBR.dcm"])
def test_pictures_of_ultrasound_consoles_are_held(name: str) -> None:
    assert examine(Path(get_testdata_file(name))).state == "text"


def test_the_picture_shows_boxes_and_stays_small(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (3000, 2400), dtype=np.uint16)
    file = file_of(pixels, tmp_path)
    plain, boxed, covered = (
        Image.open(io.BytesIO(picture(file, 0, boxes, covered=cover)))
        for boxes, cover in (((), False), (((100, 100, 900, 300),), False), (((100, 100, 900, 300),), True))
    )
    assert plain.format == "PNG"
    assert max(plain.size) <= 1280
    assert np.asarray(plain).tobytes() != np.asarray(boxed).tobytes()
    scale = plain.size[0] / 2400
    inside = np.asarray(covered)[int(150 * scale) : int(250 * scale), int(200 * scale) : int(800 * scale)]
    assert not inside.any()


@pytest.mark.parametrize("kind", ["grey", "16 bits", "MONOCHROME1", "colours", "clip", "planes"])
def test_boxes_are_covered_in_place_and_nothing_else_changes(kind: str, tmp_path: Path) -> None:
    pixels = {
        "16 bits": phantom(64, 1).astype(np.uint16) + 300,
        "colours": np.repeat(phantom(64, 1)[..., None], 3, axis=2) + 1,
        "planes": np.repeat(phantom(64, 1)[..., None], 3, axis=2) + 1,
        "clip": np.stack([phantom(64, at) + 1 for at in range(3)]),
    }.get(kind, phantom(64, 1) // 2 + 1)
    attributes = {"MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"}, "planes": {"PlanarConfiguration": 1}}
    file, to = file_of(pixels, tmp_path, **attributes.get(kind, {})), tmp_path / "blanked.dcm"
    assert blank(file, [(10, 20, 40, 30)], to) is None
    before, after = file.read_bytes(), to.read_bytes()
    assert len(before) == len(after)
    first, second = dcmread(file).pixel_array, dcmread(to).pixel_array
    changed = np.argwhere((first != second).reshape(first.shape))
    rows, columns = (slice(20, 30), slice(10, 40))
    value = 255 if kind == "MONOCHROME1" else 0
    box = second[:, rows, columns] if kind == "clip" else second[rows, columns]
    assert (box == value).all()
    assert len(changed) == box.size


def test_compressed_pixels_are_covered_and_told_by_name(tmp_path: Path) -> None:
    ds = dcmread(file_of(phantom(64, 1), tmp_path))
    ds.compress(RLELossless)
    ds.save_as(tmp_path / "rle.dcm")
    first = ds.pixel_array
    assert blank(tmp_path / "rle.dcm", [(0, 0, 64, 8)], tmp_path / "out.dcm") == "RLE Lossless"
    second = dcmread(tmp_path / "out.dcm").pixel_array
    assert not second[:8].any()
    assert (second[8:] == first[8:]).all()


def test_what_can_not_be_covered_leaves_nothing(tmp_path: Path) -> None:
    file = file_of(phantom(64, 1), tmp_path)
    for box in ((70, 0, 80, 10), (5, 5, 5, 9)):
        with pytest.raises(FlipError) as caught:
            blank(file, [box], tmp_path / "out.dcm")
        assert caught.value.code == "image-not-blanked"
    with pytest.raises(FlipError):
        blank(Path(get_testdata_file("JPEG-lossy.dcm")), [(0, 0, 9, 9)], tmp_path / "out.dcm")
    assert not (tmp_path / "out.dcm").exists()
