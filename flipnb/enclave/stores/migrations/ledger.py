"""The ledger's schema."""

from __future__ import annotations

from flipnb.files.migrations import Step

_1 = """
CREATE TABLE charges (
  estate TEXT NOT NULL, cell TEXT NOT NULL, draw TEXT NOT NULL, noise REAL NOT NULL, cost INTEGER NOT NULL,
  study TEXT NOT NULL, charged TEXT NOT NULL, PRIMARY KEY (estate, cell, draw)) STRICT;
CREATE INDEX charges_by_time ON charges (charged);
CREATE TABLE answers (
  estate TEXT NOT NULL, question TEXT NOT NULL, policy TEXT NOT NULL, answer BLOB NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (estate, question, policy)) STRICT;
"""

# Answers leave at a time that is fixed for all of them; before, each had its own.
_ONE_TIME = """
ALTER TABLE answers RENAME TO old_answers;
CREATE TABLE answers (
  estate TEXT NOT NULL, question TEXT NOT NULL, policy TEXT NOT NULL, answer BLOB NOT NULL,
  PRIMARY KEY (estate, question, policy)) STRICT;
INSERT INTO answers SELECT estate, question, policy, answer FROM old_answers;
DROP TABLE old_answers;
CREATE TABLE durations (
  number INTEGER PRIMARY KEY AUTOINCREMENT, asked TEXT NOT NULL, seconds REAL NOT NULL, whole INTEGER NOT NULL,
  turn REAL NOT NULL) STRICT;
"""

STEPS: tuple[Step, ...] = (_1, _ONE_TIME)
