"""Where what came from an archive lies until a jailed parser has read it: folders and files with numbers for names.

``studies/000012/0003/000001.dcm`` is an instance of the third series of the store's twelfth study. A series appears
whole or not at all, and is synced before the store tells of it. No name, UID or number of an archive is part of a path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from flipnb.files.whole import PARTIAL, sync

STORE = "pulls.sqlite"
_STUDIES = "studies"
_MAGIC = b"DICM"
_PREAMBLE = 128


class DiskFull(Exception):
    """There is no room for what comes, or no more than is to stay free."""


class Refused(Exception):
    """What comes is more than is allowed, or no DICOM file: this study's fault, not the archive's."""


class Stopped(Exception):
    """Somebody asked for the end, or an archive's patience is over."""


class Quarantine:
    """The folder ``directory``, which the collector writes and nobody decodes in but a jail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._studies = directory / _STUDIES
        self._studies.mkdir(parents=True, exist_ok=True, mode=0o700)

    def study(self, study: int) -> Path:
        """The folder of a study's series."""
        return self._studies / f"{study:06d}"

    def series(self, study: int, number: int) -> Path:
        """The folder of a series' files."""
        return self.study(study) / f"{number:04d}"

    def files(self, study: int, number: int) -> list[Path]:
        """The files of a series that is there."""
        return sorted(self.series(study, number).glob("*.dcm"))

    def sweep(self) -> None:
        """Remove what a process that died had not finished."""
        for partial in self._studies.glob(f"*/*{PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)

    def drop(self, study: int) -> None:
        """Remove all that is here of a study."""
        shutil.rmtree(self.study(study), ignore_errors=True)

    def sync(self, places: Iterable[Path]) -> None:
        """All of these series are on disk when this returns. Raises DiskFull."""
        folders: set[Path] = set()
        try:
            for place in places:
                for file in place.iterdir() if place.exists() else ():
                    sync(file)
                folders |= {place, place.parent, self._studies}
            for folder in sorted(folders, reverse=True):
                if folder.exists():
                    sync(folder)
        except OSError as error:
            raise _full(error) from None

    def free_bytes(self) -> int:
        """What this user may still write here."""
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize


class Incoming:
    """What comes of one series: files in a folder that becomes the series' when ``keep`` is called.

    ``most_bytes`` and ``most_files`` bound it. ``check`` is called while bytes come, with their number, and may raise.
    ``failed`` is what went wrong in a thread that could not raise it. Methods may be called from any thread.
    """

    def __init__(
        self, place: Path, *, most_bytes: int, most_files: int, check: Callable[[int], None] = lambda size: None
    ) -> None:
        self._place, self._most_bytes, self._most_files, self._check = place, most_bytes, most_files, check
        self._partial = place.with_name(place.name + PARTIAL)
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._open: set[File] = set()
        self._begun = 0
        self.received = 0
        self.bytes = 0
        self.heard = time.monotonic()
        self.failed: Exception | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self._partial, ignore_errors=True)
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._partial.mkdir(mode=0o700)
        except OSError as error:
            raise _full(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        for left in tuple(self._open):
            left.drop()
        shutil.rmtree(self._partial, ignore_errors=True)

    def file(self, *, hashed: bool = True) -> File:
        """The next file. ``hashed``: its content tells it from the others, else the name that ``finish`` is given.

        Raises Refused, DiskFull.
        """
        with self._lock:
            self._begun += 1
            number = self._begun
        if number > self._most_files:
            raise Refused(f"more than {self._most_files} instances came of one series")
        made = File(self, self._partial / f"{number:06d}.dcm", hashed=hashed)
        self._open.add(made)
        return made

    def is_over(self, file: File) -> None:
        """The file was closed."""
        self._open.discard(file)

    def take(self, size: int) -> None:
        """So many more bytes come. Raises Refused, and what ``check`` raises."""
        with self._lock:
            self.bytes += size
        if self.bytes > self._most_bytes:
            raise Refused("more bytes came of it than a study may have")
        since = time.monotonic()
        self._check(size)
        self.heard += time.monotonic() - since  # that the collector waited is no fault of the archive

    def count(self, name: str) -> bool:
        """Count an instance that is whole; False where it was there already."""
        with self._lock:
            if name in self._known:
                return False
            self.heard = time.monotonic()
            self._known.add(name)
            self.received += 1
            return True

    def keep(self) -> None:
        """The files are the series' from now on, in place of those from before; ``Quarantine.sync`` syncs them."""
        try:
            old = self._place.with_name(f".{self._place.name}.old{PARTIAL}")
            if self._place.exists():
                shutil.rmtree(old, ignore_errors=True)
                self._place.replace(old)
            self._partial.replace(self._place)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise _full(error) from None


class File:
    """One file while it comes: written as it is, counted; removed where it does not become whole."""

    def __init__(self, incoming: Incoming, path: Path, *, hashed: bool) -> None:
        self._incoming, self._path = incoming, path
        self._digest = hashlib.sha256() if hashed else None
        self._head = b""
        self._handle = -1
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _full(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.drop()

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Raises DiskFull, Refused, and what the series' ``check`` raises; the file is gone then."""
        try:
            self._incoming.take(len(piece))
            if len(self._head) < _PREAMBLE + len(_MAGIC):
                self._head += bytes(piece[: _PREAMBLE + len(_MAGIC)])
            if self._digest is not None:
                self._digest.update(piece)
            left = memoryview(piece)
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError as error:
            self.drop()
            raise _full(error) from None
        except BaseException:
            self.drop()
            raise

    def finish(self, name: str = "") -> None:
        """It is whole, and counted once by its name or its content.

        Raises Refused where it is no DICOM file (PS3.10, section 7.1).
        """
        if self._head[_PREAMBLE : _PREAMBLE + len(_MAGIC)] != _MAGIC:
            self.drop()
            raise Refused("something came that is no DICOM file")
        if not self._incoming.count(self._digest.hexdigest() if self._digest is not None else name):
            self.drop()
            return
        self._close()

    def drop(self) -> None:
        """It does not become whole."""
        if self._handle >= 0:
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        os.close(self._handle)
        self._handle = -1
        self._incoming.is_over(self)


def _full(error: OSError) -> Exception:
    """The disk's errors as they are answered: full is full, all others stay what they are."""
    return DiskFull() if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
