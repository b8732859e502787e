"""A run's frozen cohort: a folder of the agent's own, whole or not there, whatever the worker made and left."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from enclave_federation import PEOPLE, fill_estate
from enclave_scenario import ESTATE, Study

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.images import ImageCount
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TrustReport
from flipnb.enclave.estate_worker.__main__ import Worker
from flipnb.enclave.estate_worker.order import Freeze, FrozenFacts
from flipnb.enclave.runs.cohort import RunCohort
from flipnb.enclave.runs.directory import COHORT, clear
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun
from flipnb.estate.versions import Bounds
from flipnb.records import Records

RUN = "a" * 32
DIED = FlipError("estate-worker-died", "The estate worker gave no answer.", status=503)


class Freezing:
    """The estate worker's freezing, in this process; ``after`` may spoil what was made, or fail."""

    def __init__(self, estate: Path, frozen: Path, after: list[Callable[[Path], None]]) -> None:
        self._worker, self._frozen, self._after = (
            Worker(estate, frozen, Bounds("256MB", frozen / ".spill")),
            frozen,
            after,
        )

    images: tuple[ImageCount, ...] = ()

    async def freeze(self, version: str, bundle: Bundle, key: bytes, name: str) -> FrozenFacts:
        asked = Freeze(
            version=version, cohort=bundle.cohort, dataset=bundle.dataset, split=bundle.split, key=key.hex(), name=name
        )
        found = self._worker.answer(asked).frozen
        assert found is not None
        if self._after:
            self._after.pop(0)(self._frozen / name)
        return found.model_copy(update={"images": self.images})


class Scene:
    def __init__(self, directory: Path) -> None:
        self.frozen, self.run = directory / "frozen", directory / "run"
        for place in (self.frozen, self.run):
            place.mkdir()
        self.version = fill_estate(directory / "estate")
        self.after: list[Callable[[Path], None]] = []
        self.worker = Freezing(directory / "estate", self.frozen, self.after)
        self.store = Store(directory / "state.sqlite")
        self.bundle = Study().bundle()
        self.policy = Policy(minimum_train=1)
        self.store.runs.add(RUN, bundle=self.bundle.digest(), study="heart", title="t", point={})

    @property
    def stored(self) -> StoredRun:
        stored = self.store.runs.get(RUN)
        assert stored is not None
        return replace(stored, estate_version=self.version)

    def freeze(self) -> FrozenFacts:
        here: Any = SimpleNamespace(frozen=self.frozen, study_key=lambda study: b"k" * 32)
        worker: Any = self.worker
        cohort = RunCohort(here, self.store, worker, self.stored, self.bundle, self.policy, self.run / COHORT)
        return asyncio.run(cohort.frozen())

    def refused(self) -> FlipError:
        with pytest.raises(FlipError) as caught:
            self.freeze()
        assert not (self.run / COHORT).exists()
        assert self.stored.frozen is None
        return caught.value


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.store.close()


def everybody(folder: Path) -> int:
    return len(Records(folder).sql("SELECT person_id FROM person"))


def test_a_folder_of_the_agents_own(scene: Scene) -> None:
    facts = scene.freeze()
    folder = scene.run / COHORT
    assert everybody(folder) == facts.train + facts.validation + facts.test == PEOPLE
    assert [path.name for path in folder.iterdir()] == [DATABASE]
    for path in (folder, folder / DATABASE):
        assert path.stat().st_uid == os.geteuid()
        assert path.stat().st_mode & 0o077 == 0
    assert list(scene.frozen.iterdir()) == []
    assert scene.freeze() == facts


def test_what_was_left_half_made_is_made_anew(scene: Scene) -> None:
    """A worker that was killed, and an agent that was killed before it kept what it had."""
    for half in (
        scene.frozen / f"{RUN}.partial",
        scene.frozen / RUN,
        scene.run / f"{COHORT}.partial",
        scene.run / COHORT,
    ):
        half.mkdir()
        (half / DATABASE).write_bytes(b"half")

    def die(made: Path) -> None:
        made.rename(made.with_name(made.name + ".partial"))
        raise DIED

    scene.after += [die, die]
    scene.freeze()
    assert everybody(scene.run / COHORT) == PEOPLE
    assert [path.name for path in scene.run.iterdir()] == [COHORT]
    assert list(scene.frozen.iterdir()) == []


def test_whose_images_are_too_few_is_refused_and_says_so(scene: Scene) -> None:
    """Ten people train on a table; a model of images would have learned from the one of them who has an image."""
    scene.policy = Policy(minimum_train=10)
    images = (ImageCount(name="xray", found=3, frozen=1, people=1, train=1),)
    scene.worker.images = images
    refused = scene.refused()
    assert refused.code == "too-few-people" and "have images xray" in refused.message
    scene.policy = Policy(minimum_train=1)
    assert scene.freeze().images == images
    outgoing = scene.store.outbox.next()
    assert outgoing is not None and TrustReport.model_validate_json(outgoing.body).images == {"xray": "few"}


def test_a_worker_that_always_dies_leaves_nothing(scene: Scene) -> None:
    def die(made: Path) -> None:
        raise DIED

    scene.after += [die, die, die]
    assert scene.refused().code == "freeze-failed"
    assert list(scene.frozen.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    ["a link for the folder", "a link in the folder", "another file's second name", "a pipe", "a folder in the folder"],
)
def test_a_worker_that_turned_reaches_no_other_file(scene: Scene, tmp_path: Path, spoil: str) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "key").write_text("key")
    (treasure / "key").chmod(0o640)
    before = (treasure / "key").stat()

    def turn(made: Path) -> None:
        if spoil == "a link for the folder":
            made.rename(made.with_name("away"))
            made.symlink_to(treasure)
        elif spoil == "a link in the folder":
            (made / "images.safetensors").symlink_to(treasure / "key")
        elif spoil == "another file's second name":
            (made / "images.safetensors").hardlink_to(treasure / "key")
        elif spoil == "a pipe":
            os.mkfifo(made / "images.safetensors")
        else:
            (made / "more").mkdir()

    scene.after.append(turn)
    assert scene.refused().code == "freeze-failed"
    clear(scene.run)
    after = (treasure / "key").stat()
    assert (after.st_mode, after.st_uid, after.st_nlink) == (before.st_mode, before.st_uid, 1)
    assert list(scene.run.iterdir()) == []


def test_a_run_whose_cohort_was_frozen_as_a_file_goes_on(scene: Scene) -> None:
    facts = scene.freeze()
    file = scene.run / DATABASE
    (scene.run / COHORT / DATABASE).rename(file)
    (scene.run / COHORT).rmdir()
    assert scene.freeze() == facts
    assert everybody(scene.run / COHORT) == PEOPLE
    assert [path.name for path in scene.run.iterdir()] == [COHORT]


def test_nothing_of_people_is_left_when_a_run_is_over(scene: Scene) -> None:
    scene.freeze()
    for name in ("executed.ipynb", "runner.log", "state-1.bin", ".executed-x", "update-2.partial", DATABASE):
        (scene.run / name).write_text(name)
    clear(scene.run)
    assert sorted(path.name for path in scene.run.iterdir()) == ["executed.ipynb", "runner.log"]


def test_what_cannot_be_removed_is_logged_and_hinders_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as name:
        run = Path(name)
        run.chmod(0o777)
        (run / COHORT).mkdir(mode=0o755)
        for left in (run / COHORT / DATABASE, run / "state-1.bin"):
            left.write_text("somebody")
        if os.geteuid() == 0:
            os.seteuid(65534)
        else:
            (run / COHORT).chmod(0o500)
        try:
            clear(run)
        finally:
            os.seteuid(os.getuid())
            (run / COHORT).chmod(0o755)
        assert [path.name for path in run.iterdir()] == [COHORT]
        assert f"{run / COHORT}, which a run left, can't be removed" in caplog.text
        clear(run)
        assert list(run.iterdir()) == []


def test_the_version_is_the_one_that_was_approved(scene: Scene) -> None:
    scene.version = ESTATE
    assert scene.refused().code == "freeze-failed"
