"""Which versions of an estate an enclave's runs still read: a load may remove others."""

from __future__ import annotations

from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store


def versions_in_use(estate: Path) -> tuple[str, ...] | None:
    """Versions of the estate's directory that runs which are not over were started on.

    None where no enclave lies around the estate, or its enclave has another: then nobody here knows who reads it. Runs
    start on the current version alone, and an approval for another is void.
    """
    try:
        enclave = EnclaveDirectory.open(estate.absolute().parent)
    except FlipError:
        return None
    if enclave.estate.resolve() != estate.resolve():
        return None
    if not enclave.state.exists():
        return ()
    store = Store(enclave.state, upgrade=False)
    try:
        return tuple(run.estate_version for run in store.runs.all() if run.estate_version and not run.over)
    finally:
        store.close()
