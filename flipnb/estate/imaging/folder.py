"""De-identifying all files of a source into a folder: each is accounted for, none is half written, none names anyone.

Outputs lie in ``TO/person/study/series/instance.dcm`` by their replaced identifiers, for names of files and folders may
be people's. Beside ``TO`` lies ``TO.flip``, which is not to leave: the key, where none was named, what was done
already, and what is being written.
"""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.batch.pool import Pool, Task
from flipnb.estate.imaging.batch.sources import Item, items
from flipnb.estate.imaging.deidentify import Policy
from flipnb.files.whole import sync

ENGINE = "2"
"""Raised where the same policy gives other bytes."""
_UID = re.compile(r"[0-9][0-9.]{0,63}")
_KEY_BYTES = 32


@dataclass(frozen=True)
class Line:
    """What became of one file. ``to`` is the output's path; ``reason`` is empty where it was released."""

    file: str
    state: str
    reason: str
    to: str | None

    def as_json(self) -> dict[str, Any]:
        """The line as it is printed and kept."""
        return asdict(self)


def deidentify(
    source: Path,
    to: Path,
    policy: Policy,
    *,
    key: Path | None = None,
    workers: int | None = None,
    counted: Callable[[int], None] | None = None,
) -> Iterator[Line]:
    """De-identify every file of ``source`` (a file, a folder or a zip) into the folder ``to``.

    ``key``: a file with the key in hexadecimal; without it ``TO.flip/key``, which is made when it is not there. A run
    that was stopped is taken up where it was. ``counted`` is told how many files there are. Raises FlipError:
    ``no-such-source``, ``bad-zip``, ``bad-key``, ``target-inside-source``, ``target-in-use``, ``disk-full``.
    """
    source, to = source.absolute(), to.absolute()
    if to.resolve().is_relative_to(source.resolve()):
        raise FlipError("target-inside-source", f"{to} lies in {source}.", remedy="Name a folder beside the source.")
    beside = to.with_name(f"{to.name}.flip")
    beside.mkdir(mode=0o700, parents=True, exist_ok=True)
    to.mkdir(parents=True, exist_ok=True)
    with _locked(beside):
        secret = read_key(key or beside / "key", make=key is None)
        yield from _Run(source, to, beside, policy, secret).lines(workers or os.cpu_count() or 1, counted)


class _Run:
    def __init__(self, source: Path, to: Path, beside: Path, policy: Policy, secret: bytes) -> None:
        self._source = source
        self._to = to
        self._work = beside / "work"
        self._ledger = beside / "done.jsonl"
        self._policy = policy
        self._secret = secret
        self._folders: set[Path] = set()
        self._stamp = f"{ENGINE}\0{policy.model_dump_json()}\0".encode()

    def lines(self, workers: int, counted: Callable[[int], None] | None) -> Iterator[Line]:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(mode=0o700)
        found = list(items(self._source))
        if counted is not None:
            counted(len(found))
        done = self._done()
        waiting = []
        for item in found:
            before = done.get(self._name(item))
            if item.refused:
                yield Line(item.name, "refused", item.refused, None)
            elif before is not None and (before["to"] is None or Path(before["to"]).is_file()):
                yield Line(item.name, before["state"], before["reason"], before["to"])
            else:
                waiting.append(item)
        pool = Pool(self._policy, self._secret, workers=max(1, min(workers, len(waiting))))
        try:
            with self._ledger.open("a", encoding="utf-8") as ledger:
                tasks = (Task(item, self._work / f"{number}.dcm") for number, item in enumerate(waiting))
                for task, answer in pool.run(tasks):
                    line = self._settled(task, answer)
                    ledger.write(json.dumps({"of": self._name(task.item), **_without_name(line)}) + "\n")
                    yield line
        finally:
            pool.close()
            shutil.rmtree(self._work, ignore_errors=True)
            for folder in self._folders:
                sync(folder)

    def _settled(self, task: Task, answer: dict[str, Any]) -> Line:
        """Give a released output its place; remove that of any other."""
        state, reason = str(answer["state"]), str(answer["reason"])
        if state == "failed":
            self._raise(answer)
        if state != "released":
            task.output.unlink(missing_ok=True)
            return Line(task.item.name, state, reason, None)
        return Line(task.item.name, state, "", str(self._placed(task.output, answer["facts"])))

    def _raise(self, answer: dict[str, Any]) -> None:
        error = OSError(answer.get("errno") or 0, answer["reason"])
        if is_full(error):
            raise disk_full("this machine's")
        raise FlipError("cannot-write", f"{self._to}: {answer['reason']}.", remedy="Give the rights and run it again.")

    def _placed(self, output: Path, facts: dict[str, Any]) -> Path:
        """Where the output lies in the end. Two files of one instance that differ both stay, under two names."""
        folder: Path = self._to / str(facts["person"]) / _safe(facts["study_uid"]) / _safe(facts["series_uid"])
        folder.mkdir(parents=True, exist_ok=True)
        self._folders |= {folder, folder.parent, folder.parent.parent, self._to}
        name = _safe(facts["sop_uid"])
        number = 1
        while True:
            place = folder / (f"{name}.dcm" if number == 1 else f"{name}-{number}.dcm")
            if not place.exists():
                output.chmod(0o644)
                output.rename(place)
                return place
            if filecmp.cmp(output, place, shallow=False):
                output.unlink()
                return place
            number += 1

    def _name(self, item: Item) -> str:
        """What stands for a file in the ledger, which must not hold its name."""
        said = f"{item.name}\0{item.size}\0{item.changed}"
        if item.member is not None:  # a zip may hold two files of one name
            said += f"\0{item.member}"
        return hmac.new(self._secret, self._stamp + said.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()

    def _done(self) -> dict[str, dict[str, Any]]:
        """What earlier runs did, but for a last line that was cut."""
        done: dict[str, dict[str, Any]] = {}
        if self._ledger.exists():
            for line in self._ledger.read_text(encoding="utf-8").splitlines():
                try:
                    told = json.loads(line)
                    done[told["of"]] = told
                except (ValueError, KeyError):
                    continue
        return done


def _without_name(line: Line) -> dict[str, Any]:
    return {"state": line.state, "reason": line.reason, "to": line.to}


def _safe(uid: str) -> str:
    """A UID as a name in a folder; what is none has a name that says nothing."""
    return uid if _UID.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else "none"


def read_key(path: Path, *, make: bool) -> bytes:
    """The key in ``path``; where it may be made, a fresh one, for its owner alone. Raises FlipError ``bad-key``."""
    if make and not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_bytes(_KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise FlipError("bad-key", f"{path} holds no key: {error}.", remedy=_REMEDY) from error
    if len(key) < _KEY_BYTES:
        raise FlipError("bad-key", f"{path} holds {len(key)} bytes.", remedy=_REMEDY)
    return key


_REMEDY = "It is a file with 64 hexadecimal digits (32 bytes)."


@contextmanager
def _locked(beside: Path) -> Iterator[None]:
    with (beside / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FlipError(
                "target-in-use", f"Another run writes beside {beside}.", remedy="Wait for it, or stop it."
            ) from None
        yield
