"""Frozen images inside a real sandbox: mapped, batched, through processes of a DataLoader; nothing can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from drive_runner import drive, order

from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageSet, Segment
from flipnb.contracts.window import Window
from flipnb.twin import make

pytestmark = pytest.mark.timeout(200)

SOURCE = """
import flipnb as flip, torch
from torch.utils.data import DataLoader
data = flip.data()
scans = data.train.images("scan", metatensor=False)
loader = DataLoader(scans, batch_size=4, num_workers=1)
print(sum(len(batch["image"]) for batch in loader) == len(scans) > 0)
(whole, *_) = data.train.images("scan").batches(4)
print(tuple(whole["image"].shape), sorted(whole["label"].unique().tolist()))
stored = data.train.images("scan", values="stored", metatensor=False)[0]["image"]
stored[:] = 0
print(bool(data.train.images("scan", metatensor=False)[0]["image"].any()))
file = scans.entries[0].file
try:
    open(file, "r+b")
except OSError as error:
    print(type(error).__name__)
try:
    data.sql(f"SELECT * FROM read_blob('{file}')")
except Exception as error:
    print(error.code)
"""


def test_images_inside(tmp_path: Path) -> None:
    window = Window(start_days=-7, end_days=0)
    scan = ImageSet(
        name="scan", modalities=("CT",), dimensions=3, window=window, size=(128, 96, 64),
        labels=(Segment(name="a", label="A"), Segment(name="b", label="B")),
    )  # fmt: skip
    dataset = Dataset(variables=(Variable(name="age", source="age"),), images=(scan,))
    cohort = tmp_path / "cohort"
    make(dataset, Split(seed=1, shares=Shares(train=3, test=1)), cohort, people=24)
    for place in (*cohort.iterdir(), cohort, *cohort.parents[:3]):
        place.chmod(0o755)
    limits = {"memory_bytes": 3 << 30, "shm_bytes": 256 << 20}
    (outcome,) = drive(order("x = 1", SOURCE, cohort=cohort, limits=limits))
    assert outcome.verdict.outcome == "finished", (outcome.verdict, outcome.text())
    expected = ["True", "(4, 1, 128, 96, 64) [0, 1, 2]", "True", "PermissionError", "bad-sql"]
    assert [line for line in outcome.text().splitlines() if line] == expected
