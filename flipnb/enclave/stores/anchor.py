"""The newest signed head of the audit log, kept apart from the log itself."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flipnb.enclave.stores.database import Database


class AuditAnchor:
    """The one row that says how long the audit log was when it was last signed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> tuple[int, str, bytes] | None:
        """Size, head (hexadecimal) and signature; None before the log was begun."""
        row = self._database.one("SELECT size, head, signature FROM audit_anchor")
        return (int(row["size"]), str(row["head"]), bytes(row["signature"])) if row is not None else None

    def set(self, size: int, head: str, signature: bytes) -> None:
        """Put a newer head in the place of the last one."""
        with self._database.transaction() as db:
            db.execute("INSERT OR REPLACE INTO audit_anchor VALUES (1,?,?,?)", (size, head, signature))

    def together(self) -> AbstractContextManager[object]:
        """What is written to the anchor's store in the block is on disk at its end, all of it, or undone."""
        return self._database.transaction()
