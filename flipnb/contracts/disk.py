"""A full disk, told apart from other faults, and said the same way everywhere."""

from __future__ import annotations

import errno
import sqlite3

from flipnb.contracts.problem import FlipError

CODE = "disk-full"


def is_full(error: BaseException) -> bool:
    """Whether ``error`` says that the disk is full: from the file system, from SQLite, or from SQLAlchemy over it."""
    origin = getattr(error, "orig", error)
    if isinstance(origin, sqlite3.OperationalError):
        # The second: there is no room for the few blocks beside a database in WAL mode, which a mere reader makes, too.
        code = getattr(origin, "sqlite_errorcode", None)
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(origin, OSError) and origin.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(whose: str) -> FlipError:
    """``whose``: ``this Trust's``, ``the hub's``. The status is HTTP's Insufficient Storage."""
    return FlipError(
        CODE,
        f"{whose[0].upper()}{whose[1:]} disk is full; nothing was changed.",
        remedy="Make room and try again.",
        status=507,
    )
