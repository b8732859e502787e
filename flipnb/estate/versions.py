"""An estate as a series of immutable versions, and a pointer to the current one.

``versions/ID/estate.duckdb`` is written under another name, synced, made read-only and renamed; then ``current`` is replaced.
A reader therefore sees a whole version or none, and never waits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.problem import FlipError

FILE = "estate.duckdb"


@dataclass(frozen=True)
class Estate:
    """The versions below ``directory``."""

    directory: Path

    def current(self) -> str | None:
        """The current version's id, or None before the first load."""
        try:
            return (self.directory / "current").read_text().strip() or None
        except FileNotFoundError:
            return None

    def versions(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in (self.directory / "versions").glob("*") if (path / FILE).exists()))

    def file(self, version: str) -> Path:
        """A version's database. Raises FlipError ``no-estate-version``."""
        path = self.directory / "versions" / version / FILE
        if "/" in version or not path.exists():
            raise FlipError("no-estate-version", f"The estate has no version {version!r}.")
        return path

    def publish(self, built: Path, version: str) -> None:
        """Make ``built`` (a directory with the database) the version ``version`` and the current one."""
        final = self.directory / "versions" / version
        if not (final / FILE).exists():
            (built / FILE).chmod(0o444)
            _sync(built / FILE)
            built.chmod(0o755)
            built.replace(final)
            _sync(final.parent)
        partial = self.directory / "current.partial"
        partial.write_text(version + "\n")
        _sync(partial)
        partial.replace(self.directory / "current")
        _sync(self.directory)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
