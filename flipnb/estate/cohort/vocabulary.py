"""The concepts of concept sets in an estate's vocabulary: looked up once for each of its versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from flipnb.contracts.cohort import ConceptSet
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.concept_sets import all_concepts
from flipnb.estate.cohort.conditions import in_ids
from flipnb.estate.cohort.subqueries import in_dialect
from flipnb.estate.database import BY_CONCEPT, Copies, EstateDatabase

_REMEMBERED = 256
"""Concept sets whose concepts a process remembers, each for its estate version."""

_MOST = 3_000_000
"""Concepts of all sets of a question, and of those that are remembered: some ten times a whole vocabulary."""

_FEW = 50
"""DuckDB reads the rows of up to so many listed concepts sooner than it builds a join with them."""
_TABLE = f"{BY_CONCEPT}.vocabulary"
_ITSELF, _DESCENDANT, _MAPPED = range(3)
VOCABULARY_BY_CONCEPT = (
    f"CREATE TABLE {_TABLE} AS SELECT concept_id, CAST({_ITSELF} AS UTINYINT) AS relation, concept_id AS other "
    "FROM concept ORDER BY concept_id",
    f"INSERT INTO {_TABLE} SELECT ancestor_concept_id, {_DESCENDANT}, descendant_concept_id FROM concept_ancestor "
    "WHERE ancestor_concept_id <> descendant_concept_id AND descendant_concept_id IN "
    "(SELECT concept_id FROM concept WHERE invalid_reason IS NULL) ORDER BY ancestor_concept_id",
    f"INSERT INTO {_TABLE} SELECT concept_id_2, {_MAPPED}, concept_id_1 FROM concept_relationship "
    "WHERE relationship_id = 'Maps to' AND invalid_reason IS NULL AND concept_id_1 <> concept_id_2 "
    "ORDER BY concept_id_2",
)
"""DuckDB's SQL that writes what a concept set asks of a vocabulary, each part in the order in which it asks: of a
concept itself, its valid descendants, and what is mapped to it. One short query reads it, without a join."""


def concepts_of(database: EstateDatabase, sets: Sequence[ConceptSet]) -> dict[int, tuple[int, ...]]:
    """The concepts of each set, by its id and in order. Raises FlipError ``cohort-too-large``."""
    remembered = _memory(database.version) if database.version else {}
    if len(remembered) >= _REMEMBERED or sum(map(len, remembered.values())) > _MOST:
        remembered.clear()
    keys = {one.id: one.expression.model_dump_json() for one in sets}
    unknown = [one for one in sets if keys[one.id] not in remembered]
    if unknown:
        found = _by_query(database, unknown) if database.copies is Copies.NONE else _by_concept(database, unknown)
        remembered.update({keys[codeset]: tuple(sorted(concepts)) for codeset, concepts in found.items()})
    return {codeset: remembered[key] for codeset, key in keys.items()}


@lru_cache(maxsize=2)
def _memory(version: str) -> dict[str, tuple[int, ...]]:
    """Concepts by concept set of one estate version, which never changes."""
    del version
    return {}


def _by_query(database: EstateDatabase, sets: Sequence[ConceptSet]) -> Mapping[int, Iterable[int]]:
    found: dict[int, list[int]] = {one.id: [] for one in sets}
    for codeset, concept in database.rows(in_dialect(all_concepts(sets), database.dialect)):
        found[codeset].append(int(concept))
    return found


def _by_concept(database: EstateDatabase, sets: Sequence[ConceptSet]) -> Mapping[int, Iterable[int]]:
    """As ``all_concepts`` says it in SQL."""
    items = [item for one in sets for item in one.expression.items]
    known: dict[int, list[tuple[int, int]]] = {}
    for concept, relation, other in _related(database, {item.concept.concept_id for item in items}):
        known.setdefault(concept, []).append((relation, other))

    listed: list[set[int]] = []
    for item in items:
        _require_few(listed)
        wanted = (_ITSELF, _DESCENDANT) if item.include_descendants else (_ITSELF,)
        listed.append({other for relation, other in known.get(item.concept.concept_id, ()) if relation in wanted})
    sources = {concept for item, found in zip(items, listed, strict=True) if item.include_mapped for concept in found}
    mapped: dict[int, set[int]] = {}
    for concept, relation, other in _related(database, sources):
        if relation == _MAPPED:
            mapped.setdefault(concept, set()).add(other)

    for item, found in zip(items, listed, strict=True):
        if item.include_mapped:
            _require_few(listed)
            found.update(*(mapped.get(concept, ()) for concept in tuple(found)))
    left = iter(listed)
    concepts: dict[int, set[int]] = {}
    for one in sets:
        included: set[int] = set()
        excluded: set[int] = set()
        for item in one.expression.items:
            (excluded if item.is_excluded else included).update(next(left))
        concepts[one.id] = included - excluded
    return concepts


def _require_few(listed: Sequence[set[int]]) -> None:
    if sum(map(len, listed)) > _MOST:
        raise FlipError(
            "cohort-too-large",
            f"The concept sets of the cohort have more than {_MOST} concepts together.",
            remedy="Name the concepts more closely.",
        )


def _related(database: EstateDatabase, concepts: Collection[int]) -> Iterator[tuple[int, int, int]]:
    """Concept, relation and the other concept, of those that the vocabulary has."""
    if not concepts:
        return
    found = f"SELECT concept_id, relation, other FROM {_TABLE}"
    if len(concepts) <= _FEW:
        yield from database.rows(f"{found} WHERE {in_ids('concept_id', concepts)}")
        return
    # A text is parsed and planned as one value, whatever its length.
    ids = ",".join(str(int(one)) for one in concepts)
    yield from database.rows(f"{found} JOIN (SELECT unnest('[{ids}]'::INTEGER[]) AS concept_id) USING (concept_id)")
