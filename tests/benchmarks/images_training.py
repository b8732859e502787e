"""Images per second on the way into a model: frozen once, over reading DICOM in every epoch with MONAI's PydicomReader.

``TRAINING`` are parts of ``make bench NAME=images``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from image_estate import COHORT, Scan, estate_of
from image_phantoms import CT, Series, picture, with_pixels, written

from benchmarks.figures import Figures
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageSet
from flipnb.contracts.window import Window
from flipnb.estate.freezing import freeze
from flipnb.session.data import Data

PICTURES, PICTURE_SIDE, BATCH = 512, 64, 64
VOLUMES, VOLUME, PATCH = 4, (512, 512, 100), 96
REPEATS = 3
WINDOW = Window(start_days=-1, end_days=1)
AGE = Variable(name="age", source="age")


@dataclass(frozen=True)
class Scene:
    """The same images frozen, and as the files that they came from."""

    data: Data
    files: list[Path]


@contextmanager
def scene(images: ImageSet, scans: list[Scan]) -> Iterator[Scene]:
    """Each scan of a person of its own; a series' files lie in a folder of their own."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        files = []
        for scan in scans:
            folder = place / "dicom" / str(scan.person)
            folder.mkdir(parents=True)
            for number, content in enumerate(scan.files):
                (folder / f"{number}.dcm").write_bytes(content)
            files.append(folder if len(scan.files) > 1 else folder / "0.dcm")
        (place / "estate").mkdir()
        version = estate_of(place / "estate", [scan.person for scan in scans], scans)
        dataset = Dataset(variables=(AGE,), images=(images,))
        split = Split(seed=1, shares=Shares(train=1))
        expression = CohortExpression.parse(COHORT)
        frozen = freeze(place / "estate", version, expression, dataset, split, b"k" * 32, place / "frozen")
        assert frozen.images[0].frozen == len(scans)
        yield Scene(Data(place / "frozen"), files)


def pictures(figures: Figures) -> None:
    """Radiographs of 64 × 64, in shuffled batches as float32."""
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
    from torch.utils.data import DataLoader

    generator = np.random.default_rng(1)
    made = [
        picture(generator.integers(0, 4096, (PICTURE_SIDE, PICTURE_SIDE)).astype(np.uint16)) for _ in range(PICTURES)
    ]
    scans = [Scan(number, [written(one)]) for number, one in enumerate(made, start=1)]
    images = ImageSet(name="xray", modalities=("CR",), dimensions=2, window=WINDOW)
    with scene(images, scans) as found:
        frozen = found.data.train.images("xray")
        read = Compose([LoadImaged("image", reader="PydicomReader"), EnsureChannelFirstd("image")])
        loader = DataLoader(_Files(found.files, read), batch_size=BATCH, shuffle=True)
        ours = rates(lambda: (len(batch["image"]) for batch in frozen.batches(BATCH, shuffle=True)), least_s=1.0)
        rival = rates(lambda: (len(batch["image"]) for batch in loader))
        one = rates(
            lambda: (len(b["image"]) for b in DataLoader(found.data.train.images("xray", metatensor=False), BATCH))
        )
    figures.add("2D images into batches, frozen over DICOM", "images/s", ours, rival, "MONAI PydicomReader")
    figures.add("2D images through a DataLoader, frozen over DICOM", "images/s", one, rival, "MONAI PydicomReader")


def patches(figures: Figures) -> None:
    """A random patch of 96³ of each CT of 512 × 512 × 100, as float32."""
    from monai.transforms import Compose, EnsureChannelFirstd, EnsureTyped, LoadImaged, RandSpatialCropd

    scans = [Scan(number, volume_files(number)) for number in range(1, VOLUMES + 1)]
    images = ImageSet(name="ct", modalities=("CT",), dimensions=3, window=WINDOW)
    crop = [RandSpatialCropd("image", (PATCH,) * 3, random_size=False), EnsureTyped("image", dtype=np.float32)]
    with scene(images, scans) as found:
        frozen = found.data.train.images("ct", Compose(crop), values="stored", metatensor=False)
        read = Compose([LoadImaged("image", reader="PydicomReader"), EnsureChannelFirstd("image"), *crop])
        loaded = _Files(found.files, read)
        ours = rates(lambda: (int(frozen[n]["image"].shape[-1] == PATCH) for n in range(VOLUMES)), least_s=2.0)
        rival = rates(lambda: (int(loaded[n]["image"].shape[-1] == PATCH) for n in range(VOLUMES)))
    figures.add("3D patches 96³, frozen over DICOM", "patches/s", ours, rival, "MONAI PydicomReader")


def volume_files(number: int) -> list[bytes]:
    """A CT's slices, of noise."""
    generator = np.random.default_rng(number)
    series = Series(columns=8, rows=8, slices=VOLUME[2], sop_class=CT)
    pixels = generator.integers(0, 4096, VOLUME[::-1]).astype(np.uint16)
    return [written(with_pixels(one, slice_)) for one, slice_ in zip(series.datasets(), pixels, strict=True)]


def rates(epoch: Callable[[], Iterator[int]], least_s: float = 0.0) -> list[float]:
    """Images per second of so many repeats, each of whole epochs."""
    sum(epoch())  # the first is what imports and opens
    found = []
    for _ in range(REPEATS):
        began, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - began < least_s:
            count += sum(epoch())
        found.append(count / (time.perf_counter() - began))
    return found


class _Files:
    """The rival's dataset: files, read anew whenever they are asked for."""

    def __init__(self, files: list[Path], transform: Callable[[dict[str, Any]], Any]) -> None:
        self._files, self._transform = files, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Any:
        return self._transform({"image": str(self._files[index])})


TRAINING: dict[str, Callable[[Figures], None]] = {"pictures": pictures, "patches": patches}
