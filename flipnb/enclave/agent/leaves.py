"""The leaf of the audit log that everything has before it leaves for the hub."""

from __future__ import annotations

from typing import Any

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.enclave.stores.audit import AuditLog

_SMALL = 4096


class Leaves:
    """Each method returns once an entry of the log names the SHA-256 of what is about to leave.

    What a room has entered itself (a round's answer, its update) has its entry there; for the rest one is written
    here. The same bytes again, as when the hub was away, need no second one. Raises FlipError ``disk-full``: what has
    no leaf stays here.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def of_bytes(
        self, sent: bytes, what: str, *, kind: AuditKind = "told", content: Any = None, **details: Any
    ) -> None:
        """For ``sent``, bytes as they leave; ``content``, what they say, is left out of the entry where it is long."""
        if content is not None and len(sent) <= _SMALL:
            details["content"] = content
        self.of_digest(sha256(sent), len(sent), what, kind=kind, **details)

    def of_digest(self, digest: str, size: int, what: str, *, kind: AuditKind = "told", **details: Any) -> None:
        """For what has this SHA-256 and so many bytes."""
        if not self._audit.names(digest):
            self._audit.append(kind, what=what, sha256=digest, bytes=size, **details)

    def of_words(self, words: dict[str, Any], what: str) -> None:
        """For a few words, which stand in the entry: their canonical bytes (RFC 8785) are what its digest is of."""
        content = canonical_bytes(words)
        self.of_digest(sha256(content), len(content), what, content=words)
