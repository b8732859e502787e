"""What every run of an enclave shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.keys import SigningKey
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.runs.slots import Slots
from flipnb.enclave.sandbox.uids import run_uid
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store


@dataclass(frozen=True)
class Enclave:
    """One agent's."""

    directory: EnclaveDirectory
    key: SigningKey
    store: Store
    audit: AuditLog
    worker: EstateWorker
    slots: Slots

    def run_uid(self, slot: int) -> int | None:
        """The uid of the kernel in a slot; None where the agent is an ordinary user and has no other."""
        return run_uid(self.directory.directory, slot)

    def run_directory(self, run: str) -> Path:
        """The folder of a run, whether it is there or not."""
        return self.directory.runs / run
