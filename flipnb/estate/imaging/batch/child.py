"""A process that reads strangers' files: without network where that can be had, bounded in memory, one at a time.

It is told by lines of JSON on standard input, first who it is (policy and key), then a file at a time, and answers a
line to each. What it imports may print what it likes: that goes nowhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy
from flipnb.estate.imaging.release import Outcome, release

_NEW_USER, _NEW_NETWORK, _PARENT_DEATH = 0x10000000, 0x40000000, 1
_PRIVATE_MEMORY = 3 << 30
_PIECE = 1 << 20


def main() -> None:
    """De-identify what is asked for until standard input ends."""
    first, orders, say = serve()
    deidentifier = Deidentifier(Policy.model_validate(first["policy"]), Keys(bytes.fromhex(first["key"])))
    for order in orders:
        say(_answer(order, deidentifier))


def serve() -> tuple[dict[str, Any], Iterator[dict[str, Any]], Callable[[dict[str, Any]], None]]:
    """Behind the wall: who this process is, the orders that come, and how to answer one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    _wall()
    first = json.loads(sys.stdin.readline())
    return first, (json.loads(line) for line in sys.stdin), lambda answer: _say(answers, answer)


def _answer(order: dict[str, Any], deidentifier: Deidentifier) -> dict[str, Any]:
    return answered(order, lambda source, output: told(release(source, output, deidentifier)))


def answered(order: dict[str, Any], answer: Callable[[Path, Path], dict[str, Any]]) -> dict[str, Any]:
    """What ``answer`` says of an order's file, as a file of its own, and the path of its output."""
    output = Path(order["output"])
    source = Path(order["path"])
    spooled = output.with_suffix(".in")
    try:
        if order["member"] is not None:
            refused = _spool(source, order["member"], order["size"], spooled)
            if refused:
                return {"state": "refused", "reason": refused}
            source = spooled
        return answer(source, output)
    except MemoryError:
        return {"state": "quarantined", "reason": "too much memory was needed"}
    except OSError as error:
        if error.filename is not None and Path(error.filename) == source:
            return {"state": "refused", "reason": "unreadable"}
        return {"state": "failed", "reason": os.strerror(error.errno or 0), "errno": error.errno}
    finally:
        spooled.unlink(missing_ok=True)


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as an answer."""
    facts = None if outcome.facts is None else asdict(outcome.facts)
    return {"state": outcome.state, "reason": outcome.reason, "facts": facts}


def _spool(archive: Path, number: int, size: int, to: Path) -> str:
    """Write a zip's member to a file of its own, as large as it said and no larger. Returns why not."""
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(opened.infolist()[number]) as member,
            to.open("xb") as file,
        ):
            left = size
            while piece := member.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    return "larger than the zip says"
                file.write(piece)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return f"damaged in the zip ({type(error).__name__})"
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return f"damaged in the zip ({type(error).__name__})"  # zlib's and lzma's own; bz2's is an OSError of no number
    return ""


def _wall() -> None:
    """Bound what the process may take, and cut it off; where the machine lets nobody do so, go on without."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_PRIVATE_MEMORY, _PRIVATE_MEMORY))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    if libc.unshare(_NEW_NETWORK) != 0:
        libc.unshare(_NEW_USER | _NEW_NETWORK)


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
