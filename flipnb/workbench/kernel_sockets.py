"""Where the kernels of rehearsals listen: directories with short paths, for unix sockets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flipnb.contracts.problem import FlipError

_LONGEST = 70
"""Bytes that leave room for a socket's name in the 107 that Linux allows for its path."""


@contextmanager
def socket_directory() -> Iterator[Path]:
    """A new directory of this user alone (mode 0700) with a short path, removed at the end.

    Raises FlipError ``no-short-directory``.
    """
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - a name at random
        if base and os.access(base, os.W_OK) and len(os.fsencode(base)) <= _LONGEST - 16:
            made = Path(tempfile.mkdtemp(prefix="flip-", dir=base))
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)
            return
    raise FlipError(
        "no-short-directory",
        "There is no writable directory with a short path for the kernel's sockets.",
        remedy="Set XDG_RUNTIME_DIR to one.",
    )
