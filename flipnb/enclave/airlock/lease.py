"""Memory that an agent and a kernel pass to each other: memfds.

An agent never maps a file that a kernel could still cut off (a mapping beyond the end is SIGBUS, the agent's end) or
still write (what was checked would not be what is sent). And no kernel gets more of it than was set aside for it: who
was given a descriptor can keep its memory for ever, in copies that nobody sees, where no limit on its processes counts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError

NAME = "lease"
"""What Linux calls a mapping of such memory: ``/memfd:lease``."""
_BLOCK = 64 << 20
_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Writes(Protocol):
    """What can write its bytes into a file."""

    def write_to(self, file: IO[bytes]) -> None:
        """At the file's place, in one pass."""


class Lease:
    """A memfd of fixed size, filled and then sealed and read. Close it after use."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, size)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SIZE)
        except OSError:
            self.close()
            raise

    def seal(self) -> None:
        """No process can write it any more. Raises FlipError ``still-mapped`` while one holds it mapped to write."""
        try:
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
        except OSError as error:
            if error.errno == errno.EPERM and self.sealed:
                return
            if error.errno != errno.EBUSY:
                raise
            raise FlipError(
                "still-mapped", "The update is still mapped by the notebook, so it could change while it is read."
            ) from None

    @property
    def sealed(self) -> bool:
        """Whether nobody can write to it any more, by the system's own word."""
        return bool(fcntl.fcntl(self.descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)

    @contextmanager
    def view(self) -> Iterator[memoryview]:
        """The sealed content, mapped to read."""
        if not self.sealed:
            raise FlipError("not-sealed", "Memory that a kernel can still write is not read.")
        mapped = mmap.mmap(self.descriptor, self.size, prot=mmap.PROT_READ)
        view = memoryview(mapped)
        try:
            yield view
        finally:
            # Where an error's traceback still holds an array over it, the collector unmaps it later.
            with contextlib.suppress(BufferError):
                view.release()
                mapped.close()

    def write_to(self, file: IO[bytes]) -> None:
        """Write its bytes into ``file``."""
        _copy(self.descriptor, file.fileno(), self.size)

    def duplicate(self) -> Lease:
        """The same memory under a descriptor of its own."""
        twin = Lease.__new__(Lease)
        twin.size, twin.descriptor = self.size, os.dup(self.descriptor)
        return twin

    def close(self) -> None:
        """Give the memory back; again has no effect."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Loan:
    """Memory of a fixed size that a kernel and its enclave share as long as the kernel lives. Close it after that.

    A kernel is lent the same memory each time, so that it has this much and no more, however often it asks and
    whatever it keeps. What it wrote is moved away before anything looks at it; what it was given, it spoils for itself.
    """

    def __init__(self, size: int) -> None:
        self.size = max(size, mmap.PAGESIZE)  # nothing can't be mapped
        self._own = Lease(self.size)
        # The kernel's shares no place in the file with ours.
        self.descriptor = os.open(f"/proc/self/fd/{self._own.descriptor}", os.O_RDWR | os.O_CLOEXEC)

    @property
    def filled(self) -> int:
        """How many bytes of it are there, in memory or swapped out."""
        return os.fstat(self._own.descriptor).st_blocks * 512

    def give(self, source: int, size: int) -> None:
        """Put ``size`` bytes of the file ``source`` at its beginning."""
        os.lseek(self._own.descriptor, 0, os.SEEK_SET)
        _copy(source, self._own.descriptor, size)

    def moved(self, size: int) -> Lease:
        """Its first ``size`` bytes, in memory that no kernel can write; they are gone from here.

        Block by block, so that there is one of them at a time and not two.
        """
        lease = Lease(size)
        try:
            with mmap.mmap(self._own.descriptor, self.size) as mapped:
                for place in range(0, size, _BLOCK):
                    length = min(_BLOCK, size - place)
                    _copy(self._own.descriptor, lease.descriptor, length, place)
                    mapped.madvise(mmap.MADV_REMOVE, place, length)
            lease.seal()
        except BaseException:
            lease.close()
            raise
        return lease

    def part(self, size: int) -> Writes:
        """Its first ``size`` bytes, to be written somewhere."""
        return _Part(self._own.descriptor, size)

    def empty(self) -> None:
        """Give its memory back to the machine; it stays lent, and can be filled again."""
        with mmap.mmap(self._own.descriptor, self.size) as mapped:
            mapped.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """No part of the enclave's any more; a kernel that still has it keeps it."""
        os.close(self.descriptor)
        self._own.close()


class _Part:
    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size

    def write_to(self, file: IO[bytes]) -> None:
        _copy(self._descriptor, file.fileno(), self._size)


def fill(target: int, content: bytes, digest: str, size: int) -> None:
    """Write what the hub sent as a blob into the file ``target``. Raises FlipError ``wrong-weights``."""
    if len(content) != size or sha256(content) != digest:
        raise FlipError("wrong-weights", f"What the hub sent as {digest} is not that: its bytes are others.")
    os.pwrite(target, content, 0)


def sealed_copy(source: int, size: int) -> Lease:
    """``size`` bytes of the file ``source`` in a sealed memfd, to hand to a kernel."""
    lease = Lease(size)
    try:
        _copy(source, lease.descriptor, size)
        lease.seal()
    except BaseException:
        lease.close()
        raise
    return lease


def _copy(source: int, target: int, size: int, offset: int = 0) -> None:
    """Copy ``size`` bytes of ``source``, from ``offset`` on, to where ``target`` stands.

    Raises FlipError ``short-file``.
    """
    end = offset + size
    while offset < end:
        sent = os.sendfile(target, source, offset, end - offset)
        if sent == 0:
            raise FlipError("short-file", f"A file of {end} bytes ended after {offset}.", status=500)
        offset += sent
