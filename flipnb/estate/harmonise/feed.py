"""What a mapping is to a load: it says which files it reads, in which version, and turns them into rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from flipnb.estate.harmonise.build import Build, SourceRecord
from flipnb.estate.harmonise.source import SourceFile

Progress = Callable[[str, int], None]
"""Called with a stage (a file's name, "writing", or a copy by concept) and how many rows of it are done; during a long
file also with its name and a percent sign, and how many percent of it are read (from another thread)."""


class Feed(Protocol):
    """One mapping. A load replaces what the same feed (by ``name``) brought before and leaves all other feeds' rows."""

    name: str
    mapping: str
    reviewer: str | None

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """Everything that is read; what must be unpacked or fetched first goes to ``scratch``."""

    def needs_vocabulary(self) -> bool:
        """Whether rows depend on the concepts that the estate holds."""

    def version(self, files: Sequence[SourceFile]) -> str:
        """A digest of the mapping and of everything beside one file's content that its rows depend on."""

    def warnings(self, build: Build) -> list[str]:
        """What is loaded, and yet should be seen to: one sentence each."""

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """Read the files, each in its own transaction; returns the names of those that it could make nothing of."""
