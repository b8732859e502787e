"""What is held back stays whole through kills, and each image has one decision that counts."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.burned_in import FoundText
from flipnb.estate.imaging.quarantine import Decided, HeldNumbers, Quarantine, Reason

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32
FIRST = """
CREATE TABLE held (
  id TEXT PRIMARY KEY, at TEXT NOT NULL, bytes INTEGER NOT NULL, kind TEXT NOT NULL, person TEXT NOT NULL,
  reasons TEXT NOT NULL, texts TEXT NOT NULL, frames TEXT NOT NULL, carried_out TEXT
) STRICT;
CREATE TABLE decision (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL REFERENCES held (id), decision TEXT NOT NULL,
  boxes TEXT NOT NULL, controller TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE INDEX decision_of ON decision (id, number);
INSERT INTO held VALUES ('a', '2026-01-01', 1, 'CR', 'P', '[]', '[]', '[]', NULL);
INSERT INTO decision (id, decision, boxes, controller, at) VALUES ('a', 'refuse', '[]', 'A', '2026-01-02');
PRAGMA user_version = 1;
"""
"""A quarantine as the first schema had it."""
REASONS = (Reason("(0018,1030)", "name"), Reason("pixels", "text"))


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "held")


def hold(quarantine: Quarantine, content: bytes, tmp_path: Path) -> str:
    file = tmp_path / "image.dcm"
    file.write_bytes(content)
    texts = (FoundText(0, (10, 20, 110, 40), "OKAFOR N", 0.97),)
    return quarantine.hold(file, REASONS, texts=texts, kind="CR chest", person="P0412", pictures={0: PNG})


def test_what_is_held_is_listed_with_why_and_shown(quarantine: Quarantine, tmp_path: Path) -> None:
    id = hold(quarantine, b"one", tmp_path)
    assert hold(quarantine, b"one", tmp_path) == id, "held twice is held once"
    (held,) = quarantine.list(waiting=True)
    assert (held.id, held.bytes, held.reasons, held.frames) == (id, 3, REASONS, (0,))
    assert held.texts[0].box == (10, 20, 110, 40)
    assert quarantine.picture(id) == quarantine.picture(id, 0) == PNG
    assert quarantine.original(id).read_bytes() == b"one"
    assert quarantine.original(id).stat().st_mode & 0o777 == 0o400
    assert Quarantine(tmp_path / "held").list() == (held,)


def test_the_decisions_and_their_entries(quarantine: Quarantine, tmp_path: Path) -> None:
    released, blanked, refused = (hold(quarantine, content, tmp_path) for content in (b"1", b"2", b"3"))
    quarantine.decide(released, "release", "A")
    decided = quarantine.decide(blanked, "blank", "A")
    assert decided.boxes == ((10, 20, 110, 40),)
    assert quarantine.decide(blanked, "blank", "B") == decided, "the same decision is taken once"
    again = quarantine.decide(blanked, "blank", "B", boxes=[(0, 0, 5, 5)])
    assert [one.controller for one in quarantine.decisions(blanked)] == ["A", "B"]
    assert quarantine.decided(blanked) == again
    quarantine.decide(refused, "refuse", "A")
    assert quarantine.original(refused).exists(), "until it is carried out one may think again"
    quarantine.carried_out(refused)
    assert not quarantine.original(refused).exists()
    assert not list((tmp_path / "held" / "pictures").glob(f"{refused}*"))
    assert quarantine.list(waiting=True) == ()
    assert len(quarantine.list(waiting=False)) == 3
    assert hold(quarantine, b"3", tmp_path) == refused
    assert not quarantine.original(refused).exists(), "what was refused is not kept again"
    entries = [one.entry() for id in (released, blanked, refused) for one in quarantine.decisions(id)]
    assert "OKAFOR" not in str(entries)
    quarantine.carried_out(released)
    assert not quarantine.original(released).exists()
    assert quarantine.get(released).carried_out


def test_what_can_not_be_decided_is_said(quarantine: Quarantine, tmp_path: Path) -> None:
    file = tmp_path / "image.dcm"
    file.write_bytes(b"no text, no picture")
    id = quarantine.hold(file, [Reason("pixels", "unread")])
    refusals = {
        "not-in-quarantine": lambda: quarantine.decide("0" * 64, "release", "A"),
        "nothing-to-blank": lambda: quarantine.decide(id, "blank", "A"),
        "unknown-decision": lambda: quarantine.decide(id, "keep", "A"),  # type: ignore[arg-type]
        "no-picture": lambda: quarantine.picture(id),
        "not-decided": lambda: quarantine.carried_out(id),
        "not-a-picture": lambda: quarantine.hold(file, [], pictures={0: b"<svg>"}),
    }
    for code, act in refusals.items():
        with pytest.raises(FlipError) as caught:
            act()
        assert caught.value.code == code
    with pytest.raises(FlipError):
        quarantine.original("../../etc/passwd")
    quarantine.decide(id, "refuse", "A")
    quarantine.carried_out(id)
    with pytest.raises(FlipError) as caught:
        quarantine.decide(id, "release", "A")
    assert caught.value.code == "already-carried-out"


def test_a_decision_is_taken_back_until_a_load_takes_it(quarantine: Quarantine, tmp_path: Path) -> None:
    id = hold(quarantine, b"one", tmp_path)
    with pytest.raises(FlipError, match="Nobody has decided"):
        quarantine.decide(id, "withdraw", "A")
    for decision in ("refuse", "release", "withdraw"):
        quarantine.decide(id, decision, "A")  # type: ignore[arg-type]
    assert quarantine.get(id).decided is None and quarantine.take() == {}
    assert quarantine.numbers() == HeldNumbers(waiting=1, decided=0)
    decided = quarantine.decide(id, "refuse", "B")
    assert quarantine.take() == {id: decided}
    assert quarantine.numbers() == HeldNumbers(waiting=0, decided=1)
    for late in ("withdraw", "release"):
        with pytest.raises(FlipError) as caught:
            quarantine.decide(id, late, "A")  # type: ignore[arg-type]
        assert caught.value.code == "being-carried-out"
    assert quarantine.decide(id, "refuse", "A") == decided, "the same again is no other one"
    quarantine.put_back()
    quarantine.decide(id, "withdraw", "A")
    assert [one.decision for one in quarantine.decisions(id)] == ["refuse", "release", "withdraw", "refuse", "withdraw"]
    hold(quarantine, b"one", tmp_path)
    assert quarantine.original(id).exists() and quarantine.picture(id) == PNG


def test_a_decision_that_can_not_be_recorded_does_not_count(quarantine: Quarantine, tmp_path: Path) -> None:
    id = hold(quarantine, b"one", tmp_path)
    recorded: list[Decided] = []

    def disk_full(decided: Decided) -> None:
        assert Quarantine(tmp_path / "held").get(id).decided is None, "told before it counts"
        raise FlipError("disk-full", "The disk is full.")

    with pytest.raises(FlipError, match="full"):
        quarantine.decide(id, "release", "A", record=disk_full)
    assert quarantine.get(id).decided is None
    decided = quarantine.decide(id, "release", "A", record=recorded.append)
    quarantine.decide(id, "release", "A", record=recorded.append)
    assert recorded == [decided] == [quarantine.get(id).decided]


def test_pages_hold_each_image_once_whatever_is_carried_out_meanwhile(quarantine: Quarantine, tmp_path: Path) -> None:
    ids = [hold(quarantine, str(number).encode(), tmp_path) for number in range(7)]
    seen = [held.id for held in quarantine.page(most=3)]
    quarantine.decide(seen[-1], "refuse", "A")
    quarantine.carried_out(seen[-1])
    while page := quarantine.page(after=seen[-1], most=3):
        seen += [held.id for held in page]
    assert seen == ids
    assert [held.id for held in quarantine.page()] == [id for id in ids if id != seen[2]]


def test_what_an_earlier_version_held_back_is_still_there(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    with sqlite3.connect(folder / "quarantine.sqlite") as db:
        db.executescript(FIRST)
    (held,) = Quarantine(folder).list()
    assert held.decided and (held.decided.decision, held.taken) == ("refuse", None)


def test_the_sweep_takes_only_what_nobody_wants(quarantine: Quarantine, tmp_path: Path) -> None:
    id = hold(quarantine, b"wanted", tmp_path)
    stray = tmp_path / "held" / "files" / f"{'a' * 64}.dcm.partial"
    stray.write_bytes(b"half")
    assert quarantine.sweep() == 0, "another process may be writing it"
    assert quarantine.sweep(older_s=0) == 1
    assert quarantine.original(id).exists()
    assert quarantine.picture(id) == PNG


WORK = """
import sys
from pathlib import Path
from flipnb.estate.imaging.quarantine import Quarantine, Reason
place = Path(sys.argv[1])
quarantine = Quarantine(place / "held")
print("ready", flush=True)
for number in range(10_000):
    file = place / f"{sys.argv[2]}.dcm"
    file.write_bytes(f"{sys.argv[2]} {number}".encode() * 500)
    id = quarantine.hold(file, [Reason("pixels", "text")], pictures={0: bytes.fromhex("89504e470d0a1a0a")})
    quarantine.decide(id, ("release", "refuse")[number % 2], "A")
    if number % 2:
        quarantine.carried_out(id)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_the_store_whole(tmp_path: Path) -> None:
    for turn in range(6):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORK, str(tmp_path), str(turn)], stdout=subprocess.PIPE, env={**os.environ}
        )
        assert worker.stdout and worker.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * turn)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        quarantine = Quarantine(tmp_path / "held")
        for held in quarantine.list():
            if held.carried_out is None:
                assert quarantine.original(held.id).stat().st_size == held.bytes
                assert quarantine.picture(held.id) == PNG[:8]
        quarantine.sweep(older_s=0)
        files = {path.stem for path in (tmp_path / "held" / "files").iterdir()}
        assert files == {one.id for one in quarantine.list() if one.carried_out is None}
    with sqlite3.connect(tmp_path / "held" / "quarantine.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert quarantine.list()
