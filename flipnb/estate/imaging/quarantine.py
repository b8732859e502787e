"""Images that are held back inside an enclave until a controller decides: their files, why, and what was decided.

A folder with one SQLite file and, beside it, ``files`` (the originals) and ``pictures`` (PNGs that a jailed worker
drew). Every step is whole or not there: a file is in its place before the row that names it, and a decision is carried
out before the file goes. Who is killed between two steps leaves at most a file too much, which ``sweep`` takes.

A decision may be taken back, or be another one, until a load takes it to carry it out: ``take``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.burned_in.verdict import Box, FoundText
from flipnb.files import migrations, whole

Decision = Literal["release", "blank", "refuse", "withdraw"]
"""``withdraw`` takes the one before it back: the image waits again."""
_DECISIONS: tuple[Decision, ...] = ("release", "blank", "refuse", "withdraw")
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PICTURE = 8 << 20

_STEPS = (
    """
    CREATE TABLE held (
      id TEXT PRIMARY KEY, at TEXT NOT NULL, bytes INTEGER NOT NULL, kind TEXT NOT NULL, person TEXT NOT NULL,
      reasons TEXT NOT NULL, texts TEXT NOT NULL, frames TEXT NOT NULL, carried_out TEXT
    ) STRICT;
    CREATE TABLE decision (
      number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL REFERENCES held (id), decision TEXT NOT NULL,
      boxes TEXT NOT NULL, controller TEXT NOT NULL, at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decision_of ON decision (id, number);
    """,
    """
    ALTER TABLE held ADD COLUMN taken TEXT;
    CREATE INDEX held_in_order ON held (at, id);
    """,
)


@dataclass(frozen=True)
class Reason:
    """Why an image is held: ``where`` is a path of tags or ``pixels``, ``kind`` as Survivor's or a Verdict's state."""

    where: str
    kind: str


@dataclass(frozen=True)
class Decided:
    """A controller's decision. ``boxes`` are those to cover, in the image's pixels, where it is ``blank``."""

    id: str
    decision: Decision
    boxes: tuple[Box, ...]
    controller: str
    at: str

    def entry(self) -> dict[str, Any]:
        """For the audit log: which image by its SHA-256, what, who, when, how many boxes. No value of the image."""
        return {
            "image": self.id,
            "decision": self.decision,
            "boxes": len(self.boxes),
            "controller": self.controller,
            "at": self.at,
        }


@dataclass(frozen=True)
class Held:
    """An image that is held back: ``id`` is its file's SHA-256, ``person`` a pseudonym, ``frames`` have a picture.

    ``carried_out`` says when the decision was carried out, since when the file is gone; until then it is None.
    ``taken`` says since when a load carries it out: from then on it is not to be changed.
    """

    id: str
    at: str
    bytes: int
    kind: str
    person: str
    reasons: tuple[Reason, ...]
    texts: tuple[FoundText, ...]
    frames: tuple[int, ...]
    carried_out: str | None = None
    taken: str | None = None
    decided: Decided | None = None


@dataclass(frozen=True)
class HeldNumbers:
    """How many images wait for a decision, and of how many it waits to be carried out."""

    waiting: int
    decided: int


class Quarantine:
    """The images held back in ``folder``, which only the enclave's own user may read. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._database = folder, folder / "quarantine.sqlite"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place in ("files", "pictures"):
            (folder / place).mkdir(exist_ok=True, mode=0o700)
        with self._connection() as db:
            migrations.upgrade(db, self._database, _STEPS)
        self._database.chmod(0o600)

    def hold(
        self,
        file: Path,
        reasons: Sequence[Reason],
        *,
        texts: Sequence[FoundText] = (),
        kind: str = "",
        person: str = "",
        pictures: Mapping[int, bytes] | None = None,
    ) -> str:
        """Hold back a copy of ``file``; its id.

        Held before and undecided, its reasons and pictures become these. Decided before, nothing changes, and
        ``decided`` says what to do with it.

        ``kind`` is what it is (``CR chest``), ``person`` the pseudonym, ``pictures`` PNGs by frame.
        Raises FlipError ``not-a-picture`` for something else than a PNG of at most 8 MiB.
        """
        pictures = pictures or {}
        for png in pictures.values():
            _require_png(png)
        name = _sha256(file)
        if self.decided(name):
            return name
        place = self.original(name)
        if not place.exists():
            with whole.writing(place, mode=0o400) as partial:
                shutil.copyfile(file, partial)
        for frame, png in pictures.items():
            whole.write(self._picture(name, frame), png, mode=0o400)
        row = (
            name, _now(), file.stat().st_size, kind, person,
            json.dumps([asdict(reason) for reason in reasons]), json.dumps([asdict(text) for text in texts]),
            json.dumps(sorted(pictures)),
        )  # fmt: skip
        with self._connection() as db:
            db.execute(
                "INSERT INTO held (id, at, bytes, kind, person, reasons, texts, frames)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " kind = excluded.kind, person = excluded.person, reasons = excluded.reasons, texts = excluded.texts,"
                f" frames = excluded.frames WHERE {_LATEST} = 'withdraw'",
                row,
            )
        return name

    def list(self, *, waiting: bool | None = None) -> tuple[Held, ...]:
        """What is held, the longest first; ``waiting`` True: undecided alone, False: decided alone."""
        with self._connection() as db:
            rows = db.execute(_SELECT + " ORDER BY held.at, held.id").fetchall()
        held = map(_held, rows)
        return tuple(one for one in held if waiting is None or (one.decided is None) == waiting)

    def numbers(self) -> HeldNumbers:
        """Of images whose decision is not carried out."""
        with self._connection() as db:
            waiting, all_held = db.execute(
                f"SELECT coalesce(sum({_LATEST} = 'withdraw'), 0), count(*) FROM held WHERE carried_out IS NULL"
            ).fetchone()
        return HeldNumbers(int(waiting), int(all_held) - int(waiting))

    def page(self, *, after: str = "", most: int = 200) -> tuple[Held, ...]:
        """Up to ``most`` images whose decision is not carried out, the longest first: those behind the image ``after``,
        which need not be among them any more."""
        with self._connection() as db:
            rows = db.execute(
                f"{_SELECT} WHERE carried_out IS NULL AND (? = '' OR (held.at, held.id) >"
                " (SELECT at, id FROM held AS last WHERE last.id = ?)) ORDER BY held.at, held.id LIMIT ?",
                (after, after, most),
            ).fetchall()
        return tuple(map(_held, rows))

    def get(self, id: str) -> Held:
        """One image. Raises FlipError ``not-in-quarantine``."""
        with self._connection() as db:
            row = db.execute(_SELECT + " WHERE held.id = ?", (id,)).fetchone()
        if row is None:
            raise FlipError("not-in-quarantine", f"No image {id[:12]} is held back here.", status=404)
        return _held(row)

    def decided(self, id: str) -> Decided | None:
        """What was decided about a file of this SHA-256 before, so that a second pull asks nobody again."""
        with self._connection() as db:
            row = db.execute(_SELECT + " WHERE held.id = ?", (id,)).fetchone()
        return _held(row).decided if row else None

    def original(self, id: str) -> Path:
        """Where the held file lies, or would; it is for a jailed worker, never to leave the enclave."""
        if len(id) != 64 or not set(id) <= set("0123456789abcdef"):
            raise FlipError("not-in-quarantine", "This is no SHA-256 of a file.", status=404)
        return self._folder / "files" / f"{id}.dcm"

    def picture(self, id: str, frame: int | None = None) -> bytes:
        """A frame's PNG as it was drawn, without ``frame`` that of the first with a picture.

        Raises FlipError ``not-in-quarantine``, or ``no-picture`` where none could be drawn.
        """
        held = self.get(id)
        wanted = held.frames[0] if frame is None and held.frames else frame
        if wanted is None or wanted not in held.frames:
            raise FlipError(
                "no-picture", "This image can't be drawn.", remedy="Refuse it, or read it again.", status=404
            )
        return self._picture(id, wanted).read_bytes()

    def decide(
        self,
        id: str,
        decision: Decision,
        controller: str,
        *,
        boxes: Sequence[Box] | None = None,
        record: Callable[[Decided], object] = lambda decided: None,
    ) -> Decided:
        """Write down what ``controller`` decided; the last decision counts, and the next load carries it out.

        ``blank`` covers ``boxes``, without them every text that was found. The same decision again changes nothing.
        ``record`` is told of a new decision before it counts; what it raises leaves all as it was.
        Raises FlipError ``not-in-quarantine``, ``unknown-decision``, ``nothing-to-blank``, ``not-decided`` where there
        is nothing to withdraw, ``already-carried-out``, ``being-carried-out``.
        """
        if decision not in _DECISIONS:
            raise FlipError(
                "unknown-decision", f"{decision!r} is no decision.", remedy=f"Take {', '.join(_DECISIONS)}."
            )
        held = self.get(id)
        chosen = tuple(_box(box) for box in ([text.box for text in held.texts] if boxes is None else boxes))
        if decision == "blank" and not chosen:
            raise FlipError("nothing-to-blank", "There is no box to cover.", remedy="Draw one, or refuse the image.")
        taken = Decided(id, decision, chosen if decision == "blank" else (), controller, _now())
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                now = _held(db.execute(_SELECT + " WHERE held.id = ?", (id,)).fetchone())
                before = now.decided
                if before and (before.decision, before.boxes) == (taken.decision, taken.boxes):
                    db.execute("ROLLBACK")
                    return before
                _require_open(now, decision)
                db.execute(
                    "INSERT INTO decision (id, decision, boxes, controller, at) VALUES (?, ?, ?, ?, ?)",
                    (id, decision, json.dumps(taken.boxes), controller, taken.at),
                )
                record(taken)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        return taken

    def take(self) -> dict[str, Decided]:
        """Every decision that counts, by image. Those that are not carried out are being so from now on, and are not
        to be changed until ``carried_out`` or ``put_back``."""
        with self._connection() as db:
            db.execute(
                f"UPDATE held SET taken = coalesce(taken, ?) WHERE carried_out IS NULL AND {_LATEST} != 'withdraw'",
                (_now(),),
            )
        return {held.id: held.decided for held in self.list(waiting=False) if held.decided is not None}

    def put_back(self) -> None:
        """Nobody carries a decision out any more: what could not be carried out may be decided anew."""
        with self._connection() as db:
            db.execute("UPDATE held SET taken = NULL WHERE carried_out IS NULL")

    def carried_out(self, id: str) -> None:
        """The decision was carried out: what was to be released is, and the held file and its pictures go.

        Raises FlipError ``not-in-quarantine``, or ``not-decided`` where nobody decided.
        """
        held = self.get(id)
        if held.decided is None:
            raise FlipError("not-decided", "Nobody has decided about this image.", status=409)
        with self._connection() as db:
            db.execute("UPDATE held SET carried_out = coalesce(carried_out, ?) WHERE id = ?", (_now(), id))
        for path in (self.original(id), *(self._picture(id, frame) for frame in held.frames)):
            path.unlink(missing_ok=True)
        whole.sync(self._folder / "files")

    def decisions(self, id: str) -> tuple[Decided, ...]:
        """Every decision about an image, the first first."""
        with self._connection() as db:
            rows = db.execute(
                "SELECT id, decision, boxes, controller, at FROM decision WHERE id = ? ORDER BY number", (id,)
            ).fetchall()
        return tuple(_decided(row) for row in rows)

    def sweep(self, *, older_s: float = 3600) -> int:
        """Take away what killed processes left: files of ``older_s`` seconds or more that no row wants. How many."""
        kept = [held for held in self.list() if held.carried_out is None]
        wanted = {self.original(held.id) for held in kept}
        wanted |= {self._picture(held.id, frame) for held in kept for frame in held.frames}
        newest = datetime.now(UTC).timestamp() - older_s
        found = [path for place in ("files", "pictures") for path in (self._folder / place).iterdir()]
        left = [path for path in found if path not in wanted and path.stat().st_mtime <= newest]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _picture(self, id: str, frame: int) -> Path:
        return self._folder / "pictures" / f"{id}.{frame}.png"

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that commits by itself; what is committed is on disk."""
        with closing(sqlite3.connect(self._database, isolation_level=None, timeout=30)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            yield db


_LATEST = (
    "coalesce((SELECT latest.decision FROM decision AS latest WHERE latest.id = held.id"
    " ORDER BY latest.number DESC LIMIT 1), 'withdraw')"
)
_SELECT = (
    "SELECT held.id, held.at, bytes, kind, person, reasons, texts, frames, carried_out, taken, decision.id,"
    " decision, boxes, controller, decision.at FROM held LEFT JOIN decision ON decision.number ="
    " (SELECT max(number) FROM decision AS latest WHERE latest.id = held.id)"
)


def _held(row: Sequence[object]) -> Held:
    id, at, size, kind, person, reasons, texts, frames, carried_out, taken, *decision = row
    return Held(
        str(id),
        str(at),
        int(str(size)),
        str(kind),
        str(person),
        tuple(Reason(**reason) for reason in json.loads(str(reasons))),
        tuple(FoundText(t["frame"], _box(t["box"]), t["text"], t["score"]) for t in json.loads(str(texts))),
        tuple(json.loads(str(frames))),
        None if carried_out is None else str(carried_out),
        None if taken is None else str(taken),
        _decided(decision) if decision[1] not in (None, "withdraw") else None,
    )


def _decided(row: Sequence[object]) -> Decided:
    id, decision, boxes, controller, at = map(str, row)
    known = next(one for one in _DECISIONS if one == decision)
    return Decided(id, known, tuple(_box(box) for box in json.loads(boxes)), controller, at)


def _require_open(held: Held, decision: Decision) -> None:
    """Raise FlipError where ``decision`` comes too late, or withdraws nothing."""
    if held.carried_out:
        raise FlipError(
            "already-carried-out",
            "What was decided about this image is done, and its file is gone.",
            remedy="Pull it again.",
            status=409,
        )
    if held.taken:
        raise FlipError(
            "being-carried-out",
            "A load is carrying out what was decided about this image, or was killed while it did.",
            remedy="Wait for it, or load again: flip images load --into ESTATE.",
            status=409,
        )
    if decision == "withdraw" and held.decided is None:
        raise FlipError("not-decided", "Nobody has decided about this image.", status=409)


def _box(box: Sequence[int]) -> Box:
    left, top, right, bottom = (int(edge) for edge in box)
    return left, top, right, bottom


def _require_png(png: bytes) -> None:
    if not png.startswith(_PNG) or len(png) > _MOST_PICTURE:
        raise FlipError("not-a-picture", "What was drawn of an image is no PNG of at most 8 MiB.")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
