"""An estate: a series of immutable versions, and a pointer to the current one.

``versions/{id}/estate.duckdb`` is never written again once it is there; ``current`` holds the id of the version that
counts and runs use. DuckDB lets nobody read while somebody writes, so a load writes a new file and moves the pointer.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flipnb.contracts.problem import FlipError
from flipnb.files.whole import publish, sync, write

if TYPE_CHECKING:
    import duckdb

_POINTER = "current"
_LOCK = ".loading"
_PARTIAL = ".partial-"
_SCRATCH = ".scratch"
_FILE = "estate.duckdb"
_KEPT = 2
"""The newest versions stay: a run that starts during a load starts on the one before."""
_ID = re.compile(r"[0-9a-f]{32}")

# Estates hold no extension and need none; nothing may be fetched.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


READING_MEMORY = "2GB"
"""What DuckDB may hold in memory while an estate is read, whatever its size."""


@dataclass(frozen=True)
class Bounds:
    """What a reading process may use: ``memory`` in DuckDB's words, beyond which it writes to the folder ``spill``.

    Without a folder, one beside the versions is used. What DuckDB spilled goes when the last connection is closed.
    """

    memory: str = READING_MEMORY
    spill: Path | None = None

    def config(self, otherwise: Path) -> dict[str, str | bool | int | float | list[str]]:
        """DuckDB's configuration; processes must not share a folder that they spill to."""
        spill = self.spill or otherwise / f".spill-{os.getpid()}"
        return {**CONFIG, "memory_limit": self.memory, "temp_directory": str(spill)}


@dataclass(frozen=True)
class Estate:
    """A Trust's estate in a directory, which need not exist yet."""

    directory: Path
    bounds: Bounds = Bounds()

    @classmethod
    def open(cls, directory: Path, bounds: Bounds | None = None) -> Estate:
        """The estate in a directory, whether there is anything in it or not."""
        return cls(directory, bounds or Bounds())

    def current(self) -> str | None:
        """The id of the current version; None before the first load."""
        try:
            version = (self.directory / _POINTER).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        return version if _ID.fullmatch(version) else None

    def versions(self) -> tuple[str, ...]:
        """Ids of all versions, oldest first."""
        directory = self.directory / "versions"
        if not directory.is_dir():
            return ()
        found = [path for path in directory.iterdir() if _ID.fullmatch(path.name)]
        return tuple(path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name)))

    def file(self, version: str) -> Path:
        """The database of a version. Raises FlipError ``unknown-version``."""
        path = self.directory / "versions" / version / _FILE
        if not _ID.fullmatch(version) or not path.is_file():
            raise FlipError("unknown-version", f"The estate has no version {version[:64]!r}.", status=404)
        return path

    @contextmanager
    def reading(self, version: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to a version, within the bounds. Raises FlipError ``unknown-version``."""
        with self.connect(version) as connection:
            yield connection

    def connect(self, version: str) -> duckdb.DuckDBPyConnection:
        """As ``reading``, for the caller to close. Connections of one process share what DuckDB has read.

        Raises FlipError ``unknown-version``.
        """
        import duckdb

        config = self.bounds.config(self.directory)
        return duckdb.connect(str(self.file(version)), read_only=True, config=config)

    def add(self, write: Callable[[Path], str]) -> str:
        """Make the version that ``write`` writes to the path it is given, and return its id, current.

        ``write`` returns the id, a digest of the content; a version that is there already is kept as it is. If
        ``write`` raises, nothing of the estate has changed.
        """
        versions = self._directory_of_versions()
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=versions))
        try:
            version = write(partial / _FILE)
            self._publish(partial, version)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return version

    @contextmanager
    def loading(self) -> Iterator[Path]:
        """The right to load, one process at a time, and a scratch directory that is removed at the end.

        Raises FlipError ``estate-busy`` where another load is under way.
        """
        self._directory_of_versions()
        with _locked(self.directory / _LOCK):
            scratch = self.directory / _SCRATCH
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def building(self, version: str) -> Iterator[Path]:
        """The path of a version whose id is known before it is written; at the end it becomes current."""
        with self.unfinished(version) as path:
            yield path
            self._publish(path.parent, version)

    @contextmanager
    def unfinished(self, version: str) -> Iterator[Path]:
        """The path of a version that is not to be kept, or not yet.

        What was written stays there when the process dies or the block raises anything but a FlipError, so that the
        next time it goes on from it. Unfinished versions of other ids are removed.
        """
        versions = self._directory_of_versions()
        partial = versions / f"{_PARTIAL}{version}"
        for other in versions.glob(f"{_PARTIAL}*"):
            if other != partial:
                shutil.rmtree(other, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        try:
            yield partial / _FILE
        except FlipError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(partial, ignore_errors=True)

    def use(self, version: str) -> None:
        """Make a version that is there the current one. Raises FlipError ``unknown-version``."""
        self.file(version)
        self._point_to(version)

    def prune(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Remove all versions but the current one, the newest, and those ``in_use``; returns the ids of the removed.

        Who reads a removed version goes on: a file that is open lives until it is closed.
        """
        versions = self.versions()
        kept = {self.current(), *versions[-_KEPT:], *in_use}
        removed = tuple(version for version in versions if version not in kept)
        for version in removed:
            directory = self.directory / "versions" / version
            # All of it goes at once, as far as others can see.
            leaving = directory.with_name(f"{_PARTIAL}removed-{version}")
            directory.rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)
        return removed

    def _directory_of_versions(self) -> Path:
        versions = self.directory / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        return versions

    def _publish(self, partial: Path, version: str) -> None:
        if not _ID.fullmatch(version):
            raise ValueError(f"{version!r} is no version id")
        final = self.directory / "versions" / version
        if not (final / _FILE).is_file():
            for left in partial.iterdir():
                if left.name != _FILE:
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
            (partial / _FILE).chmod(0o444)
            sync(partial / _FILE)
            sync(partial)
            # The estate worker reads as an unprivileged user; the enclave's directory keeps others out.
            partial.chmod(0o755)
            publish(partial, final)
        self._point_to(version)

    def _point_to(self, version: str) -> None:
        # The estate worker reads it as an unprivileged user.
        write(self.directory / _POINTER, f"{version}\n".encode("ascii"), mode=0o644)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FlipError(
                "estate-busy",
                f"Another load into {path.parent} is under way.",
                remedy="Wait until it has ended.",
                status=409,
            ) from None
        yield
