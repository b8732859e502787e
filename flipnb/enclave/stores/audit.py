"""The enclave's audit log: appended, never changed; every line is the input of one RFC 6962 leaf.

After each entry the size and tree head are signed with the node's key and kept in the store, so that a line that was
changed, dropped or cut off is found when the agent starts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipnb.contracts.audit import AuditEntry, AuditKind, leaf_hash, tree_head
from flipnb.contracts.desk import AuditCheck, AuditPage
from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.document import parse
from flipnb.contracts.keys import SigningKey, verify
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


class AuditLog:
    """Thread-safe. Opening it verifies all of it.

    Raises FlipError ``audit-broken``, which names the line, where the log is not what was written.
    """

    def __init__(self, path: Path, key: SigningKey, anchor: AuditAnchor) -> None:
        self._path = path
        self._key = key
        self._anchor = anchor
        self._lock = threading.Lock()
        self._problem: str | None = None
        self._names: dict[str, None] = {}
        self._tree, self._ends = _read(path, key, anchor, self._keep_names)
        whole = _end(self._ends, self._tree.size)
        if path.exists() and path.stat().st_size > whole:
            # A torn last line is what a power cut leaves; nothing was released on its account.
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._sign()
        self.refusals = Refusals(self.append)
        """Where everything goes that a hub can have refused again and again."""

    @staticmethod
    def verify(path: Path, key: SigningKey, anchor: AuditAnchor) -> int:
        """The number of entries, all of them as they were written; changes nothing. Raises as opening does."""
        return _read(path, key, anchor)[0].size

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

    def append(self, kind: AuditKind, *, then: Callable[[], object] = lambda: None, **details: Any) -> AuditEntry:
        """Write one entry and return when it is on disk. ``details`` is plain JSON data.

        ``then`` writes to the anchor's store what the entry tells of: after the entry, in one transaction with its
        head. A crash between the two leaves an entry too many, never a release without one.
        """
        with self._lock:
            entry = AuditEntry(
                index=self._tree.size, at=datetime.now(UTC), trust=self._key.key_id, kind=kind, details=details
            )
            line = entry.to_bytes()
            self._write(line + b"\n")
            self._ends.append(_end(self._ends, self._tree.size) + len(line) + 1)
            self._tree.add(leaf_hash(line))
            with self._anchor.together():
                self._sign()
                then()
            self._keep_names(details)
            return entry

    def names(self, digest: str) -> bool:
        """Whether one of the newest entries names ``digest``, a SHA-256, among its details."""
        with self._lock:
            return digest in self._names

    def _keep_names(self, details: dict[str, Any]) -> None:
        for value in details.values():
            if isinstance(value, str) and _DIGEST.fullmatch(value):
                self._names.pop(value, None)
                self._names[value] = None
        while len(self._names) > _NAMES:
            del self._names[next(iter(self._names))]

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

    def _sign(self) -> None:
        size, head = self._tree.size, self._tree.hexadecimal()
        self._anchor.set(size, head, self._key.sign(_statement(size, head)))


def _read(
    path: Path, key: SigningKey, anchor: AuditAnchor, hear: Callable[[dict[str, Any]], None] = lambda details: None
) -> tuple[TreeHead, array[int]]:
    """The tree of all whole lines, and where each of them ends, in bytes; a torn one may follow.

    ``hear`` is given each entry's details.
    """
    anchored = anchor.get()
    size, head, signature = anchored or (0, "", b"")
    if anchored is not None and not verify(key.public_key, signature, _statement(size, head)):
        raise _broken(path, "its signed head in the agent's store does not hold")
    tree, ends = TreeHead(), array("Q")
    for index, line in enumerate(_lines(path)):
        try:
            entry = parse(AuditEntry, line, f"line {index + 1}")
        except FlipError as error:
            raise _broken(path, str(error)) from None
        if entry.index != index or entry.trust != key.key_id:
            raise _broken(path, f"line {index + 1} has index {entry.index} or belongs to another Trust")
        tree.add(leaf_hash(line))
        hear(entry.details)
        if tree.size == size and tree.hexadecimal() != head:
            raise _broken(path, f"one of its first {size} lines is not the one that was written")
        ends.append(_end(ends, index) + len(line) + 1)
    if tree.size < size:
        raise _broken(path, f"it has {tree.size} entries, {size} were written")
    return tree, ends


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


def _broken(path: Path, how: str) -> FlipError:
    return FlipError(
        "audit-broken",
        f"The audit log {path} was changed: {how}.",
        remedy="Keep the file as evidence and restore the log from its last backup; the agent does not start.",
        status=500,
    )


def _statement(size: int, head: str) -> bytes:
    return f"flip/audit-head/1\n{size}\n{head}\n".encode()
