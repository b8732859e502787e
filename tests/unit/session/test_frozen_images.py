"""Images of a twin, and of any frozen cohort of that form, as PyTorch takes them: the bytes that the table names."""

import hashlib
import multiprocessing
import pickle

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageSet, Segment
from flipnb.contracts.problem import FlipError
from flipnb.contracts.window import Window
from flipnb.session.data import Data
from flipnb.twin import make

WINDOW = Window(start_days=-30, end_days=0)
AGE = Variable(name="age", source="age", minimum=30, maximum=40)
BP = Variable(name="bp", source="measurement", concept_id=3004249, minimum=90, maximum=180, window=WINDOW)
XRAY = ImageSet(name="xray", modalities=("CR", "DX"), dimensions=2, window=WINDOW, size=(24, 20))
SCAN = ImageSet(
    name="scan", modalities=("CT",), dimensions=3, window=WINDOW, spacing=(1.0, 1.5, 3.0),
    labels=(Segment(name="liver", label="Liver"), Segment(name="tumour", label="Tumor")),
)  # fmt: skip
LARGE = ImageSet(name="large", modalities=("MR",), dimensions=3, window=WINDOW, size=(96, 96, 80))
DATASET = Dataset(variables=(AGE, BP), images=(XRAY, SCAN, LARGE))
SPLIT = Split(seed=1, shares=Shares(train=3, validation=1, test=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "cohort"
    make(DATASET, SPLIT, place, people=40, seed=4)
    return place


@pytest.fixture(scope="module")
def data(folder):
    return Data(folder)


def stored(folder, entry):
    """The image by another reader of the file."""
    tensors = safetensors.numpy.load_file(entry.file)
    data = entry.file.read_bytes()[entry.file_offset :][: np.prod(entry.shape) * np.dtype(entry.dtype).itemsize]
    found = np.frombuffer(data, entry.dtype).reshape(entry.shape)
    assert any(np.array_equal(found, one) for whole in tensors.values() for one in whole if one.shape == entry.shape)
    assert hashlib.sha256(data).hexdigest() == entry.sha256
    return found


@pytest.mark.parametrize("name", ["xray", "scan"])
def test_an_item_has_the_bytes_of_the_file_the_labels_and_the_persons_row(folder, data, name):
    images = data.train.images(name, metatensor=False)
    frame = data.train.frame()
    assert 0 < len(images) < len(data.train)  # some have none
    for number, entry in enumerate(images.entries[:5]):
        item = images[number]
        expected = stored(folder, entry) * entry.rescale_slope + entry.rescale_intercept
        assert item["image"].shape == (1, *entry.shape) and item["image"].dtype == torch.float32
        assert np.array_equal(item["image"][0].numpy(), expected.astype(np.float32))
        assert item["row"] == pytest.approx(frame.loc[entry.person_id].to_dict(), nan_ok=True)
        assert item["meta"]["person_id"] == entry.person_id
        assert ("label" in item) == (name == "scan")
        if name == "scan":
            label = item["label"]
            assert label.dtype == torch.uint8 and label.shape == item["image"].shape
            assert hashlib.sha256(label.numpy().tobytes()).hexdigest() == entry.label_sha256
            assert set(np.unique(label)) <= {0, 1, 2} and label.any()


def test_parts_have_the_images_of_their_own_people_alone(data):
    everybody = [data.train, data.validation, data.test]
    ids = [{one.image_id for one in part.images("xray").entries} for part in everybody]
    assert all(ids) and sum(map(len, ids)) == len(set.union(*ids)) == 36
    for part in everybody:
        assert {one.person_id for one in part.images("xray").entries} <= set(part.frame().index)
        assert part.sql("SELECT count(*) AS n FROM images WHERE split <> ?", [part.part]).n[0] == 0


def test_without_a_size_shapes_differ_and_a_batch_says_so(data):
    scans = data.train.images("scan")
    assert len({one.shape for one in scans.entries}) == 3
    with pytest.raises(FlipError, match="not all of one shape") as refused:
        next(scans.batches(4))
    assert refused.value.code == "mixed-shapes"


def test_batches_hold_what_items_hold(data):
    images = data.train.images("xray", metatensor=False)
    generator = torch.Generator().manual_seed(3)
    seen = []
    for batch in images.batches(5, shuffle=True, generator=generator):
        seen += batch["meta"]["image_id"].tolist()
        for place, image_id in enumerate(batch["meta"]["image_id"].tolist()):
            number = next(n for n, one in enumerate(images.entries) if one.image_id == image_id)
            item = images[number]
            assert torch.equal(batch["image"][place], item["image"])
            assert {name: float(v[place]) for name, v in batch["row"].items()} == item["row"]
    assert sorted(seen) == [one.image_id for one in images.entries]
    assert seen != sorted(seen)
    assert [len(b["image"]) for b in images.batches(5, drop_last=True)] == [5] * (len(images) // 5)


def test_writing_into_a_tensor_changes_nothing_of_the_cohort(folder, data):
    """A large image is mapped without a copy; the file can't be written to, and nobody dies of trying."""
    images = data.train.images("large", values="stored", metatensor=False)
    before = images.entries[0].file.read_bytes()
    first = images[0]["image"]
    assert first.dtype == torch.uint16 and first.shape == (1, 96, 96, 80)
    first[:] = 7
    again = images[0]["image"]
    assert not torch.equal(again.to(torch.int32), first.to(torch.int32))
    assert images.entries[0].file.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_loader_with_processes_gives_the_same_batches(data, start):
    images = data.train.images("large", metatensor=False)
    alone = [batch["image"].sum() for batch in DataLoader(images, batch_size=4)]
    context = multiprocessing.get_context(start)
    loader = DataLoader(images, batch_size=4, num_workers=2, multiprocessing_context=context)
    assert [batch["image"].sum() for batch in loader] == alone
    (batch, *_) = DataLoader(images, batch_size=4)
    assert set(batch["row"]) == {"age", "bp"} and batch["meta"]["affine"].shape == (4, 4, 4)
    assert pickle.loads(pickle.dumps(images))[0]["image"].equal(images[0]["image"])


@pytest.mark.slow
def test_with_monai_images_know_their_place(data):
    from monai.data import MetaTensor
    from monai.transforms import Compose, RandSpatialCropd, ScaleIntensityd, Spacingd

    item = data.train.images("scan")[0]
    assert isinstance(item["image"], MetaTensor) and isinstance(item["label"], MetaTensor)
    assert torch.equal(item["image"].affine, item["meta"]["affine"])
    assert item["image"].pixdim.tolist() == [1.0, 1.5, 3.0]
    both = ("image", "label")
    steps = [
        Spacingd(both, pixdim=(2.0, 1.5, 3.0), mode=("bilinear", "nearest")),
        RandSpatialCropd(both, (8, 8, 8), random_size=False),
        ScaleIntensityd("image"),
    ]
    made = data.train.images("scan", Compose(steps))[0]
    assert made["image"].shape == made["label"].shape == (1, 8, 8, 8)


def test_a_transform_gets_the_dictionary(data):
    images = data.train.images("xray", lambda item: (item["image"].mean(), item["row"]["age"]), metatensor=False)
    mean, age = images[0]
    assert mean > 0 and 30 <= age <= 40


def test_a_set_that_is_not_there_is_named(data):
    with pytest.raises(FlipError, match="it has xray, scan, large"):
        data.train.images("ct")


@given(
    size=st.none() | st.tuples(*[st.integers(4, 20)] * 3),
    labels=st.integers(0, 3),
    people=st.integers(1, 25),
    seed=st.integers(0, 5),
)
@settings(max_examples=15, deadline=None)
def test_any_twin_is_whole_and_the_same_again(tmp_path_factory, size, labels, people, seed):
    segments = tuple(Segment(name=f"s{n}", label=f"S{n}") for n in range(labels))
    images = ImageSet(name="s", modalities=("MR",), dimensions=3, window=WINDOW, size=size, labels=segments)
    dataset = Dataset(variables=(AGE,), images=(images,))
    found = []
    for _ in range(2):
        place = tmp_path_factory.mktemp("twin") / "cohort"
        make(dataset, SPLIT, place, people=people, seed=seed)
        found.append((place / "images-s.safetensors").read_bytes())
        made = Data(place)
        for part in (made.train, made.validation, made.test):
            items = part.images("s", metatensor=False)
            for number in range(min(2, len(items))):
                item = items[number]
                assert size is None or item["image"].shape == (1, *size)
                assert ("label" in item) == (labels > 0)
    assert found[0] == found[1]


def test_a_large_twin_shares_its_bytes(tmp_path):
    big = ImageSet(name="big", modalities=("CT",), dimensions=3, window=WINDOW, size=(256, 256, 128))
    make(Dataset(variables=(AGE,), images=(big,)), SPLIT, tmp_path / "c", people=30)
    assert (tmp_path / "c" / "images-big.safetensors").stat().st_size < 160 << 20
    assert len(Data(tmp_path / "c").train.images("big")) > 10


def test_a_cohort_without_images_has_no_table_of_them(tmp_path):
    make(Dataset(variables=(AGE,)), SPLIT, tmp_path / "c", people=3)
    assert "images" not in Data(tmp_path / "c").sql("SELECT view_name FROM duckdb_views()").view_name.tolist()
