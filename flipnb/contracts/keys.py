"""Ed25519 keys (RFC 8032): who signed is a key, never a name that somebody relays."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, StringConstraints

from flipnb.contracts.problem import FlipError

KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of the 32 raw bytes of a public key, hexadecimal."""


def _is_public_key(text: str) -> str:
    raw = base64.b64decode(text, validate=True)
    if len(raw) != 32 or base64.b64encode(raw).decode() != text:
        raise ValueError("is no base64 of an Ed25519 public key (32 bytes)")
    return text


PublicKey = Annotated[str, StringConstraints(max_length=44), AfterValidator(_is_public_key)]
"""The 32 raw bytes of an Ed25519 public key in base64."""


def key_id(public_key: str) -> str:
    """SHA-256 of the 32 raw bytes of a public key (base64), hexadecimal."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def fingerprint(public_key_or_id: str) -> str:
    """What two people compare over the telephone: 80 bits of the key's SHA-256 in five groups of four."""
    identity = public_key_or_id if len(public_key_or_id) == 64 else key_id(public_key_or_id)
    return "-".join(identity[i : i + 4] for i in range(0, 20, 4)).upper()


def verify(public_key: str, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes, RFC 8032) over ``message`` is of the key, which is in base64."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class SigningKey:
    """A private Ed25519 key with its public half; the private half never leaves this object but to a file."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public_key: str = base64.b64encode(raw).decode()
        self.key_id: str = key_id(self.public_key)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key, from the system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def private(self) -> Ed25519PrivateKey:
        """The private half, for libraries that sign by themselves."""
        return self._private

    def sign(self, message: bytes) -> bytes:
        """The signature of ``message``: 64 bytes (Ed25519, RFC 8032)."""
        return self._private.sign(message)

    def save(self, path: Path, passphrase: str | None = None) -> None:
        """Write PKCS #8 PEM, mode 0600, encrypted where a passphrase is given; never over an existing file."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        pem = self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise FlipError("key-exists", f"{path} exists already; a key is never overwritten.") from None
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> SigningKey:
        """Read a key file. Raises FlipError ``no-key``, ``wrong-passphrase``."""
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            raise FlipError("no-key", f"There is no key at {path}.") from None
        private = None
        with contextlib.suppress(ValueError, TypeError):
            private = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
        if not isinstance(private, Ed25519PrivateKey):
            raise FlipError("wrong-passphrase", f"The key at {path} does not open with this passphrase.")
        return cls(private)
