"""A run's own directory in an enclave: what lies in it while the run goes on, and what of that is left at its end."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

COHORT, EXECUTED = "cohort", "executed.ipynb"
_UNTIL_THE_END = (f"{COHORT}*", "state-*.bin", ".executed-*", "*.partial")
"""The frozen cohort, what a kernel saved, and what a killed agent leaves of files that it was writing."""


def clear(directory: Path) -> None:
    """Remove what nobody needs once the run is over: the executed notebook and the logs stay."""
    for pattern in _UNTIL_THE_END:
        for left in directory.glob(pattern):
            remove(left)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
