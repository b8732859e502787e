"""Searching by concepts: codes of a system, words, descendants, value sets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flipnb.contracts.problem import FlipError
from flipnb.records.fhir import systems
from flipnb.records.fhir.parameter import NEVER, Condition, missing, no_modifier, token
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table

_ISA = re.compile(r"http://snomed\.info/sct(?:/[^?]*)?\?fhir_vs=isa/(\d+)")


@dataclass(frozen=True)
class ConceptParameter:
    """A coded element: any of the columns may hold a concept that matches.

    Besides ``[system|]code`` it takes ``:not``, ``:text`` (a part of the concept's name), ``:below`` (the concept and
    its descendants) and ``:in`` with SNOMED's implicit value sets (``http://snomed.info/sct?fhir_vs=isa/73211009``).
    """

    columns: tuple[str, ...]
    source: str | None = None
    kind = "token"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """Rows of which a column has a matching concept. FlipError ``unknown-value-set`` for a set that is not isa."""
        if modifier == "missing":
            return missing(store, table, self.columns[0], value, name)
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        if modifier == "in":
            match = _ISA.fullmatch(value)
            if match is None:
                raise FlipError("unknown-value-set", f"{name}:in={value[:200]}: this value set is not known here.")
            modifier, value = "below", f"http://snomed.info/sct|{match[1]}"
        if modifier not in (None, "text", "below"):
            no_modifier(name, modifier)
        columns = [column for column in self.columns if store.has(table.name, column)]
        queries = concepts_like(store, value) if modifier == "text" else concepts_of(store, value)
        if modifier == "below":
            queries = _with_descendants(store, queries)
        concepts = resolved(store, queries)
        parts = [] if concepts is None else [Condition(f"t.{c} IN ({concepts.sql})", concepts.values) for c in columns]
        if modifier is None:
            parts += self._unmapped(store, table, columns, value)
        return Condition.any_of(parts) if parts else NEVER

    def _unmapped(self, store: Store, table: Table, columns: list[str], value: str) -> list[Condition]:
        """A source value is the code of a row without concepts."""
        system, code = token(value)
        if self.source is None or system not in (None, systems.SOURCE) or not store.has(table.name, self.source):
            return []
        none = " AND ".join([f"COALESCE(t.{column}, 0) = 0" for column in columns] or ["1 = 1"])
        if not code:
            return [Condition(f"{none} AND t.{self.source} IS NOT NULL")]
        return [Condition(f"{none} AND t.{self.source} = ?", (code,))]

    def sort_key(self, store: Store, table: Table) -> str | None:
        """None: a concept has no order."""
        return None


_CONCEPT = ("concept_id", "concept_name", "vocabulary_id", "concept_code")


def concepts_of(store: Store, value: str) -> list[Condition]:
    """Queries of the concept ids that a token names; none where there can be none."""
    system, code = token(value)
    queries: list[Condition] = []
    if system in (None, systems.OHDSI) and re.fullmatch(r"[1-9]\d{0,8}|1\d{9}|2[01]\d{8}", code):
        queries.append(Condition(f"SELECT {int(code)} AS concept_id"))
    if system in (systems.OHDSI, "") or not store.has("concept", *_CONCEPT):
        return queries
    where: list[Condition] = []
    if system is not None:
        vocabularies = systems.vocabularies_of(system)
        if not vocabularies:
            return queries
        where.append(Condition(f"vocabulary_id IN ({', '.join('?' * len(vocabularies))})", vocabularies))
    if code:
        where.append(Condition("concept_code = ?", (code,)))
    if where:
        sql = " AND ".join(part.sql for part in where)
        values = tuple(value for part in where for value in part.values)
        queries.append(Condition(f"SELECT concept_id FROM concept WHERE {sql}", values))
    return queries


def concepts_like(store: Store, words: str) -> list[Condition]:
    """Queries for the ids of concepts whose name has ``words`` in it, capitals or not; none for no word."""
    if not store.has("concept", *_CONCEPT) or not words.strip():
        return []
    pattern = words.strip().lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    sql = "SELECT concept_id FROM concept WHERE lower(concept_name) LIKE ? ESCAPE '\\'"
    return [Condition(sql, (f"%{pattern}%",))]


def _with_descendants(store: Store, queries: list[Condition]) -> list[Condition]:
    if not store.has("concept_ancestor", "ancestor_concept_id", "descendant_concept_id"):
        return queries
    return queries + [
        Condition(
            "SELECT descendant_concept_id AS concept_id FROM concept_ancestor "
            f"WHERE ancestor_concept_id IN ({query.sql})",
            query.values,
        )
        for query in queries
    ]


_FEW = 500


def resolved(store: Store, queries: list[Condition]) -> Condition | None:
    """Few ids as numbers, so that the database reads only the blocks that may hold them; many as the subquery."""
    if not queries:
        return None
    sql = " UNION ".join(query.sql for query in queries)
    values = tuple(value for query in queries for value in query.values)
    found = list(store.database.rows(f"SELECT c.concept_id FROM ({sql}) AS c LIMIT {_FEW + 1}", values))
    if len(found) > _FEW:
        return Condition(sql, values)
    return Condition(", ".join(str(int(row[0])) for row in found)) if found else None
