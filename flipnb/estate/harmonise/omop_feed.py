"""``--mapping omop-5.4``: tables that are in OMOP shape already."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path

from flipnb.contracts.document import sha256
from flipnb.estate import omop
from flipnb.estate.harmonise.build import Build, SourceRecord
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.omop_shape import load_table, readable, table_of
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.harmonise.vocabulary_tables import unless_known


class OmopFeed:
    """CSV and Parquet files, one table each, named for it; absent tables and columns are allowed."""

    name = mapping = "omop-5.4"
    reviewer: str | None = None

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """The source's CSV and Parquet files."""
        return open_source(Path(source), scratch, readable)

    def needs_vocabulary(self) -> bool:
        """No: rows have their concepts already."""
        return False

    def version(self, files: Sequence[SourceFile]) -> str:
        """A digest of this feed's own rules and of the table specification."""
        return sha256(b"omop-5.4/1\n" + resources(omop).joinpath("cdm_v5.4.csv").read_bytes())

    def warnings(self, build: Build) -> list[str]:
        """None: what it can't use is rejected by line."""
        return []

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """Each file into the table of its name; gives the names of files that are no table's, or empty."""
        ignored = []
        for file, record in files:
            table = table_of(file.name)
            with build.file(record) as loading:
                if table is None or not file.size:
                    ignored.append(file.name)
                    continue
                with build.watched(file.name, progress):
                    load_table(build, file, table, loading, unless_known(build, table))
            progress(file.name, loading.rows)
        return ignored
