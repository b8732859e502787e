"""Who sends a request: the signature is checked once, before a byte of the body is read."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete
from sqlalchemy.orm import Session
from starlette.requests import Request

from flipnb.contracts.keys import key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request as SignedParts
from flipnb.contracts.request_signature import Verified, verify_request
from flipnb.hub.configuration import Principal
from flipnb.hub.store.database import Database
from flipnb.hub.store.tables import NonceRow

Role = Literal["researcher", "trust", "coordinator"]

BODY_BYTES = 16 << 20
_NONCE_LENGTH = 200
_KEEP_NONCE = "INSERT OR IGNORE INTO nonces (key_id, nonce, expires) VALUES (?, ?, ?)"
_CLOCK_TOLERANCE = 30.0


@dataclass(frozen=True)
class Caller:
    """Whose key signed. ``run`` is set for a coordinator: the only run that it may touch."""

    key_id: str
    role: Role
    name: str
    run: str | None = None


class KeyRing:
    """The keys that may sign requests: principals of the configuration, and coordinators while their process lives."""

    def __init__(self, principals: Sequence[Principal]) -> None:
        self._callers: dict[str, Caller] = {}
        self._public: dict[str, str] = {}
        for principal in principals:
            self._add(Caller(key_id(principal.public_key), principal.role, principal.name), principal.public_key)

    @property
    def public_keys(self) -> dict[str, str]:
        """The public keys of all who may ask, by key id."""
        return self._public

    def caller(self, key: str) -> Caller:
        """Who a key is. KeyError where the hub does not know it."""
        return self._callers[key]

    def knows_trust(self, key: str) -> bool:
        """Whether the key is a Trust's."""
        return key in self._callers and self._callers[key].role == "trust"

    def admit_coordinator(self, run: str, public_key: str) -> None:
        """The new process's key; the key of an earlier process of the same run opens nothing from now on."""
        self.dismiss_coordinator(run)
        self._add(Caller(key_id(public_key), "coordinator", f"coordinator {run[:8]}", run), public_key)

    def dismiss_coordinator(self, run: str) -> None:
        """Know the key of a run's coordinator no more."""
        for key in [key for key, caller in self._callers.items() if caller.run == run]:
            del self._callers[key], self._public[key]

    def _add(self, caller: Caller, public_key: str) -> None:
        self._callers[caller.key_id] = caller
        self._public[caller.key_id] = public_key


class Authentication:
    """Verifies requests and remembers their nonces in the database."""

    def __init__(self, ring: KeyRing, database: Database, audience: str) -> None:
        self._ring = ring
        self._database = database
        self._audience = audience
        self._cleared = 0.0

    def verify(self, request: Request) -> SignedRequest:
        """Raises FlipError with status 401; a request whose nonce was seen is refused by its first transaction."""
        path = request.scope["raw_path"].decode("ascii")
        query = request.scope["query_string"].decode("ascii")
        url = f"https://hub{path}" + (f"?{query}" if query else "")
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            if name in headers:
                if name in ("signature", "signature-input", "content-digest", "flip-audience"):
                    raise FlipError("bad-signature", f"The header {name} is there twice.", status=401)
                continue
            headers[name] = value
        verified = verify_request(
            SignedParts(request.method, url, headers), self._ring.public_keys, audience=self._audience
        )
        if len(verified.nonce) > _NONCE_LENGTH:
            raise FlipError("bad-signature", "The nonce is too long.", status=401)
        caller = self._ring.caller(verified.key_id)
        request.state.caller = caller.name
        return SignedRequest(self, caller, verified)

    @contextmanager
    def transaction(self, verified: Verified) -> Iterator[Session]:
        """A transaction that uses up the nonce. Where the block is refused, that alone stays of it.

        Raises FlipError ``replayed`` (401).
        """
        try:
            with self._database.transaction() as session:
                self._use_up(session, verified)
                yield session
        except FlipError as refused:
            if refused.code != "replayed":
                with self._database.transaction() as session:
                    self._use_up(session, verified)
            raise

    @contextmanager
    def later_transaction(self) -> Iterator[Session]:
        """A transaction after the request's own, for what is known when a body has come; it takes no nonce."""
        with self._database.transaction() as session:
            yield session

    def _use_up(self, session: Session, verified: Verified) -> None:
        now = time.time()
        if now > self._cleared + 60:
            session.execute(delete(NonceRow).where(NonceRow.expires < now - _CLOCK_TOLERANCE))
            self._cleared = now
        row = (verified.key_id, verified.nonce, verified.expires.timestamp())
        if session.connection().exec_driver_sql(_KEEP_NONCE, row).rowcount != 1:
            raise FlipError("replayed", "This very request was received before.", status=401)


class SignedRequest:
    """A request with a good signature. Its first transaction uses up the nonce; later ones read what has changed."""

    def __init__(self, authentication: Authentication, caller: Caller, verified: Verified) -> None:
        self._authentication = authentication
        self._verified = verified
        self._fresh = True
        self.caller = caller
        self.content_digest = verified.content_digest
        self.body = b""

    async def read_body(self, request: Request) -> None:
        """Raises FlipError ``body-too-large`` (413), ``altered-body`` (401)."""
        parts: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_BYTES:
                raise FlipError("body-too-large", f"A body may have at most {BODY_BYTES} bytes.", status=413)
            parts.append(chunk)
        self.body = b"".join(parts)
        if not hmac.compare_digest(hashlib.sha256(self.body).hexdigest(), self.content_digest):
            raise FlipError("altered-body", "The body is not the one that was signed.", status=401)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Never await within the block."""
        if self._fresh:
            self._fresh = False
            with self._authentication.transaction(self._verified) as session:
                yield session
        else:
            with self._authentication.later_transaction() as session:
                yield session
