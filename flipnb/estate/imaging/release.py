"""One file on its way out: through the engine, the independent second look, and the look at its pixels.

A file is released when all three let it; quarantined where one found something, or could not tell; refused where it
cannot be de-identified at all. The second look and the look at pixels are no option: without them nothing is released.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.burned_in import FoundText, examine
from flipnb.estate.imaging.deidentify import Deidentifier, Facts, Refused
from flipnb.estate.imaging.deidentify.walker import forget
from flipnb.estate.imaging.postscan import Survivor, survivors

State = Literal["released", "quarantined", "refused"]
_MAPPED = 8 << 20  # a larger file is mapped, not read
_PIECE = 8 << 20
_NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """What became of a file. ``reason`` holds tags and kinds, never a value of the file.

    ``facts`` are those of the output, where the engine made one; ``texts`` and ``survivors`` are what held it back, for
    the controller's eyes.
    """

    state: State
    reason: str = ""
    facts: Facts | None = None
    survivors: tuple[Survivor, ...] = ()
    texts: tuple[FoundText, ...] = ()


def release(source: Path, output: Path, deidentifier: Deidentifier, *, person: bytes | None = None) -> Outcome:
    """De-identify ``source`` into the new file ``output``, on disk when this returns; there only if it was made.

    The output of a quarantined file stays where it was written, for whoever looks at it; the caller removes or keeps
    it. ``person``: as for ``Deidentifier.deidentify``. Raises OSError where the disk or its rights say no.
    """
    with _opened(source) as original:
        if not len(original):
            return Outcome("refused", "empty")
        try:
            made = deidentifier.deidentify(original, person=person)
        except Refused as error:
            return Outcome("refused", str(error))
        _write(output, made.chunks)
        with _opened(output) as result:
            held = _looked_through(original, result, deidentifier)
    if held is None:
        held = _looked_at(output)
    state, reason, found, texts = held or ("released", "", (), ())
    return Outcome(state, reason, made.facts, found, texts)


_Held = tuple[State, str, tuple[Survivor, ...], tuple[FoundText, ...]]


def _looked_through(original: memoryview, result: memoryview, deidentifier: Deidentifier) -> _Held | None:
    try:
        found = survivors(original, result, policy=deidentifier.policy.scan_policy())
    except FlipError as error:
        return "quarantined", f"second look: {error.message}", (), ()
    if not found:
        return None
    named = ", ".join(str(one) for one in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "quarantined", f"second look: {named}{more}", found, ()


def _looked_at(output: Path) -> _Held | None:
    verdict = examine(output)
    if not verdict.held:
        return None
    return "quarantined", f"pixels: {verdict.reason}", (), verdict.texts


@contextmanager
def _opened(path: Path) -> Iterator[memoryview]:
    """A file's bytes; those of a large one as a map, so that they take no memory of the process's own."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(handle).st_size
        if size <= _MAPPED:
            with os.fdopen(os.dup(handle), "rb") as file:
                yield memoryview(file.read())
            return
        yield memoryview(mmap.mmap(handle, size, access=mmap.ACCESS_READ))  # gone with its last view
    finally:
        os.close(handle)


def _write(path: Path, chunks: Sequence[bytes | memoryview]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for chunk in chunks:
            _write_chunk(handle, memoryview(chunk))
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_chunk(handle: int, chunk: memoryview) -> None:
    """Write it in pieces, giving back the memory of a mapped input behind them."""
    source = chunk.obj
    at = 0
    while at < len(chunk):
        at += os.write(handle, chunk[at : at + _PIECE])
        if isinstance(source, mmap.mmap):
            forget(source, 0, len(source) - len(source) % mmap.PAGESIZE)
