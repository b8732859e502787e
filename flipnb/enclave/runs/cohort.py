"""The cohort of one run, frozen by the estate worker into the run's own directory."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts import disk
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.problem import FlipError
from flipnb.enclave.estate_worker.order import FrozenFacts
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun

_LOG = logging.getLogger("flipnb.enclave.runs.run")
_FREEZES = 3


@dataclass(frozen=True)
class RunCohort:
    """``target`` is where the frozen file is to be; a run in whose cohort fewer than ``minimum_train`` people would
    train is refused."""

    directory: EnclaveDirectory
    store: Store
    worker: EstateWorker
    stored: StoredRun
    bundle: Bundle
    minimum_train: int
    target: Path

    async def frozen(self) -> FrozenFacts:
        """Freeze it, unless that was done before.

        Raises FlipError ``too-few-people``, ``freeze-failed``: no number and no word of the estate's leaves.
        """
        if self.stored.frozen is not None and self.target.exists():
            return FrozenFacts.model_validate(self.stored.frozen)
        run = self.stored.run
        made = self.directory.frozen / f"{run}.duckdb"
        try:
            made.unlink(missing_ok=True)
            facts = await self._freeze(made)
            if facts.train < self.minimum_train:
                raise FlipError(
                    "too-few-people", "The cohort has fewer people in train here than this Trust's policy demands."
                )
            if os.geteuid() == 0:
                os.chown(made, 0, 0)
            made.chmod(0o400)
            made.replace(self.target)
        except FlipError as error:
            if error.code in ("too-few-people", disk.CODE):
                raise
            _LOG.warning("run %s: the cohort could not be frozen: %s", run, error)
            raise FlipError("freeze-failed", f"This Trust could not freeze the cohort ({error.code}).") from None
        finally:
            made.unlink(missing_ok=True)
        self.store.runs.set_frozen(run, facts.model_dump(mode="json"))
        return facts

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
                made.unlink(missing_ok=True)
        return await self.worker.freeze(version, self.bundle, key, made.name)
