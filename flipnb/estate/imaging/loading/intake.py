"""Every file of a source through release into the archive: each read once, each accounted for."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.document import sha256
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.identities import IdentityMap
from flipnb.estate.imaging.archive import Archive
from flipnb.estate.imaging.batch.pool import Pool, Task
from flipnb.estate.imaging.batch.sources import Item, items
from flipnb.estate.imaging.deidentify import Keys, Policy
from flipnb.estate.imaging.folder import ENGINE, read_key
from flipnb.estate.imaging.loading.catalogue import Catalogue, Given, Released
from flipnb.estate.imaging.loading.child import MODULE
from flipnb.estate.imaging.loading.days import day_of
from flipnb.estate.imaging.loading.headers import Header
from flipnb.estate.imaging.loading.held import HeldBack
from flipnb.estate.imaging.quarantine import Decided

WANTED = "wanted.csv"
"""A file of the source that says how many images were asked for; it is no image."""
_BATCH = 128
_NO_IMAGES = ("DICOMDIR", WANTED)


@dataclass(frozen=True)
class Refusal:
    """A file of which not even the header could be read."""

    name: str
    reason: str


@dataclass(frozen=True)
class Taken:
    """What a source held: the SHA-256 of its files, its studies' original UIDs, and files that could not be read.

    ``ignored`` are files that are no images, by their names.
    """

    given: frozenset[str]
    studies: tuple[str, ...]
    refused: tuple[Refusal, ...]
    ignored: tuple[str, ...]


class Intake:
    """Into one estate's archive, by one policy. Used by one load at a time, which holds the estate's lock."""

    def __init__(self, estate: Path, policy: Policy, *, workers: int | None = None) -> None:
        self._policy = policy
        self._workers = workers or os.cpu_count() or 1
        self._images = estate / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        self._images.chmod(0o755)
        self._secret = read_key(self._images / "key", make=True)
        self._archive = Archive(estate)
        self._held = HeldBack.of(self._images)
        self._keys = Keys(self._secret)
        self.catalogue = Catalogue(self._images / "intake.db")
        self._decisions: dict[str, Decided] = {}

    def close(self) -> None:
        """Close the catalogue."""
        self.catalogue.close()

    def uid(self, original: str) -> str:
        """The UID in place of an original one."""
        return original if self._policy.uids == "keep" else self._keys.uid(original.encode()).decode()

    def take(self, source: Path | None, people: IdentityMap, system: str | None, progress: Progress) -> Taken:
        """Read a file, a folder or a zip, and what a controller has decided of since; that alone without a ``source``.

        ``system`` is whose numbers PatientIDs are, else what headers say.
        Raises FlipError ``no-such-source``, ``bad-zip``, ``disk-full``.
        """
        self._archive.sweep()
        self._decisions = self._held.decisions()
        work = self._images / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        found = [] if source is None else [_named(item) for item in items(source.absolute())]
        ignored = [item.name for item in found if Path(item.name).name in _NO_IMAGES]
        wanted = [item for item in found if Path(item.name).name not in _NO_IMAGES]
        pool = Pool(self._policy, self._secret, workers=max(1, min(self._workers, len(wanted))), module=MODULE)
        try:
            read, refused = self._headers(pool, wanted, system, work, progress)
            read += self._decided({header.sha256 for _, header in read})
            self._release(pool, read, people, work, progress)
        finally:
            pool.close()
            shutil.rmtree(work, ignore_errors=True)
        given = frozenset(header.sha256 for _, header in read)
        return Taken(given, tuple(sorted({header.study for _, header in read})), tuple(refused), tuple(ignored))

    def carry_out(self) -> None:
        """What was decided and taken is in the estate now: the originals go."""
        self._held.carry_out(self.catalogue.settled(self._decisions))

    def _decided(self, given: set[str]) -> list[tuple[Item, Header]]:
        """Files of earlier loads that a controller has decided of since."""
        names = {sha: name for sha, name in self.catalogue.names(self._decisions).items() if sha not in given}
        headers = self.catalogue.headers(names)
        return [(item, headers[item.path.stem]) for item in self._held.items(names)]

    def _headers(
        self, pool: Pool, wanted: list[Item], system: str | None, work: Path, progress: Progress
    ) -> tuple[list[tuple[Item, Header]], list[Refusal]]:
        """By name: what the headers say, and the files without one that can be used."""
        refused = [Refusal(item.name, item.refused) for item in wanted if item.refused]
        tasks = (
            Task(item, work / f"h{number}.dcm", {"ask": "header"})
            for number, item in enumerate(wanted)
            if not item.refused
        )
        read: list[tuple[Item, Header]] = []
        for task, answer in pool.run(tasks):
            if answer["state"] != "read":
                _require_room(answer)
                refused.append(Refusal(task.item.name, str(answer["reason"])))
            else:
                header = Header(**answer["header"])
                header = header if system is None else replace(header, issuer=system)
                missing = [name for name in ("study", "series", "sop") if not getattr(header, name)]
                if missing:
                    refused.append(Refusal(task.item.name, f"its header has no UID of its {missing[0]}"))
                else:
                    read.append((task.item, header))
            _tell(progress, "headers", len(read) + len(refused))
        read.sort(key=lambda one: one[0].name)
        return read, sorted(refused, key=lambda one: one.name)

    def _release(
        self,
        pool: Pool,
        read: list[tuple[Item, Header]],
        people: IdentityMap,
        work: Path,
        progress: Progress,
    ) -> None:
        """What was not released before by the same recipe; batch by batch into the archive and the catalogue."""
        headers: dict[str, tuple[Header, str]] = {}
        known: list[tuple[str, str, Header]] = []
        tasks: list[Task] = []
        for item, header in read:
            if header.sha256 in headers:
                continue
            person = _person(header, people)
            decided = self._decisions.get(header.sha256)
            recipe = self._recipe(person, decided)
            headers[header.sha256] = (header, recipe)
            if self.catalogue.find(header.sha256, recipe) is not None:
                known.append((item.name, recipe, header))
            elif decided is not None and decided.decision == "refuse":
                given = Given(item.name, header, Released("refused", "a controller refused it"))
                self.catalogue.keep([(recipe, given)])
            else:
                output = work / f"{header.sha256}.dcm"
                order: dict[str, Any] = {
                    "ask": "release",
                    "person": person,
                    "sha256": header.sha256,
                    "decision": "",
                    "boxes": (),
                }
                if decided is not None:
                    order |= {"decision": decided.decision, "boxes": decided.boxes}
                tasks.append(Task(item, output, order))
        self.catalogue.choose(known)
        done = len(known)
        for batch in _batches(pool.run(tasks)):
            self._keep(batch, headers)
            done += len(batch)
            progress("de-identified", done)

    def _keep(self, batch: list[tuple[Task, dict[str, Any]]], headers: dict[str, tuple[Header, str]]) -> None:
        released = [task.output for task, answer in batch if answer["state"] == "released"]
        try:
            names = dict(zip(released, self._archive.add_all(released), strict=True))
        except OSError as error:
            if is_full(error):
                raise disk_full("the estate's") from error
            raise
        kept = []
        for task, said in batch:
            header, recipe = headers[task.more["sha256"]]
            answer = said
            if said["state"] == "failed":
                _require_room(said)
                # Kept under no recipe that is asked for: the next load tries it again.
                answer, recipe = {"state": "refused", "reason": f"it can't be read: {said['reason']}"}, "failed"
            outcome = Released(
                answer["state"],
                str(answer["reason"]),
                names.get(task.output, ""),
                task.output.stat().st_size if task.output in names else 0,
                answer.get("facts") or {},
                answer.get("features") or {},
            )
            if outcome.state == "quarantined":
                self._held.hold(task.item, answer, task.output.with_suffix(".original"))
            kept.append((recipe, Given(task.item.name, header, outcome)))
        self._write(kept)
        for task, _ in batch:
            for left in task.output.parent.glob(f"{task.output.stem}.*"):
                left.unlink()

    def _write(self, kept: list[tuple[str, Given]]) -> None:
        try:
            self.catalogue.keep(kept)
        except sqlite3.OperationalError as error:
            if is_full(error):
                raise disk_full("the estate's") from error
            raise

    def _recipe(self, person: str, decided: Decided | None) -> str:
        """What decides on the bytes that come of a file, beside the file itself."""
        key = sha256(b"flip/image-key\0" + self._secret)
        decision = None if decided is None else [decided.decision, decided.boxes]
        return sha256(json.dumps([ENGINE, self._policy.model_dump(mode="json"), key, person, decision]).encode())


def _named(item: Item) -> Item:
    """An item under a name that can be shown and stored, whatever bytes its name is of."""
    shown = (one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in item.name)
    return replace(item, name="".join(shown))


def _require_room(answer: dict[str, Any]) -> None:
    """Raises FlipError ``disk-full`` where that is why a file could not be worked on."""
    if is_full(OSError(answer.get("errno") or 0, answer["reason"])):
        raise disk_full("the estate's")


def _person(header: Header, people: IdentityMap) -> str:
    """Who stands for the person in the file: the one of the estate, else empty: the file's own number does."""
    found = people.lookup(header.issuer or None, header.number, day_of(header.day)).person
    return "" if found is None else people.name(found)


def _batches(answers: Iterable[tuple[Task, dict[str, Any]]]) -> Iterator[list[tuple[Task, dict[str, Any]]]]:
    batch: list[tuple[Task, dict[str, Any]]] = []
    for one in answers:
        batch.append(one)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _tell(progress: Progress, stage: str, done: int) -> None:
    if done % 1000 == 0:
        progress(stage, done)
