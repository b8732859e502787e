"""What people call the runs of a Trust: its desk's log has up to 500 of them in a page."""

from __future__ import annotations

from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRun


class RunNames:
    """One enclave's. No name changes: a bundle is read for it once, not each time that the log is told."""

    def __init__(self, store: Store, requests: Requests) -> None:
        self._store, self._requests = store, requests
        self._known: dict[str, str] = {}

    def of(self, run: str) -> str:
        """Its title, the parameters that are not fixed, and what else it chose; its id where it is not known here."""
        if run not in self._known:
            stored = self._store.runs.get(run)
            if stored is None or not stored.title:  # not asked for here, or known by a loss that was declared alone
                return f"run {run[:8]}"
            self._known[run] = self._read(stored)
        return self._known[run]

    def _read(self, stored: StoredRun) -> str:
        free = {one.name for one in self._requests.content(stored.bundle).parameters if not one.fixed}
        values = {name: value for name, value in stored.point.items() if name in free} | stored.choices.told
        point = ", ".join(f"{name} {value}" for name, value in values.items())
        return f"{stored.title} · {point}" if point else stored.title
