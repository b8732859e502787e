"""Concept sets over a vocabulary: named concepts, descendants, source concepts mapped to them, and what is excluded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flipnb.contracts.cohort import ConceptSet, ConceptSetItem
from flipnb.contracts.cohort_values import ConceptSetSelection
from flipnb.estate.cohort.conditions import in_concepts, in_ids

LISTED = 4000
"""Sets of up to so many concepts are written into the query, so that a database skips blocks that hold none of them."""


@dataclass(frozen=True)
class ConceptSets:
    """The concept sets of an expression. ``resolved`` holds the concepts of those that were looked up before."""

    sets: tuple[ConceptSet, ...]
    resolved: Mapping[int, tuple[int, ...]]

    def holds(self, column: str, codeset: int, *, exclude: bool = False) -> str:
        """The condition that ``column`` is in the set, or, excluded, that it is known and not in it."""
        concepts = self.resolved.get(codeset)
        if concepts is None or len(concepts) > LISTED:
            listed = f"(SELECT concept_id FROM codesets WHERE codeset_id = {int(codeset)})"
            return f"{column} {'NOT IN' if exclude else 'IN'} {listed}"
        if not concepts:
            return "1 = 1" if exclude else "1 = 0"
        return in_ids(column, concepts, exclude=exclude)

    def selects(self, column: str, selection: ConceptSetSelection) -> str | None:
        if selection.codeset_id is None:
            return None
        return self.holds(column, selection.codeset_id, exclude=selection.is_exclusion)

    def query(self) -> str:
        """A SELECT of codeset_id and concept_id, of the sets that are not written into the query."""
        unlisted = [one for one in self.sets if len(self.resolved.get(one.id, range(LISTED + 1))) > LISTED]
        return all_concepts(unlisted)


def all_concepts(sets: Iterable[ConceptSet]) -> str:
    """A SELECT of codeset_id and concept_id."""
    queries = [f"SELECT {one.id} AS codeset_id, c.concept_id FROM ({_concepts(one)}) c" for one in sets]
    if not queries:
        return "SELECT CAST(NULL AS INTEGER) AS codeset_id, CAST(NULL AS INTEGER) AS concept_id WHERE 1 = 0"
    return " UNION ALL ".join(queries)


def _concepts(concept_set: ConceptSet) -> str:
    items = concept_set.expression.items
    included = _concept_union([item for item in items if not item.is_excluded])
    excluded = [item for item in items if item.is_excluded]
    if not excluded:
        return f"SELECT DISTINCT i.concept_id FROM ({included}) i"
    return (
        f"SELECT DISTINCT i.concept_id FROM ({included}) i LEFT JOIN ({_concept_union(excluded)}) x "
        "ON i.concept_id = x.concept_id WHERE x.concept_id IS NULL"
    )


def _concept_union(items: list[ConceptSetItem]) -> str:
    parts = [_listed(items)]
    mapped = [item for item in items if item.include_mapped]
    if mapped:
        parts.append(
            f"SELECT DISTINCT cr.concept_id_1 AS concept_id FROM ({_listed(mapped)}) c JOIN concept_relationship cr "
            "ON c.concept_id = cr.concept_id_2 AND cr.relationship_id = 'Maps to' AND cr.invalid_reason IS NULL"
        )
    return " UNION ".join(parts)


def _listed(items: list[ConceptSetItem]) -> str:
    """Named concepts that the vocabulary has, and valid descendants of those that ask for them."""
    if not items:
        return "SELECT concept_id FROM concept WHERE 1 = 0"
    named = in_concepts("concept_id", tuple(item.concept for item in items))
    listed = f"SELECT concept_id FROM concept WHERE {named}"
    ancestors = tuple(item.concept for item in items if item.include_descendants)
    if ancestors:
        listed += (
            " UNION SELECT c.concept_id FROM concept c JOIN concept_ancestor ca "
            "ON c.concept_id = ca.descendant_concept_id WHERE c.invalid_reason IS NULL "
            f"AND {in_concepts('ca.ancestor_concept_id', ancestors)}"
        )
    return listed
