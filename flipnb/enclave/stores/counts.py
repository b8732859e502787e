"""Replies to count requests, until they expire: the same request gets the same bytes, a nonce is taken once."""

from __future__ import annotations

from datetime import datetime

from flipnb.enclave.stores.database import Database, text_now, text_of


class CountTable:
    """A row for each answered request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reply(self, request: str) -> bytes | None:
        """The sealed reply to a request, by the request's digest; None where it was not answered, or has expired."""
        row = self._database.one("SELECT reply FROM counts WHERE request=?", request)
        return bytes(row["reply"]) if row is not None else None

    def nonce_seen(self, nonce: str) -> bool:
        """Whether an answered request had this nonce."""
        return self._database.one("SELECT 1 FROM counts WHERE nonce=?", nonce) is not None

    def add(self, request: str, nonce: str, expires: datetime, reply: bytes) -> bool:
        """Keep a reply with its request's nonce; False where the request or the nonce was there already."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM counts WHERE expires<?", (text_now(),))
            done = db.execute(
                "INSERT INTO counts VALUES (?,?,?,?) ON CONFLICT DO NOTHING", (request, nonce, text_of(expires), reply)
            )
            return done.rowcount == 1
