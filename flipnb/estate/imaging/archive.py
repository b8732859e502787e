"""The de-identified archive of an estate: DICOM files by their content, beside the versions that name them.

``images/objects/ab/SHA256.dcm`` is whole, has mode 0444 and is never written again. An estate version says in
``image_file`` which files make up a series of image_occurrence; what no version names is of no use to anybody, and a
file that two versions name is there once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from flipnb.contracts.problem import FlipError
from flipnb.files.whole import PARTIAL, sync

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".dcm"
_BLOCK = 1 << 20
_BATCH = 256
"""Files that are written before the first of them is waited for: a disk syncs many at once much faster."""


@dataclass(frozen=True)
class _Written:
    """A file's copy under a name of no meaning, not synced yet."""

    partial: Path
    sha256: str


class Archive:
    """``estate`` is the estate's directory. Several processes may add to an archive at a time."""

    def __init__(self, estate: Path) -> None:
        self.directory = estate / "images"
        self._objects = self.directory / "objects"
        self._partial = self.directory / "partial"

    def path(self, sha256: str) -> Path:
        """Where the file of this SHA-256 lies, or would. Raises FlipError ``not-a-digest``."""
        if not _SHA256.fullmatch(sha256):
            raise FlipError("not-a-digest", f"{sha256[:80]!r} is no SHA-256 in lower-case hexadecimal.")
        return self._objects / sha256[:2] / f"{sha256}{_SUFFIX}"

    def add(self, file: Path) -> str:
        """Copy a regular file into the archive, where it is not there yet; its SHA-256. On disk when this returns.

        The copy belongs to this process's user, whoever can still write ``file``, which stays. Raises FlipError
        ``not-a-file`` for anything but a regular file, symbolic links among it; OSError where the disk is full.
        """
        (sha256,) = self.add_all([file])
        return sha256

    def add_all(self, files: Iterable[Path]) -> Iterator[str]:
        """As ``add``, of many files in their order, several times as fast; each is on disk when its name is given."""
        waiting = iter(files)
        while batch := list(islice(waiting, _BATCH)):
            yield from self._add_batch(batch)

    def sweep(self) -> None:
        """Remove what killed processes left half-written; while nobody adds."""
        for left in self._partial.glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)

    def _add_batch(self, files: list[Path]) -> list[str]:
        self._make()
        written: list[_Written] = []
        try:
            written += (self._copy(file) for file in files)
            new = [one for one in written if not self._is_whole(one)]
            for one in new:
                sync(one.partial)
            folders = {self._place(one) for one in new}
            for folder in folders:
                sync(folder)
            if folders:
                sync(self._objects)
        finally:
            for one in written:
                one.partial.unlink(missing_ok=True)
        return [one.sha256 for one in written]

    def _copy(self, file: Path) -> _Written:
        partial = self._partial / f"{secrets.token_hex(16)}{PARTIAL}"
        digest = hashlib.sha256()
        try:
            with _regular(file) as source, partial.open("xb") as target:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    target.write(block)
            partial.chmod(0o444)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return _Written(partial, digest.hexdigest())

    def _is_whole(self, one: _Written) -> bool:
        """Whether the archive has it; a file that lost its end in a power cut is replaced."""
        try:
            return self.path(one.sha256).stat().st_size == one.partial.stat().st_size
        except FileNotFoundError:
            return False

    def _place(self, one: _Written) -> Path:
        target = self.path(one.sha256)
        _folder(target.parent)
        if one.partial.exists():  # of two equal files in one batch the second has nothing to do
            one.partial.replace(target)
        return target.parent

    def _make(self) -> None:
        for folder in (self.directory, self._objects):
            _folder(folder)
        self._partial.mkdir(exist_ok=True, mode=0o700)


def _folder(path: Path) -> None:
    """The estate worker reads as an unprivileged user; the enclave's directory keeps others out."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)


def _regular(file: Path) -> BinaryIO:
    """``file`` open for reading; what is put in its place meanwhile is not what is copied."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOENT):
            raise _not_a_file(file) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_a_file(file)
    return os.fdopen(handle, "rb")


def _not_a_file(file: Path) -> FlipError:
    return FlipError("not-a-file", f"{file} is no regular file, and can't be added to the archive.")
