"""The researcher's own vocabulary: concepts by name, code or id, for choosing them. None is shipped.

``$FLIP_HOME/vocabulary`` holds an Athena download (CONCEPT.csv, and CONCEPT_ANCESTOR.csv where there is one). It is
read once into ``concepts.duckdb`` beside it, and again when a file changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.files.whole import writing
from flipnb.workbench.home import Home

_MOST = 50


class FoundConcept(Document):
    """``descendants`` counts the concept itself too; None where the vocabulary has no ancestors."""

    concept_id: int
    name: str
    domain: str
    vocabulary: str
    code: str
    standard: bool
    descendants: int | None


class FoundConcepts(Document):
    """The best matches first; ``total`` is the number of all."""

    concepts: tuple[FoundConcept, ...]
    total: int


def find_concepts(home: Home, text: str, domain: str = "") -> FoundConcepts:
    """Concepts whose name has every word of ``text``, or whose id or code is ``text``.

    Raises FlipError ``no-vocabulary`` (404).
    """
    words = re.findall(r"\w+", text.lower())
    if not words:
        return FoundConcepts(concepts=(), total=0)
    conditions = " AND ".join("contains(lower(name), ?)" for _ in words)
    values: list[Any] = [text.strip(), text.strip(), *words]
    within = ""
    if domain:
        within = " AND domain = ?"
        values.append(domain)
    with _opened(home) as database:
        found = database.execute(
            f"SELECT *, count(*) OVER () FROM concept "
            f"WHERE (concept_id::VARCHAR = ? OR code = ? OR ({conditions})){within} "
            f"ORDER BY lower(name) = ? DESC, standard DESC, length(name), concept_id LIMIT {_MOST}",
            [*values, text.strip().lower()],
        ).fetchall()
    names = tuple(FoundConcept.model_fields)
    concepts = tuple(FoundConcept(**dict(zip(names, row[:-1], strict=True))) for row in found)
    return FoundConcepts(concepts=concepts, total=found[0][-1] if found else 0)


def _opened(home: Home) -> duckdb.DuckDBPyConnection:
    folder = home.directory / "vocabulary"
    concepts, ancestors = folder / "CONCEPT.csv", folder / "CONCEPT_ANCESTOR.csv"
    if not concepts.is_file():
        raise FlipError(
            "no-vocabulary",
            f"There is no vocabulary in {folder}.",
            remedy="Unpack an Athena download there, or give concepts by their ids.",
            status=404,
        )
    built = folder / "concepts.duckdb"
    newest = max(file.stat().st_mtime for file in (concepts, ancestors) if file.exists())
    if not built.exists() or built.stat().st_mtime < newest:
        _build(concepts, ancestors, built)
    return duckdb.connect(str(built), read_only=True)


def _build(concepts: Path, ancestors: Path, built: Path) -> None:
    try:
        with writing(built) as partial, duckdb.connect(str(partial)) as database:
            database.execute(
                "CREATE TABLE concept AS SELECT concept_id::BIGINT AS concept_id, concept_name AS name, "
                "domain_id AS domain, vocabulary_id AS vocabulary, concept_code AS code, "
                "coalesce(standard_concept, '') = 'S' AS standard, NULL::BIGINT AS descendants "
                f"FROM {_table(concepts)}",
            )
            if ancestors.exists():
                database.execute(
                    "UPDATE concept SET descendants = n FROM (SELECT ancestor_concept_id::BIGINT AS id, count(*) AS n "
                    f"FROM {_table(ancestors)} GROUP BY 1) WHERE id = concept_id",
                )
    except duckdb.Error as error:
        raise FlipError(
            "invalid-vocabulary", f"{concepts.parent} can't be read as an Athena download: {error}.", status=422
        ) from None


def _table(file: Path) -> str:
    """Athena writes tab-separated values without quotes under the name .csv; others write commas, and quote."""
    with file.open("rb") as lines:
        athena = b"\t" in lines.readline()
    form = "delim = '\t', quote = ''" if athena else "delim = ','"
    path = str(file).replace("'", "''")
    return f"read_csv('{path}', header = true, all_varchar = true, {form})"
