"""What an engine may do with any bytes: answer or refuse them, in memory of twice the file and a little."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flipnb.estate.imaging.deidentify import Deidentifier

_PATIENCE_SECONDS = 60
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


class TooLong(Exception):
    """An answer that did not come."""


def hammered(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """``count`` files from ``seed`` on, by both policies: how many of each state, and what went wrong, by number."""
    from dicom_cases.answer_key import POLICIES
    from dicom_cases.mutations import mutated

    from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy

    engines = [Deidentifier(Policy.named(policy), Keys(b"k" * 32)) for policy in POLICIES]
    states: Counter[str] = Counter()
    wrong = []
    previous = signal.signal(signal.SIGALRM, _too_long)
    try:
        for number in range(seed, seed + count):
            data = mutated(number)
            for engine in engines:
                signal.alarm(_PATIENCE_SECONDS)
                try:
                    one = answer(engine, data)
                except Exception as error:
                    wrong.append(f"mutated({number}): {error!r}")
                    continue
                finally:
                    signal.alarm(0)
                states[one.state.split(" at ")[0]] += 1
                if not within_bounds(one, data):
                    wrong.append(f"mutated({number}), {len(data)} bytes: {one}")
    finally:
        signal.signal(signal.SIGALRM, previous)
    return states, wrong


def _too_long(*_: object) -> None:
    raise TooLong(f"no answer after {_PATIENCE_SECONDS} s")
