"""Private keys in files: whole or not at all, for their owner alone, and stretched where a passphrase opens them.

A key under a passphrase is one JSON document in PEM's armour (RFC 7468), by a label of its own. Its 32 raw bytes are
sealed by AES-256-GCM (NIST SP 800-38D) under a key that scrypt (RFC 7914) makes of the passphrase; the document without
``sealed``, in canonical form, is authenticated with them. N = 2^17, r = 8, p = 1 take 128 MiB and a quarter of a second
for each guess: OWASP's first choice. A key without a passphrase is PKCS #8 in PEM.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import Field, ValidationError

from flipnb.contracts.document import Document, canonical_bytes
from flipnb.contracts.keys import PublicKey, SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.files import whole

_BEGIN, _END = b"-----BEGIN FLIP LOCKED KEY-----\n", b"-----END FLIP LOCKED KEY-----\n"
_KEY_BYTES = 1 << 16


class LockedKey(Document):
    """A private key under a passphrase, as its file has it. Salt, nonce and ``sealed`` (48 bytes) are hexadecimal."""

    version: Literal["flip/locked-key/1"] = "flip/locked-key/1"
    public_key: PublicKey
    kdf: Literal["scrypt"] = "scrypt"
    n: int = Field(default=1 << 17, ge=1 << 14, le=1 << 20)
    r: int = Field(default=8, ge=8, le=16)
    p: int = Field(default=1, ge=1, le=4)
    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    nonce: str = Field(pattern=r"^[0-9a-f]{24}$")
    sealed: str = Field(default="", pattern=r"^([0-9a-f]{96})?$")

    @classmethod
    def lock(cls, key: SigningKey, passphrase: str) -> LockedKey:
        """``key`` under a fresh salt and nonce."""
        head = cls(public_key=key.public_key, salt=secrets.token_hex(16), nonce=secrets.token_hex(12))
        raw = key.private.private_bytes_raw()
        sealed = head._cipher(passphrase).encrypt(bytes.fromhex(head.nonce), raw, head._named())
        return head.model_copy(update={"sealed": sealed.hex()})

    def unlock(self, passphrase: str) -> SigningKey | None:
        """The key; None where the passphrase is another one, or the document was changed."""
        try:
            raw = self._cipher(passphrase).decrypt(bytes.fromhex(self.nonce), bytes.fromhex(self.sealed), self._named())
        except InvalidTag:
            return None
        return SigningKey(Ed25519PrivateKey.from_private_bytes(raw))

    def _cipher(self, passphrase: str) -> AESGCM:
        kdf = Scrypt(salt=bytes.fromhex(self.salt), length=32, n=self.n, r=self.r, p=self.p)
        return AESGCM(kdf.derive(passphrase.encode()))

    def _named(self) -> bytes:
        return canonical_bytes(self.model_dump(mode="json", exclude={"sealed"}))


def save_key(key: SigningKey, path: Path, passphrase: str | None = None) -> None:
    """Keep ``key`` at ``path``, mode 0600; on disk when this returns. Raises FlipError ``key-exists``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise FlipError("key-exists", f"{path} exists already; a key is never overwritten.")
    whole.write(path, _content(key, passphrase), mode=0o600)


def load_key(path: Path, passphrase: str | None = None) -> SigningKey:
    """The key at ``path``. One that an earlier version encrypted is locked anew, once its passphrase has opened it.

    Raises FlipError ``no-key``, ``wrong-passphrase``, ``damaged-key`` (no passphrase opens it).
    """
    try:
        with path.open("rb") as file:
            content = file.read(_KEY_BYTES)
    except FileNotFoundError:
        raise FlipError("no-key", f"There is no key at {path}.") from None
    if content.startswith(_BEGIN):
        return _unlocked(path, content, passphrase)
    key = _of_pem(path, content, passphrase)
    if passphrase is not None and b"ENCRYPTED" in content:
        with contextlib.suppress(OSError):  # of a read-only medium, or another user: it serves as it is
            whole.write(path, _content(key, passphrase), mode=0o600)
    return key


def stretched(path: Path) -> bool:
    """Whether the key at ``path`` is locked as today's are; False where it is of an earlier version, or damaged."""
    return _locked(path.read_bytes()) is not None


def _content(key: SigningKey, passphrase: str | None) -> bytes:
    if passphrase is not None:
        return _BEGIN + base64.encodebytes(LockedKey.lock(key, passphrase).to_bytes()) + _END
    return key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _locked(content: bytes) -> LockedKey | None:
    """The document in a key's file; None where it is not there whole."""
    if not content.endswith(_END):
        return None
    try:
        locked = LockedKey.model_validate_json(base64.b64decode(content[len(_BEGIN) : -len(_END)]))
    except (ValidationError, ValueError):
        return None
    return locked if locked.sealed else None


def _unlocked(path: Path, content: bytes, passphrase: str | None) -> SigningKey:
    locked = _locked(content)
    if locked is None:
        raise _damaged(path)
    key = locked.unlock(passphrase or "")
    if key is None or key.public_key != locked.public_key:
        raise _wrong(path)
    return key


def _of_pem(path: Path, content: bytes, passphrase: str | None) -> SigningKey:
    private = None
    try:
        private = serialization.load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError):
        if b"ENCRYPTED" in content and content.rstrip().endswith(b"-----"):
            raise _wrong(path) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise _damaged(path)
    return SigningKey(private)


def _wrong(path: Path) -> FlipError:
    return FlipError("wrong-passphrase", f"The key at {path} does not open with this passphrase.")


def _damaged(path: Path) -> FlipError:
    return FlipError(
        "damaged-key", f"{path} is damaged: it is no whole Ed25519 key.", remedy="Restore the file from its backup."
    )
