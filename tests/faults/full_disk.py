"""Run by test_disk_full.py in a mount namespace of its own: ``full_disk.py enclave|hub DIRECTORY``, a tiny tmpfs."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from enclave_scenario import WEIGHTS, Chamber, Study, sealed, sha, update
from round_scenario import Principal, federation

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog

REPORT = {"loss": 0.5, "accuracy": 0.75}
STATE = secrets.token_bytes(24 << 10)


def fill(directory: Path, leave: int) -> Path:
    """Fill the disk up to ``leave`` bytes."""
    filler = directory / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:  # others write meanwhile
        while (more := shutil.disk_usage(directory).free - leave) > 0:
            file.write(b"\0" * more)
    return filler


def insist(principal: Principal) -> None:
    """From now on it asks again while the hub's disk is full, as an agent does."""
    once = principal.call

    def call(method: str, path: str, body: bytes = b"") -> bytes:
        while True:
            try:
                return once(method, path, body)
            except FlipError as error:
                if error.code != "disk-full":
                    raise
                time.sleep(0.2)

    principal.call = call  # type: ignore[method-assign]


def sound(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def enclave(directory: Path) -> None:
    """Whatever room is left when a round is answered: it is answered whole, or refused by name and nothing is torn."""
    outcomes = set()
    for number, kilobytes in enumerate(range(0, 96, 4)):
        place = directory / f"chamber-{number}"
        chamber = Chamber(Study(), place)
        context = chamber.give(1)
        filler = fill(directory, kilobytes << 10)
        try:
            chamber.airlock.submit(1, REPORT, update((1, 2, 3)), sealed(STATE), leave=False)
            outcomes.add("answered")
        except FlipError as error:
            assert (error.code, error.status) == ("disk-full", 507), error
            outcomes.add(error.code)
        filler.unlink()
        if chamber.airlock.take(context) is None:
            chamber.airlock.submit(1, REPORT, update((1, 2, 3)), sealed(STATE), leave=False)
        reply = chamber.airlock.take(context)
        assert reply is not None
        assert sha(reply.update.read_bytes()) == reply.update_sha256
        stored = chamber.store.rounds.get(chamber.run, 1)
        assert stored is not None
        assert stored.state_path is not None
        assert Path(stored.state_path).read_bytes() == STATE
        left = sorted(path.name for path in (place / "run").iterdir())
        assert left == ["given-1.safetensors", "round-1.safetensors", "state-1.bin"]
        gives_without_a_copy(chamber)
        chamber.audit.close()
        assert AuditLog.verify(place / "audit.jsonl", chamber.study.node, chamber.store.anchor) >= 1
        chamber.store.close()
        sound(place / "state.sqlite")
        shutil.rmtree(place)
    assert outcomes == {"answered", "disk-full"}, outcomes


def gives_without_a_copy(chamber: Chamber) -> None:
    """A round is given all the same, and the weights to measure the next by are asked for again."""
    context = chamber.context(2)
    assert chamber.airlock.take(context) is None
    filler = fill(chamber.directory, 0)
    chamber.airlock.offer(context, sealed(WEIGHTS))
    assert chamber.airlock.open
    filler.unlink()
    assert [path.name for path in (chamber.directory / "run").glob("given-*")] == ["given-1.safetensors"]
    chamber.answer(2)
    following = chamber.context(3)
    assert chamber.airlock.take(following) is None
    missing = chamber.airlock.missing(following)
    assert missing is not None
    assert (missing.round, missing.sha256) == (2, context.weights)


def hub(directory: Path) -> None:
    """Uploads and submissions are refused by name; with room again the next run succeeds."""
    with tempfile.TemporaryDirectory() as elsewhere, federation(directory) as made:
        for trust in made.trusts:
            insist(trust.principal)
            # The hub's disk is full, not the enclaves'.
            trust.directory = Path(elsewhere)
        content = secrets.token_bytes(1 << 20)
        path = f"/v1/blobs/{sha(content)}?study=heart"
        filler = fill(directory, 200 << 10)
        for attempt in range(2):
            try:
                made.researcher.call("PUT", path, content)
                raise AssertionError("a full disk took a blob")
            except FlipError as error:
                assert (error.code, error.status) == ("disk-full", 507), (attempt, error)
        fill_up = directory / "more"
        fill_up.write_bytes(b"\0" * (shutil.disk_usage(directory).free - 4096))
        try:
            for _ in range(200):
                made.researcher.call("PUT", f"/v1/blobs/{sha(WEIGHTS)}?study=heart", WEIGHTS)
            raise AssertionError("a full database took everything")
        except FlipError as error:
            assert error.code == "disk-full", error
        filler.unlink()
        fill_up.unlink()
        made.researcher.call("PUT", path, content)
        made.trusts[0].pause = 0.3
        run = made.submit(2, Plan(rounds=8, clip_norm=10.0), minimum=2)
        made.until_round(run, 2)
        filler = fill(directory, 0)
        time.sleep(3)
        filler.unlink()
        insist(made.researcher)
        view = made.ended(run)
        assert (view.state, view.code) in {("succeeded", None), ("failed", "disk-full")}, (view, made.log(run))
        made.trusts[0].pause = 0.0
        run = made.submit(2, Plan(rounds=2, clip_norm=10.0), minimum=2)
        assert made.ended(run).state == "succeeded", made.log(run)
        blobs = list((made.directory / "blobs").glob("??/*"))
        assert blobs
        assert all(sha(blob.read_bytes()) == blob.name for blob in blobs)
        assert list((made.directory / "blobs" / "partial").iterdir()) == []
    sound(directory / "hub" / "hub.sqlite")
    filler = fill(directory, 0)
    command = [sys.executable, "-m", "flipnb.hub", "--directory", str(directory / "hub")]
    started = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert started.returncode == 1, started
    assert "disk is full" in started.stderr, started.stderr
    assert "Traceback" not in started.stderr, started.stderr
    filler.unlink()


if __name__ == "__main__":
    {"enclave": enclave, "hub": hub}[sys.argv[1]](Path(sys.argv[2]))
