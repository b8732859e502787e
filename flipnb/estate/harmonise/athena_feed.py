"""``--mapping athena``: a Trust's own download of the OMOP vocabularies from Athena. None is shipped with FLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import SOURCE_ID, Build, SourceRecord
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.omop_shape import load_table, readable, table_of
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.harmonise.vocabulary_tables import unless_known
from flipnb.estate.omop.cdm import VOCABULARY_TABLES

_NEEDED = ("concept", "concept_relationship", "concept_ancestor", "vocabulary", "domain")
_POINTS_TO_CONCEPTS = {
    "concept_relationship": ("concept_id_1", "concept_id_2"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
    "concept_synonym": ("concept_id",),
    "drug_strength": ("drug_concept_id", "ingredient_concept_id"),
}


class AthenaFeed:
    """A zip or folder of tab-separated CONCEPT.csv, CONCEPT_RELATIONSHIP.csv, CONCEPT_ANCESTOR.csv, and so on."""

    name = mapping = "athena"
    reviewer: str | None = None

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """Raises FlipError ``incomplete-vocabulary`` where a file is missing that questions need."""
        files = open_source(Path(source), scratch, _is_vocabulary)
        found = {table.name for file in files if (table := table_of(file.name)) is not None}
        if missing := [name for name in _NEEDED if name not in found]:
            raise FlipError(
                "incomplete-vocabulary",
                f"{source} has no {', '.join(f'{name.upper()}.csv' for name in missing)}.",
                remedy="Unpack the whole download, or name the zip as Athena sent it.",
            )
        return files

    def needs_vocabulary(self) -> bool:
        """No: it is the vocabulary."""
        return False

    def version(self, files: Sequence[SourceFile]) -> str:
        """A digest of this feed's own rules alone."""
        return sha256(b"athena/1")

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """Each table of the download into the vocabulary's table of its name."""
        for file, record in files:
            table = table_of(file.name)
            if table is not None:
                with build.file(record) as loading, build.watched(file.name, progress):
                    load_table(build, file, table, loading, unless_known(build, table))
                progress(file.name, loading.rows)
        return []

    def warnings(self, build: Build) -> list[str]:
        """Ids that lead nowhere, concepts without a name, reasons of invalidity that OMOP does not know."""
        found = []
        for table, columns in _POINTS_TO_CONCEPTS.items():
            for column in columns:
                lost = _count(
                    build, f"{table} t WHERE NOT EXISTS (SELECT 1 FROM concept c WHERE c.concept_id = t.{column})"
                )
                if lost:
                    found.append(f"{lost} rows of {table} have a {column} that is no concept")
        nameless = _count(build, "concept t WHERE coalesce(concept_name, '') = ''")
        if nameless:
            found.append(f"{nameless} concepts have no name (for CPT-4, Athena's own tool fills them in)")
        odd = _count(build, "concept t WHERE coalesce(nullif(invalid_reason, ''), 'D') NOT IN ('D', 'U')")
        if odd:
            found.append(f"{odd} concepts have an invalid_reason that is neither D nor U")
        return found


def _is_vocabulary(name: str) -> bool:
    table = table_of(name)
    return readable(name) and table is not None and table.name in VOCABULARY_TABLES


def _count(build: Build, what: str) -> int:
    own = f"t.{SOURCE_ID} IN (SELECT source_id FROM flip_source WHERE feed = '{AthenaFeed.name}')"
    row = build.connection.execute(f"SELECT count(*) FROM {what} AND {own}").fetchone()
    return int(row[0]) if row else 0
