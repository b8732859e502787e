"""What a set of images may say, that earlier datasets keep their digests, and what may leak the future."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flipnb.contracts.dataset import Dataset, Variable, leakage
from flipnb.contracts.document import parse
from flipnb.contracts.images import (
    FROZEN_WORDS,
    REASONS,
    FrozenShare,
    ImageCount,
    ImageSet,
    LeftOut,
    Reason,
    Segment,
)
from flipnb.contracts.problem import FlipError
from flipnb.contracts.window import Window
from flipnb.workbench.plan_file import PlanFile

AGE = Variable(name="age", source="age")
UP_TO = Window(start_days=-30, end_days=0)


def scan(**more):
    return ImageSet(**{"name": "scan", "modalities": ("CT",), "dimensions": 3, "window": UP_TO, **more})


def test_a_dataset_without_images_has_the_bytes_that_it_had():
    assert Dataset(variables=(AGE,)).to_bytes() == Dataset(variables=(AGE,), images=()).to_bytes()
    assert "images" not in json.loads(Dataset(variables=(AGE,)).to_bytes())
    assert Dataset(variables=(AGE,), images=(scan(),)).digest() != Dataset(variables=(AGE,)).digest()


@given(
    size=st.none() | st.tuples(*[st.integers(1, 512)] * 3),
    spacing=st.none() | st.tuples(*[st.floats(0.01, 100)] * 3),
    take=st.sampled_from(["first", "last", "all"]),
    labels=st.lists(st.sampled_from(["Liver", "Left kidney", "Tumor"]), unique=True),
)
def test_a_set_is_read_again_as_it_was_written(size, spacing, take, labels):
    segments = tuple(Segment(name=label.replace(" ", "_"), label=label) for label in labels)
    given_set = scan(size=size, spacing=spacing, take=take, labels=segments)
    dataset = Dataset(variables=(AGE,), images=(given_set,))
    assert parse(Dataset, dataset.to_bytes(), "The dataset") == dataset
    assert dataset.image_set("scan") == given_set


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": (64, 64)}, "size needs 3 numbers"),
        ({"spacing": (1.0, 1.0)}, "spacing needs 3 numbers"),
        ({"dimensions": 2, "labels": (Segment(name="a", label="A"),)}, "labels are of volumes"),
        ({"size": (8192, 8192, 8192)}, "at most"),
        ({"labels": (Segment(name="a", label="Liver "), Segment(name="b", label="liver"))}, "a segment is there twice"),
        ({"labels": (Segment(name="a", label="A"), Segment(name="a", label="B"))}, "a label's name is there twice"),
        ({"modalities": ("CT", "CT")}, "a modality is there twice"),
        ({"modalities": ("SEG",)}, "Input should be"),
        ({"modalities": ()}, "at least 1"),
        ({"spacing": (0.0, 1.0, 1.0)}, "greater than"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong, said):
    with pytest.raises(ValidationError, match=said):
        scan(**wrong)


def test_two_sets_of_one_name_are_refused_and_one_that_is_not_there_is_named():
    with pytest.raises(ValidationError, match="two sets of images have the same name"):
        Dataset(variables=(AGE,), images=(scan(), scan()))
    with pytest.raises(FlipError) as refused:
        Dataset(variables=(AGE,), images=(scan(),)).image_set("xray")
    assert (refused.value.code, "it has scan" in refused.value.message) == ("no-images", True)


def test_images_after_the_index_date_are_warned_of_unless_they_are_the_outcome():
    later = Window(start_days=0, end_days=7)
    warned = leakage(Dataset(variables=(AGE,), images=(scan(window=later), scan(name="early"))))
    assert [name for name, _ in warned] == ["scan"]
    assert not leakage(Dataset(variables=(AGE,), images=(scan(window=later, role="outcome"),)))


def test_a_set_in_words():
    assert scan().words == ("the last study with CT from 30 days before the index date to the index date, as volumes")
    assert scan().form_words == "as they are stored"
    assert scan(spacing=(1, 1, 3), size=(96, 96, 64)).form_words == (
        "resampled to 1 × 1 × 3 mm, cut or padded to 96 × 96 × 64 voxels"
    )
    count = ImageCount(
        name="scan", found=100, frozen=98, people=90, left_out=(LeftOut(reason="missing-slice", images=2),)
    )
    assert count.words == "images scan: 98 of 100 frozen; 2 left out: a slice of it is missing (2)"


def test_every_reason_and_share_has_words():
    assert set(REASONS) == set(Reason.__args__)
    assert set(FROZEN_WORDS) == set(FrozenShare.__args__)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 30))
def test_a_share_of_images_is_a_band_of_enough_people(frozen, left, threshold):
    count = ImageCount(name="scan", found=frozen + left, frozen=frozen, people=frozen)
    band = count.share(threshold)
    assert (band == "few") == (frozen < threshold)
    bounds = {"under-50": (0, 0.5), "50-to-75": (0.5, 0.75), "75-to-90": (0.75, 0.9), "90-or-more": (0.9, 2)}
    if band != "few":
        least, most = bounds[band]
        assert least <= frozen / (frozen + left) < most


def test_a_plan_file_names_images():
    assert "images" in PlanFile.model_json_schema()["$defs"]["Dataset"]["properties"]
