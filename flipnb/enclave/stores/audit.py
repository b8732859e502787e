"""The enclave's audit log: appended, never changed; every line is the input of one RFC 6962 leaf.

After each entry the size and tree head are signed with the node's key and kept in the store and beside it (see
``anchors``): a line that was changed, dropped or cut off is found when the agent starts, and an older store, too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipnb.contracts.audit import AuditEntry, AuditKind, leaf_hash, tree_head
from flipnb.contracts.desk import AuditCheck, AuditPage
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.document import parse
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.anchor import AuditAnchor
from flipnb.enclave.stores.refusals import Refusals

_LOG = logging.getLogger("flipnb.enclave.stores.audit")
_PAGE = 1000
_PAGE_BYTES = 8 << 20
_NAMES = 20_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TreeHead:
    """The head of a growing RFC 6962 tree in logarithmic space: the roots of its full subtrees, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Take the hash of the next leaf, 32 bytes."""
        self.size += 1
        height, root = 0, leaf
        while self._roots and self._roots[-1][0] == height:
            root = _node(self._roots.pop()[1], root)
            height += 1
        self._roots.append((height, root))

    def hexadecimal(self) -> str:
        """The tree's head (RFC 6962, section 2.1); of no leaf at all it is the SHA-256 of nothing."""
        if not self._roots:
            return tree_head([]).hex()
        head = self._roots[-1][1]
        for _, root in reversed(self._roots[:-1]):
            head = _node(root, head)
        return head.hex()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class NewestDigests:
    """The SHA-256 sums that the newest entries name among their details, the newest ``_NAMES`` of them."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, details: Mapping[str, Any]) -> None:
        """Take those of one more entry."""
        for value in details.values():
            if isinstance(value, str) and _DIGEST.fullmatch(value):
                self._names.pop(value, None)
                self._names[value] = None
        while len(self._names) > _NAMES:
            del self._names[next(iter(self._names))]

    def __contains__(self, digest: str) -> bool:
        return digest in self._names


def _nothing() -> None:
    """What is to be written with an entry that nothing follows from."""


class AuditLog:
    """Thread-safe. Opening it verifies all of it.

    Its head is told to ``witness`` after each entry, before it is signed in the store: of the three the log is never
    behind, and the others are behind it by one entry at most, whenever the power is cut. Where the store was given more
    than a head, the witness is told once more that it has it: an older copy of the store is found by that.
    Raises FlipError ``audit-broken``, which names the line, where the log is not what was written.
    """

    def __init__(
        self,
        path: Path,
        key: SigningKey,
        anchor: AuditAnchor,
        *,
        witness: Callable[[int, str, int], object] = lambda size, head, settled: None,
        found: LogFound | None = None,
    ) -> None:
        """``found``: what ``read_log`` has just found, where somebody has read the log already. ``witness`` is told the
        size, the head, and how many entries the store has settled."""
        self._path = path
        self._key = key
        self._anchor = anchor
        self._witness = witness
        self._lock = threading.Lock()
        self._problem: str | None = None
        found = found or read_log(path, key, anchor.signed(key, path))
        self._tree, self._ends, self._named = found.tree, found.ends, found.named
        whole = _end(self._ends, self._tree.size)
        if path.exists() and path.stat().st_size > whole:
            # A torn last line is what a power cut leaves; nothing was released on its account.
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._signed = False
        self._settled = max(anchor.signed(key, path), default=0)
        self._settle()
        self.refusals = Refusals(self.append)
        """Where everything goes that a hub can have refused again and again."""

    @staticmethod
    def verify(path: Path, key: SigningKey, anchor: AuditAnchor) -> int:
        """The number of entries, all of them as they were written; changes nothing. Raises as opening does."""
        return read_log(path, key, anchor.signed(key, path)).tree.size

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._tree.size

    def check(self) -> AuditCheck:
        """Read all of it again. What is once found broken stays so, as evidence, until the agent starts anew."""
        checked = datetime.now(UTC)
        try:
            size = AuditLog.verify(self._path, self._key, self._anchor)
        except FlipError as error:
            self._problem, size = error.message, self.size
        return AuditCheck(size=size, checked=checked, problem=self._problem)

    def require_whole(self) -> None:
        """Raise FlipError ``audit-broken`` where a check has found the log changed."""
        if self._problem is not None:
            raise FlipError(
                "audit-broken",
                f"{self._problem} Approvals are off.",
                remedy="Change nothing; tell your security officer.",
                status=409,
            )

    def append(self, kind: AuditKind, *, then: Callable[[], object] = _nothing, **details: Any) -> AuditEntry:
        """Write one entry and return when it is on disk. ``details`` is plain JSON data.

        ``then`` writes to the anchor's store what the entry tells of: after the entry, in one transaction with its
        head. A crash between the two leaves an entry too many, never a release without one.
        """
        with self._lock:
            self._settle()
            entry = AuditEntry(
                index=self._tree.size, at=datetime.now(UTC), trust=self._key.key_id, kind=kind, details=details
            )
            line = entry.to_bytes()
            self._write(line + b"\n")
            self._ends.append(_end(self._ends, self._tree.size) + len(line) + 1)
            self._tree.add(leaf_hash(line))
            self._named.add(details)
            self._signed = False
            self._settle(then)
            if then is not _nothing:
                self._tell_settled()
            return entry

    def names(self, digest: str) -> bool:
        """Whether one of the newest entries names ``digest``, a SHA-256, among its details."""
        with self._lock:
            return digest in self._named

    def _write(self, line: bytes) -> None:
        """All of it on disk, or nothing. Raises FlipError ``disk-full``."""
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise disk_full("this Trust's")  # Linux writes a part where less than all fits
            os.fsync(self._file)
        except BaseException as error:
            os.ftruncate(self._file, before)
            if is_full(error):
                raise disk_full("this Trust's") from None
            raise

    def page(self, after: int) -> AuditPage:
        """Entries with index >= ``after``, the log's size and its tree head.

        At most 1000 entries of 8 MiB together, but one at least where there are any: nothing else is read of the log.
        """
        with self._lock:
            size, head = self._tree.size, self._tree.hexadecimal()
            after = min(after, size)
            start = _end(self._ends, after)
            within = bisect_right(self._ends, start + _PAGE_BYTES, after, min(after + _PAGE, size))
            stop = _end(self._ends, max(within, min(after + 1, size)))
        # What was appended is never changed: it is read without the lock.
        with self._path.open("rb", buffering=0) as file:
            file.seek(start)
            lines = file.read(stop - start).split(b"\n")[:-1]
        return AuditPage(entries=tuple(line.decode() for line in lines), size=size, head=head)

    def close(self) -> None:
        """Close the file, once it has the number of all refusals; the anchor's store stays open."""
        try:
            self.refusals.close()
        except FlipError as error:
            _LOG.warning("the audit log lacks the number of the last refusals: %s", error)
        os.close(self._file)

    def _settle(self, then: Callable[[], object] = _nothing) -> None:
        """Have the head witnessed and signed, together with ``then``; nothing where both were done for this head.

        Where a full disk keeps it from that, no further entry is written before it is done.
        """
        if self._signed:
            return
        size, head = self._tree.size, self._tree.hexadecimal()
        self._witness(size, head, self._settled)
        with self._anchor.together():
            self._anchor.sign(size, head, self._key)
            then()
        self._signed, self._settled = True, size

    def _tell_settled(self) -> None:
        """Have it witnessed that the store has what it was just given, before anything leaves on its account."""
        try:
            self._witness(self._tree.size, self._tree.hexadecimal(), self._settled)
        except (FlipError, OSError) as error:  # all is written; the next entry says so, too
            _LOG.warning("the anchor does not have yet that the state has the last entry: %s", error)


@dataclass(frozen=True)
class LogFound:
    """What a whole log says: its tree, where each line ends (in bytes), which digests its newest entries name, what its
    counts cost (since a loss: beside what the ledger had then), which runs it has seen start (with the bundle of each),
    whether it was begun, or taken over, with an anchor, and when its last entry was written."""

    tree: TreeHead
    ends: array[int]
    named: NewestDigests
    counts: int
    cost: int
    started: dict[str, str]
    anchored: bool
    last: datetime | None


def read_log(path: Path, key: SigningKey, signed: Mapping[int, str]) -> LogFound:
    """Read all whole lines; a torn one may follow. ``signed``: heads by the size at which the log must have had them.

    Raises FlipError ``audit-broken``, which names the line, where the log is not what was written.
    """
    tree, ends, named = TreeHead(), array("Q"), NewestDigests()
    counts, cost, started, anchored, last = 0, 0, dict[str, str](), False, None
    for index, line in enumerate(_lines(path)):
        try:
            entry = parse(AuditEntry, line, f"line {index + 1}")
        except FlipError as error:
            raise broken(path, str(error)) from None
        if entry.index != index or entry.trust != key.key_id:
            raise broken(path, f"line {index + 1} has index {entry.index} or belongs to another Trust")
        tree.add(leaf_hash(line))
        named.add(entry.details)
        last = entry.at
        if signed.get(tree.size) not in (None, tree.hexadecimal()):
            raise broken(path, f"one of its first {tree.size} lines is not the one that was written")
        ends.append(_end(ends, index) + len(line) + 1)
        match entry.kind:
            case "count-released":
                counts, cost = counts + 1, cost + int(entry.details.get("cost", 0))
            case "run-started":
                started[entry.details["run"]] = entry.details["bundle"]
            case "anchored":
                anchored = True
            case "loss-declared":
                # From here on the ledger is what was made of it then: it may know less than was spent before.
                anchored, cost = True, int(entry.details["paid"])
    size = max(signed, default=0)
    if tree.size < size:
        raise broken(path, f"it has {tree.size} entries, {size} were written")
    return LogFound(tree, ends, named, counts, cost, started, anchored, last)


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines, each without its end."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


def _end(ends: array[int], number: int) -> int:
    """How many bytes the first ``number`` lines take."""
    return ends[number - 1] if number else 0


def broken(path: Path, how: str) -> FlipError:
    """What is said of a log that is not what was written."""
    return FlipError(
        "audit-broken",
        f"The audit log {path} is not what was written: {how}.",
        remedy="Keep the file as evidence. If it was put back from a backup, or is lost, see `flip enclave recover`.",
        status=500,
    )
