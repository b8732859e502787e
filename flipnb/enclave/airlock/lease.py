"""Memory that an agent and a kernel pass to each other: memfds, sealed so that nobody changes them afterwards.

An agent never maps a file that a kernel could still cut off (a mapping beyond the end is SIGBUS, the agent's end) or
still write (what was checked would not be what is sent).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError

_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Lease:
    """A memfd of fixed size: lent to a kernel to write, then sealed and read. Close it after use."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = os.memfd_create("lease", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
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


def fill(target: int, content: bytes, digest: str, size: int) -> None:
    """Write what the hub sent as a blob into the file ``target``. Raises FlipError ``wrong-weights``."""
    if len(content) != size or sha256(content) != digest:
        raise FlipError("wrong-weights", f"What the hub sent as {digest} is not that: its bytes are others.")
    os.pwrite(target, content, 0)


def sealed_copy(source: int, size: int) -> Lease:
    """``size`` bytes of the file ``source`` in a sealed memfd, to hand to a kernel."""
    lease = Lease(size)
    try:
        offset = 0
        while offset < size:
            sent = os.sendfile(lease.descriptor, source, offset, size - offset)
            if sent == 0:
                raise FlipError("short-file", f"A file of {size} bytes ended after {offset}.", status=500)
            offset += sent
        lease.seal()
    except BaseException:
        lease.close()
        raise
    return lease
