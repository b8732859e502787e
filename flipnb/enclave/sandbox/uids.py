"""Which unprivileged users a root agent gives its children: the estate worker, the viewer, the collector, each
running kernel.

The numbers come from the enclave's directory, so that two enclaves on one machine do not share any. An agent that is
an ordinary user has none to give: its children get user namespaces.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_PER_ENCLAVE = 100
_HIGH_FIRST, _HIGH_ENCLAVES = 1_900_000_000, 200_000
_LOW_FIRST, _LOW_ENCLAVES = 30_000, 300


def estate_worker_uid(directory: Path) -> int | None:
    """The worker's uid; None where this process is not root."""
    return _base(directory) if os.geteuid() == 0 else None


def run_uid(directory: Path, slot: int) -> int | None:
    """The uid of whatever runs in ``slot`` (from 0, below 64); None where this process is not root."""
    return _base(directory) + 1 + slot if os.geteuid() == 0 else None


def viewer_uid(directory: Path) -> int | None:
    """The uid of what draws executed notebooks; None where this process is not root."""
    return _base(directory) + _PER_ENCLAVE - 1 if os.geteuid() == 0 else None


def collector_uid(directory: Path) -> int | None:
    """The uid of what speaks to the hospital's archives; None where this process is not root."""
    return _base(directory) + _PER_ENCLAVE - 2 if os.geteuid() == 0 else None


def _base(directory: Path) -> int:
    number = int.from_bytes(hashlib.sha256(os.fsencode(directory.resolve())).digest()[:8], "big")
    if _mapped(_HIGH_FIRST + _HIGH_ENCLAVES * _PER_ENCLAVE):
        return _HIGH_FIRST + number % _HIGH_ENCLAVES * _PER_ENCLAVE
    return _LOW_FIRST + number % _LOW_ENCLAVES * _PER_ENCLAVE


def _mapped(uid: int) -> bool:
    """Whether this user namespace has ``uid`` (a container often has 65,536 of them)."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = (int(part) for part in line.split())
        if first <= uid < first + count:
            return True
    return False
