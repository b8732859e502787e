"""The leaf of the audit log that everything has before it leaves for the hub."""

from __future__ import annotations

import logging
from typing import Any

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog

_LOG = logging.getLogger("flipnb.enclave.agent.leaves")
_SMALL = 4096


class Leaves:
    """Each method returns once an entry of the log names the SHA-256 of what is about to leave.

    What a room has entered itself (a round's answer, its update) has its entry there; for the rest one is written
    here. The same bytes again, as when the hub was away, need no second one.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def of_bytes(
        self, sent: bytes, what: str, *, kind: AuditKind = "told", content: Any = None, **details: Any
    ) -> None:
        """For ``sent``, bytes as they leave; ``content``, what they say, is left out of the entry where it is long.

        Raises FlipError ``disk-full``: what has no leaf stays here.
        """
        if content is not None and len(sent) <= _SMALL:
            details["content"] = content
        self.of_digest(sha256(sent), len(sent), what, kind=kind, **details)

    def of_digest(self, digest: str, size: int, what: str, *, kind: AuditKind = "told", **details: Any) -> None:
        """For what has this SHA-256 and so many bytes. Raises as ``of_bytes``."""
        if not self._audit.names(digest):
            self._audit.append(kind, what=what, sha256=digest, bytes=size, **details)

    def of_refusal(self, sent: bytes, what: str, **details: Any) -> None:
        """For a word that the hub had by asking for what it does not get, which it may do as often as it likes.

        Beyond ``Refusals``' number of them in an hour they are counted, without their digests. Nothing of a patient is
        in them, so that they are said on a full disk, too.
        """
        digest = sha256(sent)
        if self._audit.names(digest):
            return
        try:
            self._audit.refusals.add("told", what, what=what, sha256=digest, bytes=len(sent), **details)
        except FlipError as full:
            _LOG.warning("the audit log does not have an answer to the hub: %s", full)

    def of_words(self, words: dict[str, Any], what: str) -> None:
        """As ``of_refusal``, for a code and a reason: their canonical bytes (RFC 8785) are what the digest is of."""
        self.of_refusal(canonical_bytes(words), what, content=words)
