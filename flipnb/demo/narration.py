"""How the demo speaks: every stage named and timed, every command shown as a person would type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError


class Narration:
    """Prints what happens and remembers how long each stage took (seconds)."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Announce a stage; its seconds are added to ``seconds[name]`` when it ends without an error."""
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)

    def say(self, text: str) -> None:
        """Print a line with the seconds since the demo began."""
        print(f"  [{time.monotonic() - self._began:5.1f} s] {text}", flush=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began


class Terminal:
    """One person's terminal: runs ``flip`` commands in that person's environment and shows what was typed."""

    def __init__(self, narration: Narration, person: str, environment: Mapping[str, str]) -> None:
        self._narration = narration
        self._person = person
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}

    def flip(self, *arguments: str | Path, show: bool = True) -> Any:
        """Run ``flip ARGUMENTS --json``; returns the parsed result. Raises FlipError with what the command said."""
        words = [str(argument) for argument in arguments]
        if show:
            self._narration.say(f"{self._person} $ flip {' '.join(_shown(word) for word in words)}")
        done = subprocess.run(
            [sys.executable, "-m", "flipnb.cli.main", *words, "--json"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
            raise FlipError("command-failed", f"flip {words[0]} failed: {said}")
        return json.loads(done.stdout) if done.stdout.strip() else None


def _shown(word: str) -> str:
    """A path below the current directory as a person would type it."""
    text = word.removeprefix(f"{Path.cwd()}/")
    return f"'{text}'" if " " in text else text
