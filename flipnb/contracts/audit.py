"""Leaves of an enclave's audit log: RFC 6962 section 2.1, so that proofs and witnesses can come later."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from flipnb.contracts.document import Document, Moment
from flipnb.contracts.keys import KeyId

AuditKind = Literal[
    "joined", "count-released", "count-refused", "request-received", "request-refused", "approved", "declined",
    "run-started", "run-ended", "kernel-died", "slot-released", "round-released", "round-refused", "report-refused",
    "total-released", "total-refused", "left", "stopped", "estate-loaded", "agent-started",
    "anchored", "loss-declared", "passphrase-wrong",
    "task-refused", "refused-again", "progress-told", "told", "opened", "image-decided",
]  # fmt: skip


class AuditEntry(Document):
    """One thing that happened in an enclave. The canonical bytes are the leaf's input.

    What leaves has an entry that names the SHA-256 of its bytes, written before it is sent: an answer to a round, a
    total or a count that of its own kind, a report of a run's progress ``progress-told``, whatever else ``told``.
    ``opened`` says which part of a request a data controller has had before them, ``image-decided`` what they decided
    about an image that is held back, which is named by its file's SHA-256.
    """

    version: Literal["flip/audit/1"] = "flip/audit/1"
    index: int = Field(ge=0)
    at: Moment
    trust: KeyId
    kind: AuditKind
    details: dict[str, Any]


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def tree_head(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaf hashes: SHA-256(0x01 || left || right), split at the largest power of two < n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_head(leaves[:split]) + tree_head(leaves[split:])).digest()
