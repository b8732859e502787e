"""The newest signed head of the audit log, kept apart from the log itself, in one transaction with what it tells of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from flipnb.contracts.keys import SigningKey, verify
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.database import Database


class AuditAnchor:
    """The one row that says how long the audit log was when it was last signed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def signed(self, key: SigningKey, log: Path) -> dict[int, str]:
        """The head (hexadecimal) by the log's size then; nothing before the log was begun.

        Raises FlipError ``audit-broken`` where the key, which is the node's, has not signed it.
        """
        row = self._database.one("SELECT size, head, signature FROM audit_anchor")
        if row is None:
            return {}
        if not verify(key.public_key, bytes(row["signature"]), _statement(row["size"], row["head"])):
            raise FlipError(
                "audit-broken",
                f"The signed head of {log} in the agent's store does not hold.",
                remedy="Keep both files as evidence. If they are lost, see `flip enclave recover`.",
                status=500,
            )
        return {int(row["size"]): str(row["head"])}

    def sign(self, size: int, head: str, key: SigningKey) -> None:
        """Put a newer head, signed by the node's key, in the place of the last one."""
        with self._database.transaction() as db:
            signature = key.sign(_statement(size, head))
            db.execute("INSERT OR REPLACE INTO audit_anchor VALUES (1,?,?,?)", (size, head, signature))

    def clear(self) -> None:
        """Know of no log: another begins."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM audit_anchor")

    def together(self) -> AbstractContextManager[object]:
        """What is written to the anchor's store in the block is on disk at its end, all of it, or undone."""
        return self._database.transaction()


def _statement(size: int, head: str) -> bytes:
    return f"flip/audit-head/1\n{size}\n{head}\n".encode()
