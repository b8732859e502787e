"""Where blobs lie: each under its SHA-256, in a folder that the hub, its coordinators and a simulation share.

A coordinator is a process of the hub's, on its machine and under its user. A model of gigabytes need not pass through
TLS and two more copies between them: updates are read where the hub has stored and verified them, and new weights are
given to it as a second name of the checkpoint's file.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from flipnb.files.whole import publish, sync


class Blobs:
    """``partial`` holds what is not whole yet; its owner sweeps it, also after a coordinator that was killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.partial = directory / "partial"

    def make(self) -> None:
        """Make the folders."""
        self.partial.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where a blob lies, or would."""
        return self._directory / sha256[:2] / sha256

    def new_partial(self) -> Path:
        """A name in ``partial`` that nobody else has."""
        return self.partial / secrets.token_hex(16)

    def place(self, partial: Path, sha256: str) -> None:
        """Make a synced file, whose SHA-256 this is, a blob; on disk when this returns."""
        target = self.path(sha256)
        new = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        publish(partial, target)
        if new:
            sync(self._directory)

    def give(self, file: Path, sha256: str) -> None:
        """Make ``file``, which is synced and whose SHA-256 this is, a blob too; the same again is fine."""
        if self.path(sha256).exists():
            return
        partial = self.new_partial()
        try:
            share(file, partial)
            self.place(partial, sha256)
        finally:
            partial.unlink(missing_ok=True)


def share(file: Path, name: Path) -> None:
    """A second name for a file that nobody writes any more; a synced copy where the file system has no second names."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)
        sync(name)
