"""What an agent must still know after a crash: one SQLite file, every commit on disk before it returns.

Reports to the hub are written in the same transaction as the state that they tell of, so that neither is without the
other. All methods may be called from any thread.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from flipnb.enclave.stores.anchor import AuditAnchor
from flipnb.enclave.stores.counts import CountTable
from flipnb.enclave.stores.database import Database
from flipnb.enclave.stores.migrations.state import STEPS
from flipnb.enclave.stores.outbox import Outbox
from flipnb.enclave.stores.requests import ApprovalTable, RequestTable
from flipnb.enclave.stores.rounds import RoundTable
from flipnb.enclave.stores.runs import RunTable
from flipnb.enclave.stores.totals import TotalTable


class Store:
    """The tables of one enclave, over one database: what is written ``together`` is one transaction."""

    def __init__(self, path: Path, *, upgrade: bool = True, older: bool = False) -> None:
        """Raises FlipError as ``Database``. ``upgrade=False`` is for those who only look, beside an agent perhaps."""
        self._database = Database(path, STEPS, upgrade=upgrade, older=older)
        self.outbox = Outbox(self._database)
        self.requests = RequestTable(self._database)
        self.approvals = ApprovalTable(self._database)
        self.runs = RunTable(self._database, self.outbox)
        self.rounds = RoundTable(self._database)
        self.totals = TotalTable(self._database)
        self.counts = CountTable(self._database)
        self.anchor = AuditAnchor(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def requests_revision(self) -> int:
        """Rises with what this process changes of requests and approvals, and with each run that comes or ends; not
        with progress."""
        return self.requests.revision + self.approvals.revision + self.runs.admitted + self.runs.ended

    def together(self) -> AbstractContextManager[object]:
        """Several changes as one: on disk at the end of the block, or undone. Raises FlipError ``disk-full``."""
        return self._database.transaction()
