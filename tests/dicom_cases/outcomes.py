"""``flip images deidentify`` over a folder, as a person runs it, and what it said of each file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """``file``: relative to the source; ``to``: the output, where there is one."""

    file: str
    state: str
    reason: str
    to: Path | None


def deidentified(source: Path, to: Path, policy: str, *, timeout: float = 280) -> tuple[list[Outcome], int, str]:
    """The outcome of every file, the exit code, and all that was printed.

    Raises AssertionError where a line is not JSON, subprocess.TimeoutExpired where it takes longer than ``timeout``.
    """
    command = [sys.executable, "-m", "flipnb.cli.main", "images", "deidentify", str(source), "--to", str(to)]
    done = subprocess.run(
        [*command, "--policy", policy, "--json"], capture_output=True, text=True, check=False, timeout=timeout
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    try:
        told = [json.loads(line) for line in lines]
    except ValueError as error:
        raise AssertionError(f"{error}; exit {done.returncode}: {done.stdout[:500]} {done.stderr[-2000:]}") from error
    outcomes = [_outcome(one, source, to) for one in told if "file" in one]
    return outcomes, done.returncode, done.stdout + done.stderr


def _outcome(told: dict[str, str | None], source: Path, to: Path) -> Outcome:
    file = Path(str(told["file"]))
    name = file.relative_to(source) if file.is_absolute() else file
    place = None if not told.get("to") else Path(str(told["to"]))
    if place is not None and not place.is_absolute() and not place.exists():
        place = to / place
    return Outcome(name.as_posix(), str(told["state"]), str(told.get("reason") or ""), place)


def released(outcomes: list[Outcome]) -> dict[str, Path]:
    return {one.file: one.to for one in outcomes if one.state == "released" and one.to is not None}
