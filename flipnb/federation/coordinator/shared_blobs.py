"""The hub's blobs as its coordinators have them: files on the disk that both share.

A coordinator is a process of the hub's, on its machine and under its user. A model of gigabytes need not pass through
TLS and two more copies between them: updates are read where the hub has stored and verified them, and new weights are
given to it as a second name of the checkpoint's file.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from flipnb.federation.safetensors_file import sync_directory


def blob_path(blobs: Path, sha256: str) -> Path:
    """Where the hub keeps a blob."""
    return blobs / sha256[:2] / sha256


def give(blobs: Path, sha256: str, file: Path) -> None:
    """Make ``file``, which is synced and whose SHA-256 this is, one of the hub's blobs; the same again is fine."""
    target = blob_path(blobs, sha256)
    if target.exists():
        return
    new = not target.parent.exists()
    target.parent.mkdir(exist_ok=True)
    # What a killed coordinator leaves there is swept when the hub starts.
    partial = blobs / "partial" / secrets.token_hex(16)
    try:
        share(file, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(target.parent)
    if new:
        sync_directory(blobs)


def share(file: Path, name: Path) -> None:
    """A second name for a file that nobody writes any more; a copy where the file system has no second names."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)
        with name.open("rb") as copy:
            os.fsync(copy.fileno())
