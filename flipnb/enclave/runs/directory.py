"""A run's own directory in an enclave: what lies in it while the run goes on, and what of that is left at its end."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from flipnb.enclave.airlock.given import PREFIX as GIVEN

_LOG = logging.getLogger("flipnb.enclave.runs.directory")
COHORT, FILES, EXECUTED = "cohort", "bundle", "executed.ipynb"
_UNTIL_THE_END = (f"{COHORT}*", f"{FILES}*", "state-*.bin", f"{GIVEN}*", ".executed-*", "*.partial")
"""The frozen cohort, the files beside the notebook, the weights that the kernel was given last, what a kernel saved,
and what a killed agent leaves half written."""


def clear(directory: Path) -> None:
    """Remove what nobody needs once the run is over: the executed notebook and the logs stay.

    What can't be removed is logged and stays until the agent starts again: a run ends for the hub all the same.
    """
    for pattern in _UNTIL_THE_END:
        for left in directory.glob(pattern):
            try:
                remove(left)
            except OSError as error:
                _LOG.warning("%s, which a run left, can't be removed: %s", left, error)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
