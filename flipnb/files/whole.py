"""Files and folders that appear whole or not at all, and stay so over a crash and a power cut.

What is written lies beside its place under a name that ends in ``.partial``, is synced, takes its place in one step,
and the folder that names it is synced. Whoever sweeps a folder after a crash may remove all ``*.partial`` in it.
A full disk is the OSError that it is; ``contracts.disk`` tells it apart.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


def write(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Make ``content`` all of the file ``path``; several may write one path at a time.

    ``mode`` is the file's, whatever the umask; without it the user's default. Where it raises, ``path`` is as it was.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode if mode is not None else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(handle, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Where to write what becomes ``path`` when the block is over: a file that is not there yet.

    ``mode`` is the file's in the end, where it is not what the block made it. One process at a time writes a path so;
    what a killed one left is begun anew. Where the block raises, ``path`` is as it was and nothing is left beside it.
    """
    partial = path.with_name(path.name + PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        if mode is not None:
            partial.chmod(mode)
        sync(partial)
        publish(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Where to fill what becomes ``folder``, which is not there yet, when the block is over: an empty folder.

    As ``writing``: one process at a time; where the block raises, nothing is left.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.rglob("*"), reverse=True):
            sync(path)
        sync(partial)
        publish(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def publish(partial: Path, path: Path) -> None:
    """Give a file or folder that is synced its name, in place of what has it; on disk when this returns."""
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """What a file holds, or which names a folder has, is on disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
