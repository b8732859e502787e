"""Each voxel has the number of its place in the patient, whatever the scan's plane, tilt, order and kind of file.

The phantom is a function of millimetres, so that no reader is needed to know what is right; nibabel, MONAI and
highdicom judge beside it.
"""

import contextlib
import random
from io import BytesIO

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_phantoms import AXIAL, CT, PT, SERIES, Series, oblique, picture, turned, value_at, with_pixels, written

from flipnb.estate.imaging.decode import read_picture, read_volume
from flipnb.estate.imaging.geometry import Plane, Unusable, closest_axes, spacing_of, stack
from flipnb.estate.imaging.geometry import turned as to_closest


def places(affine, shape):
    """RAS+ millimetres of every voxel: (x, y, z, 3)."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def meant(image):
    return image.pixels.astype(float) * image.slope + image.intercept


def shuffled(files, seed=5):
    mixed = list(files)
    random.Random(seed).shuffle(mixed)
    return mixed


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_every_voxel_is_where_it_was_in_the_patient(name, kind):
    series = SERIES[name]
    if kind == "classic":
        files = shuffled(series.files())
    else:
        files = [written(series.enhanced(shuffled(range(series.slices))))]
    image = read_volume(files)
    expected = value_at(places(image.affine, image.pixels.shape))
    assert np.abs(meant(image) - expected).max() <= 1  # headers have six decimals
    assert np.mean(meant(image) == expected) > 0.99
    assert sorted(image.pixels.shape) == sorted((series.columns, series.rows, series.slices))
    # Most nearly right, front and head.
    assert closest_axes(image.affine) == ((0, 1), (1, 1), (2, 1))
    assert image.pixels.dtype == np.uint16 and (image.slope, image.intercept) == (1, -1024)
    assert image.pixels.flags.c_contiguous


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    tilt=st.floats(-1.5, 1.5),
    flipped=st.booleans(),
    spacing=st.tuples(st.floats(0.3, 4), st.floats(0.3, 4), st.floats(0.5, 6)),
    seed=st.integers(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_any_rotation_and_tilt(angles, tilt, flipped, spacing, seed):
    step = (0, tilt, -spacing[2] if flipped else spacing[2])
    base = AXIAL.with_(step=step, spacing=spacing[:2], columns=5, rows=6, slices=4)
    rotation = turned(angles[0], 0) @ turned(angles[1], 1) @ turned(angles[2], 2)
    series = oblique(rotation, base)
    image = read_volume(shuffled(series.files(), seed))
    assert np.abs(meant(image) - value_at(places(image.affine, image.pixels.shape))).max() <= 1
    found = places(image.affine, image.pixels.shape).reshape(-1, 3)
    k, j, i = np.meshgrid(np.arange(4), np.arange(6), np.arange(5), indexing="ij")
    wanted = series.place(i, j, k).reshape(-1, 3)
    assert np.abs(found[np.lexsort(found.round(3).T)] - wanted[np.lexsort(wanted.round(3).T)]).max() < 0.02


@given(st.lists(st.floats(-1, 1), min_size=9, max_size=9))
@settings(max_examples=200)
def test_axes_are_turned_as_nibabel_turns_them(numbers):
    matrix = np.reshape(numbers, (3, 3))
    if abs(np.linalg.det(matrix)) < 0.05:
        return
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, (3, -4, 5)
    pixels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(pixels, affine))
    ours, moved = to_closest(pixels, affine)
    assert np.array_equal(ours, np.asarray(theirs.dataobj))
    assert np.allclose(moved, theirs.affine)


@pytest.mark.parametrize("name", [name for name in SERIES if name != "gantry tilted"])
def test_highdicom_places_every_voxel_at_the_same_number(name):
    import highdicom

    series = SERIES[name]
    image = read_volume(series.files())
    theirs = highdicom.get_volume_from_series([pydicom.dcmread(BytesIO(one)) for one in series.files()])
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ theirs.affine
    turned_round, affine = to_closest(np.asarray(theirs.array), to_ras)
    assert np.allclose(affine, image.affine, atol=1e-4)
    assert np.allclose(turned_round, meant(image))


@pytest.mark.slow
def test_monai_reads_the_same_volumes(tmp_path):
    from monai.data import PydicomReader

    for name, series in SERIES.items():
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        for number, data in enumerate(shuffled(series.files())):
            (folder / f"{number}.dcm").write_bytes(data)
        reader = PydicomReader()
        theirs, meta = reader.get_data(reader.read(str(folder)))
        affine = np.asarray(meta["affine"])
        image = read_volume(series.files())
        turned_round, moved = to_closest(np.asarray(theirs), affine)
        assert np.allclose(turned_round, meant(image)), name
        if name != "gantry tilted":  # MONAI has the distance between first and last slice, in millimetres along z
            assert np.allclose(moved, image.affine, atol=1e-3), name


def planes(count=6, **changed):
    base = {"along_row": (1.0, 0.0, 0.0), "along_column": (0.0, 1.0, 0.0), "spacing": (1.0, 1.0), "size": (8, 8)}
    return [Plane(**(base | {"position": (0.0, 0.0, 2.0 * number)} | changed)) for number in range(count)]


def moved(plane, **changed):
    return Plane(**{**plane.__dict__, **changed})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p[:1], "single-slice"),
        (lambda p: p[:2] + p[3:], "missing-slice"),
        (lambda p: [p[0], *p[3:]], "missing-slice"),
        (lambda p: [*p, p[2]], "duplicate-position"),
        (lambda p: p + p, "duplicate-position"),
        (lambda p: [*p[:-1], moved(p[-1], position=(0, 0, 11.1))], "mixed-spacing"),
        (lambda p: [*p[:-1], moved(p[-1], spacing=(1.1, 1.0))], "mixed-spacing"),
        (lambda p: [*p[:-1], moved(p[-1], size=(8, 9))], "mixed-size"),
        (lambda p: [*p[:-1], moved(p[-1], along_row=(0, 1, 0), along_column=(0, 0, 1))], "mixed-orientation"),
        (lambda p: [*p[:2], moved(p[2], position=(3, 0, 4.0)), *p[3:]], "not-in-line"),
        (lambda p: [moved(one, along_row=(2, 0, 0)) for one in p], "no-geometry"),
        (lambda p: [moved(one, along_column=(1, 0, 0)) for one in p], "no-geometry"),
    ],
)
def test_a_series_that_is_no_volume_is_refused_by_name(make, reason):
    with pytest.raises(Unusable) as refused:
        stack(shuffled(make(planes())))
    assert refused.value.reason == reason


def test_positions_rounded_to_hundredths_are_even():
    uneven = [moved(one, position=(0, 0, round(number * 0.6253, 2))) for number, one in enumerate(planes(200))]
    assert spacing_of(stack(uneven).affine)[2] == pytest.approx(0.6253, abs=1e-4)


def test_a_localizer_and_a_file_without_a_place_are_refused():
    scout = AXIAL.with_(along_row=(0, 1, 0), along_column=(0, 0, -1), slices=2).files()
    with pytest.raises(Unusable, match="mixed-orientation"):
        read_volume([*AXIAL.files(), *scout])
    without = AXIAL.datasets()
    del without[3].ImagePositionPatient
    with pytest.raises(Unusable, match="no-geometry"):
        read_volume([written(one) for one in without])


def test_rescales_that_differ_from_slice_to_slice_are_applied():
    series = AXIAL.with_(sop_class=PT, intercept=0)
    files = []
    for number, one in enumerate(series.datasets()):
        slope = 0.25 + number / 8
        one.RescaleSlope = slope
        files.append(written(with_pixels(one, np.rint(series.values()[number] / slope).astype(np.uint16))))
    image = read_volume(shuffled(files))
    expected = value_at(places(image.affine, image.pixels.shape))
    assert image.pixels.dtype == np.uint16
    assert np.abs(meant(image) - expected).max() < 1.0


def test_whole_rescales_that_differ_make_whole_numbers():
    files = []
    for number, one in enumerate(AXIAL.datasets()):
        one.RescaleIntercept = -1024 - number
        pixels = (AXIAL.values()[number] + 1024 + number).astype(np.uint16)
        files.append(written(with_pixels(one, pixels)))
    image = read_volume(files)
    assert (image.pixels.dtype, image.slope, image.intercept) == (np.int16, 1, 0)
    assert np.array_equal(image.pixels, value_at(places(image.affine, image.pixels.shape)))


@pytest.mark.parametrize("kind", ["unsigned 12 bits", "signed 12 bits", "signed", "8 bits"])
def test_the_stored_type_and_bits_stay(kind):
    generator = np.random.default_rng(1)
    if kind == "8 bits":
        pixels = generator.integers(0, 256, (5, 7)).astype(np.uint8)
    elif kind.startswith("unsigned"):
        pixels = generator.integers(0, 4096, (5, 7)).astype(np.uint16)
    else:
        pixels = generator.integers(-2048, 2048, (5, 7)).astype(np.int16)
    made = picture(pixels)
    if "12" in kind:
        made.BitsStored, made.HighBit = 12, 11
        # Bits above those stored, as older scanners keep an overlay there.
        raw = (pixels.view(np.uint16) & 0x0FFF) | 0x5000
        made.PixelData = raw.tobytes()
    image = read_picture(written(made))
    assert np.array_equal(image.pixels, pixels.T) and image.pixels.dtype == pixels.dtype


def test_monochrome1_is_turned_round_over_its_stored_bits():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    made = picture(pixels)
    made.BitsStored, made.HighBit = 10, 9
    made.PhotometricInterpretation = "MONOCHROME1"
    assert np.array_equal(read_picture(written(made)).pixels, 1023 - pixels.T)
    signed = picture(np.array([[-3, 0, 5]], dtype=np.int16))
    signed.PhotometricInterpretation = "MONOCHROME1"
    assert read_picture(written(signed)).pixels.tolist() == [[2], [-1], [-6]]


def test_no_window_and_no_voi_table_is_baked_in():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    made = picture(pixels)
    made.WindowCenter, made.WindowWidth = 2, 2
    assert np.array_equal(read_picture(written(made)).pixels, pixels.T)


def test_a_radiograph_has_the_spacing_of_its_detector():
    made = picture(np.zeros((3, 4), dtype=np.uint16), spacing=(0.2, 0.1))
    assert np.allclose(read_picture(written(made)).affine, np.diag([0.2, 0.1, 1, 1]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: setattr(d, "PhotometricInterpretation", "PALETTE COLOR"), "colour"),
        (lambda d: setattr(d, "SamplesPerPixel", 3), "colour"),
        (lambda d: setattr(d, "Rows", 60_000), "unreadable"),
        (lambda d: (setattr(d, "Rows", 65_535), setattr(d, "Columns", 65_535)), "too-large"),
        (lambda d: setattr(d, "NumberOfFrames", 1 << 30), "too-large"),
        (lambda d: delattr(d, "PixelData"), "unreadable"),
        (lambda d: delattr(d, "Rows"), "unreadable"),
        (lambda d: setattr(d, "BitsStored", 77), "unreadable"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "unreadable"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_by_name(change, reason):
    made = picture(np.zeros((4, 4), dtype=np.uint16))
    change(made)
    with pytest.raises(Unusable) as refused:
        read_picture(written(made))
    assert refused.value.reason == reason


@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), with_=st.binary(min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_broken_bytes_are_refused_by_name_or_read(cut, at, with_):
    whole = Series(columns=3, rows=2, slices=1).files()[0]
    broken = whole[:at] + with_ + whole[at + len(with_) : max(cut, at)] if cut < len(whole) else whole
    for read in (read_picture, lambda data: read_volume([data, whole])):
        with contextlib.suppress(Unusable):
            read(broken)


def test_bytes_that_are_no_file_are_refused():
    with pytest.raises(Unusable, match="unreadable"):
        read_picture(b"not a file")
    assert CT in written(AXIAL.datasets()[0])[:400].decode("latin-1")
