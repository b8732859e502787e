"""Which federations this user has on this machine: a small file for each, written when it is made or started."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from flipnb.files.whole import write

DAEMONS = "daemons.json"
"""What makes a folder a federation: the programs that its supervisor keeps up."""


@dataclass(frozen=True)
class Known:
    """A federation's folder, and the folder in which somebody worked who made or started it."""

    directory: Path
    started_from: Path

    def belongs_to(self, folder: Path) -> bool:
        """Whether it lies in ``folder``, or was started from there."""
        return folder in (self.started_from, *self.directory.parents, self.directory)


def register(directory: Path) -> None:
    """Remember a federation. Where the user's state can't be written, it is up all the same, known by its folder."""
    entry = {"directory": str(directory), "started_from": str(Path.cwd())}
    with contextlib.suppress(OSError):
        file = _entry(directory)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write(file, json.dumps(entry).encode())


def forget(directory: Path) -> None:
    """Forget a federation that was removed."""
    with contextlib.suppress(OSError):
        _entry(directory).unlink()


def known_federations() -> list[Known]:
    """All that are still there, by their folders; those whose folders are gone are forgotten."""
    found = []
    for file in sorted(_folder().glob("*.json")):
        try:
            entry = json.loads(file.read_text())
            known = Known(Path(entry["directory"]), Path(entry["started_from"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another process is forgetting it, or somebody wrote it by hand
        if (known.directory / DAEMONS).is_file():
            found.append(known)
        else:
            forget(known.directory)
    return sorted(found, key=lambda known: known.directory)


def _entry(directory: Path) -> Path:
    return _folder() / f"{sha256(os.fsencode(directory)).hexdigest()[:16]}.json"


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "flip" / "federations"
