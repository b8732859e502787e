"""Concept sets over a vocabulary: named concepts, descendants, source concepts mapped to them, and what is excluded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from flipnb.contracts.cohort import ConceptSet, ConceptSetItem
from flipnb.contracts.cohort_values import ConceptSetSelection
from flipnb.estate.cohort.conditions import in_ids

LISTED = 4000
"""Sets of up to so many concepts are written into the query, so that a database skips blocks that hold none of them."""


class ConceptSets:
    """The concept sets of an expression. ``resolved`` holds the concepts of those that were looked up before."""

    def __init__(self, sets: Iterable[ConceptSet], resolved: Mapping[int, tuple[int, ...]]) -> None:
        self._sets = {one.id: one for one in sets}
        self._listed = {number: concepts for number, concepts in resolved.items() if len(concepts) <= LISTED}
        """What is written into the query: of sets of the expression, and of those that ``together`` makes."""

    def holds(self, column: str, codeset: int, *, exclude: bool = False) -> str:
        """The condition that ``column`` is in the set, or, excluded, that it is known and not in it."""
        concepts = self._listed.get(codeset)
        if concepts is None:
            listed = f"(SELECT concept_id FROM codesets WHERE codeset_id = {int(codeset)})"
            return f"{column} {'NOT IN' if exclude else 'IN'} {listed}"
        if not concepts:
            return "1 = 1" if exclude else "1 = 0"
        return in_ids(column, concepts, exclude=exclude)

    def restricts(self, column: str, codeset: int) -> tuple[str, str]:
        """A join and a condition, one of which may be empty, by which ``column`` is in the set; rows stay single.

        Of a join with the concepts a database knows how many rows to expect and which blocks to read; of a long IN it
        guesses a fifth of the table, and builds its other joins the wrong way round.
        """
        concepts = self._listed.get(codeset)
        if concepts is None or len(concepts) < 2:
            return "", self.holds(column, codeset)
        values = ", ".join(f"({int(one)})" for one in concepts)
        return f"JOIN (VALUES {values}) AS listed (concept_id) ON listed.concept_id = {column}", ""

    def together(self, codesets: Collection[int]) -> int | None:
        """The id of a set of the concepts of several; None where they can't be written into the query as one."""
        if not self._listed.keys() >= set(codesets):
            return None
        union = tuple(sorted({concept for codeset in codesets for concept in self._listed[codeset]}))
        if len(union) > LISTED:
            return None
        for codeset, concepts in self._listed.items():
            if concepts == union:
                return codeset
        codeset = min(0, *self._sets, *self._listed) - 1
        self._listed[codeset] = union
        return codeset

    def selects(self, column: str, selection: ConceptSetSelection) -> str | None:
        """SQL that a column's concept is in the selected set, or not in it; None where any concept will do."""
        if selection.codeset_id is None:
            return None
        return self.holds(column, selection.codeset_id, exclude=selection.is_exclusion)

    def query(self) -> str:
        """A SELECT of codeset_id and concept_id, of the sets that are not written into the query."""
        return all_concepts(one for number, one in self._sets.items() if number not in self._listed)


def all_concepts(sets: Iterable[ConceptSet]) -> str:
    """A SELECT of codeset_id and concept_id, each once: one plan, however many sets and items there are.

    Named concepts that the vocabulary has, valid descendants of those that ask for them, and what is mapped to either;
    an excluded item takes all of its own away.
    """
    items = [(one.id, item) for one in sets for item in one.expression.items]
    if not items:
        return "SELECT CAST(NULL AS INTEGER) AS codeset_id, CAST(NULL AS INTEGER) AS concept_id WHERE 1 = 0"
    values = ", ".join(_row(codeset, item) for codeset, item in items)
    parts = [
        "SELECT i.codeset_id, i.mapped, i.excluded, c.concept_id FROM item i "
        f"JOIN concept c ON c.concept_id = i.concept_id WHERE {_named(items, 'c.concept_id')}"
    ]
    ancestors = [(codeset, item) for codeset, item in items if item.include_descendants]
    if ancestors:
        parts.append(
            "SELECT i.codeset_id, i.mapped, i.excluded, c.concept_id FROM item i "
            "JOIN concept_ancestor ca ON ca.ancestor_concept_id = i.concept_id "
            "JOIN concept c ON c.concept_id = ca.descendant_concept_id AND c.invalid_reason IS NULL "
            f"WHERE i.descends = 1 AND {_named(ancestors, 'ca.ancestor_concept_id')}"
        )
    listed = f"item (codeset_id, concept_id, descends, mapped, excluded) AS (VALUES {values}), "
    listed += f"listed AS ({' UNION ALL '.join(parts)})"
    found = "SELECT codeset_id, excluded, concept_id FROM listed"
    if any(item.include_mapped for _, item in items):
        found += (
            " UNION ALL SELECT l.codeset_id, l.excluded, cr.concept_id_1 AS concept_id FROM listed l "
            "JOIN concept_relationship cr ON cr.concept_id_2 = l.concept_id AND cr.relationship_id = 'Maps to' "
            "AND cr.invalid_reason IS NULL WHERE l.mapped = 1"
        )
    return (
        f"WITH {listed} SELECT codeset_id, concept_id FROM ({found}) f "
        "GROUP BY codeset_id, concept_id HAVING MAX(excluded) = 0"
    )


def _row(codeset: int, item: ConceptSetItem) -> str:
    flags = (item.include_descendants, item.include_mapped, item.is_excluded)
    return f"({', '.join(str(int(value)) for value in (codeset, item.concept.concept_id, *flags))})"


def _named(items: Iterable[tuple[int, ConceptSetItem]], column: str) -> str:
    """Said of the column itself, so that blocks that hold none of the concepts are skipped."""
    return in_ids(column, sorted({item.concept.concept_id for _, item in items}))
