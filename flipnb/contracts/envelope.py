"""DSSE envelopes (Dead Simple Signing Envelope 1.0): bytes, their type, and who signed them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError
from securesystemslib.signer import Signature

from flipnb.contracts.document import D, Document, load_json, parse, require_few_values, sha256
from flipnb.contracts.keys import SigningKey, verify
from flipnb.contracts.problem import FlipError

BUNDLE = "application/vnd.flip.bundle+json"
RUN_REQUEST = "application/vnd.flip.run-request+json"
ROSTER = "application/vnd.flip.roster+json"
MEMBERSHIP = "application/vnd.flip.membership+json"
APPROVAL = "application/vnd.flip.approval+json"
SESSION = "application/vnd.flip.session+json"
COUNT_REQUEST = "application/vnd.flip.count-request+json"
COUNT_REPLY = "application/vnd.flip.count-reply+json"
CARD = "application/vnd.flip.trust-card+json"
ROUND_REPLY = "application/vnd.flip.round-reply+json"
TOTAL_REPLY = "application/vnd.flip.total-reply+json"
ANCHOR = "application/vnd.flip.anchor+json"
LOSS = "application/vnd.flip.loss+json"

_MOST_SIGNATURES = 16
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{86}==")
"""Ed25519's 64 bytes in base64."""


@dataclass(frozen=True)
class Opened:
    """A verified payload: its bytes as signed, their SHA-256 and the key that signed them."""

    payload: bytes
    digest: str
    signer: str

    def parse(self, model: type[D], what: str) -> D:
        """The payload as a document, ``what`` for a person. Raises what ``document.parse`` raises."""
        return parse(model, self.payload, what)


def seal(document: Document | bytes, payload_type: str, key: SigningKey) -> bytes:
    """Sign a document; the result is the envelope's JSON bytes."""
    payload = document if isinstance(document, bytes) else document.to_bytes()
    envelope = Envelope(payload, payload_type, {})
    signature = Signature(key.key_id, key.sign(envelope.pae()).hex())
    envelope.signatures[key.key_id] = signature
    return json.dumps(envelope.to_dict(), separators=(",", ":"), sort_keys=True).encode()


def unseal(data: bytes, payload_type: str, trusted: Mapping[str, str], what: str) -> Opened:
    """Verify an envelope against ``trusted`` (key id → public key) and return the payload.

    Exactly one signature is expected. Raises FlipError: ``bad-envelope`` (malformed), ``unknown-key`` (the
    signer is not among ``trusted``), ``bad-signature`` (changed after signing), ``wrong-type``.
    """
    envelope = _read(data, what)
    if envelope.payload_type != payload_type:
        raise FlipError("wrong-type", f"{what} is of type {envelope.payload_type[:80]!r}, not {payload_type!r}.")
    if len(envelope.signatures) != 1:
        raise FlipError("bad-envelope", f"{what} must have exactly one signature.")
    (signature,) = envelope.signatures.values()
    public_key = trusted.get(signature.keyid)
    if public_key is None:
        raise FlipError(
            "unknown-key",
            f"{what} is signed by the key {signature.keyid[:16]}…, which is not known here.",
            remedy="The key must be entered in the membership by a person who compared its fingerprint.",
            status=403,
        )
    if not verify(public_key, bytes.fromhex(signature.signature), envelope.pae()):
        raise FlipError("bad-signature", f"{what} was changed after it was signed.", status=403)
    return Opened(envelope.payload, sha256(envelope.payload), signature.keyid)


def peek(data: bytes, what: str) -> bytes:
    """The payload without verification: for a relay, or for looking up which key must have signed."""
    payload: bytes = _read(data, what).payload
    return payload


def signer_of(data: bytes, what: str) -> str:
    """The key id that an envelope names, unverified."""
    envelope = _read(data, what)
    if len(envelope.signatures) != 1:
        raise FlipError("bad-envelope", f"{what} must have exactly one signature.")
    return str(next(iter(envelope.signatures)))


def _read(data: bytes, what: str) -> Envelope:
    if len(data) > 16 << 20:
        raise FlipError("document-too-large", f"{what} has {len(data)} bytes.")
    require_few_values(data, what)
    value = load_json(data, what)
    if not _is_envelope(value):
        raise FlipError("bad-envelope", f"{what} is no DSSE envelope.")
    try:
        return Envelope.from_dict(value)
    except (ValueError, FormatError):
        raise FlipError("bad-envelope", f"{what} is no DSSE envelope: its payload is no base64.") from None


def _is_envelope(value: Any) -> bool:
    """Whether plain JSON data has an envelope's fields, in their types and spellings."""
    if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
        return False
    payload, payload_type, signatures = value["payload"], value["payloadType"], value["signatures"]
    if not (isinstance(payload, str) and isinstance(payload_type, str) and isinstance(signatures, list)):
        return False
    return len(signatures) <= _MOST_SIGNATURES and all(_is_signature(signature) for signature in signatures)


def _is_signature(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"keyid", "sig"}:
        return False
    key, signature = value["keyid"], value["sig"]
    if not (isinstance(key, str) and isinstance(signature, str)):
        return False
    return _KEY.fullmatch(key) is not None and _SIGNATURE.fullmatch(signature) is not None
