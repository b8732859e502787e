"""What resampling makes of numbers, labels and places, judged by Pillow and by ramps whose values are their places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_phantoms import AXIAL, SERIES
from PIL import Image as Pillow

from flipnb.contracts.images import Segment
from flipnb.estate.imaging.decode import read_volume
from flipnb.estate.imaging.geometry import Unusable
from flipnb.estate.imaging.resampling import axes_for, moved_affine, resample, resample_labels
from flipnb.estate.imaging.segmentation import read_labels


@given(
    before=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    after=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 9),
)
@settings(max_examples=150, deadline=None)
def test_a_new_size_is_what_pillow_makes_of_it(before, after, seed):
    pixels = np.random.default_rng(seed).integers(0, 4096, before).astype(np.uint16)
    ours = resample(pixels, axes_for(before, (1.0, 1.0), after, None))
    theirs = Pillow.fromarray(pixels.T.astype(np.float32)).resize(after, Pillow.Resampling.BILINEAR)
    assert ours.dtype == np.uint16 and ours.shape == after
    assert np.abs(ours - np.asarray(theirs).T).max() <= 1.0


@given(
    shape=st.tuples(*[st.integers(2, 14)] * 3),
    size=st.none() | st.tuples(*[st.integers(1, 20)] * 3),
    spacing=st.none() | st.tuples(*[st.floats(0.4, 5)] * 3),
    axis=st.integers(0, 2),
)
@settings(max_examples=200, deadline=None)
def test_what_has_its_place_as_its_number_keeps_it(shape, size, spacing, axis):
    """A ramp along an axis, in millimetres: on the new grid each voxel well inside says where its affine puts it."""
    had = (1.5, 2.0, 0.75)
    affine = np.diag([*had, 1.0])
    affine[:3, 3] = (-7, 11, 3)
    ramp = np.broadcast_to(
        (np.arange(shape[axis]) * 100).reshape([-1 if a == axis else 1 for a in range(3)]), shape
    ).astype(np.int32)
    axes = axes_for(shape, had, size, spacing)
    made, moved = resample(ramp, axes), moved_affine(affine, axes)
    if spacing is not None:
        assert np.allclose(np.linalg.norm(moved[:3, :3], axis=0), spacing)
    assert made.shape == tuple(one.length for one in axes)
    middle = (np.array(shape) - 1) / 2
    assert np.allclose(moved @ [*((np.array(made.shape) - 1) / 2), 1], affine @ [*middle, 1]), "the middle stays"
    index = (np.arange(made.shape[axis]) * moved[axis, axis] + moved[axis, 3] - affine[axis, 3]) / had[axis]
    reach = max(1.0, axes[axis].scale)
    inside = (index - reach >= 0) & (index + reach <= shape[axis] - 1)
    inner = [np.flatnonzero((one.places() >= 0) & (one.places() <= one.before - 1)) for one in axes]
    if all(len(one) for one in inner):
        line = made[np.ix_(*(one if a == axis else one[:1] for a, one in enumerate(inner)))].ravel()
        chosen = inside[inner[axis]]
        # An average over parts of voxels lies within a fifth of one; what is only interpolated is exact.
        off = 1.0 if axes[axis].scale <= 1 else 20 * axes[axis].scale
        assert np.allclose(line[chosen], index[inner[axis]][chosen] * 100, atol=off)


@given(st.integers(-1000, 1000), st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 12)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_constant_stays_one(value, shape, size):
    same = np.full(shape, value, dtype=np.int16)
    assert (resample(same, axes_for(shape, (1, 1, 1), size, None)) == value).all()
    assert (resample(same, axes_for(shape, (1, 1, 1), size, (0.7, 2, 1))) == value).all()


def test_beyond_the_field_of_view_is_the_least_number_and_no_label():
    pixels = np.full((4, 4, 4), 50, dtype=np.uint16)
    pixels[0] = 7
    axes = axes_for((4, 4, 4), (1, 1, 1), (8, 4, 4), (1, 1, 1))
    made = resample(pixels, axes)
    assert made[:, 0, 0].tolist() == [7, 7, 7, 50, 50, 50, 7, 7]
    assert resample_labels(np.ones((4, 4, 4), np.uint8), axes)[:, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_nothing_is_copied_where_nothing_changes():
    pixels = np.zeros((3, 4), dtype=np.int16)
    assert resample(pixels, axes_for((3, 4), (1, 1), (3, 4), None)) is pixels


def masked(series):
    """A mask of the series' own slices without any symmetry: (slices, rows, columns)."""
    made = np.zeros((series.slices, series.rows, series.columns), dtype=bool)
    made[1:4, 2:9, 3:12] = True
    made[3, 9:15, 4] = True
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIES)
def test_labels_lie_on_the_voxels_that_they_were_drawn_on(name):
    series = SERIES[name]
    mask = masked(series)
    image = read_volume(series.files()[::-1])
    segmentation = series.segmentation({"Liver": mask, "Other": ~mask})
    found = read_labels([segmentation], [Segment(name="liver", label=" LIVER ")], image)
    k, j, i = np.nonzero(mask)
    places = np.stack([series.place(a, b, c) for a, b, c in zip(i, j, k, strict=True)])
    voxels = np.rint((np.linalg.inv(image.affine) @ np.c_[places, np.ones(len(places))].T)[:3]).astype(int)
    assert found.names == ("liver",)
    assert found.pixels[tuple(voxels)].all() and int(found.pixels.sum()) == int(mask.sum())


@pytest.mark.slow
def test_segmentations_of_others_are_left_alone_and_overlaps_refused():
    series, other = AXIAL.with_(series_uid="2.25.1"), AXIAL.with_(series_uid="2.25.2", reference_uid="2.25.3")
    image = read_volume(series.files())
    mask = masked(series)
    liver, tumour = Segment(name="liver", label="Liver"), Segment(name="tumour", label="Tumor")
    with pytest.raises(Unusable, match="labels-missing"):
        read_labels([other.segmentation({"Liver": mask})], [liver], image)
    with pytest.raises(Unusable, match="labels-missing"):
        read_labels([series.segmentation({"Spleen": mask})], [liver], image)
    with pytest.raises(Unusable, match="labels-overlap"):
        read_labels([series.segmentation({"Liver": mask, "Tumor": mask})], [liver, tumour], image)
    both = [series.segmentation({"Liver": mask}), series.segmentation({"Tumor": ~mask})]
    assert np.unique(read_labels(both, [liver, tumour], image).pixels).tolist() == [1, 2]
    with pytest.raises(Unusable, match="labels-unreadable"):
        read_labels([series.files()[0]], [liver], image)


@pytest.mark.slow
@pytest.mark.parametrize("slices", [[4], [1, 6], [8], [0, 1, 8], []])
@pytest.mark.parametrize("name", ["coronal", "gantry tilted"])
def test_segments_of_a_few_slices_and_of_none(name, slices):
    series = SERIES[name]
    image = read_volume(series.files())
    mask = np.zeros((series.slices, series.rows, series.columns), dtype=bool)
    mask[slices, 3:8, 2:11] = True
    other = np.zeros_like(mask)
    other[2:5, 15:18, 3:6] = True
    segments = [Segment(name="some", label="Some"), Segment(name="other", label="Other")]
    found = read_labels([series.segmentation({"Some": mask, "Other": other})], segments, image)
    assert int((found.pixels == 1).sum()) == int(mask.sum())
    assert int((found.pixels == 2).sum()) == int(other.sum())
    assert found.names == ("some", "other")
