"""A blob as a file: under its name once it is whole and verified; until then what has come lies beside it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.files.whole import PARTIAL, publish
from flipnb.link.access import Access
from flipnb.link.bulk import Download, Progress, WrongBlob
from flipnb.link.retry import Retry

_PIECE = 1 << 20


def fetch_file(access: Access, digest: str, file: Path, retry: Retry, progress: Progress | None = None) -> None:
    """Download the blob ``digest`` to ``file``; where the file has that content already nothing is asked for.

    A fetch goes on where an earlier one ended, in whatever process that was; where what it left is something else,
    everything is fetched anew. Raises FlipError: what the hub says, ``wrong-blob`` (nothing is kept),
    ``being-fetched``, ``not-written``, ``disk-full``; NotNow where the hub stays away.
    """
    with PartialFile(file) as partial:
        if file.exists() and _hashed(file).hexdigest() == digest:
            partial.empty()
            return
        goes_on = partial.size > 0
        try:
            _fill(partial, access, digest, retry, progress)
        except WrongBlob:
            if not goes_on:
                raise
            _fill(partial, access, digest, retry, progress)
        partial.complete()


def _fill(partial: PartialFile, access: Access, digest: str, retry: Retry, progress: Progress | None) -> None:
    """Bring what is missing. What is wrong is removed."""
    hashed = _hashed(partial.path)
    download = Download(access, digest, partial.descriptor, kept=partial.size, hashed=hashed, progress=progress)
    try:
        download.run(retry)
    except WrongBlob:
        partial.empty()
        raise
    os.ftruncate(partial.descriptor, download.moved)


class PartialFile:
    """``NAME.partial`` beside ``file``, open for one process at a time; removed at the end where nothing came."""

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(file.name + PARTIAL)
        self._file = file
        self._complete = False
        while True:
            self.descriptor = _opened(self.path)
            try:
                if self._is_mine():
                    return
            except BaseException:
                os.close(self.descriptor)
                raise
            os.close(self.descriptor)  # another has completed it between opening and locking

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._complete and self.size == 0 and self._has_its_name():
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return os.fstat(self.descriptor).st_size

    def empty(self) -> None:
        """Forget all that is here."""
        os.ftruncate(self.descriptor, 0)

    def complete(self) -> None:
        """It takes the file's name, with its content on the disk. Raises FlipError ``being-fetched``."""
        os.fsync(self.descriptor)
        if not self._has_its_name():
            said = f"What had come of {self._file} was removed, or another fetch has begun meanwhile."
            raise FlipError("being-fetched", said, remedy="Fetch it again.", status=409)
        publish(self.path, self._file)
        self._complete = True

    def _is_mine(self) -> bool:
        """Lock it; whether it still has its name. Raises FlipError ``being-fetched``."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlipError(
                "being-fetched", f"{self._file} is being fetched already.", remedy="Wait for it.", status=409
            ) from None
        except OSError:  # a file system without locks
            return True
        return self._has_its_name()

    def _has_its_name(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        return False


def _opened(path: Path) -> int:
    """Made where it is not there. Raises FlipError ``not-written`` where another file would be written through it."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise FlipError("not-written", f"{path} is a link to another file.", remedy="Remove it.", status=500) from None


def _hashed(path: Path) -> hashlib._Hash:
    """The SHA-256 of all that the file holds."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found
