"""What an enclave's files were when they were last signed: a small file, which may lie on another disk than they do.

It holds how long the audit log was and its head, how much the ledger had charged, and the digests (never the content)
of the secrets. All of these only ever grow, or stay: whoever puts back an older copy, or makes one anew, is found.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Digest, Document, sha256
from flipnb.contracts.envelope import ANCHOR, seal, unseal
from flipnb.contracts.keys import SigningKey
from flipnb.enclave.stores.ledger import Ledger
from flipnb.files.whole import write


class Anchored(Document):
    """``size`` and ``head`` of the audit log; ``charges`` of the ledger and what they ``spent``, ever; ``secrets``: the
    SHA-256 of each file of 32 secret bytes, by its name below ``keys/``."""

    version: Literal["flip/anchor/1"] = "flip/anchor/1"
    size: int = Field(ge=0)
    head: Digest
    charges: int = Field(ge=0)
    spent: int = Field(ge=0)
    secrets: dict[str, Digest]


def read_anchored(path: Path, key: SigningKey) -> Anchored | None:
    """What is anchored; None where there is no such file.

    Raises FlipError where it is none that the node's key has signed: as ``unseal`` and ``parse``.
    """
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        return None
    opened = unseal(sealed, ANCHOR, {key.key_id: key.public_key}, "The anchor")
    return opened.parse(Anchored, "The anchor")


class Anchors:
    """Keeps the file in step with the log, the ledger and the secrets. Thread-safe."""

    def __init__(self, path: Path, key: SigningKey, ledger: Ledger, secrets: Iterable[Path]) -> None:
        self._path, self._key, self._ledger = path, key, ledger
        self._lock = threading.Lock()
        self._secrets = {secret.name: sha256(secret.read_bytes()) for secret in secrets}
        self._log: tuple[int, str] | None = None

    def hold(self, size: int, head: str) -> None:
        """The audit log has ``size`` entries and this head; on disk when it returns."""
        with self._lock:
            self._log = size, head
            self._write()

    def hold_secret(self, secret: Path) -> None:
        """A secret was made, which is there from now on; on disk when it returns. After the first ``hold``."""
        with self._lock:
            self._secrets[secret.name] = sha256(secret.read_bytes())
            self._write()

    def _write(self) -> None:
        assert self._log is not None
        size, head = self._log
        charges, spent = self._ledger.ever()
        anchored = Anchored(size=size, head=head, charges=charges, spent=spent, secrets=self._secrets)
        write(self._path, seal(anchored, ANCHOR, self._key), mode=0o600)
