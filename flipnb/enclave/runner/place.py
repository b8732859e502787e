"""The line of a cell at which it failed, read from IPython's traceback without trusting it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"^[ \t]*Cell In\[[0-9]{1,6}\], line ([0-9]{1,7})\b", re.MULTILINE)
_CHAIN = re.compile(
    r"^(?:During handling of the above exception, another exception occurred:"
    r"|The above exception was the direct cause of the following exception:)$",
    re.MULTILINE,
)
_READ = 200_000


def failing_line(traceback: object, source: str) -> int | None:
    """The line of ``source``, from 1, that was running when its exception left the cell; None if not to be told.

    ``traceback`` is the list of strings of an execute reply. Of a chain of exceptions the last is meant; of its
    frames the first that lies in a notebook's cell, which is the cell itself. A number outside the cell is dropped.
    """
    if not isinstance(traceback, Sequence) or isinstance(traceback, str | bytes):
        return None
    text = "\n".join(part for part in traceback[:200] if isinstance(part, str))[-_READ:]
    last = _CHAIN.split(_COLOUR.sub("", text))[-1]
    found = _FRAME.search(last)
    if found is None:
        return None
    line = int(found.group(1))
    return line if 1 <= line <= source.count("\n") + 1 else None
