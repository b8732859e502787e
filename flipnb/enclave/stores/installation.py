"""Whether what is installed is what an environment's lock says: an enclave runs nothing else."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

from flipnb.contracts.problem import FlipError

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)\s*(?P<marker>;.*)?")


def read_lock(lock: Path) -> dict[str, tuple[str, bool]]:
    """Canonical name → (version, whether a marker makes it conditional), of a pip lock or constraints file.

    Raises FlipError ``invalid-lock`` that names the line.
    """
    pins: dict[str, tuple[str, bool]] = {}
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith(("#", "--hash")):
            continue
        found = _PIN.match(text)
        if found is None:
            raise FlipError("invalid-lock", f"{lock}, line {number}: {text[:80]!r} is not NAME==VERSION.")
        pins[_canonical(found["name"])] = (found["version"], found["marker"] is not None)
    return pins


def differences(lock: Path) -> list[str]:
    """What of the lock is not installed, or in another version, in the Python that runs this; empty where it holds."""
    installed = {_canonical(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}
    found = []
    for name, (version, conditional) in sorted(read_lock(lock).items()):
        have = installed.get(name)
        if have is None and not conditional:
            found.append(f"{name} {version} is not installed")
        elif have is not None and have != version:
            found.append(f"{name} is installed in version {have}, the lock says {version}")
    return found


def require_environment(lock: Path) -> None:
    """Raises FlipError ``environment-differs`` that names the first differences."""
    found = differences(lock)
    if found:
        raise FlipError(
            "environment-differs",
            f"The environment {lock.parent.name} is not as its lock says: {'; '.join(found[:5])}"
            f"{f' and {len(found) - 5} more' if len(found) > 5 else ''}.",
            remedy=f"Install exactly {lock}, or remove the environment from this enclave.",
        )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
