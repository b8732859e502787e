"""Ed25519 keys (RFC 8032): who signed is a key, never a name that somebody relays."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, StringConstraints

KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of the 32 raw bytes of a public key, hexadecimal."""

_PRIME = 2**255 - 19
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _Y_OF_ORDER_8, _PRIME - _Y_OF_ORDER_8})
"""The y coordinates of the eight points whose order divides 8 (order 4; 1; 2; 8; 8), each with either sign of x."""


def _fault(raw: bytes) -> str | None:
    """What is wrong with the 32 bytes of a public key; None where nothing is.

    Under a key of small order anybody can make a signature of any message: with the neutral element, R = (0, 1) and
    S = 0 verify always. RFC 8032 (section 5.1.3) refuses a y of 2^255 - 19 or more, OpenSSL takes it: one key would
    have two ids. See Chalkias, Garillot and Nikolaenko, *Taming the many EdDSAs*, 2020.
    """
    if len(raw) != 32:
        return "is no Ed25519 public key: it has not 32 bytes"
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    if y >= _PRIME:
        return "is no Ed25519 public key: its coordinate is not below 2^255 - 19"
    return "is an Ed25519 point of small order, for which anybody can sign" if y in _SMALL_ORDER else None


def _is_public_key(text: str) -> str:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("is no base64 of an Ed25519 public key (32 bytes)")
    if fault := _fault(raw):
        raise ValueError(fault)
    return text


PublicKey = Annotated[str, StringConstraints(max_length=44), AfterValidator(_is_public_key)]
"""The 32 raw bytes of an Ed25519 public key in base64; none of small order, each key in its one encoding."""


def key_id(public_key: str) -> str:
    """SHA-256 of the 32 raw bytes of a public key (base64), hexadecimal."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def fingerprint(public_key_or_id: str) -> str:
    """What two people compare over the telephone: 80 bits of the key's SHA-256 in five groups of four."""
    identity = public_key_or_id if len(public_key_or_id) == 64 else key_id(public_key_or_id)
    return "-".join(identity[i : i + 4] for i in range(0, 20, 4)).upper()


def verifying_key(public_key: str) -> Ed25519PublicKey | None:
    """What verifies signatures of a key, which is in base64; None where it is of small order or in another encoding."""
    raw = base64.b64decode(public_key)
    return None if _fault(raw) else Ed25519PublicKey.from_public_bytes(raw)


def verify(public_key: str, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes, RFC 8032) over ``message`` is of the key, which is in base64."""
    key = verifying_key(public_key)
    if key is None:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


class SigningKey:
    """A private Ed25519 key with its public half; ``link.key_files`` keeps it in a file."""

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
