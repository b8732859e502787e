"""Logs: one JSON object a line, so that no text from outside can forge a line; none grows without end.

A line has ``time`` (UTC, milliseconds), ``level``, ``logger``, ``event``, what the call gave as ``extra`` by its own
names, and ``traceback`` where there is one. A process that owns its log rotates it. One that was given a descriptor
(a coordinator, an estate worker, a runner: what kills them is told there too) can't: its log is rotated by whoever
opens it, before each start and, by ``logs_kept``, while it runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

MOST_BYTES = 16 << 20
KEPT_DAYS = 90
"""Nobody has written a log for so long: whatever it was of is over."""
_KEPT = 4
_LOOK_S = 10.0
_LOG = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON, ``extra`` fields by their names beside time, level, logger and event."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to(path: Path) -> None:
    """Send this process's log, from ``info`` on, to ``path``: at most 5 files of 16 MB, older as ``.1`` to ``.4``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _log(_rotating(path), logging.INFO)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send this process's log to its standard error, which whoever started it opened by ``open_log``."""
    _log(logging.StreamHandler(), level)


def open_log(path: Path) -> IO[bytes]:
    """``path`` to append to, for a process that is started now; rotated before where it has grown to 16 MB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size >= MOST_BYTES:
        rotating = _rotating(path)
        rotating.doRollover()
        rotating.close()
    return path.open("ab")


@contextlib.contextmanager
def logs_kept(*patterns: tuple[Path, str], own: Path | None = None, every_s: float = _LOOK_S) -> Iterator[None]:
    """While the block runs, rotate the logs of other processes that have grown to 16 MB, and delete those of long ago.

    ``patterns``: folders, and which files in them are logs, by a glob that ends in ``.log``. ``own`` is this process's
    log, which it rotates itself. Between two looks a log may grow beyond its bound.
    """
    over = threading.Event()

    def keep() -> None:
        while True:
            for folder, pattern in patterns:
                _keep(folder, pattern, own)
            if over.wait(every_s):
                return

    thread = threading.Thread(target=keep, name="logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _keep(folder: Path, pattern: str, own: Path | None) -> None:
    for path in folder.glob(pattern):
        try:
            if path != own and path.stat().st_size >= MOST_BYTES:
                _copy_and_empty(path)
        except OSError as error:
            _LOG.warning("a log could not be rotated", extra={"log": path.name, "reason": error.strerror})
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in [*folder.glob(pattern), *folder.glob(f"{pattern}.[1-{_KEPT}]")]:
        with contextlib.suppress(OSError):
            if path != own and path.stat().st_mtime < oldest:
                path.unlink()


def _copy_and_empty(path: Path) -> None:
    """Rotate a log that others have open: they append, each line to where the file ends then, be it its beginning.

    What is written between copy and cut is lost.
    """
    for number in range(_KEPT, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    first = path.with_name(f"{path.name}.1")
    try:
        shutil.copy2(path, first)
    except OSError:
        first.unlink(missing_ok=True)  # a full disk is not filled by half a copy
        raise
    finally:
        # On a full disk, too: a log that grows without end would fill the next one.
        os.truncate(path, 0)


def _rotating(path: Path) -> logging.handlers.RotatingFileHandler:
    return logging.handlers.RotatingFileHandler(
        path, maxBytes=MOST_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True
    )


def _log(handler: logging.Handler, level: int) -> None:
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their lines hold nothing but addresses.
    logging.getLogger("httpx").setLevel(logging.WARNING)
