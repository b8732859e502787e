"""What a process does with memory that it has freed: keep some for the next piece of a large file."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT, _MAPPED = 128 << 20, 32 << 20


def keep_freed_memory() -> None:
    """Let malloc keep up to 128 MB of freed memory, in blocks of up to 32 MB.

    It gives such blocks back at once otherwise, and each page that comes anew costs more than to send its bytes.
    Without effect where the C library has no ``mallopt``.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
