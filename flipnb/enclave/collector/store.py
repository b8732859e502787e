"""What was asked for and what came of it: one SQLite file beside the quarantine, every commit on disk.

A collector writes it, whoever shows progress reads it, and what reads the quarantine says in it what became of a study.
What an archive says is in it as text, and never becomes a path.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.pacs.answers import SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.states import AGAIN, NEXT, PullState, State
from flipnb.enclave.stores.database import Database, text_now

STEPS = (
    """
    CREATE TABLE pull (
        pull INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, pacs TEXT NOT NULL, asked_by TEXT NOT NULL,
        made TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', stop INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE study (
        study INTEGER PRIMARY KEY AUTOINCREMENT, pacs TEXT NOT NULL, study_uid TEXT NOT NULL, accession TEXT NOT NULL,
        patients TEXT NOT NULL, found_uid TEXT NOT NULL DEFAULT '', patient TEXT NOT NULL DEFAULT '',
        classes TEXT NOT NULL DEFAULT '[]', state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0, expected INTEGER NOT NULL DEFAULT 0, received INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0, changed TEXT NOT NULL, UNIQUE (pacs, study_uid, accession)
    );
    CREATE INDEX study_by_state ON study (state, study);
    CREATE TABLE wanted (
        pull INTEGER NOT NULL REFERENCES pull, study INTEGER NOT NULL REFERENCES study, PRIMARY KEY (pull, study)
    ) WITHOUT ROWID;
    CREATE INDEX wanted_by_study ON wanted (study);
    CREATE TABLE series (
        study INTEGER NOT NULL REFERENCES study, number INTEGER NOT NULL, series_uid TEXT NOT NULL,
        modality TEXT NOT NULL, expected INTEGER NOT NULL, received INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0, whole INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (study, number), UNIQUE (study, series_uid)
    ) WITHOUT ROWID;
    """,
)


@dataclass(frozen=True)
class Wanted:
    """A study to ask for: by its UID, or by the accession number of the request; of one of these patients, if any."""

    study_uid: str = ""
    accession: str = ""
    patients: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pull:
    """One order to retrieve studies."""

    pull: int
    name: str
    pacs: str
    asked_by: str
    made: str
    state: PullState
    reason: str


@dataclass(frozen=True)
class Study:
    """One study of a pull. ``found_uid`` and ``patient`` are the archive's words, "" before it was found."""

    study: int
    study_uid: str
    accession: str
    patients: tuple[str, ...]
    found_uid: str
    patient: str
    classes: tuple[str, ...]
    state: State
    reason: str
    attempts: int
    expected: int
    received: int
    bytes: int


@dataclass(frozen=True)
class Series:
    """One series of a found study; ``number`` names its folder. ``whole``: all of ``expected`` are on disk."""

    number: int
    series_uid: str
    modality: str
    expected: int
    received: int
    whole: bool


@dataclass(frozen=True)
class Progress:
    """How many studies of a pull are in which state, and what has been received: instances and bytes."""

    studies: dict[State, int]
    received: int
    expected: int
    bytes: int

    @property
    def wanted(self) -> int:
        """All of them."""
        return sum(self.studies.values())

    def of(self, *states: State) -> int:
        """How many are in one of these states."""
        return sum(self.studies.get(state, 0) for state in states)


class PullStore:
    """All methods may be called from any thread. Raises FlipError as ``Database`` does."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = Database(path, STEPS)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def together(self) -> AbstractContextManager[object]:
        """Several changes as one: on disk at the end of the block, or undone."""
        return self._db.transaction()

    def begin(self, name: str, pacs: str, asked_by: str, wanted: Collection[Wanted]) -> int:
        """A new pull of these studies; its number. What an earlier one has retrieved from the same archive is not asked
        for again; what came to nothing or in part is."""
        again = ", ".join(f"'{state}'" for state in AGAIN)
        with self._db.transaction() as db:
            pull = db.execute(
                "INSERT INTO pull (name, pacs, asked_by, made, state) VALUES (?, ?, ?, ?, ?)",
                (name, pacs, asked_by, text_now(), PullState.READY),
            ).lastrowid
            for one in wanted:
                (study,) = db.execute(
                    "INSERT INTO study (pacs, study_uid, accession, patients, state, changed) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET patients = excluded.patients, attempts = "
                    f"CASE WHEN state IN ({again}) THEN 0 ELSE attempts END, reason = "
                    f"CASE WHEN state IN ({again}) THEN '' ELSE reason END, state = "
                    f"CASE WHEN state IN ({again}) THEN excluded.state ELSE state END RETURNING study",
                    (pacs, one.study_uid, one.accession, json.dumps(sorted(one.patients)), State.WANTED, text_now()),
                ).fetchone()
                db.execute("INSERT OR IGNORE INTO wanted VALUES (?, ?)", (pull, study))
        assert pull is not None
        return pull

    def pulls(self) -> list[Pull]:
        """All of them, the newest first."""
        return [_pull(row) for row in self._db.all("SELECT * FROM pull ORDER BY pull DESC")]

    def pull(self, number: int) -> Pull:
        """Raises FlipError ``unknown-pull``."""
        row = self._db.one("SELECT * FROM pull WHERE pull = ?", number)
        if row is None:
            raise FlipError(
                "unknown-pull", f"There is no pull {number}.", remedy="`flip images pulls` lists them.", status=404
            )
        return _pull(row)

    def set_pull(self, number: int, state: PullState, reason: str = "") -> None:
        """What a pull is doing now."""
        with self._db.transaction() as db:
            db.execute("UPDATE pull SET state = ?, reason = ? WHERE pull = ?", (state, reason, number))

    def ask_to_stop(self, number: int, stop: bool = True) -> None:
        """Have a collector end after the instance that it is at; or let it work again."""
        with self._db.transaction() as db:
            db.execute("UPDATE pull SET stop = ? WHERE pull = ?", (int(stop), number))

    def is_to_stop(self, number: int) -> bool:
        """Whether somebody asked so."""
        row = self._db.one("SELECT stop FROM pull WHERE pull = ?", number)
        return row is None or bool(row["stop"])

    def recover(self) -> None:
        """What a collector that died was retrieving is to be looked for again: the archive may have changed."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE study SET state = ?, changed = ? WHERE state IN (?, ?)",
                (State.WANTED, text_now(), State.RETRIEVING, State.FOUND),
            )

    def give_back(self, studies: Collection[int]) -> None:
        """Those of these studies that were found, and whose turn did not come, are to be looked for again."""
        marks = ", ".join("?" * len(studies))
        with self._db.transaction() as db:
            db.execute(
                f"UPDATE study SET state = ? WHERE state = ? AND study IN ({marks})",
                (State.WANTED, State.FOUND, *studies),
            )

    def claim(self, number: int, most: int, taken: Collection[int]) -> list[Study]:
        """The next studies of a pull to look for, but for those ``taken``."""
        marks = ", ".join("?" * len(taken))
        rows = self._db.all(
            "SELECT study.* FROM study JOIN wanted USING (study) WHERE pull = ? AND state = ? "
            f"AND study NOT IN ({marks}) ORDER BY attempts, study LIMIT ?",
            number,
            State.WANTED,
            *taken,
            most,
        )
        return [_study(row) for row in rows]

    def studies(self, number: int) -> list[Study]:
        """All studies of a pull, in the order in which they were asked for."""
        rows = self._db.all("SELECT study.* FROM study JOIN wanted USING (study) WHERE pull = ? ORDER BY study", number)
        return [_study(row) for row in rows]

    def in_state(self, state: State) -> list[Study]:
        """Studies of every pull."""
        return [_study(row) for row in self._db.all("SELECT * FROM study WHERE state = ? ORDER BY study", state)]

    def study(self, study: int) -> Study:
        """Raises FlipError ``unknown-study``."""
        row = self._db.one("SELECT * FROM study WHERE study = ?", study)
        if row is None:
            raise FlipError("unknown-study", f"There is no study {study} in the collector's store.", status=404)
        return _study(row)

    def series(self, study: int) -> list[Series]:
        """The series of a study, as it was found last."""
        rows = self._db.all("SELECT * FROM series WHERE study = ? ORDER BY number", study)
        return [
            Series(row["number"], row["series_uid"], row["modality"], row["expected"], row["received"], row["whole"])
            for row in rows
        ]

    def found(self, study: int, answer: StudyAnswer, series: Sequence[SeriesAnswer]) -> None:
        """A study and its series, as the archive has them now.

        What is on disk of a series that has as many instances as before stays; one that the archive has no more goes.
        """
        expected = max(answer.instances, sum(one.instances for one in series))
        with self._db.transaction() as db:
            self.move(study, State.FOUND)
            db.execute(
                "UPDATE study SET found_uid = ?, patient = ?, classes = ?, expected = ? WHERE study = ?",
                (answer.study_uid, answer.patient, json.dumps(answer.classes), expected, study),
            )
            here = {row["series_uid"]: row for row in db.execute("SELECT * FROM series WHERE study = ?", (study,))}
            for uid in here.keys() - {one.series_uid for one in series}:
                db.execute("DELETE FROM series WHERE study = ? AND series_uid = ?", (study, uid))
            number = max((row["number"] for row in here.values()), default=0)
            for one in series:
                if one.series_uid in here:
                    db.execute(
                        "UPDATE series SET expected = ?, whole = (whole AND received = ?) "
                        "WHERE study = ? AND series_uid = ?",
                        (one.instances, one.instances, study, one.series_uid),
                    )
                    continue
                number += 1
                db.execute(
                    "INSERT INTO series (study, number, series_uid, modality, expected) VALUES (?, ?, ?, ?, ?)",
                    (study, number, one.series_uid, one.modality, one.instances),
                )
            self._add_up(study)

    def begin_retrieving(self, studies: Collection[int]) -> None:
        """One more attempt at each."""
        with self._db.transaction() as db:
            for study in studies:
                self.move(study, State.RETRIEVING)
                db.execute("UPDATE study SET attempts = attempts + 1 WHERE study = ?", (study,))

    def let_off(self, studies: Collection[int]) -> None:
        """What broke off was not their fault: they are to be looked for again, and the attempt is forgotten."""
        with self._db.transaction() as db:
            for study in studies:
                self.move(study, State.WANTED)
                db.execute("UPDATE study SET attempts = attempts - 1 WHERE study = ?", (study,))

    def series_received(self, study: int, number: int, received: int, size: int) -> None:
        """So many instances of a series, of so many bytes together, are in their folder, on disk."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE series SET received = ?, bytes = ?, whole = (expected = ?) WHERE study = ? AND number = ?",
                (received, size, received, study, number),
            )
            self._add_up(study)

    def move(self, study: int, state: State, reason: str = "") -> None:
        """Set what became of a study. Raises FlipError ``wrong-state`` where that can't follow."""
        with self._db.transaction() as db:
            before = self.study(study).state
            if state not in NEXT[before]:
                raise FlipError(
                    "wrong-state", f"Study {study} is {before}; it can't be {state} after that.", status=409
                )
            db.execute(
                "UPDATE study SET state = ?, reason = ?, changed = ? WHERE study = ?",
                (state, reason[:400], text_now(), study),
            )

    def progress(self, number: int) -> Progress:
        """Where a pull is."""
        rows = self._db.all(
            "SELECT state, count(*) AS studies, sum(received) AS received, sum(expected) AS expected, "
            "sum(bytes) AS bytes FROM study JOIN wanted USING (study) WHERE pull = ? GROUP BY state",
            number,
        )
        return Progress(
            {State(row["state"]): row["studies"] for row in rows},
            sum(row["received"] for row in rows),
            sum(row["expected"] for row in rows),
            sum(row["bytes"] for row in rows),
        )

    def _add_up(self, study: int) -> None:
        with self._db.transaction() as db:
            db.execute(
                "UPDATE study SET (received, bytes) = (SELECT coalesce(sum(received), 0), coalesce(sum(bytes), 0) "
                "FROM series WHERE series.study = study.study) WHERE study = ?",
                (study,),
            )


def _pull(row: Row) -> Pull:
    return Pull(
        row["pull"], row["name"], row["pacs"], row["asked_by"], row["made"], PullState(row["state"]), row["reason"]
    )


def _study(row: Row) -> Study:
    return Study(
        study=row["study"],
        study_uid=row["study_uid"],
        accession=row["accession"],
        patients=tuple(json.loads(row["patients"])),
        found_uid=row["found_uid"],
        patient=row["patient"],
        classes=tuple(json.loads(row["classes"])),
        state=State(row["state"]),
        reason=row["reason"],
        attempts=row["attempts"],
        expected=row["expected"],
        received=row["received"],
        bytes=row["bytes"],
    )
