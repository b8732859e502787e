"""What an enclave's secrets, stores and audit log must be before an agent works with them: made at set-up, whole, and
none older than what was written last. Looking changes nothing, and may be done beside an agent."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from flipnb.contracts.disk import is_full
from flipnb.contracts.document import sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.anchors import Anchored, read_anchored
from flipnb.enclave.stores.audit import LogFound, broken, read_log
from flipnb.enclave.stores.configuration import SECRET_BYTES, EnclaveDirectory
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.store import Store

Fault = Literal["missing", "damaged", "older", "newer", "open-to-others", "unreadable", "recovery-unfinished"]
_RECOVER = "Restore it from your newest backup; if there is none so new, declare the loss with `flip enclave recover`."
_EMPTY = "it is empty"
_CLOCK_TOLERANCE = timedelta(minutes=5)
_NOT_NOW = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""What says nothing of a file's content: SQLite could not look at it."""
Opened = TypeVar("Opened", Store, Ledger)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file, in a sentence, and what to do."""

    file: Path
    fault: Fault
    detail: str
    remedy: str = _RECOVER

    def error(self) -> FlipError:
        """Why an agent does not start."""
        code = "audit-broken" if self.file.name == "audit.jsonl" else f"file-{self.fault}"
        return FlipError(code, self.detail, remedy=self.remedy, status=500)


@dataclass(frozen=True)
class Inspection:
    """``adopt``: the enclave was made before there were anchors, and nothing says that anything of it is lost. ``log``:
    what the audit log says; None where it can't be read."""

    problems: tuple[Problem, ...]
    log: LogFound | None
    adopt: bool = False

    def clock_behind(self) -> timedelta | None:
        """By how much this machine's clock is behind the log's last entry, where that is more than clocks differ."""
        if self.log is None or self.log.last is None:
            return None
        behind = self.log.last - datetime.now(UTC)
        return timedelta(seconds=round(behind.total_seconds())) if behind > _CLOCK_TOLERANCE else None


def inspect(directory: EnclaveDirectory, key: SigningKey) -> Inspection:
    """Look at everything that an agent finds and never makes; ``key`` is the node's."""
    if directory.recovery.exists():
        unfinished = Problem(
            directory.recovery,
            "recovery-unfinished",
            f"A recovery was begun here and has not ended: {directory.recovery} is there.",
            "Run `flip enclave recover` again: it goes on.",
        )
        return Inspection((unfinished,), None)
    look = _Look(directory, key)
    look.anchor()
    look.audit()
    if look.log is not None and look.of_before_anchors:
        look.before_anchors(look.log)
        return Inspection(tuple(look.problems), look.log, adopt=not look.problems)
    look.secrets()
    look.ledger()
    look.state()
    return Inspection(tuple(look.problems), look.log)


class _Look:
    """What each look has found, for those that come after it."""

    def __init__(self, directory: EnclaveDirectory, key: SigningKey) -> None:
        self._directory, self._key = directory, key
        self.problems: list[Problem] = []
        self.anchored: Anchored | None = None
        self._unreadable_anchor = False
        self.log: LogFound | None = None
        self._never_signed = False

    def anchor(self) -> None:
        """First, since what is read after it may only have grown."""
        try:
            self.anchored = read_anchored(self._directory.anchor, self._key)
        except FlipError as error:
            self._unreadable_anchor = True
            self._problem(self._directory.anchor, "damaged", f"{self._directory.anchor} does not hold: {error.message}")

    def audit(self) -> None:
        path = self._directory.audit
        try:
            signed = self._signed()
            if not path.exists():
                raise broken(path, "it is not there")
            self.log = read_log(path, self._key, signed)
        except FlipError as error:
            fault: Fault = "damaged" if path.exists() else "missing"
            self._problem(path, fault, error.message, error.remedy)
        if self.anchored is None and not self._unreadable_anchor and not self.of_before_anchors:
            self._problem(self._directory.anchor, "missing", f"{self._directory.anchor} is not there.")
        if self.log is None:
            return
        newest = self._newest_anchor()
        if newest is not None and newest.size < self.log.tree.size - 1:
            self._problem(
                self._directory.anchor,
                "older",
                f"{self._directory.anchor} is older than the audit log: it knows {newest.size} entries of "
                f"{self.log.tree.size}.",
            )

    @property
    def of_before_anchors(self) -> bool:
        """Whether there is a log of before there were anchors. One that no head of the node's is about is nobody's."""
        log = self.log
        return self.anchored is None and log is not None and not log.anchored and not self._never_signed

    def before_anchors(self, log: LogFound) -> None:
        """An enclave of before there were anchors: what was made at first use may be missing where it had none."""
        self.state()
        ledger = self._directory.ledger
        if log.cost or (ledger.exists() and not _is_whole(ledger, or_empty=True)):
            self.ledger()
        if self._directory.disclosure.exists() or log.counts:
            self._secret(self._directory.disclosure)
        for secret in sorted(self._directory.keys.glob("study-*.key")):
            self._secret(secret)

    def secrets(self) -> None:
        """Those that are anchored, and those that are there."""
        there = {self._directory.disclosure, *self._directory.keys.glob("study-*.key")}
        anchored = {self._directory.keys / name for name in (self.anchored.secrets if self.anchored else ())}
        joined = {self._directory.study_file(file.stem) for file in self._directory.memberships.glob("*.dsse")}
        for secret in sorted(there | anchored | joined):
            self._secret(secret)

    def ledger(self) -> None:
        path = self._directory.ledger
        if not self._whole(path):
            return
        ledger = self._opened(path, Ledger)
        if ledger is None:
            return
        with closing(ledger):
            charges, spent = ledger.ever()
        told = self.log.cost if self.log is not None else 0
        charged, paid = (self.anchored.charges, self.anchored.spent) if self.anchored is not None else (0, 0)
        if charges < charged or spent < max(paid, told):
            self._problem(
                path,
                "older",
                f"{path} is older than what was spent: it knows {charges} charges of {spent} together; "
                f"{max(charged, charges)} of {max(paid, told)} were made.",
            )

    def state(self) -> None:
        path = self._directory.state
        if not self._whole(path):
            return
        if self.log is None or (store := self._opened(path, Store)) is None:
            return
        with closing(store):
            knows = max(store.anchor.signed(self._key, self._directory.audit), default=0)
            settled = self.anchored.settled if self.anchored is not None else 0
            never = [run for run in self.log.started if not store.runs.was_started(run)]
        size = self.log.tree.size
        if knows < max(size - 1, settled):
            self._problem(path, "older", f"{path} is older than the audit log: it knows {knows} entries of {size}.")
        elif never:
            self._problem(
                path, "older", f"{path} is older than the audit log: it does not know that the run {never[0]} started."
            )

    def _signed(self) -> dict[int, str]:
        """By size, the heads that the log must have had. Raises FlipError ``audit-broken`` where two contradict."""
        found = {self.anchored.size: self.anchored.head} if self.anchored is not None else {}
        path = self._directory.state
        if _is_whole(path) and (store := self._opened(path, Store, quietly=True)) is not None:
            with closing(store):
                heads = store.anchor.signed(self._key, self._directory.audit)
                self._never_signed = max(heads, default=0) == 0
                for size, head in heads.items():
                    if found.setdefault(size, head) != head:
                        raise broken(self._directory.audit, "its signed heads contradict each other")
        return found

    def _newest_anchor(self) -> Anchored | None:
        """Read after the log, which an agent may have written meanwhile: what was in flight before is in it now."""
        try:
            return read_anchored(self._directory.anchor, self._key) if self.anchored is not None else None
        except FlipError:
            return self.anchored

    def _secret(self, path: Path) -> None:
        try:
            found, content = path.stat(), path.read_bytes()
        except FileNotFoundError:
            self._problem(path, "missing", f"{path} is not there; it is made at set-up, or when its study is joined.")
            return
        expected = self.anchored.secrets.get(path.name) if self.anchored is not None else None
        if len(content) != SECRET_BYTES:
            detail = f"{path} has {len(content)} bytes; a secret has {SECRET_BYTES}."
            self._problem(path, "damaged", detail)
        elif expected not in (None, sha256(content)):
            self._problem(path, "damaged", f"{path} is another secret than the one that was made here.")
        elif found.st_uid != os.geteuid() or found.st_mode & 0o077:
            self._problem(
                path,
                "open-to-others",
                f"{path} belongs to another user, or others can read it.",
                f"chown it to the user of the agent, and chmod 0600 {path}.",
            )

    def _whole(self, path: Path) -> bool:
        if not path.exists():
            self._problem(path, "missing", f"{path} is not there; it is made at set-up.")
            return False
        try:
            fault = _fault(path)
        except _NotNow as error:
            self._problem(
                path,
                "unreadable",
                f"{path} can't be looked at: {error}.",
                "Make room on its disk, and look whose file it is. Nothing says that it is lost.",
            )
            return False
        if fault is not None:
            self._problem(path, "damaged", f"{path} is damaged: {fault}.")
        return fault is None

    def _opened(self, path: Path, kind: Callable[..., Opened], *, quietly: bool = False) -> Opened | None:
        """The store as it is, of whatever schema that is not a newer version's."""
        try:
            return kind(path, upgrade=False, older=True)
        except FlipError as error:
            if not quietly:
                self._problem(path, "newer", error.message, error.remedy)
            return None

    def _problem(self, file: Path, fault: Fault, detail: str, remedy: str = _RECOVER) -> None:
        self.problems.append(Problem(file, fault, detail, remedy))


class _NotNow(Exception):
    """A file can't be looked at now, whatever its content is."""


def _is_whole(path: Path, *, or_empty: bool = False) -> bool:
    try:
        return path.exists() and _fault(path) in (None, _EMPTY if or_empty else None)
    except _NotNow:
        return False


def _fault(path: Path) -> str | None:
    """What SQLite says is wrong with a file that is there; None where it is whole. Raises _NotNow."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)) as database:
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if is_full(error) or code & 0xFF in _NOT_NOW:
            raise _NotNow("the disk is full" if is_full(error) else str(error)) from None
        return str(error)
    return _EMPTY if schema == 0 else None if said == "ok" else str(said)
