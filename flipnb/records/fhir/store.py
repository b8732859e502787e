"""OMOP tables as FHIR resources are made of them: concepts, ids, and what every resource says of its version."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flipnb.records.database import Database

_MASK = 2**32 - 1
_ROUNDS = 4


class Pseudonyms:
    """Ids of resources: a keyed permutation of the database's 64-bit ids, one for each type (a Feistel network).

    An id tells nothing of the row's place in the database to anyone without the key, and is turned back by the key
    alone, without a table. Without a key ids are the database's own: right for a frozen cohort, whose ids are
    pseudonyms already.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key
        # A page names the same patients and encounters many times.
        self.encode = functools.lru_cache(maxsize=50_000)(self._encode)

    def _encode(self, kind: str, number: int) -> str:
        if self._key is None:
            return str(number)
        left, right = (number >> 32) & _MASK, number & _MASK
        for step in range(_ROUNDS):
            left, right = right, left ^ self._round(kind, step, right)
        return f"{left:08x}{right:08x}"

    def decode(self, kind: str, text: str) -> int | None:
        """None for what can't be an id."""
        try:
            if self._key is None:
                return int(text) if text == str(int(text)) and -(2**63) <= int(text) < 2**63 else None
            if len(text) != 16 or text != text.lower():
                return None
            left, right = int(text[:8], 16), int(text[8:], 16)
        except ValueError:
            return None
        for step in reversed(range(_ROUNDS)):
            left, right = right ^ self._round(kind, step, left), left
        number = (left << 32) | right
        return number - 2**64 if number >= 2**63 else number

    def _round(self, kind: str, step: int, half: int) -> int:
        assert self._key is not None
        message = f"{kind}\n{step}\n{half}".encode()
        return int.from_bytes(hashlib.blake2s(message, key=self._key[:32], digest_size=4).digest(), "big")


@dataclass(frozen=True)
class Concept:
    """A row of OMOP's concept, as far as resources need it; ``code`` is the code in its ``vocabulary``."""

    concept_id: int
    name: str
    vocabulary: str
    concept_class: str
    code: str


@dataclass
class Store:
    """Tables, the concepts that were met, and what every resource says of its version.

    ``ucum_units``: the column ``unit_source_value`` holds UCUM codes, as in a frozen cohort.
    """

    database: Database
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
    version: str = "1"
    updated: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    ucum_units: bool = False
    concepts: dict[int, Concept | None] = field(default_factory=dict)
    codings: dict[tuple[int | None, ...], list[dict[str, Any]]] = field(default_factory=dict)
    """Of concepts that are loaded: FHIR's codings of them, made once and never changed."""
    _columns: Mapping[str, frozenset[str]] | None = None

    _MOST_CONCEPTS = 200_000

    @property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """Tables and their columns, asked of the database once."""
        if self._columns is None:
            self._columns = self.database.columns()
        return self._columns

    def has(self, table: str, *columns: str) -> bool:
        """Whether the table is there with all these columns."""
        return table in self.columns and self.columns[table].issuperset(columns)

    def load_concepts(self, ids: Iterable[int | None]) -> None:
        """Have the concepts at hand that a page of resources needs: one query."""
        if len(self.concepts) > self._MOST_CONCEPTS:
            self.concepts.clear()
            self.codings.clear()
        missing = sorted({int(number) for number in ids if number} - self.concepts.keys())
        if not missing:
            return
        self.concepts.update(dict.fromkeys(missing))
        if not self.has("concept", "concept_id", "concept_name", "vocabulary_id", "concept_class_id", "concept_code"):
            return
        names = ", ".join(map(str, missing))
        for number, name, vocabulary, kind, code in self.database.rows(
            "SELECT concept_id, concept_name, vocabulary_id, concept_class_id, concept_code "
            f"FROM concept WHERE concept_id IN ({names})"
        ):
            self.concepts[int(number)] = Concept(int(number), name, vocabulary, kind or "", code)

    def concept(self, number: int | None) -> Concept | None:
        """A concept that ``load_concepts`` has loaded."""
        return self.concepts.get(int(number)) if number else None
