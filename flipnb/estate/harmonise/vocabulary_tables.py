"""Concepts from more than one feed: a Trust's Athena download, an OMOP export's own, a mapping's local ones."""

from __future__ import annotations

from flipnb.estate.harmonise.build import Build
from flipnb.estate.omop.cdm import Table

_KEYS = {
    "concept_relationship": ("concept_id_1", "concept_id_2", "relationship_id"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
    "concept_synonym": ("concept_id", "concept_synonym_name", "language_concept_id"),
    "drug_strength": ("drug_concept_id", "ingredient_concept_id"),
}


def vocabulary_key(table: Table) -> tuple[str, ...]:
    """The columns that make a row of a vocabulary table the same; none for other tables."""
    return _KEYS.get(table.name, (table.fields[0].name,)) if table.vocabulary else ()


def unless_known(build: Build, table: Table) -> str:
    """SQL: the condition under which a row of a vocabulary table is new; empty where there is nothing yet to compare.

    What is there first stays, so that two feeds can bring the same concept.
    """
    keys = vocabulary_key(table)
    if not keys or not build.connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone():
        return ""
    joined = ", ".join(keys)
    return f"({joined}) NOT IN (SELECT {'(' + joined + ')' if len(keys) > 1 else joined} FROM {table.name})"
