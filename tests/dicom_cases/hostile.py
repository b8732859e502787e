"""What an engine may do with any bytes: answer or refuse them, in memory of twice the file and a little."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flipnb.estate.imaging.deidentify import Deidentifier

ALLOWANCE = 24 << 20
"""Bytes beside twice the file: an interpreter's pools grow in steps, and what is inflated is held in pieces."""


@dataclass(frozen=True)
class Answer:
    """``state``: released, or what it was refused for; ``size`` of the output and ``memory`` taken, in bytes."""

    state: str
    size: int
    memory: int


def answer(engine: Deidentifier, data: bytes) -> Answer:
    """Raises whatever the engine raises that is no refusal."""
    from flipnb.estate.imaging.deidentify import Refused

    before = _forget_peak()
    try:
        output = engine.deidentify(memoryview(data))
        size, state = sum(len(chunk) for chunk in output.chunks), "released"
        del output
    except Refused as refusal:
        size, state = 0, str(refusal)
    return Answer(state, size, _status("VmHWM") - before)


def within_bounds(one: Answer, data: bytes) -> bool:
    return max(one.size, one.memory) <= 2 * len(data) + ALLOWANCE


def _forget_peak() -> int:
    """Sets the process's peak memory to what it holds now, which is returned."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == f"{name}:")
