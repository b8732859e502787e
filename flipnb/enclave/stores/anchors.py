"""What an enclave's files were when they were last signed: a small file, which may lie on another disk than they do.

It holds how long the audit log was and its head, how much the ledger had charged, and the digests (never the content)
of the secrets. All of these only ever grow, or stay: whoever puts back an older copy, or makes one anew, is found.

Each line is what held then, sealed; the last whole one counts. Lines are appended, which costs one sync, and now and
then the file is begun anew with the last.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.document import Digest, Document, sha256
from flipnb.contracts.envelope import ANCHOR, seal, unseal
from flipnb.contracts.keys import SigningKey
from flipnb.enclave.stores.ledger import Ledger
from flipnb.files.whole import write

_LONGEST = 256 << 10


class Anchored(Document):
    """``size`` and ``head`` of the audit log; of its entries so many as the state has ``settled``; ``charges`` of the
    ledger and what they ``spent``, ever; ``secrets``: the SHA-256 of each file of 32 secret bytes, by its name below
    ``keys/``."""

    version: Literal["flip/anchor/1"] = "flip/anchor/1"
    size: int = Field(ge=0)
    head: Digest
    settled: int = Field(default=0, ge=0)
    charges: int = Field(ge=0)
    spent: int = Field(ge=0)
    secrets: dict[str, Digest]


def read_anchored(path: Path, key: SigningKey) -> Anchored | None:
    """What is anchored; None where there is no such file.

    Raises FlipError where it is none that the node's key has signed: as ``unseal`` and ``parse``.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # a torn one is what a power cut leaves
    except FileNotFoundError:
        return None
    opened = unseal(lines[-1] if lines else b"", ANCHOR, {key.key_id: key.public_key}, "The anchor")
    return opened.parse(Anchored, "The anchor")


class Anchors:
    """Keeps the file in step with the log, the ledger and the secrets. Thread-safe."""

    def __init__(self, path: Path, key: SigningKey, ledger: Ledger, secrets: Iterable[Path]) -> None:
        self._path, self._key, self._ledger = path, key, ledger
        self._lock = threading.Lock()
        self._secrets = {secret.name: sha256(secret.read_bytes()) for secret in secrets}
        self._log: tuple[int, str, int] | None = None
        self._file: int | None = None

    def hold(self, size: int, head: str, settled: int) -> None:
        """The audit log has ``size`` entries and this head, and the state knows so many as are ``settled``.

        On disk when it returns. Raises FlipError ``disk-full``.
        """
        with self._lock:
            self._log = size, head, settled
            self._write()

    def hold_secret(self, secret: Path) -> None:
        """A secret was made, which is there from now on; on disk when it returns. After the first ``hold``."""
        with self._lock:
            self._secrets[secret.name] = sha256(secret.read_bytes())
            self._write()

    def _write(self) -> None:
        assert self._log is not None
        size, head, settled = self._log
        charges, spent = self._ledger.ever()
        anchored = Anchored(size=size, head=head, settled=settled, charges=charges, spent=spent, secrets=self._secrets)
        try:
            self._append(seal(anchored, ANCHOR, self._key) + b"\n")
        except OSError as error:
            if is_full(error):
                raise disk_full("this Trust's") from None
            raise

    def _append(self, line: bytes) -> None:
        if self._file is None or os.fstat(self._file).st_size > _LONGEST:
            write(self._path, line, mode=0o600)
            self._close()
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(self._path))
            os.fsync(self._file)
        except BaseException:
            os.ftruncate(self._file, before)
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
