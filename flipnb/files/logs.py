"""Logs: one JSON object a line, so that no text from outside can forge a line; none grows without end.

A line has ``time`` (UTC, milliseconds), ``level``, ``logger``, ``event``, what the call gave as ``extra`` by its own
names, and ``traceback`` where there is one. A process that owns its log rotates it; one that was given a descriptor
(a coordinator, an estate worker, a runner: what kills them is told there too) can't, so that its log is rotated by
whoever opens it, before each start.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

MOST_BYTES = 16 << 20
_KEPT = 4

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


def _rotating(path: Path) -> logging.handlers.RotatingFileHandler:
    return logging.handlers.RotatingFileHandler(
        path, maxBytes=MOST_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True
    )


def _log(handler: logging.Handler, level: int) -> None:
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their lines hold nothing but addresses.
    logging.getLogger("httpx").setLevel(logging.WARNING)
