"""The schema of what an agent must still know after a crash."""

from __future__ import annotations

import sqlite3

from flipnb.files.migrations import Step, run_script

_1 = """
CREATE TABLE requests (
  bundle TEXT PRIMARY KEY, study TEXT NOT NULL, title TEXT NOT NULL, researcher TEXT NOT NULL,
  researcher_key TEXT NOT NULL, state TEXT NOT NULL, code TEXT, reason TEXT, received TEXT NOT NULL,
  envelope BLOB NOT NULL) STRICT;
CREATE TABLE approvals (
  approval TEXT PRIMARY KEY, bundle TEXT NOT NULL REFERENCES requests, policy TEXT NOT NULL,
  estate_version TEXT NOT NULL, executions_left INTEGER NOT NULL CHECK (executions_left >= 0),
  approved TEXT NOT NULL, expires TEXT NOT NULL, envelope BLOB NOT NULL) STRICT;
CREATE TABLE runs (
  run TEXT PRIMARY KEY, bundle TEXT NOT NULL, study TEXT NOT NULL, title TEXT NOT NULL, point TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT, reason TEXT, progress TEXT, failure TEXT, received TEXT NOT NULL,
  started TEXT, ended TEXT, approval TEXT, estate_version TEXT, members TEXT, frozen TEXT) STRICT;
CREATE TABLE rounds (
  run TEXT NOT NULL REFERENCES runs, round INTEGER NOT NULL, context BLOB NOT NULL, digest TEXT NOT NULL,
  update_sha256 TEXT, update_path TEXT, state_path TEXT, reply BLOB, delivered INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, round)) STRICT;
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

_FIRST_DAY = """
ALTER TABLE rounds ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reports RENAME TO old_reports;
CREATE TABLE reports (
  number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
  progress_only INTEGER NOT NULL, held_until TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, sequence)) STRICT;
INSERT INTO reports SELECT number, run, sequence, body, progress_only, '', sent FROM old_reports;
DROP TABLE old_reports;
CREATE INDEX reports_waiting ON reports (number) WHERE sent=0;
"""

_TOTALS = """
CREATE TABLE totals (
  run TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL, context TEXT NOT NULL, reply BLOB, result BLOB,
  PRIMARY KEY (run, step)) STRICT;
"""

# Before, a Trust had one data controller, without a name; whose key an approval is of stands in its envelope.
_FOUR_EYES = """
ALTER TABLE approvals RENAME TO old_approvals;
CREATE TABLE approvals (
  approval TEXT NOT NULL, bundle TEXT NOT NULL REFERENCES requests, controller TEXT NOT NULL,
  controller_key TEXT NOT NULL, policy TEXT NOT NULL, estate_version TEXT NOT NULL,
  executions_left INTEGER NOT NULL CHECK (executions_left >= 0), approved TEXT NOT NULL, expires TEXT NOT NULL,
  envelope BLOB NOT NULL, PRIMARY KEY (approval, controller_key)) STRICT;
INSERT INTO approvals
  SELECT approval, bundle, 'controller', json_extract(CAST(envelope AS TEXT), '$.signatures[0].keyid'),
         policy, estate_version, executions_left, approved, expires, envelope FROM old_approvals;
DROP TABLE old_approvals;
ALTER TABLE runs RENAME COLUMN approval TO approvals;
UPDATE runs SET approvals = json_array(json_array(approvals, (
  SELECT controller_key FROM approvals WHERE approval = runs.approvals))) WHERE approvals IS NOT NULL;
"""

_CHOICES = """
ALTER TABLE runs ADD COLUMN choices TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN requested TEXT;
"""


def _2(db: sqlite3.Connection) -> None:
    """Federated totals. Schema 1 was two: of the first day, and with the delivery of rounds."""
    if "delivered" not in {name for _, name, *_ in db.execute("PRAGMA table_info(rounds)")}:
        run_script(db, _FIRST_DAY)
    run_script(db, _TOTALS)


STEPS: tuple[Step, ...] = (_1, _2, _FOUR_EYES, _CHOICES)
