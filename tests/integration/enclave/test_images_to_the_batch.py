"""From files in an estate's archive, through a real estate worker's jailed decoders, to a torch DataLoader."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from enclave_scenario import Study
from image_estate import COHORT, INDEX, Scan, estate_of
from image_phantoms import SERIES, Series, picture, value_at, with_pixels, written

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageCount, ImageSet, Segment
from flipnb.contracts.window import Window
from flipnb.enclave.estate_worker.order import FrozenFacts
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.sandbox.uids import estate_worker_uid
from flipnb.session.data import Data

WINDOW = Window(start_days=-30, end_days=0)
CT = ImageSet(name="ct", modalities=("CT",), dimensions=3, window=WINDOW)
LIVER = ImageSet(
    name="liver", modalities=("CT",), dimensions=3, window=WINDOW, spacing=(2.0, 2.0, 3.0), size=(12, 16, 8),
    labels=(Segment(name="liver", label="Liver"), Segment(name="tumour", label="Tumor")),
)  # fmt: skip
XRAY = ImageSet(name="xray", modalities=("CR",), dimensions=2, window=WINDOW, size=(16, 12))
DATASET = Dataset(variables=(Variable(name="age", source="age"),), images=(CT, LIVER, XRAY))
SPLIT = Split(seed=1, shares=Shares(train=1))
PEOPLE = range(1, 13)


def mask(slices: slice, rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((9, 23, 17), dtype=bool)
    made[slices, rows, columns] = True
    return made


LIVER_MASK = mask(slice(1, 5), slice(2, 9), slice(3, 12))
TUMOUR_MASK = mask(slice(6, 8), slice(12, 20), slice(1, 6))


def scans() -> list[Scan]:
    """One person each: whole series on several planes, traps, and radiographs."""
    axial, coronal, missing, twice, broken = (
        Series(), SERIES["coronal"].with_(study_uid="2.25.9", series_uid="2.25.8"), Series(), Series(), Series(),
    )  # fmt: skip
    cut = broken.files()
    cut[4] = cut[4][:-700]
    xray = np.arange(31 * 45, dtype=np.uint16).reshape(31, 45)
    inverted = picture(xray)
    inverted.PhotometricInterpretation = "MONOCHROME1"
    later, early = Series(intercept=-1024), Series(intercept=-1000)
    return [
        Scan(1, axial.files(), [axial.segmentation({"Liver": LIVER_MASK, "Tumor": TUMOUR_MASK})]),
        Scan(2, [written(coronal.enhanced())]),
        Scan(3, missing.files()[:3] + missing.files()[4:]),
        Scan(4, twice.files() + twice.files()[2:3] + Series(series_uid=twice.series_uid).files()[2:3]),
        Scan(5, cut),
        Scan(6, [one[:-300] for one in Series().files()]),
        Scan(7, [written(picture(xray))]),
        Scan(8, [written(inverted)]),
        Scan(9, early.files(), day=INDEX - timedelta(20)),
        Scan(9, later.files(), day=INDEX - timedelta(2)),
        Scan(9, Series().files(), day=INDEX + timedelta(3)),
        Scan(10, Series().files(), day=INDEX - timedelta(31)),
        Scan(11, [written(with_pixels(picture(xray), np.stack([xray, xray])))]),
    ]


@dataclass
class Place:
    directory: Path
    version: str
    facts: dict[str, FrozenFacts] = field(default_factory=dict)

    def play(self, dataset: Dataset, name: str) -> Data:
        """Freeze by the real worker, as a run has it done."""
        bundle: Bundle = Study().bundle(cohort=COHORT, dataset=dataset, split=SPLIT)
        worker = EstateWorker(
            self.directory / "estate",
            self.directory / "frozen",
            memory="1GB",
            uid=estate_worker_uid(self.directory),
            log=self.directory / "worker.log",
        )

        async def scene() -> FrozenFacts:
            try:
                return await worker.freeze(self.version, bundle, b"k" * 32, name)
            finally:
                await worker.close()

        self.facts[name] = asyncio.run(scene())
        return Data(self.directory / "frozen" / name)

    def count(self, name: str, images: str) -> ImageCount:
        return next(one for one in self.facts[name].images if one.name == images)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("images")
    for folder in (directory, directory.parent):
        folder.chmod(0o755)
    estate = directory / "estate"
    estate.mkdir()
    made = Place(directory, estate_of(estate, PEOPLE, scans()))
    (estate / "plain").chmod(0o700)
    yield made


@pytest.fixture(scope="module")
def data(place: Place) -> Data:
    return place.play(DATASET, "a" * 32)


def reasons(count: ImageCount) -> dict[str, int]:
    return {one.reason: one.images for one in count.left_out}


def test_what_can_be_used_is_frozen_and_all_else_is_counted_by_reason(place: Place, data: Data) -> None:
    ct = place.count("a" * 32, "ct")
    # 1, 2 and the later one of 9; 10's lies before the window, 9's third after it.
    assert (ct.found, ct.frozen, ct.people) == (7, 3, 3)
    assert reasons(ct) == {"missing-slice": 1, "duplicate-position": 1, "unreadable": 2}
    liver = place.count("a" * 32, "liver")
    assert (liver.found, liver.frozen, reasons(liver)) == (7, 1, {"labels-missing": 6})
    xray = place.count("a" * 32, "xray")
    assert (xray.found, xray.frozen, reasons(xray)) == (3, 2, {"several-frames": 1})
    assert place.facts["a" * 32].train == len(PEOPLE) == len(data.train)


def test_every_voxel_reaches_the_batch_with_its_place(data: Data) -> None:
    images = data.train.images("ct", metatensor=False)
    assert len(images) == 3
    for item in images:
        affine = item["meta"]["affine"].numpy()
        shape = item["image"].shape[1:]
        index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
        expected = value_at(index @ affine[:3, :3].T + affine[:3, 3])
        assert np.abs(item["image"][0].numpy() - expected).max() <= 1


def test_of_several_studies_the_last_within_the_window_is_taken(data: Data) -> None:
    days = sorted(item["meta"]["day"] for item in data.train.images("ct", metatensor=False))
    assert days == [-2, 0, 0]


def test_labels_lie_where_they_were_drawn_on_the_resampled_grid(data: Data) -> None:
    (item,) = data.train.images("liver", metatensor=False)
    assert item["label"].shape == item["image"].shape == (1, 12, 16, 8)
    affine = item["meta"]["affine"].numpy()
    assert item["meta"]["spacing"].tolist() == [2.0, 2.0, 3.0]
    # Each voxel's place, and the mask's voxel there, by the phantom's own geometry (LPS, no turn).
    scan = Series()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (12, 16, 8)), indexing="ij"), axis=-1)
    lps = (index @ affine[:3, :3].T + affine[:3, 3]) * (-1, -1, 1)
    at = (lps - scan.origin) / (scan.spacing[0], scan.spacing[1], scan.step[2])
    near = np.floor(at + 0.5).astype(int)
    inside = ((near >= 0) & (near < (17, 23, 9))).all(axis=-1)
    drawn = LIVER_MASK * 1 + TUMOUR_MASK * 2
    expected = np.where(inside, drawn[tuple(np.clip(near, 0, (16, 22, 8))[..., axis] for axis in (2, 1, 0))], 0)
    edges = np.abs(at - near).max(axis=-1) > 0.499  # between two voxels either is right
    found = item["label"][0].numpy()
    assert set(np.unique(found)) == {0, 1, 2}
    assert np.array_equal(found[~edges], expected[~edges])


def test_a_radiograph_is_brighter_where_it_was_whatever_its_photometric_interpretation(data: Data) -> None:
    plain, inverted = sorted(data.train.images("xray", metatensor=False), key=lambda item: item["image"].mean())
    assert plain["image"].shape == (1, 16, 12)
    assert torch.allclose(plain["image"] + inverted["image"], torch.tensor(65535.0), atol=1.0)
    assert (plain["image"][0].diff(dim=0) > 0).all() and (plain["image"][0].diff(dim=1) > 0).all()


def test_a_loader_makes_batches_of_it(data: Data) -> None:
    loader = torch.utils.data.DataLoader(data.train.images("xray", metatensor=False), batch_size=2)
    (batch,) = loader
    assert batch["image"].shape == (2, 1, 16, 12) and batch["row"]["age"].shape == (2,)
    (whole,) = data.train.images("xray").batches(2)
    assert torch.equal(whole["image"], batch["image"])


def test_nothing_of_the_files_names_is_in_what_is_frozen(place: Place, data: Data) -> None:
    folder = place.directory / "frozen" / ("a" * 32)
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    for mark in (b"1.2.826.0.1", b"2.25.9", b"Phantom", b"DICM", b".dcm"):
        assert mark not in content
    assert {path.name for path in folder.iterdir()} == {
        "cohort.duckdb", "images-ct.safetensors", "images-liver.safetensors", "images-xray.safetensors",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_the_same_again_is_not_decoded_again(place: Place, data: Data) -> None:
    """The same pixels in the same form, for other people's key or another run: only what may pass is tried again."""
    kept = place.directory / "frozen" / ".images"
    before = {path: path.stat().st_ino for path in kept.glob("*/*.raw")}
    assert len(before) == 3 + 1 + 2
    began = time.process_time()
    again = place.play(DATASET, "b" * 32)
    assert time.process_time() - began < 60
    assert {path: path.stat().st_ino for path in kept.glob("*/*.raw")} == before
    for name in ("ct", "liver", "xray"):
        first = place.directory / "frozen" / ("a" * 32) / f"images-{name}.safetensors"
        assert first.read_bytes() == again.folder.joinpath(first.name).read_bytes()
    assert place.count("b" * 32, "ct") == place.count("a" * 32, "ct")


def test_facts_of_earlier_releases_are_still_read() -> None:
    old = {"train": 1, "validation": 0, "test": 0, "commitment": "a" * 64, "salt": "b" * 64}
    assert FrozenFacts.model_validate_json(json.dumps(old)).images == ()


def test_a_file_that_was_changed_or_lost_is_left_out(place: Place) -> None:
    scan = Series()
    estate = place.directory / "changed"
    estate.mkdir(mode=0o755)
    version = estate_of(
        estate, [1, 2, 3], [Scan(1, scan.files()), Scan(2, Series().files()), Scan(3, Series().files())]
    )
    objects = sorted((estate / "images" / "objects").glob("*/*"))
    of = {path: path.read_bytes() for path in objects}
    first = next(path for path, data in of.items() if data in scan.files() or str(scan.series_uid).encode() in data)
    first.chmod(0o644)
    first.write_bytes(first.read_bytes()[:-2] + b"\1\1")
    other = next(path for path, data in of.items() if str(scan.series_uid).encode() not in data)
    other.unlink()
    changed = Place(place.directory, version)
    changed.directory = place.directory / "other"
    changed.directory.mkdir(mode=0o755)
    os.rename(estate, changed.directory / "estate")
    changed.play(Dataset(variables=DATASET.variables, images=(CT,)), "c" * 32)
    count = changed.count("c" * 32, "ct")
    assert (count.found, count.frozen, reasons(count)) == (3, 1, {"damaged": 1, "missing-file": 1})
