"""The cohort of one run, frozen by the estate worker into a folder of the run's own directory."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts import disk
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.order import FrozenFacts
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.runs.directory import remove
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun
from flipnb.files.whole import PARTIAL, publish

_LOG = logging.getLogger("flipnb.enclave.runs.run")
_FREEZES = 3


@dataclass(frozen=True)
class RunCohort:
    """``target`` is where the frozen cohort is to be; a run in whose cohort fewer people than ``policy`` demands would
    train, or have an image of a set to train on, is refused."""

    directory: EnclaveDirectory
    store: Store
    worker: EstateWorker
    stored: StoredRun
    bundle: Bundle
    policy: Policy
    target: Path

    async def frozen(self) -> FrozenFacts:
        """Freeze it, unless that was done before.

        Raises FlipError ``too-few-people``, ``freeze-failed``: no number and no word of the estate's leaves.
        """
        self._fold()
        if self.stored.frozen is not None and self.target.exists():
            return FrozenFacts.model_validate(self.stored.frozen)
        run = self.stored.run
        made = self.directory.frozen / run
        try:
            self._sweep()
            facts = await self._freeze(made)
            self._require_enough(facts)
            self._take(made)
        except FlipError as error:
            if error.code in ("too-few-people", disk.CODE):
                raise
            _LOG.warning("run %s: the cohort could not be frozen: %s", run, error)
            raise FlipError("freeze-failed", f"This Trust could not freeze the cohort ({error.code}).") from None
        finally:
            self._sweep()
        threshold = self.policy.counts.threshold
        shares = {one.name: one.share(threshold) for one in facts.images}
        self.store.runs.set_frozen(run, facts.model_dump(mode="json"), shares)
        return facts

    def _require_enough(self, facts: FrozenFacts) -> None:
        """A model that learns from images learns from those people alone who have one."""
        least = self.policy.minimum_train
        if facts.train < least:
            raise FlipError(
                "too-few-people", "The cohort has fewer people in train here than this Trust's policy demands."
            )
        few = [one for one in facts.images if one.train is not None and one.train < least]
        for one in few:
            _LOG.warning("run %s: too few people in train have %s", self.stored.run, one.words)
        if few:
            raise FlipError(
                "too-few-people",
                f"Fewer people in train have images {few[0].name} here than this Trust's policy demands people in "
                "train.",
            )

    async def _freeze(self, made: Path) -> FrozenFacts:
        """A worker that dies over it is started anew by its next question, and asked again."""
        version = self.stored.estate_version
        assert version is not None
        key = self.directory.study_key(self.bundle.study)
        for _ in range(_FREEZES - 1):
            try:
                return await self.worker.freeze(version, self.bundle, key, made.name)
            except FlipError as error:
                if error.code != "estate-worker-died":
                    raise
                _LOG.warning("run %s: the estate worker died while freezing; it is asked again", self.stored.run)
                self._sweep()
        return await self.worker.freeze(version, self.bundle, key, made.name)

    def _sweep(self) -> None:
        """Leave nothing of the run where the worker writes."""
        for left in self.directory.frozen.glob(f"{self.stored.run}*"):
            remove(left)

    def _take(self, made: Path) -> None:
        """Move what the worker made to where it can change nothing of it any more; its name comes last."""
        partial = self._partial()
        remove(self.target)
        made.rename(partial)
        with _held(partial, stat.S_IFDIR) as folder:
            _own(folder, 0o700)
            for file in partial.iterdir():
                with _held(file.name, stat.S_IFREG, within=folder) as held:
                    _own(held, 0o400)
        publish(partial, self.target)

    def _fold(self) -> None:
        """Earlier agents froze a cohort into a file: a run that one of them began goes on from a folder with that."""
        file = self.target.with_name(DATABASE)
        if file.exists() and not self.target.exists():
            partial = self._partial()
            partial.mkdir(mode=0o700)
            os.link(file, partial / DATABASE)
            publish(partial, self.target)
            file.unlink()

    def _partial(self) -> Path:
        partial = self.target.with_name(self.target.name + PARTIAL)
        remove(partial)
        return partial


@contextmanager
def _held(path: Path | str, kind: int, *, within: int | None = None) -> Iterator[int]:
    """What the worker made, open: whatever it puts in its place meanwhile is not what is looked at, or changed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
    except OSError as error:
        raise _no_folder_of_files() from error
    try:
        found = os.fstat(handle)
        if stat.S_IFMT(found.st_mode) != kind or (kind == stat.S_IFREG and found.st_nlink != 1):
            raise _no_folder_of_files()
        yield handle
    finally:
        os.close(handle)


def _no_folder_of_files() -> FlipError:
    return FlipError("estate-worker-died", "The estate worker made no folder of files.", status=503)


def _own(handle: int, mode: int) -> None:
    """Make the agent the owner of what an unprivileged worker has made."""
    if os.geteuid() == 0:
        os.fchown(handle, 0, 0)
    os.fchmod(handle, mode)
