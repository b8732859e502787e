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
from flipnb.enclave.stores.outbox import Outbox
from flipnb.enclave.stores.requests import ApprovalTable, RequestTable
from flipnb.enclave.stores.rounds import RoundTable
from flipnb.enclave.stores.runs import RunTable
from flipnb.enclave.stores.totals import TotalTable

_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE requests (
  bundle TEXT PRIMARY KEY, study TEXT NOT NULL, title TEXT NOT NULL, researcher TEXT NOT NULL,
  researcher_key TEXT NOT NULL, state TEXT NOT NULL, code TEXT, reason TEXT, received TEXT NOT NULL,
  envelope BLOB NOT NULL) STRICT;
CREATE TABLE approvals (
  approval TEXT NOT NULL, bundle TEXT NOT NULL REFERENCES requests, controller TEXT NOT NULL,
  controller_key TEXT NOT NULL, policy TEXT NOT NULL, estate_version TEXT NOT NULL,
  executions_left INTEGER NOT NULL CHECK (executions_left >= 0), approved TEXT NOT NULL, expires TEXT NOT NULL,
  envelope BLOB NOT NULL, PRIMARY KEY (approval, controller_key)) STRICT;
CREATE TABLE runs (
  run TEXT PRIMARY KEY, bundle TEXT NOT NULL, study TEXT NOT NULL, title TEXT NOT NULL, point TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT, reason TEXT, progress TEXT, failure TEXT, received TEXT NOT NULL,
  started TEXT, ended TEXT, approvals TEXT, estate_version TEXT, members TEXT, frozen TEXT) STRICT;
CREATE TABLE rounds (
  run TEXT NOT NULL REFERENCES runs, round INTEGER NOT NULL, context BLOB NOT NULL, digest TEXT NOT NULL,
  update_sha256 TEXT, update_path TEXT, state_path TEXT, reply BLOB, delivered INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, round)) STRICT;
CREATE TABLE totals (
  run TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL, context TEXT NOT NULL, reply BLOB, result BLOB,
  PRIMARY KEY (run, step)) STRICT;
CREATE TABLE counts (
  request TEXT PRIMARY KEY, nonce TEXT NOT NULL UNIQUE, expires TEXT NOT NULL, reply BLOB NOT NULL) STRICT;
CREATE TABLE reports (
  number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
  progress_only INTEGER NOT NULL, held_until TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, sequence)) STRICT;
CREATE INDEX reports_waiting ON reports (number) WHERE sent=0;
CREATE TABLE audit_anchor (
  one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, head TEXT NOT NULL, signature BLOB NOT NULL) STRICT;
"""


class Store:
    """The tables of one enclave, over one database: what is written ``together`` is one transaction."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema=_SCHEMA, version=_SCHEMA_VERSION)
        self.outbox = Outbox(self._database)
        self.requests = RequestTable(self._database)
        self.approvals = ApprovalTable(self._database)
        self.runs = RunTable(self._database, self.outbox)
        self.rounds = RoundTable(self._database)
        self.totals = TotalTable(self._database)
        self.counts = CountTable(self._database)
        self.anchor = AuditAnchor(self._database)

    def close(self) -> None:
        self._database.close()

    @property
    def revision(self) -> int:
        """Rises with every row that this process writes."""
        return self._database.changes

    def together(self) -> AbstractContextManager[object]:
        """Several changes as one: on disk at the end of the block, or undone. Raises FlipError ``disk-full``."""
        return self._database.transaction()
