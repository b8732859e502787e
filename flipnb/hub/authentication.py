"""Who sends a request: the signature is checked once, before a byte of the body is read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
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

_LOG = logging.getLogger("flip.hub.authentication")

Role = Literal["researcher", "trust", "coordinator"]

_DRAINED_BYTES = 16 << 20
"""Of a body that is too large, so much is taken and dropped: an answer before its end would be lost with it."""
_BODY_SECONDS = 300.0
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
        self._unwritten: dict[tuple[str, str], float] = {}
        """Nonces that are used up and could not be written, with the time until which they matter."""

    def verify(self, request: Request) -> SignedRequest:
        """Raises FlipError with status 401; a request whose nonce was seen is refused by its first transaction."""
        try:
            path = request.scope["raw_path"].decode("ascii")
            query = request.scope["query_string"].decode("ascii")
        except UnicodeDecodeError:
            raise FlipError("bad-signature", "Path and query of a signed request are ASCII.", status=401) from None
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
        request.state.signed = signed = SignedRequest(self, caller, verified)
        return signed

    @contextmanager
    def transaction(self, verified: Verified) -> Iterator[Session]:
        """A transaction that uses up the nonce. Raises FlipError ``replayed`` (401)."""
        with self._database.transaction() as session:
            self._use_up(session, verified)
            yield session

    @contextmanager
    def later_transaction(self) -> Iterator[Session]:
        """A transaction after the request's own; it takes no nonce."""
        with self._database.transaction() as session:
            yield session

    @contextmanager
    def looking(self, verified: Verified) -> Iterator[Session]:
        """A transaction before the request's own, which leaves the nonce unused. Raises FlipError ``replayed``."""
        with self._database.transaction() as session:
            if self._is_used(verified) or session.get(NonceRow, (verified.key_id, verified.nonce)) is not None:
                raise _replayed()
            yield session

    def spend(self, verified: Verified) -> None:
        """Use up the nonce of a request that changed nothing, on disk, or at least in this process."""
        try:
            with self.transaction(verified):
                pass
        except FlipError:
            pass  # used up already
        except Exception as error:
            _LOG.warning("a nonce can't be written: %s", error)
            self._unwritten[verified.key_id, verified.nonce] = verified.expires.timestamp()

    def _use_up(self, session: Session, verified: Verified) -> None:
        now = time.time()
        if now > self._cleared + 60:
            session.execute(delete(NonceRow).where(NonceRow.expires < now - _CLOCK_TOLERANCE))
            self._unwritten = {key: until for key, until in self._unwritten.items() if until >= now - _CLOCK_TOLERANCE}
            self._cleared = now
        row = (verified.key_id, verified.nonce, verified.expires.timestamp())
        if self._is_used(verified) or session.connection().exec_driver_sql(_KEEP_NONCE, row).rowcount != 1:
            raise _replayed()

    def _is_used(self, verified: Verified) -> bool:
        return (verified.key_id, verified.nonce) in self._unwritten


class SignedRequest:
    """A request with a good signature. Its first transaction uses up the nonce; later ones read what has changed.

    Where no transaction came to its end, ``spend`` uses it up before the answer is sent, whatever that is.
    """

    def __init__(self, authentication: Authentication, caller: Caller, verified: Verified) -> None:
        self._authentication = authentication
        self._verified = verified
        self._fresh = True
        self.caller = caller
        self.content_digest = verified.content_digest
        self.body = b""

    async def read_body(self, request: Request, limit: int) -> None:
        """Raises FlipError ``body-too-large`` (413), ``altered-body`` (401), ``too-slow`` (408)."""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                self.body = await self._read(request, limit)
        except TimeoutError:
            message = f"The body was not whole after {_BODY_SECONDS:.0f} s."
            raise FlipError("too-slow", message, status=408) from None
        if not hmac.compare_digest(hashlib.sha256(self.body).hexdigest(), self.content_digest):
            raise FlipError("altered-body", "The body is not the one that was signed.", status=401)

    async def _read(self, request: Request, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        said = request.headers.get("content-length", "")
        if said.isascii() and said.isdigit() and int(said[:20]) > _DRAINED_BYTES:
            raise _too_large(limit)
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                parts.append(chunk)
            elif size > _DRAINED_BYTES:
                break
        if size > limit:
            raise _too_large(limit)
        return b"".join(parts)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Never await within the block."""
        if self._fresh:
            with self._authentication.transaction(self._verified) as session:
                yield session
            self._fresh = False
        else:
            with self._authentication.later_transaction() as session:
                yield session

    @contextmanager
    def looking(self) -> Iterator[Session]:
        """To see who asks, before a body is read that may take time: nothing is changed, and no nonce used up.

        Raises FlipError ``replayed`` (401).
        """
        with self._authentication.looking(self._verified) as session:
            yield session

    def spend(self) -> None:
        """Use up the nonce, where that has not happened."""
        if self._fresh:
            self._fresh = False
            self._authentication.spend(self._verified)


def _replayed() -> FlipError:
    return FlipError("replayed", "This very request was received before.", status=401)


def _too_large(limit: int) -> FlipError:
    return FlipError("body-too-large", f"The body may have at most {limit} bytes here.", status=413)
